//! What no two entities may have in common.
//!
//! Owns: the comparison, and Kong's words. Must not know: why a field is unique. It keeps fingerprints, not values:
//! some are credentials.

use std::collections::HashMap;
use std::collections::hash_map::{Entry as Slot, RandomState};
use std::hash::BuildHasher as _;

use uuid::Uuid;

use super::nesting::Found;
use super::resolve::shown;
use crate::document::Node;
use crate::entity::Definition;
use crate::kind::compared;
use crate::value::Record;
use crate::violation::{Position, Report, Violation};

/// All that was seen so far.
#[derive(Debug, Default)]
pub(super) struct Unique {
    seen: HashMap<(&'static str, &'static str, u128), Position>,
    /// Two, so that different values have the same fingerprint only in theory.
    hashers: [RandomState; 2],
}

impl Unique {
    /// Notes an entity, and whatever it shares with an earlier one.
    pub(super) fn add(
        &mut self,
        definition: &'static Definition,
        record: &Record,
        found: &Found,
        id: Uuid,
        is_given: bool,
        report: &mut Report,
    ) {
        let collection = definition.collection;
        let mut is_repeated = false;
        for field in definition.schema.fields.iter().filter(|field| field.unique) {
            let Some(value) = record.get(field.name).and_then(shown) else { continue };
            let written = found.node.get(field.name);
            if let Some(first) =
                self.first((collection, field.name), &compared(collection, &value), &found.node)
            {
                is_repeated = true;
                let shown = if field.secret { "***" } else { written.map_or("(none)", Node::shown) };
                let message = format!(
                    "uniqueness violation: '{collection}' entity with {} set to '{shown}' already declared",
                    field.name
                );
                note(found, field.name, message, first, report);
            }
        }
        if definition.cache_key.len() > 1 {
            let values: Vec<_> =
                definition.cache_key.iter().map(|field| record.get(field).and_then(shown)).collect();
            if let Some(first) = self.first((collection, "cache_key"), &format!("{values:?}"), &found.node) {
                is_repeated = true;
                let fields = definition.cache_key.iter().filter(|field| record.get(field).is_some());
                let message = format!(
                    "uniqueness violation: '{collection}' entity with the same {} already declared",
                    fields.copied().collect::<Vec<_>>().join(", ")
                );
                note(found, "", message, first, report);
            }
        }
        // An identifier that follows from what is repeated needs no second message.
        let first = self.first((collection, "id"), &id.to_string(), &found.node);
        if let Some(first) = first.filter(|_| !is_repeated || is_given) {
            let shown = found.node.get("id").map_or("(none)", Node::shown);
            let message = format!(
                "uniqueness violation: '{collection}' entity with id set to '{shown}' already declared"
            );
            note(found, "id", message, first, report);
        }
    }

    /// Where the same value was seen first, if it was.
    fn first(
        &mut self,
        (collection, field): (&'static str, &'static str),
        value: &str,
        node: &Node,
    ) -> Option<Position> {
        let [one, two] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(value)));
        match self.seen.entry((collection, field, one << 64 | two)) {
            Slot::Occupied(first) => Some(*first.get()),
            Slot::Vacant(slot) => {
                slot.insert(node.position());
                None
            }
        }
    }
}

fn note(found: &Found, field: &str, message: String, first: Position, report: &mut Report) {
    let position = found.node.get(field).unwrap_or(&found.node).position();
    let path = if field.is_empty() { found.path.clone() } else { format!("{}.{field}", found.path) };
    let violation = Violation::error(path, Some(position), message);
    report.push(violation.with_hint(format!("the first one is at line {}", first.line)));
}
