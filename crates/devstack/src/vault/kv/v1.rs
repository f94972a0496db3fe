//! KV version 1: one value a path, replaced as a whole.

use super::{Store, folder};
use crate::vault::call::Call;
use crate::vault::call::Operation::{Delete, List, Read, Update};
use crate::vault::core::Core;
use crate::vault::field::{Fields, parse_seconds};
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::vault::router::Guard::Policy;
use crate::vault::router::{Handler::Now, Route};
use crate::vault::token::MAX_LIFE;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(in crate::vault) const ROUTES: &[Route] = &[Route {
    pattern: "{path...}",
    operations: &[(Read, Now(read)), (List, Now(list)), (Update, Now(write)), (Delete, Now(delete))],
    guard: Policy,
    exists: Some(exists),
    help: "Read, write, list or delete a secret.",
}];

/// Path to members.
#[derive(Default)]
pub(in crate::vault) struct Secrets(BTreeMap<String, Map<String, Value>>);

fn secrets<'a>(core: &'a mut Core, call: &Call) -> Result<&'a mut Secrets, Refusal> {
    match core.mounts.kv(&call.mount) {
        Some(Store::V1(secrets)) => Ok(secrets),
        _ => Err(Refusal::unsupported_path()),
    }
}

fn exists(core: &Core, call: &Call) -> bool {
    let path = call.captured("path");
    matches!(core.mounts.kv_ref(&call.mount), Some(Store::V1(secrets)) if secrets.0.contains_key(path))
}

fn read(core: &mut Core, call: &Call) -> Outcome {
    let data = secrets(core, call)?.0.get(call.captured("path")).ok_or_else(Refusal::not_found)?.clone();
    // A secret may say how long it is good. Clients may read it again then; nothing happens to it.
    let own = |name: &str| Fields(&data).text(name).ok().flatten().and_then(|text| parse_seconds(&text).ok());
    let lease = own("ttl").or_else(|| own("lease")).and_then(|seconds| u64::try_from(seconds).ok());
    let lease = lease.filter(|seconds| *seconds > 0).unwrap_or(MAX_LIFE.as_secs());
    Ok(Reply::data(data.into()).leased(lease))
}

fn list(core: &mut Core, call: &Call) -> Outcome {
    Reply::keys(folder::children(secrets(core, call)?.0.keys(), call.captured("path")))
}

fn write(core: &mut Core, call: &Call) -> Outcome {
    let path = call.captured("path");
    if path.is_empty() {
        return Err(Refusal::bad("missing path"));
    }
    if call.body.is_empty() {
        return Err(Refusal::bad("missing data fields"));
    }
    secrets(core, call)?.0.insert(path.to_owned(), call.body.clone());
    Ok(Reply::Nothing)
}

fn delete(core: &mut Core, call: &Call) -> Outcome {
    secrets(core, call)?.0.remove(call.captured("path"));
    Ok(Reply::Nothing)
}
