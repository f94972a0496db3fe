//! KV version 2: the handlers of metadata and of the mount's settings.

use super::secret::Secret;
use super::{folder, secrets};
use crate::vault::call::{Call, Operation};
use crate::vault::core::Core;
use crate::vault::reply::{Outcome, Refusal, Reply};
use serde_json::Value;

pub(super) fn read_config(core: &mut Core, call: &Call) -> Outcome {
    Ok(Reply::data(secrets(core, call)?.settings.describe()))
}

pub(super) fn write_config(core: &mut Core, call: &Call) -> Outcome {
    secrets(core, call)?.settings.take(call.fields())?;
    Ok(Reply::Nothing)
}

pub(super) fn read(core: &mut Core, call: &Call) -> Outcome {
    let secret = secrets(core, call)?.by_path.get(call.captured("path")).ok_or_else(Refusal::not_found)?;
    Ok(Reply::data(secret.metadata()))
}

pub(super) fn list(core: &mut Core, call: &Call) -> Outcome {
    Reply::keys(folder::children(secrets(core, call)?.by_path.keys(), call.captured("path")))
}

/// Also the patch: only members of `custom_metadata` are treated apart, everything else is taken when it is there.
pub(super) fn write(core: &mut Core, call: &Call) -> Outcome {
    let now = core.clock.wall();
    let path = call.captured("path");
    if path.is_empty() || path.ends_with('/') {
        return Err(Refusal::bad("cannot write to a path ending in '/'"));
    }
    let custom = call.fields().object("custom_metadata")?;
    let patch = call.operation == Operation::Patch;
    let secrets = secrets(core, call)?;
    if patch && !secrets.by_path.contains_key(path) {
        return Err(Refusal::not_found());
    }
    let mut settings = secrets.by_path.get(path).map(|secret| secret.settings).unwrap_or_default();
    settings.take(call.fields())?;
    let secret = secrets.by_path.entry(path.to_owned()).or_insert_with(|| Secret::new(now));
    secret.settings = settings;
    if let Some(members) = custom {
        let mut kept = if patch { secret.custom.take().unwrap_or_default() } else { Default::default() };
        for (key, value) in members {
            match value {
                Value::Null => drop(kept.remove(key)),
                Value::String(text) => drop(kept.insert(key.clone(), text.clone())),
                other => drop(kept.insert(key.clone(), other.to_string())),
            }
        }
        secret.custom = Some(kept);
    }
    secret.note_metadata_write(now);
    Ok(Reply::Nothing)
}

pub(super) fn delete(core: &mut Core, call: &Call) -> Outcome {
    secrets(core, call)?.by_path.remove(call.captured("path"));
    Ok(Reply::Nothing)
}
