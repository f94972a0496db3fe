//! How references to secrets stand: `/secrets`, `/vaults/{}/status`, and having them read again.
//!
//! Owns: the form in which it is told. Must not know: values; the engine tells none.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_model::Kind;
use postern_model::field::Field;
use postern_secrets::rotate::{self, Nudge, ReferenceState, ReferenceStatus};
use postern_secrets::{Reference, Template};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::call::{Answered, Call, ok};
use super::crud::named;
use super::error::Refusal;
use super::foreign::identifier;
use super::{decode, page};

/// For so long a refresh is waited for; it goes on by itself.
const PATIENCE: Duration = Duration::from_secs(30);

fn engine(call: &Call<'_>) -> Result<rotate::Engine, Refusal> {
    call.admin.node().engine().ok_or(Refusal::Unavailable("this node resolves no references"))
}

/// The word for a state.
pub(crate) fn word(state: ReferenceState) -> &'static str {
    match state {
        ReferenceState::Fresh => "fresh",
        ReferenceState::Stale => "stale",
        ReferenceState::Unresolved => "unresolved",
        ReferenceState::Invalid => "invalid",
    }
}

/// `/secrets`: every reference in use; of some state, vault or entity (`user`, its identifier).
pub(crate) async fn list(call: &Call<'_>) -> Answered {
    let mut references = engine(call)?.status().references;
    if let Some(state) = call.argument("state") {
        if !["fresh", "stale", "unresolved", "invalid"].contains(&state) {
            let message = "state must be one of: fresh, stale, unresolved, invalid";
            return Err(Refusal::Bad(message.to_owned()));
        }
        references.retain(|reference| word(reference.state) == state);
    }
    if let Some(vault) = call.argument("vault") {
        references.retain(|reference| reference.vault == vault);
    }
    if let Some(user) = call.argument("user") {
        let used = references_of(call, user).await?;
        references.retain(|reference| used.contains(&reference.reference));
    }
    let size = page::size(call)?;
    if let Some(offset) = call.argument("offset") {
        let bytes = URL_SAFE_NO_PAD.decode(offset).ok();
        let last = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let last = last.ok_or_else(|| Refusal::Offset(offset.chars().take(100).collect()))?;
        references.retain(|reference| reference.reference > last);
    }
    let more = references.len() > size;
    references.truncate(size);
    let offset = references.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(&last.reference));
    page::page(call, "/secrets", references.iter().map(shown).collect(), offset)
}

/// The references in an entity, of whatever kind.
async fn references_of(call: &Call<'_>, user: &str) -> Result<BTreeSet<String>, Refusal> {
    let id = identifier(user).ok_or_else(|| Refusal::Bad("user must be the id of an entity".to_owned()))?;
    let mut found = BTreeSet::new();
    for kind in Kind::all() {
        if let Some(kept) = call.admin.store().get(kind.collection(), id).await? {
            kept.row.body.values().for_each(|value| collect(value, &mut found));
        }
    }
    Ok(found)
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if Template::has_reference(text) => {
            if let Ok(template) = Template::parse(text) {
                found.extend(template.references().map(ToString::to_string));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn shown(status: &ReferenceStatus) -> Value {
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs());
    let error = status.last_error.as_ref().map(|error| {
        json!({ "message": error.message, "hint": error.hint, "seconds_ago": error.at.elapsed().as_secs() })
    });
    json!({
        "reference": status.reference,
        "vault": status.vault,
        "state": word(status.state),
        "age_seconds": seconds(status.age),
        "from_last_known_good": status.from_last_known_good,
        "last_error": error,
        "next_refresh_seconds": seconds(status.next_refresh),
        "fetch_milliseconds": status.fetch_duration.map(|duration| u64::try_from(duration.as_millis()).ok()),
        "users": status.users,
    })
}

/// `/vaults/{}/status`
pub(crate) async fn vault_status(call: &Call<'_>) -> Answered {
    let vaults = Kind::named("vaults").ok_or(Refusal::Unexpected)?;
    let vault = named(call.admin, vaults, call.parameter(0)).await?;
    ok(of_vault(call, &vault.row.body)?)
}

fn of_vault(call: &Call<'_>, body: &serde_json::Map<String, Value>) -> Result<Value, Refusal> {
    let prefix = body.get("prefix").and_then(Value::as_str).unwrap_or_default();
    let references = engine(call)?.status().references;
    let own: Vec<&ReferenceStatus> =
        references.iter().filter(|reference| reference.vault == prefix).collect();
    let count = |state| own.iter().filter(|reference| reference.state == state).count();
    let newest =
        own.iter().filter_map(|reference| reference.last_error.as_ref()).max_by_key(|error| error.at);
    let last_error = newest.map(|error| {
        json!({ "message": error.message, "hint": error.hint, "seconds_ago": error.at.elapsed().as_secs() })
    });
    Ok(json!({
        "prefix": prefix,
        "name": body.get("name"),
        "references": {
            "total": own.len(),
            "fresh": count(ReferenceState::Fresh),
            "stale": count(ReferenceState::Stale),
            "unresolved": count(ReferenceState::Unresolved),
            "invalid": count(ReferenceState::Invalid),
        },
        "last_error": last_error,
    }))
}

/// `/vaults/{}/refresh`
pub(crate) async fn vault_refresh(call: &Call<'_>) -> Answered {
    let vaults = Kind::named("vaults").ok_or(Refusal::Unexpected)?;
    let vault = named(call.admin, vaults, call.parameter(0)).await?;
    let prefix = vault.row.body.get("prefix").and_then(Value::as_str).unwrap_or_default();
    let is_done = nudged(call, &Nudge::Vault(prefix.to_owned())).await?;
    let mut body = of_vault(call, &vault.row.body)?;
    body["done"] = is_done.into();
    ok(body)
}

/// `/secrets/refresh`: all, or `{"reference": "{vault://...}"}`.
pub(crate) async fn refresh(call: &Call<'_>) -> Answered {
    const FIELDS: &[Field] = &[Field::string("reference")];
    let body = decode::fields(call.content_type(), &call.body, FIELDS)?;
    let nudge = match body.get("reference") {
        None | Some(Value::Null) => Nudge::All,
        Some(Value::String(text)) => {
            let reference = Reference::parse(text).map_err(|error| Refusal::Bad(error.to_string()))?;
            Nudge::Reference(reference)
        }
        Some(_) => return Err(Refusal::Bad("reference must be a string".to_owned())),
    };
    let is_done = nudged(call, &nudge).await?;
    ok(json!({ "done": is_done }))
}

async fn nudged(call: &Call<'_>, nudge: &Nudge) -> Result<bool, Refusal> {
    let engine = engine(call)?;
    Ok(timeout(PATIENCE, engine.refresh(nudge)).await.is_ok())
}
