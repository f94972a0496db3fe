//! Merge keys, `<<: *defaults`, and keys that stand twice.
//!
//! Owns: which entry wins. A key of the mapping itself wins over a merged one wherever it stands; of several merged
//! mappings the first wins. Must not know: the parser.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::document::node::{Entry, Node};
use crate::violation::{Report, Violation};

/// The key that merges.
pub(super) const KEY: &str = "<<";

/// Notes every key that stands twice, with both lines, and keeps the first.
pub(super) fn without_duplicates(entries: Vec<Entry>, report: &mut Report) -> Vec<Entry> {
    let mut first_line = HashMap::with_capacity(entries.len());
    let repeated: HashSet<usize> = (0..entries.len())
        .filter(|index| {
            let key = &entries[*index].key;
            match first_line.entry(&*key.text) {
                Slot::Vacant(slot) => {
                    slot.insert(key.position.line);
                    false
                }
                Slot::Occupied(slot) => {
                    report.push(duplicate(&entries[*index], *slot.get()));
                    true
                }
            }
        })
        .collect();
    if repeated.is_empty() {
        return entries;
    }
    entries
        .into_iter()
        .enumerate()
        .filter(|(index, _)| !repeated.contains(index))
        .map(|(_, entry)| entry)
        .collect()
}

fn duplicate(entry: &Entry, first: u32) -> Violation {
    let (key, line) = (entry.key.shown(), entry.key.position.line);
    let message = format!("the key `{key}` stands twice in one mapping: lines {first} and {line}");
    Violation::error("", Some(entry.key.position), message).with_hint("remove or rename one of them")
}

/// The entries with those of the merged mappings behind them, and how many values that added. The aliases have been
/// counted with all they hold, so that the work here is bounded by what is counted already.
pub(super) fn merge(mut entries: Vec<Entry>, merges: &[Entry], report: &mut Report) -> (Vec<Entry>, u64) {
    let Some((first, more)) = merges.split_first() else { return (entries, 0) };
    for entry in more {
        report.push(duplicate(entry, first.key.position.line));
    }
    let sources: &[Node] = first.value.as_list().unwrap_or(std::slice::from_ref(&first.value));
    let mut seen: HashSet<Arc<str>> = entries.iter().map(|entry| entry.key.text.clone()).collect();
    let mut added = 0_u64;
    for source in sources {
        let Some(merged) = source.as_map() else {
            let message = "map merge requires map or sequence of maps as the value";
            report.push(Violation::error("", Some(source.position()), message));
            continue;
        };
        for entry in merged {
            if seen.insert(entry.key.text.clone()) {
                added = added.saturating_add(entry.value.size());
                entries.push(entry.clone());
            }
        }
    }
    (entries, added)
}
