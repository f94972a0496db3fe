//! Entities of the configuration in effect that take no part in it, for those who show them.
//!
//! Owns: how they are shown, by `/status`, `/metrics` and the Admin API alike, and that this stays bounded. Must not know:
//! what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use postern_config::apply::Current;
use postern_model::{Broken, Kind};
use serde_json::{Value as Json, json};

/// So many are shown; all are counted.
const SHOWN: usize = 100;

/// Those of a configuration.
pub(crate) fn of(current: &Current) -> &[Arc<Broken>] {
    &current.broken
}

/// The first of them: `{entity, id, path, reasons}`.
pub(crate) fn shown(broken: &[Arc<Broken>]) -> Vec<Json> {
    let one = |broken: &Arc<Broken>| {
        let reasons: Vec<_> = broken.reasons.iter().map(ToString::to_string).collect();
        json!({ "entity": broken.kind, "id": broken.id, "path": broken.path, "reasons": reasons })
    };
    broken.iter().take(SHOWN).map(one).collect()
}

/// How many there are of each kind. Those that this version does not know are one.
pub(crate) fn by_kind(broken: &[Arc<Broken>]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for broken in broken {
        *counts.entry(Kind::named(&broken.kind).map_or("unknown", Kind::collection)).or_default() += 1;
    }
    counts
}
