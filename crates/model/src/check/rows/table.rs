//! The well-formed entities of one kind, in the order of their identifiers.
//!
//! Owns: that the list of one snapshot shares with the next what did not change, also where some are left out. Must not
//! know: kinds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::snapshot::{Entry, List};

/// One kind.
#[derive(Debug)]
pub(super) struct Table<T> {
    list: List<T>,
    /// What came since the list was made.
    changes: BTreeMap<Uuid, Option<Arc<Entry<T>>>>,
    /// The list without those that are left out, while there are any.
    without: Option<Without<T>>,
}

#[derive(Debug)]
struct Without<T> {
    of: List<T>,
    out: BTreeSet<Uuid>,
    list: List<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { list: List::default(), changes: BTreeMap::new(), without: None }
    }
}

impl<T> Table<T> {
    /// Adds one, in place of the one with its identifier; says whether it came behind all others.
    pub(super) fn put(&mut self, id: Uuid, entry: Arc<Entry<T>>) -> bool {
        // A store gives all of a kind in order; then there is nothing to be sorted.
        let is_last = self.changes.is_empty() && self.list.last_id().is_none_or(|last| last < id);
        if is_last {
            self.list.push(entry);
        } else {
            self.changes.insert(id, Some(entry));
        }
        is_last
    }

    /// Takes one out; says whether it may have been there.
    pub(super) fn remove(&mut self, id: Uuid) -> bool {
        if self.list.last_id().is_some_and(|last| id <= last) {
            self.changes.insert(id, None);
            true
        } else {
            self.changes.remove(&id).is_some()
        }
    }

    /// One of them.
    pub(super) fn find(&self, id: Uuid) -> Option<&Arc<Entry<T>>> {
        match self.changes.get(&id) {
            Some(change) => change.as_ref(),
            None => self.list.binary_search_by_key(&id, |entry| entry.id).ok().map(|at| &self.list[at]),
        }
    }

    /// Brings what came into the list.
    pub(super) fn settle(&mut self) {
        if !self.changes.is_empty() {
            self.list = self.list.with(std::mem::take(&mut self.changes));
        }
    }

    /// All of them that were settled, but for those that are left out.
    pub(super) fn list(&mut self, out: Option<&BTreeSet<Uuid>>) -> List<T> {
        let Some(out) = out.filter(|out| !out.is_empty()) else {
            self.without = None;
            return self.list.clone();
        };
        if let Some(known) =
            self.without.as_ref().filter(|known| known.of.is(&self.list) && known.out == *out)
        {
            return known.list.clone();
        }
        let list = self.list.with(out.iter().map(|id| (*id, None)).collect());
        let of = self.list.clone();
        self.without = Some(Without { of, out: out.clone(), list: list.clone() });
        list
    }

    /// The identifiers of those that were settled, in order.
    pub(super) fn ids(&self) -> Vec<Uuid> {
        self.list.iter().map(|entry| entry.id).collect()
    }

    pub(super) fn len(&self) -> usize {
        // What is changed may or may not be new, which nobody needs to know so exactly before the list is made.
        self.list.len() + self.changes.values().filter(|change| change.is_some()).count()
    }
}
