//! The maps of a store in memory.
//!
//! Owns: that they agree with each other, and undoing what failed. Must not know: who waits for what.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;

use async_trait::async_trait;
use uuid::Uuid;

use super::super::rules::{self, CHANGES_KEPT, Facts, Place, Referrer, Transaction};
use super::super::{Change, Changes, Kept, Key, Reference, Revision, Row, StoreError, Written};

/// All that is kept, and where to find it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) revision: Revision,
    /// In order; the oldest may be gone.
    pub(super) changes: VecDeque<Change>,
    rows: BTreeMap<String, BTreeMap<Uuid, Kept>>,
    keys: HashMap<String, HashMap<Key, Uuid>>,
    /// Who refers to a row.
    referrers: HashMap<Place, BTreeSet<Place>>,
}

impl State {
    pub(super) fn row(&self, kind: &str, id: Uuid) -> Option<&Kept> {
        self.rows.get(kind)?.get(&id)
    }

    pub(super) fn holder(&self, kind: &str, key: &Key) -> Option<Uuid> {
        self.keys.get(kind)?.get(key).copied()
    }

    /// The rows of a kind that are behind this one.
    pub(super) fn behind(&self, kind: &str, after: Option<Uuid>) -> impl Iterator<Item = &Kept> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.rows
            .get(kind)
            .into_iter()
            .flat_map(move |rows| rows.range((from, Bound::Unbounded)))
            .map(|(_, kept)| kept)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Kept> {
        self.rows.values().flat_map(BTreeMap::values)
    }

    pub(super) fn since(&self, revision: Revision) -> Option<Changes> {
        let first = self.changes.front().map_or(1, |change| change.revision);
        if !(first - 1..=self.revision).contains(&revision) {
            return None;
        }
        let newer = self.changes.iter().filter(|change| change.revision > revision).cloned().collect();
        let changes = rules::last_of_each(newer);
        let rows = changes.iter().filter_map(|change| self.row(&change.kind, change.id)).cloned().collect();
        Some(Changes { revision: self.revision, changes, rows })
    }

    /// What this is with just these rows.
    pub(super) fn replaced(&self, rows: Vec<Row>, by: &str) -> Result<(Self, Written), StoreError> {
        let mut next = Self::default();
        let mut changes = rules::Changes::new(by.to_owned(), self.revision);
        for row in rows {
            let version = match self.row(&row.kind, row.id) {
                Some(kept) if kept.row == row => kept.version,
                _ => changes.add((row.kind.clone(), row.id), false),
            };
            next.unused_keys(&row)?;
            next.insert(Kept { row, version, unreadable: None });
        }
        let dangling = |reference: &&Reference| next.row(&reference.kind, reference.id).is_none();
        if let Some(reference) = next.all().flat_map(|kept| &kept.row.references).find(dangling) {
            let (kind, id) = (reference.kind.clone(), reference.id);
            return Err(StoreError::Dangling { kind, id, reference: reference.clone() });
        }
        let gone: Vec<_> =
            self.all().filter(|kept| next.row(&kept.row.kind, kept.row.id).is_none()).collect();
        for kept in &gone {
            changes.add((kept.row.kind.clone(), kept.row.id), true);
        }
        next.changes = self.changes.clone();
        next.note(&changes.made);
        next.revision = changes.revision;
        Ok((next, Written { revision: changes.revision, deleted: gone.len() as u64 }))
    }

    /// That another row has none of its keys. Two rows with one identifier share that.
    fn unused_keys(&self, row: &Row) -> Result<(), StoreError> {
        let not_unique =
            |key: &Key, holder| StoreError::NotUnique { kind: row.kind.clone(), key: key.clone(), holder };
        if self.row(&row.kind, row.id).is_some() {
            return Err(not_unique(&Key { field: "id".to_owned(), value: row.id.to_string() }, row.id));
        }
        match row.keys.iter().find_map(|key| Some((key, self.holder(&row.kind, key)?))) {
            Some((key, holder)) => Err(not_unique(key, holder)),
            None => Ok(()),
        }
    }

    /// What was there before.
    fn insert(&mut self, kept: Kept) -> Option<Kept> {
        let row = &kept.row;
        let place = (row.kind.clone(), row.id);
        let before = self.take(&place);
        let keys = self.keys.entry(row.kind.clone()).or_default();
        keys.extend(row.keys.iter().map(|key| (key.clone(), row.id)));
        for to in &row.references {
            self.referrers.entry((to.kind.clone(), to.id)).or_default().insert(place.clone());
        }
        self.rows.entry(place.0).or_default().insert(place.1, kept);
        before
    }

    fn take(&mut self, place: &Place) -> Option<Kept> {
        let rows = self.rows.get_mut(&place.0)?;
        let kept = rows.remove(&place.1)?;
        if rows.is_empty() {
            self.rows.remove(&place.0);
        }
        if let Some(keys) = self.keys.get_mut(&place.0) {
            kept.row.keys.iter().for_each(|key| _ = keys.remove(key));
        }
        for to in &kept.row.references {
            let to = (to.kind.clone(), to.id);
            if let Some(referrers) = self.referrers.get_mut(&to) {
                referrers.remove(place);
                if referrers.is_empty() {
                    self.referrers.remove(&to);
                }
            }
        }
        Some(kept)
    }

    fn note(&mut self, changes: &[Change]) {
        self.changes.extend(changes.iter().cloned());
        let surplus = self.changes.len().saturating_sub(CHANGES_KEPT as usize);
        self.changes.drain(..surplus);
    }
}

/// A write that may have to be undone.
pub(super) struct Attempt<'s> {
    state: &'s mut State,
    /// What was at these places, in the order in which it was changed.
    before: Vec<(Place, Option<Kept>)>,
}

impl<'s> Attempt<'s> {
    pub(super) fn new(state: &'s mut State) -> Self {
        Self { state, before: Vec::new() }
    }

    /// Makes it as it was. Changes are noted last of all, so there are none.
    pub(super) fn undo(&mut self) {
        while let Some((place, before)) = self.before.pop() {
            match before {
                Some(kept) => self.state.insert(kept),
                None => self.state.take(&place),
            };
        }
    }
}

#[async_trait]
impl Transaction for Attempt<'_> {
    async fn facts(&mut self, row: &Row) -> Result<Facts, StoreError> {
        let missing = |reference: &&Reference| self.state.row(&reference.kind, reference.id).is_none();
        Ok(Facts {
            old: self.state.row(&row.kind, row.id).map(|kept| (kept.version, None)),
            holders: row
                .keys
                .iter()
                .filter_map(|key| Some((key.clone(), self.state.holder(&row.kind, key)?)))
                .collect(),
            missing: row.references.iter().filter(missing).cloned().collect(),
        })
    }

    async fn put(&mut self, kept: &Kept, _: &Facts) -> Result<(), StoreError> {
        let before = self.state.insert(kept.clone());
        self.before.push(((kept.row.kind.clone(), kept.row.id), before));
        Ok(())
    }

    async fn contains(&mut self, place: &Place) -> Result<bool, StoreError> {
        Ok(self.state.row(&place.0, place.1).is_some())
    }

    async fn referrers(&mut self, places: &[Place]) -> Result<Vec<Referrer>, StoreError> {
        let mut referrers = Vec::new();
        for to in places {
            for place in self.state.referrers.get(to).into_iter().flatten() {
                let row = self.state.row(&place.0, place.1).into_iter();
                let ours = row.flat_map(|kept| &kept.row.references);
                let ours = ours.filter(|reference| (&reference.kind, reference.id) == (&to.0, to.1));
                referrers.extend(ours.map(|reference| Referrer {
                    place: place.clone(),
                    to: to.clone(),
                    on_delete: reference.on_delete,
                }));
            }
        }
        Ok(referrers)
    }

    async fn remove(&mut self, places: &[Place]) -> Result<(), StoreError> {
        for place in places {
            let before = self.state.take(place);
            self.before.push((place.clone(), before));
        }
        Ok(())
    }

    async fn note(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.state.note(changes);
        self.state.revision = changes.last().map_or(self.state.revision, |change| change.revision);
        Ok(())
    }
}
