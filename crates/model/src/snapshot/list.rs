//! Entities of one kind, shared between the snapshots in which they are the same.
//!
//! Owns: what one list has that another has not. Must not know: kinds. A change of one entity in a million must not cost
//! a million: what did not change is the same allocation, and telling so is comparing two addresses.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

use super::Entry;

/// Entities of one kind. Cloning shares them.
#[derive(Debug)]
pub struct List<T> {
    entries: Arc<Vec<Arc<Entry<T>>>>,
    /// How many have references.
    pending: usize,
    /// Whether identifiers rise.
    sorted: bool,
}

/// An entity that is not what it was: before and now, either of which may be missing.
pub type Changed<'a, T> = (Option<&'a Arc<Entry<T>>>, Option<&'a Arc<Entry<T>>>);

impl<T> List<T> {
    /// Adds an entity.
    pub fn push(&mut self, entry: Arc<Entry<T>>) {
        self.pending += usize::from(entry.value.is_none());
        self.sorted &= self.entries.last().is_none_or(|last| last.id < entry.id);
        Arc::make_mut(&mut self.entries).push(entry);
    }

    /// Whether some of them have references, so that they are not the same at all times.
    pub fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Whether both are the same list, without a look at what is in it.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entries, &other.entries)
    }

    /// What is different from an earlier list; `None` where that cannot be told from their order.
    pub fn since<'a>(&'a self, before: &'a Self) -> Option<Vec<Changed<'a, T>>> {
        if self.is(before) {
            return Some(Vec::new());
        }
        if !self.sorted || !before.sorted {
            return None;
        }
        let (mut old, mut new) = (before.entries.as_slice(), self.entries.as_slice());
        let mut changes = Vec::new();
        loop {
            match (old, new) {
                ([first, others @ ..], [same, more @ ..]) if Arc::ptr_eq(first, same) => {
                    (old, new) = (others, more);
                }
                ([first, others @ ..], [next, ..]) if first.id < next.id => {
                    changes.push((Some(first), None));
                    old = others;
                }
                ([first, others @ ..], [next, more @ ..]) if first.id == next.id => {
                    changes.push((Some(first), Some(next)));
                    (old, new) = (others, more);
                }
                (_, [next, more @ ..]) => {
                    changes.push((None, Some(next)));
                    new = more;
                }
                ([first, others @ ..], []) => {
                    changes.push((Some(first), None));
                    old = others;
                }
                ([], []) => return Some(changes),
            }
        }
    }

    /// The list with these in place of those with their identifiers; `None` takes one out. It has to be in order.
    pub(crate) fn with(&self, changes: BTreeMap<Uuid, Option<Arc<Entry<T>>>>) -> Self {
        debug_assert!(self.sorted, "what is merged has an order");
        let mut entries = Vec::with_capacity(self.len() + changes.len());
        let (mut rest, mut pending) = (self.entries.as_slice(), self.pending);
        for (id, change) in changes {
            let (before, after) = rest.split_at(rest.partition_point(|entry| entry.id < id));
            entries.extend_from_slice(before);
            rest = match after {
                [same, others @ ..] if same.id == id => {
                    pending -= usize::from(same.value.is_none());
                    others
                }
                all => all,
            };
            if let Some(entry) = change {
                pending += usize::from(entry.value.is_none());
                entries.push(entry);
            }
        }
        entries.extend_from_slice(rest);
        Self { entries: Arc::new(entries), pending, sorted: true }
    }

    /// The last one.
    pub(crate) fn last_id(&self) -> Option<Uuid> {
        self.entries.last().map(|entry| entry.id)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { entries: Arc::default(), pending: 0, sorted: true }
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self { entries: Arc::clone(&self.entries), pending: self.pending, sorted: self.sorted }
    }
}

impl<T> Deref for List<T> {
    type Target = [Arc<Entry<T>>];

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a Arc<Entry<T>>;
    type IntoIter = std::slice::Iter<'a, Arc<Entry<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
