//! Response wrapping: an answer is kept here, and a token that can be used once is given instead.
//!
//! Owns the kept answers. The tokens themselves are ordinary ones (`token`) with one use and a policy that grants nothing
//! else, so whatever else they are used for spoils them, as in Vault.

use crate::clock::rfc3339;
use crate::vault::call::Call;
use crate::vault::core::Core;
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::vault::token::{Kind, Wish};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

/// The kept answers, by their token.
#[derive(Default)]
pub(in crate::vault) struct Wrappings(HashMap<String, Kept>);

struct Kept {
    answer: Value,
    /// Path, time and life, as a lookup tells them.
    creation: Value,
}

/// Puts a success with data or a token into a wrapping. Other answers stay as they are.
pub(in crate::vault) fn wrap(core: &mut Core, path: &str, ttl: Duration, reply: Reply) -> Reply {
    let Some(answer) = reply.wrappable() else { return reply };
    let wish = Wish {
        id: None,
        kind: Kind::Service,
        policies: vec!["response-wrapping".to_owned()],
        parent: None,
        orphan: true,
        path: path.to_owned(),
        display_name: String::new(),
        meta: None,
        entity_id: String::new(),
        renewable: false,
        num_uses: 1,
        explicit_max_ttl: ttl,
        period: Duration::ZERO,
        ttl,
    };
    let token = core.tokens.add(wish, &core.clock);
    let time = rfc3339(core.clock.wall());
    let mut info = json!({
        "token": token.id, "accessor": token.accessor, "ttl": ttl.as_secs(), "creation_time": time,
        "creation_path": path,
    });
    let accessor = answer["auth"]["accessor"].as_str().or(answer["data"]["secret_id_accessor"].as_str());
    if let Some(accessor) = accessor {
        info["wrapped_accessor"] = json!(accessor);
    }
    let creation = json!({"creation_path": path, "creation_time": time, "creation_ttl": ttl.as_secs()});
    let (wrappings, tokens) = (&mut core.wrappings.0, &mut core.tokens);
    wrappings.retain(|id, _| tokens.get(id).is_some());
    wrappings.insert(token.id, Kept { answer, creation });
    Reply::wrap_info(info)
}

/// What is sent comes back, which only makes sense wrapped.
pub(super) fn echo(_: &mut Core, call: &Call) -> Outcome {
    if call.wrap_ttl.is_none() {
        return Err(Refusal::bad("endpoint requires response wrapping to be used"));
    }
    Ok(Reply::data(call.body.clone().into()))
}

pub(super) fn lookup(core: &mut Core, call: &Call) -> Outcome {
    let id = meant(core, call)?;
    let kept = core.wrappings.0.get(&id).ok_or_else(not_valid)?;
    Ok(Reply::data(kept.creation.clone()))
}

/// Once: the token ends with it.
pub(super) fn unwrap(core: &mut Core, call: &Call) -> Outcome {
    let id = meant(core, call)?;
    if call.fields().get("token").is_some() {
        // Somebody unwraps for himself: he must be somebody.
        let caller = call.token_id.as_deref().ok_or_else(Refusal::no_token)?;
        core.tokens.get(caller).ok_or_else(Refusal::no_token)?;
    }
    // The token was used twice by one request: as the caller's, and as the one to unwrap.
    let twice = call.fields().get("token").is_some() && call.token_id.as_deref() == Some(id.as_str());
    core.tokens.revoke(&id);
    let kept = core.wrappings.0.remove(&id).ok_or_else(not_valid)?;
    if twice {
        let text = "error decrementing wrapping token's use-count: invalid token entry provided for use count \
                    decrementing";
        return Err(Refusal::listed(500, text));
    }
    Ok(Reply::Raw(200, kept.answer))
}

/// The wrapping token that a call is about: in the body, or the caller's own.
fn meant(core: &mut Core, call: &Call) -> Result<String, Refusal> {
    let invalid = |what: &str| Refusal::new(403, format!("error validating wrapping token: {what}"));
    let own = call.token_id.clone();
    let id = match call.fields().text("token")? {
        Some(id) if id.is_empty() => return Err(invalid("empty token in request body")),
        Some(id) => id,
        None => own.ok_or_else(|| invalid("token is empty"))?,
    };
    let lives = core.tokens.get(&id).is_some() && core.wrappings.0.contains_key(&id);
    if lives { Ok(id) } else { Err(not_valid()) }
}

fn not_valid() -> Refusal {
    Refusal::bad("wrapping token is not valid or does not exist")
}
