//! What every store sees to when it writes: expectations, unique keys, references, and what goes with a deleted row.
//!
//! Owns: these rules, once for all stores. Must not know: where rows are; [`Transaction`] is what a store can do. Whoever
//! calls [`apply`] undoes everything when it fails.

use std::collections::HashSet;

use async_trait::async_trait;
use postern_secrets::clock::Clock;
use uuid::Uuid;

use super::{
    Change, Expect, Kept, Key, OnDelete, Reference, Revision, Row, Step, StoreError, Write, Written,
};

/// How many changes a store remembers; who asks for an older one reads everything.
pub(super) const CHANGES_KEPT: Revision = 100_000;

/// Whose row: its kind and identifier.
pub(super) type Place = (String, Uuid);

/// What must be known before a row is put.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The row that it replaces: its version, and what other tables have of it, where that can be read.
    pub(super) old: Option<(Revision, Option<Links>)>,
    /// Those of its keys that a row has, and which row.
    pub(super) holders: Vec<(Key, Uuid)>,
    /// Those of its references that name no row.
    pub(super) missing: Vec<Reference>,
}

/// All of a row but its body.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub(super) struct Links {
    pub(super) keys: Vec<Key>,
    pub(super) references: Vec<Reference>,
    pub(super) tags: Vec<String>,
}

/// A row that refers to another.
#[derive(Debug)]
pub(super) struct Referrer {
    pub(super) place: Place,
    pub(super) to: Place,
    pub(super) on_delete: OnDelete,
}

/// What a store can do inside of a transaction; nobody else writes meanwhile.
#[async_trait]
pub(super) trait Transaction: Send {
    /// What is to be known of a row and what it names.
    async fn facts(&mut self, row: &Row) -> Result<Facts, StoreError>;

    /// Writes a row, in place of the one in `facts` if there is one.
    async fn put(&mut self, kept: &Kept, facts: &Facts) -> Result<(), StoreError>;

    /// Whether there is such a row.
    async fn contains(&mut self, place: &Place) -> Result<bool, StoreError>;

    /// Who refers to one of these.
    async fn referrers(&mut self, places: &[Place]) -> Result<Vec<Referrer>, StoreError>;

    /// Removes rows, with their keys, references and tags.
    async fn remove(&mut self, places: &[Place]) -> Result<(), StoreError>;

    /// Adds to the feed.
    async fn note(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}

/// Does a write in a store whose last change is `revision`. Each step sees what the ones before it did.
pub(super) async fn apply(
    transaction: &mut impl Transaction,
    write: Write,
    revision: Revision,
) -> Result<Written, StoreError> {
    if write.revision.is_some_and(|expected| expected != revision) {
        return Err(StoreError::Stale);
    }
    let mut changes = Changes::new(write.by, revision);
    let mut deleted = 0;
    for step in write.steps {
        match step {
            Step::Put(row, expect) => {
                let version = changes.add((row.kind.clone(), row.id), false);
                put(transaction, Kept { row, version, unreadable: None }, expect).await?;
            }
            Step::Delete { kind, id } => {
                let gone = delete(transaction, (kind, id)).await?;
                deleted += gone.len() as u64;
                gone.into_iter().for_each(|place| _ = changes.add(place, true));
            }
        }
    }
    if !changes.made.is_empty() {
        transaction.note(&changes.made).await?;
    }
    Ok(Written { revision: changes.revision, deleted })
}

async fn put(transaction: &mut impl Transaction, kept: Kept, expect: Expect) -> Result<(), StoreError> {
    let row = &kept.row;
    let facts = transaction.facts(row).await?;
    let version = facts.old.as_ref().map(|(version, _)| *version);
    let expected = match expect {
        Expect::Any => true,
        Expect::Absent => version.is_none(),
        Expect::Version(expected) => version == Some(expected),
    };
    if !expected {
        return Err(StoreError::Stale);
    }
    if let Some((key, holder)) = facts.holders.iter().find(|(_, holder)| *holder != row.id) {
        return Err(StoreError::NotUnique { kind: row.kind.clone(), key: key.clone(), holder: *holder });
    }
    // A row may refer to itself, also when it is new.
    let itself = |reference: &&Reference| (&reference.kind, reference.id) == (&row.kind, row.id);
    if let Some(reference) = facts.missing.iter().find(|reference| !itself(reference)) {
        let (kind, id) = (reference.kind.clone(), reference.id);
        return Err(StoreError::Dangling { kind, id, reference: reference.clone() });
    }
    transaction.put(&kept, &facts).await
}

/// Removes a row and what goes with it. What is gone, in an order in which nothing is left that refers to what is not.
async fn delete(transaction: &mut impl Transaction, place: Place) -> Result<Vec<Place>, StoreError> {
    if !transaction.contains(&place).await? {
        return Ok(Vec::new());
    }
    let mut seen = HashSet::from([place.clone()]);
    let mut gone = vec![place];
    let mut holding = Vec::new();
    let mut level = 0;
    while level < gone.len() {
        let referrers = transaction.referrers(&gone[level..]).await?;
        level = gone.len();
        for referrer in referrers {
            match referrer.on_delete {
                OnDelete::Cascade if seen.insert(referrer.place.clone()) => gone.push(referrer.place),
                OnDelete::Cascade => {}
                OnDelete::Restrict => holding.push(referrer),
            }
        }
        // The same everywhere, in whatever order a store has found them.
        gone[level..].sort_unstable();
    }
    // Who goes anyway holds nothing back.
    holding.retain(|referrer| !seen.contains(&referrer.place));
    if let Some(referrer) = holding.into_iter().min_by(|a, b| a.place.cmp(&b.place)) {
        let ((by, by_id), (kind, id)) = (referrer.place, referrer.to);
        return Err(StoreError::Referenced { kind, id, by, by_id });
    }
    gone.reverse();
    transaction.remove(&gone).await?;
    Ok(gone)
}

/// The changes of one write.
pub(super) struct Changes {
    pub(super) made: Vec<Change>,
    pub(super) revision: Revision,
    at: i64,
    by: String,
}

impl Changes {
    pub(super) fn new(by: String, revision: Revision) -> Self {
        Self { made: Vec::new(), revision, at: now(), by }
    }

    /// Notes one; its number.
    pub(super) fn add(&mut self, (kind, id): Place, deleted: bool) -> Revision {
        self.revision += 1;
        let by = self.by.clone();
        self.made.push(Change { revision: self.revision, kind, id, deleted, at: self.at, by });
        self.revision
    }
}

/// Only the last change of each row, in order.
pub(super) fn last_of_each(mut changes: Vec<Change>) -> Vec<Change> {
    let mut seen = HashSet::new();
    changes.reverse();
    changes.retain(|change| seen.insert((change.kind.clone(), change.id)));
    changes.reverse();
    changes
}

/// Seconds since 1970: when something happened is told to people, and compared with nothing.
pub(crate) fn now() -> i64 {
    i64::try_from(Clock::system().now()).unwrap_or(i64::MAX)
}
