//! Older names of fields, moved to where they belong now: `redis_host` → `redis.host`.
//!
//! Owns: the move. Must not know: which names those are; the field lists say so.

use super::merge::{edited, merge};
use crate::document::{Entry, Node, Value};
use crate::field::{Field, Type};
use crate::violation::Position;

/// An older and a newer name in one mapping.
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
        if way.iter().try_fold(&moved, |node, step| node.get(step)).is_some() && !entry.value.is_null() {
            let message = format!("both {name} and {} are given; they mean the same", way.join("."));
            return Err(Twice { position: entry.key.position, message });
        }
        moved = merge(&moved, &nested(entry, way));
    }
    Ok(Some(moved))
}

/// An older name, the way to the field that it means, and that field.
pub(crate) type Older = (&'static str, Vec<&'static str>, &'static Field);

/// Every older name.
pub(crate) fn older_names(fields: &'static [Field]) -> Vec<Older> {
    let mut names = Vec::new();
    collect(fields, &mut Vec::new(), &mut names);
    names
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
