//! The endpoints under `auth/token/`.
//!
//! Owns who may make which token. The tokens themselves are in `token.rs`.

use super::{Kind, MAX_LIFE, Token, Wish, cap};
use crate::vault::call::Call;
use crate::vault::call::Operation::{List, Read, Update};
use crate::vault::core::Core;
use crate::vault::field::parse_seconds;
use crate::vault::policy::Capability;
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::vault::router::Guard::{Policy, Sudo};
use crate::vault::router::{Handler::Now, Route};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub(in crate::vault) const ROUTES: &[Route] = &[
    Route {
        pattern: "lookup-self",
        operations: &[(Read, Now(lookup_self)), (Update, Now(lookup_self))],
        guard: Policy,
        exists: None,
        help: "Look at the calling token.",
    },
    Route {
        pattern: "lookup",
        operations: &[(Read, Now(lookup_self)), (Update, Now(lookup))],
        guard: Policy,
        exists: None,
        help: "Look at a token.",
    },
    Route {
        pattern: "lookup-accessor",
        operations: &[(Update, Now(lookup_accessor))],
        guard: Policy,
        exists: None,
        help: "Look at the token with this accessor.",
    },
    Route {
        pattern: "accessors",
        operations: &[(List, Now(accessors))],
        guard: Sudo,
        exists: None,
        help: "List the accessors of all service tokens.",
    },
    Route {
        pattern: "create",
        operations: &[(Update, Now(create))],
        guard: Policy,
        exists: None,
        help: "Make a token: policies, ttl, explicit_max_ttl, period, num_uses, type, renewable, no_parent, \
               no_default_policy, display_name, meta, id.",
    },
    Route {
        pattern: "create-orphan",
        operations: &[(Update, Now(create_orphan))],
        guard: Policy,
        exists: None,
        help: "Make a token without a parent.",
    },
    Route {
        pattern: "renew-self",
        operations: &[(Update, Now(renew_self))],
        guard: Policy,
        exists: None,
        help: "Prolong the calling token's life.",
    },
    Route {
        pattern: "renew",
        operations: &[(Update, Now(renew))],
        guard: Policy,
        exists: None,
        help: "Prolong a token's life.",
    },
    Route {
        pattern: "renew-accessor",
        operations: &[(Update, Now(renew_accessor))],
        guard: Policy,
        exists: None,
        help: "Prolong the life of the token with this accessor.",
    },
    Route {
        pattern: "revoke-self",
        operations: &[(Update, Now(revoke_self))],
        guard: Policy,
        exists: None,
        help: "End the calling token and all that it made.",
    },
    Route {
        pattern: "revoke",
        operations: &[(Update, Now(revoke))],
        guard: Policy,
        exists: None,
        help: "End a token and all that it made.",
    },
    Route {
        pattern: "revoke-accessor",
        operations: &[(Update, Now(revoke_accessor))],
        guard: Policy,
        exists: None,
        help: "End the token with this accessor and all that it made.",
    },
    Route {
        pattern: "revoke-orphan",
        operations: &[(Update, Now(revoke_orphan))],
        guard: Sudo,
        exists: None,
        help: "End a token; what it made lives on.",
    },
];

/// OpenBao's word on a chosen id. The dev vault hashes nothing, but a user should hear it.
const WEAK_ID: &str = "Supplying a custom ID for the token uses the weaker SHA1 hashing instead of the more secure \
                       SHA2-256 HMAC for token obfuscation. SHA1 hashed tokens on the wire leads to less secure \
                       lookups.";

fn lookup_self(_: &mut Core, call: &Call) -> Outcome {
    Ok(Reply::data(call.caller()?.describe()))
}

/// Without a token in the body: the calling one.
fn lookup(core: &mut Core, call: &Call) -> Outcome {
    let Some(id) = call.fields().text("token")?.filter(|id| !id.is_empty()) else {
        return lookup_self(core, call);
    };
    core.tokens
        .get(&id)
        .map(|token| Reply::data(token.describe()))
        .ok_or_else(|| Refusal::new(403, "bad token"))
}

/// The accessor in the body, which must be there.
fn accessor(call: &Call) -> Result<String, Refusal> {
    let accessor = call.fields().text("accessor")?.filter(|accessor| !accessor.is_empty());
    accessor.ok_or_else(|| Refusal::listed(400, "missing accessor"))
}

/// An accessor never tells the token.
fn lookup_accessor(core: &mut Core, call: &Call) -> Outcome {
    let accessor = accessor(call)?;
    let token = core.tokens.by_accessor(&accessor).ok_or_else(|| Refusal::listed(400, "invalid accessor"))?;
    let mut data = token.describe();
    data["id"] = json!("");
    Ok(Reply::data(data))
}

fn accessors(core: &mut Core, _: &Call) -> Outcome {
    Reply::keys(core.tokens.accessors())
}

fn create(core: &mut Core, call: &Call) -> Outcome {
    make(core, call, false)
}

fn create_orphan(core: &mut Core, call: &Call) -> Outcome {
    make(core, call, true)
}

fn make(core: &mut Core, call: &Call, orphan_path: bool) -> Outcome {
    let fields = call.fields();
    let parent = call.caller()?;
    let acl = core.policies.acl(&parent.policies);
    let sudo = acl.allows(&call.path, Capability::Sudo);
    let kind = match fields.text("type")?.as_deref() {
        None | Some("" | "service") => Kind::Service,
        Some("batch") => Kind::Batch,
        Some(_) => return Err(Refusal::bad("invalid 'token_type' value")),
    };
    let num_uses = fields.number("num_uses")?.unwrap_or_default();
    if num_uses < 0 {
        return Err(Refusal::bad("number of uses cannot be negative"));
    }
    let period = life(call, "period")?;
    if kind == Kind::Batch && num_uses > 0 {
        return Err(Refusal::bad("batch tokens cannot have \"num_uses\" set"));
    }
    if kind == Kind::Batch && !period.is_zero() {
        return Err(Refusal::bad("batch tokens cannot have \"period\" set"));
    }
    let no_parent = fields.flag("no_parent")?.unwrap_or_default();
    if no_parent && !orphan_path && !sudo {
        return Err(Refusal::bad("root or sudo privileges required to create orphan token"));
    }
    let policies = policies(call, parent, sudo)?;
    let id = own_id(core, call, kind, sudo)?;
    let root = policies.iter().any(|policy| policy == "root");
    if kind == Kind::Batch && root {
        return Err(Refusal::bad("batch tokens cannot be root tokens"));
    }
    let mut warnings = missing_policies(core, &policies);
    if id.is_some() {
        warnings.push(WEAK_ID.to_owned());
    }
    let (ttl, explicit_max_ttl) = lives(call, root, period, &mut warnings)?;
    let orphan = no_parent || orphan_path;
    let parent = (!orphan).then(|| parent.id.clone());
    let display_name = match fields.text("display_name")?.filter(|name| !name.is_empty()) {
        Some(name) => format!("token-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
        None => "token".to_owned(),
    };
    let wish = Wish {
        id,
        kind,
        policies,
        parent,
        orphan,
        path: call.path.clone(),
        display_name,
        meta: meta(call)?,
        entity_id: String::new(),
        renewable: kind == Kind::Service && !ttl.is_zero() && fields.flag("renewable")?.unwrap_or(true),
        num_uses,
        explicit_max_ttl,
        period,
        ttl,
    };
    let token = core.tokens.add(wish, &core.clock);
    Ok(Reply::auth(token.auth(), warnings))
}

/// A chosen id. The prefixes of generated ones are not for choosing.
fn own_id(core: &mut Core, call: &Call, kind: Kind, sudo: bool) -> Result<Option<String>, Refusal> {
    let Some(id) = call.fields().text("id")?.filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    if !sudo {
        return Err(Refusal::bad("root or sudo privileges required to specify token id"));
    }
    if kind == Kind::Batch {
        return Err(Refusal::bad("batch tokens cannot have a custom ID"));
    }
    if id.starts_with("s.") {
        return Err(Refusal::bad("custom token ID cannot have the 's.' prefix"));
    }
    if id.contains('.') {
        return Err(Refusal::bad("custom token ID cannot have a '.' in the value"));
    }
    if core.tokens.get(&id).is_some() {
        return Err(Refusal::bad("cannot create a token with a duplicate ID"));
    }
    Ok(Some(id))
}

/// The parent's unless others are asked for; more than the parent has only with `sudo`.
fn policies(call: &Call, parent: &Token, sudo: bool) -> Result<Vec<String>, Refusal> {
    let asked = call.fields().array("policies")?.unwrap_or_default();
    let mut policies: Vec<String> = asked.iter().map(|name| name.trim().to_lowercase()).collect();
    let root = |policies: &[String]| policies.iter().any(|name| name == "root");
    let no_default = call.fields().flag("no_default_policy")?.unwrap_or_default();
    if policies.is_empty() {
        policies.clone_from(&parent.policies);
    } else if !no_default && !root(&policies) {
        policies.push("default".to_owned());
    }
    policies.sort();
    policies.dedup();
    let known = |name: &String| name == "default" || parent.policies.contains(name);
    if !sudo && !policies.iter().all(known) {
        return Err(Refusal::bad("child policies must be subset of parent"));
    }
    if root(&policies) && !root(&parent.policies) {
        return Err(Refusal::bad("root tokens may not be created without parent token being root"));
    }
    Ok(policies)
}

fn missing_policies(core: &Core, policies: &[String]) -> Vec<String> {
    let missing = policies.iter().filter(|name| !core.policies.exists(name));
    missing.map(|name| format!("Policy \"{name}\" does not exist")).collect()
}

/// The life asked for and the absolute limit, both within the system's limit.
fn lives(
    call: &Call,
    root: bool,
    period: Duration,
    warnings: &mut Vec<String>,
) -> Result<(Duration, Duration), Refusal> {
    let explicit = life(call, "explicit_max_ttl")?;
    let asked = match life(call, "ttl")? {
        Duration::ZERO => life(call, "lease")?,
        ttl => ttl,
    };
    if root && asked.is_zero() && period.is_zero() {
        return Ok((Duration::ZERO, explicit));
    }
    let wish = if !period.is_zero() {
        period
    } else if asked.is_zero() {
        MAX_LIFE
    } else {
        asked
    };
    let limit = if explicit.is_zero() { MAX_LIFE } else { explicit.min(MAX_LIFE) };
    Ok((cap(wish, limit, warnings), explicit))
}

/// A life in the body. Under `auth/token/create`, texts are converted later than elsewhere, so that the error has no
/// field name.
fn life(call: &Call, name: &str) -> Result<Duration, Refusal> {
    let text = match call.fields().get(name) {
        None => return Ok(Duration::ZERO),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let seconds = if text.is_empty() { 0 } else { parse_seconds(&text).map_err(Refusal::bad)? };
    Duration::try_from_secs_f64(seconds as f64).map_err(|_| Refusal::bad(format!("{name} must be positive")))
}

/// `meta` as an object of texts.
fn meta(call: &Call) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    let Some(members) = call.fields().object("meta")? else {
        return Ok(None);
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(Some(members.iter().map(|(key, value)| (key.clone(), text(value))).collect()))
}

fn renew_self(core: &mut Core, call: &Call) -> Outcome {
    let id = call.caller()?.id.clone();
    renewed(core, call, &id).map(|token| Reply::auth(token.auth(), Vec::new()))
}

fn renew(core: &mut Core, call: &Call) -> Outcome {
    let asked = call.fields().text("token")?.filter(|id| !id.is_empty());
    let id = asked.ok_or_else(|| Refusal::bad("missing token ID"))?;
    renewed(core, call, &id).map(|token| Reply::auth(token.auth(), Vec::new()))
}

fn renew_accessor(core: &mut Core, call: &Call) -> Outcome {
    let accessor = accessor(call)?;
    let token = core.tokens.by_accessor(&accessor).ok_or_else(|| Refusal::listed(400, "invalid accessor"))?;
    let id = token.id.clone();
    let mut auth = renewed(core, call, &id)?.auth();
    auth["client_token"] = json!("");
    Ok(Reply::auth(auth, Vec::new()))
}

fn renewed(core: &mut Core, call: &Call, id: &str) -> Result<Token, Refusal> {
    let increment = call
        .fields()
        .duration("increment")
        .map_err(|refusal| Refusal::bad(format!("Field validation failed: {}", refusal.errors.join("; "))))?;
    let token = core.tokens.get(id).ok_or_else(|| Refusal::bad("token not found"))?;
    if token.kind == Kind::Batch {
        return Err(Refusal::bad("batch tokens cannot be renewed"));
    }
    if !token.renewable {
        return Err(Refusal::bad("lease is not renewable"));
    }
    let renewed = core.tokens.renew(id, increment.unwrap_or_default(), &core.clock);
    renewed.ok_or_else(|| Refusal::bad("token not found"))
}

fn revoke_self(core: &mut Core, call: &Call) -> Outcome {
    let id = call.caller()?.id.clone();
    end(core, &id)
}

fn revoke(core: &mut Core, call: &Call) -> Outcome {
    let asked = call.fields().text("token")?.filter(|id| !id.is_empty());
    end(core, &asked.ok_or_else(|| Refusal::bad("missing token ID"))?)
}

/// Ending what is not there is a success.
fn end(core: &mut Core, id: &str) -> Outcome {
    if core.tokens.get(id).is_some_and(|token| token.kind == Kind::Batch) {
        return Err(Refusal::bad("batch tokens cannot be revoked"));
    }
    core.tokens.revoke(id);
    Ok(Reply::Nothing)
}

fn revoke_accessor(core: &mut Core, call: &Call) -> Outcome {
    let accessor = accessor(call)?;
    let Some(id) = core.tokens.by_accessor(&accessor).map(|token| token.id.clone()) else {
        return Ok(Reply::warning(200, "No token found with this accessor"));
    };
    end(core, &id)
}

fn revoke_orphan(core: &mut Core, call: &Call) -> Outcome {
    let id = call.fields().text("token")?.unwrap_or_default();
    let token = core.tokens.get(&id).ok_or_else(|| Refusal::bad("token to revoke not found"))?;
    if token.kind == Kind::Batch {
        return Err(Refusal::bad("batch tokens cannot be revoked"));
    }
    core.tokens.revoke_alone(&id);
    Ok(Reply::Nothing)
}
