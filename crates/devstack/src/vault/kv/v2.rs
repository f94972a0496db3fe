//! KV version 2: versions, soft deletion, metadata.
//!
//! Owns the routes and the handlers of data and versions; `v2/secret.rs` has the rules of one secret, and
//! `v2/metadata.rs` the handlers of metadata and configuration.

mod metadata;
mod secret;

use super::{Store, folder};
use crate::vault::call::Call;
use crate::vault::call::Operation::{Delete, List, Patch, Read, Update};
use crate::vault::core::Core;
use crate::vault::field::Fields;
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::vault::router::Guard::Policy;
use crate::vault::router::{Handler, Handler::Now, Route};
use secret::{Secret, Settings, Version};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(in crate::vault) const ROUTES: &[Route] = &[
    Route {
        pattern: "config",
        operations: &[(Read, Now(metadata::read_config)), (Update, Now(metadata::write_config))],
        guard: Policy,
        exists: None,
        help: "Settings for all secrets of this mount: max_versions, cas_required, delete_version_after.",
    },
    Route {
        pattern: "data/{path...}",
        operations: &[
            (Read, Now(read)),
            (Update, Now(write)),
            (Patch, Now(patch)),
            (Delete, Now(delete_latest)),
        ],
        guard: Policy,
        exists: Some(exists),
        help: "Read a version of a secret, write a new one, patch or delete the latest one.",
    },
    Route {
        pattern: "delete/{path...}",
        operations: &[(Update, Now(delete))],
        guard: Policy,
        exists: None,
        help: "Delete versions; `undelete` brings them back.",
    },
    Route {
        pattern: "undelete/{path...}",
        operations: &[(Update, Now(undelete))],
        guard: Policy,
        exists: None,
        help: "Bring deleted versions back.",
    },
    Route {
        pattern: "destroy/{path...}",
        operations: &[(Update, Now(destroy))],
        guard: Policy,
        exists: None,
        help: "Destroy versions for good.",
    },
    Route {
        pattern: "metadata/{path...}",
        operations: &[
            (Read, Now(metadata::read)),
            (List, Now(metadata::list)),
            (Update, Now(metadata::write)),
            (Patch, Now(metadata::write)),
            (Delete, Now(metadata::delete)),
        ],
        guard: Policy,
        exists: Some(exists),
        help: "List secrets; read and write what is known about one besides its value; delete it with all versions.",
    },
    Route {
        pattern: "{path...}",
        operations: &[
            (Read, NOT_VERSIONED),
            (List, NOT_VERSIONED),
            (Update, NOT_VERSIONED),
            (Patch, NOT_VERSIONED),
            (Delete, NOT_VERSIONED),
        ],
        guard: Policy,
        exists: None,
        help: "Nothing lives here: secrets are below data/ and metadata/.",
    },
];

/// The secrets of a mount, and its settings.
#[derive(Default)]
pub(in crate::vault) struct Secrets {
    settings: Settings,
    by_path: BTreeMap<String, Secret>,
}

fn secrets<'a>(core: &'a mut Core, call: &Call) -> Result<&'a mut Secrets, Refusal> {
    match core.mounts.kv(&call.mount) {
        Some(Store::V2(secrets)) => Ok(secrets),
        _ => Err(Refusal::unsupported_path()),
    }
}

fn exists(core: &Core, call: &Call) -> bool {
    let path = call.captured("path");
    matches!(core.mounts.kv_ref(&call.mount), Some(Store::V2(secrets)) if secrets.by_path.contains_key(path))
}

fn read(core: &mut Core, call: &Call) -> Outcome {
    let now = core.clock.wall();
    let asked = call.query("version").unwrap_or("0").parse::<i64>().map_err(|_| {
        let text = "Field validation failed: error converting input for field \"version\": '' cannot parse value as \
                    'int': strconv.ParseInt: invalid syntax";
        Refusal::bad(text)
    })?;
    let secret = secrets(core, call)?.by_path.get(call.captured("path")).ok_or_else(Refusal::not_found)?;
    let number = u64::try_from(asked).ok().filter(|number| *number > 0).unwrap_or(secret.current);
    let version = secret.versions.get(&number).ok_or_else(Refusal::not_found)?;
    let metadata = secret.describe(number, version);
    if version.is_gone(now) {
        return Ok(Reply::gone(json!({"data": null, "metadata": metadata})));
    }
    Ok(Reply::data(json!({"data": version.data, "metadata": metadata})))
}

fn write(core: &mut Core, call: &Call) -> Outcome {
    let path = call.captured("path");
    if path.ends_with('/') || path.is_empty() {
        return Err(Refusal::bad("cannot write to a path ending in '/'"));
    }
    if !call.body.contains_key("data") {
        return Err(Refusal::bad("no data provided"));
    }
    let data = call.fields().object("data")?.cloned();
    store(core, call, data)
}

/// A JSON merge patch: members that are `null` go, others are set.
fn patch(core: &mut Core, call: &Call) -> Outcome {
    let now = core.clock.wall();
    let Some(changes) = call.fields().object("data")? else {
        return Err(Refusal::bad("no data provided"));
    };
    let secret = secrets(core, call)?.by_path.get(call.captured("path")).ok_or_else(Refusal::not_found)?;
    let current = secret.versions.get(&secret.current).ok_or_else(Refusal::not_found)?;
    if current.is_gone(now) {
        return Ok(Reply::gone(secret.describe(secret.current, current)));
    }
    let mut data = Value::from(current.data.clone().unwrap_or_default());
    merge(&mut data, changes);
    let Value::Object(data) = data else { return Err(Refusal::not_found()) };
    store(core, call, Some(data))
}

fn merge(target: &mut Value, changes: &Map<String, Value>) {
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(members) = target else { return };
    for (key, change) in changes {
        match change {
            Value::Null => drop(members.remove(key)),
            Value::Object(inner) => merge(members.entry(key.clone()).or_insert(Value::Null), inner),
            value => drop(members.insert(key.clone(), value.clone())),
        }
    }
}

/// Adds a version, if check-and-set allows it.
fn store(core: &mut Core, call: &Call, data: Option<Map<String, Value>>) -> Outcome {
    let now = core.clock.wall();
    let empty = Map::new();
    let options = call.fields().object("options")?.unwrap_or(&empty);
    let invalid = |_| Refusal::bad("error parsing check-and-set parameter");
    let cas = Fields(options).number("cas").map_err(invalid)?;
    let secrets = secrets(core, call)?;
    let settings = secrets.settings;
    let path = call.captured("path");
    let known = secrets.by_path.get(path);
    let current = known.map_or(0, |secret| secret.current);
    let required = settings.cas_required || known.is_some_and(|secret| secret.settings.cas_required);
    match cas {
        None if required => return Err(Refusal::bad("check-and-set parameter required for this call")),
        Some(cas) if u64::try_from(cas) != Ok(current) => {
            return Err(Refusal::bad("check-and-set parameter did not match the current version"));
        }
        _ => {}
    }
    let secret = secrets.by_path.entry(path.to_owned()).or_insert_with(|| Secret::new(now));
    secret.add(Version::new(data, now), &settings);
    Ok(Reply::data(secret.describe(secret.current, &secret.versions[&secret.current])))
}

fn delete_latest(core: &mut Core, call: &Call) -> Outcome {
    let now = core.clock.wall();
    if let Some(secret) = secrets(core, call)?.by_path.get_mut(call.captured("path")) {
        let current = secret.current;
        secret.change(&[current], |version| version.delete(now));
    }
    Ok(Reply::Nothing)
}

fn delete(core: &mut Core, call: &Call) -> Outcome {
    let now = core.clock.wall();
    change(core, call, "No version number provided", |version| version.delete(now))
}

fn undelete(core: &mut Core, call: &Call) -> Outcome {
    change(core, call, "No version number provided", Version::undelete)
}

fn destroy(core: &mut Core, call: &Call) -> Outcome {
    change(core, call, "no version number provided", Version::destroy)
}

/// Changes the versions that the body names. Those that do not exist are left out without a word, as in Vault.
fn change(core: &mut Core, call: &Call, missing: &str, change: impl Fn(&mut Version)) -> Outcome {
    let numbers = call.fields().numbers("versions")?.unwrap_or_default();
    if numbers.is_empty() {
        return Err(Refusal::bad(missing));
    }
    let numbers: Vec<u64> = numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect();
    if let Some(secret) = secrets(core, call)?.by_path.get_mut(call.captured("path")) {
        secret.change(&numbers, change);
    }
    Ok(Reply::Nothing)
}

const NOT_VERSIONED: Handler = Now(not_versioned);

fn not_versioned(_: &mut Core, call: &Call) -> Outcome {
    let folder = call.captured("path").trim_end_matches('/');
    if matches!(folder, "data" | "metadata" | "delete" | "undelete" | "destroy") {
        let text = "Non-listing operations on the root of a K/V v2 mount are not supported.";
        return Ok(Reply::warning(404, text));
    }
    let command = match call.operation {
        Read => "get",
        List => "list",
        Update => "put",
        Patch => "patch",
        Delete => "delete",
    };
    let text = format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. \
         If using the OpenBao CLI, use 'bao kv {command}' for this operation."
    );
    Ok(Reply::warning(404, &text))
}
