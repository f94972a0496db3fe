//! Older names of fields, moved to where they belong now: `redis_host` → `redis.host`.
//!
//! Owns: the move, and the way back: Kong answers with both names, and so files from it have both. Must not know: which
//! names those are; the field lists say so.

use serde_json::{Map, Value as Json};

use super::merge::{edited, merge};
use crate::document::{Entry, Node, Value};
use crate::field::{Field, Type};
use crate::violation::Position;

/// An older and a newer name in one mapping, with values that differ.
pub(super) struct Twice {
    pub(super) position: Position,
    pub(super) message: String,
}

/// The same mapping with newer names only; `None` where it has no older ones.
pub(super) fn moved(node: &Node, fields: &'static [Field]) -> Result<Option<Node>, Twice> {
    let names = older_names(fields);
    let entries = node.as_map().unwrap_or_default();
    let older = |entry: &&Entry| names.iter().any(|(name, ..)| *name == &*entry.key.text);
    let found: Vec<&Entry> = entries.iter().take(super::MAX_FIELDS).filter(older).collect();
    if found.is_empty() {
        return Ok(None);
    }
    let without: Vec<&str> = found.iter().map(|entry| &*entry.key.text).collect();
    let mut moved = edited(node, &without, Vec::new());
    for entry in found {
        let Some((name, way, _)) = names.iter().find(|(name, ..)| *name == &*entry.key.text) else {
            continue;
        };
        if entry.value.is_null() {
            continue;
        }
        if let Some(newer) = way.iter().try_fold(&moved, |node, step| node.get(step)) {
            if is_equal(newer, &entry.value) {
                continue;
            }
            let newer = way.join(".");
            let message = format!("both {name} and {newer} are given, and their values differ");
            return Err(Twice { position: entry.key.position, message });
        }
        moved = merge(&moved, &nested(entry, way));
    }
    Ok(Some(moved))
}

/// Whether two values mean the same: 5 and 5.0 do.
fn is_equal(one: &Node, other: &Node) -> bool {
    let (one, other) = (one.to_json(), other.to_json());
    one == other || one.as_f64().is_some_and(|one| Some(one) == other.as_f64())
}

/// An older name, the way to the field that it means, and that field.
pub(crate) type Older = (&'static str, Vec<&'static str>, &'static Field);

/// Every older name.
pub(crate) fn older_names(fields: &'static [Field]) -> Vec<Older> {
    let mut names = Vec::new();
    collect(fields, &mut Vec::new(), &mut names);
    names
}

/// Puts beside the newer names of a whole `config` every older one, with the same value.
pub(crate) fn with_older_names(config: &mut Map<String, Json>, fields: &'static [Field]) {
    for (name, way, _) in older_names(fields) {
        let value = way.split_first().and_then(|(first, rest)| {
            rest.iter().try_fold(config.get(*first)?, |value, step| value.get(step))
        });
        let value = value.cloned().unwrap_or_default();
        config.insert(name.to_owned(), value);
    }
}

fn collect(fields: &'static [Field], way: &mut Vec<&'static str>, names: &mut Vec<Older>) {
    for field in fields {
        way.push(field.name);
        names.extend(field.shorthands.iter().map(|name| (*name, way.clone(), field)));
        if let Type::Record(fields) = field.ty {
            collect(fields, way, names);
        }
        way.pop();
    }
}

/// `{a: {b: value}}` for the way `a`, `b`.
fn nested(entry: &Entry, way: &[&'static str]) -> Node {
    way.iter().rev().fold(entry.value.clone(), |value, step| {
        let key = entry.key.renamed(step);
        Node::new(entry.key.position, Value::Map(vec![Entry { key, value }]))
    })
}
