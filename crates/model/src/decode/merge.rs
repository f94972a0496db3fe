//! One mapping laid over another: `_info.defaults` under an entity, `_plugin_configs` under a `config`.
//!
//! Owns: the rule, which is decK's: mappings merge key by key, all else is replaced. Must not know: what is merged.
//! Positions stay those of the places where the values were written.

use std::collections::HashMap;

use crate::document::{Entry, Node, Value};

/// `over` on top of `base`.
pub(crate) fn merge(base: &Node, over: &Node) -> Node {
    let (Some(below), Some(above)) = (base.as_map(), over.as_map()) else { return over.clone() };
    let places: HashMap<&str, usize> =
        above.iter().enumerate().map(|(place, entry)| (&*entry.key.text, place)).collect();
    let mut entries = above.to_vec();
    for entry in below {
        match places.get(&*entry.key.text) {
            None => entries.push(entry.clone()),
            Some(place) => {
                let known = &mut entries[*place].value;
                if known.as_map().is_some() {
                    *known = merge(&entry.value, known);
                }
            }
        }
    }
    Node::new(over.position(), Value::Map(entries))
}

/// A mapping with some keys left out and others put in.
pub(crate) fn edited(node: &Node, without: &[&str], with: Vec<Entry>) -> Node {
    let kept = node.as_map().unwrap_or_default().iter().filter(|entry| !without.contains(&&*entry.key.text));
    let mut entries: Vec<_> = kept.cloned().collect();
    entries.extend(with);
    Node::new(node.position(), Value::Map(entries))
}
