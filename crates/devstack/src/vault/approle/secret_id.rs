//! Secret ids: made, looked at, used up, destroyed.

use super::role::Role;
use super::{mount, name, required};
use crate::clock::{Clock, rfc3339};
use crate::random;
use crate::vault::call::Call;
use crate::vault::core::Core;
use crate::vault::reply::{Outcome, Refusal, Reply};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// The secret ids of a role, by their text. One whose life is over counts as absent.
#[derive(Debug, Default)]
pub(super) struct SecretIds(HashMap<String, SecretId>);

struct SecretId {
    accessor: String,
    /// 0: no limit.
    num_uses: i64,
    /// Zero: no end.
    ttl: Duration,
    metadata: BTreeMap<String, String>,
    created: Instant,
    created_wall: Duration,
    updated_wall: Duration,
}

impl std::fmt::Debug for SecretId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretId").field("accessor", &self.accessor).finish_non_exhaustive()
    }
}

impl SecretId {
    fn is_alive(&self) -> bool {
        self.ttl.is_zero() || self.created.elapsed() < self.ttl
    }

    fn describe(&self) -> Value {
        // Go's zero time: it does not end.
        let never = "0001-01-01T00:00:00Z".to_owned();
        let end = if self.ttl.is_zero() { never } else { rfc3339(self.created_wall + self.ttl) };
        json!({
            "cidr_list": [], "creation_time": rfc3339(self.created_wall), "expiration_time": end,
            "last_updated_time": rfc3339(self.updated_wall), "metadata": self.metadata,
            "secret_id_accessor": self.accessor, "secret_id_num_uses": self.num_uses,
            "secret_id_ttl": self.ttl.as_secs(), "token_bound_cidrs": [],
        })
    }
}

impl SecretIds {
    /// Uses a secret id for a login, and gives its metadata.
    pub(super) fn take_use(&mut self, text: &str) -> Option<BTreeMap<String, String>> {
        self.drop_dead();
        let secret_id = self.0.get_mut(text)?;
        let metadata = secret_id.metadata.clone();
        secret_id.updated_wall = secret_id.created_wall + secret_id.created.elapsed();
        match secret_id.num_uses {
            0 => {}
            1 => drop(self.0.remove(text)),
            _ => secret_id.num_uses -= 1,
        }
        Some(metadata)
    }

    fn text_of(&self, accessor: &str) -> Option<String> {
        self.0.iter().find(|(_, secret_id)| secret_id.accessor == accessor).map(|(text, _)| text.clone())
    }

    fn drop_dead(&mut self) {
        self.0.retain(|_, secret_id| secret_id.is_alive());
    }
}

/// The role in the path, with only living secret ids. Without it, the refusal has this status and form.
fn role<'a>(
    core: &'a mut Core,
    call: &Call,
    refusal: impl Fn(String) -> Refusal,
) -> Result<&'a mut Role, Refusal> {
    let missing = || refusal(format!("role \"{}\" does not exist", name(call)));
    let role = mount(core, call)?.roles.get_mut(&name(call)).ok_or_else(missing)?;
    role.secret_ids.drop_dead();
    Ok(role)
}

fn failed(text: String) -> Refusal {
    Refusal::listed(500, &text)
}

pub(super) fn list(core: &mut Core, call: &Call) -> Outcome {
    let role = role(core, call, Refusal::bad)?;
    Reply::keys(role.secret_ids.0.values().map(|secret_id| secret_id.accessor.clone()).collect())
}

pub(super) fn make(core: &mut Core, call: &Call) -> Outcome {
    add(core, call, random::uuid())
}

/// As [`make`], with a text of the caller's choice.
pub(super) fn take(core: &mut Core, call: &Call) -> Outcome {
    add(core, call, required(call, "secret_id")?)
}

fn add(core: &mut Core, call: &Call, text: String) -> Outcome {
    let clock: Clock = core.clock;
    let role = role(core, call, |text| Refusal::new(404, text))?;
    let fields = call.fields();
    if let Some(name) = ["cidr_list", "token_bound_cidrs"].iter().find(|name| fields.get(name).is_some()) {
        return Err(Refusal::bad(format!(
            "the dev vault does not enforce '{name}', so it refuses the secret id"
        )));
    }
    let num_uses = fields.number("num_uses")?;
    if num_uses.is_some_and(|number| number < 0) {
        return Err(Refusal::bad("num_uses cannot be negative"));
    }
    let limit = role.secret_id_num_uses;
    if num_uses.is_some_and(|number| limit > 0 && (number == 0 || number > limit)) {
        return Err(Refusal::bad("num_uses cannot be higher than the role's secret_id_num_uses"));
    }
    let ttl = fields.duration("ttl")?;
    let limit = role.secret_id_ttl;
    if ttl.is_some_and(|ttl| !limit.is_zero() && (ttl.is_zero() || ttl > limit)) {
        return Err(Refusal::bad("ttl cannot be longer than the role's secret_id_ttl"));
    }
    let secret_id = SecretId {
        accessor: random::uuid(),
        num_uses: num_uses.unwrap_or(role.secret_id_num_uses),
        ttl: ttl.unwrap_or(role.secret_id_ttl),
        metadata: metadata(call)?,
        created: Instant::now(),
        created_wall: clock.wall(),
        updated_wall: clock.wall(),
    };
    if role.secret_ids.0.contains_key(&text) {
        return Err(failed("failed to store secret_id: SecretID is already registered".to_owned()));
    }
    let data = json!({
        "secret_id": text, "secret_id_accessor": secret_id.accessor, "secret_id_num_uses": secret_id.num_uses,
        "secret_id_ttl": secret_id.ttl.as_secs(),
    });
    role.secret_ids.0.insert(text, secret_id);
    Ok(Reply::data(data))
}

/// A JSON object of texts within a text, or `a=b,c=d`.
fn metadata(call: &Call) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(text) = call.fields().text("metadata")?.filter(|text| !text.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    if let Ok(members) = serde_json::from_str(&text) {
        return Ok(members);
    }
    let pairs = text.split(',').map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    });
    pairs.collect::<Option<_>>().ok_or_else(|| {
        Refusal::bad("failed to parse metadata: failed to parse the input: invalid <key,value> format")
    })
}

pub(super) fn lookup(core: &mut Core, call: &Call) -> Outcome {
    let text = required(call, "secret_id")?;
    let role = role(core, call, failed)?;
    Ok(role.secret_ids.0.get(&text).map_or(Reply::Nothing, |found| Reply::data(found.describe())))
}

/// Ending what is not there is a success.
pub(super) fn destroy(core: &mut Core, call: &Call) -> Outcome {
    let text = required(call, "secret_id")?;
    role(core, call, failed)?.secret_ids.0.remove(&text);
    Ok(Reply::Nothing)
}

fn no_accessor(accessor: &str) -> String {
    format!("failed to find accessor entry for secret_id_accessor: \"{accessor}\"")
}

pub(super) fn lookup_accessor(core: &mut Core, call: &Call) -> Outcome {
    let accessor = required(call, "secret_id_accessor")?;
    let ids = &role(core, call, failed)?.secret_ids;
    let found = ids.text_of(&accessor).and_then(|text| ids.0.get(&text));
    Ok(match found {
        Some(secret_id) => Reply::data(secret_id.describe()),
        None => Reply::gone(json!({"error": no_accessor(&accessor)})),
    })
}

pub(super) fn destroy_accessor(core: &mut Core, call: &Call) -> Outcome {
    let accessor = required(call, "secret_id_accessor")?;
    let ids = &mut role(core, call, failed)?.secret_ids;
    let text = ids.text_of(&accessor).ok_or_else(|| failed(no_accessor(&accessor)))?;
    ids.0.remove(&text);
    Ok(Reply::Nothing)
}
