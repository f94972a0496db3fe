//! A configuration that is kept in a store, and follows it.
//!
//! Owns: the rows as they were last read, and when to look again. Must not know: what a store is made of. Data goes on to
//! [`crate::apply`], which makes a snapshot take effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use postern_model::field::Plugins;
use postern_model::{Snapshot, Violation};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::store::{Revision, Store, StoreError};

/// What a node knows of a store.
#[derive(Debug)]
pub struct Followed {
    store: Arc<dyn Store>,
    rows: BTreeMap<String, BTreeMap<Uuid, Map<String, Json>>>,
    revision: Revision,
}

impl Followed {
    /// Reads all of it.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut followed = Self { store, rows: BTreeMap::new(), revision: 0 };
        followed.all().await?;
        Ok(followed)
    }

    /// The change up to which it is known.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.rows.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows, checked and typed.
    ///
    /// # Errors
    /// Everything that is wrong with them: another version of the gateway may have written them, by other rules.
    pub fn snapshot(&self, plugins: &dyn Plugins) -> Result<(Snapshot, Vec<Violation>), Vec<Violation>> {
        let rows = self.rows.iter().flat_map(|(kind, rows)| rows.values().map(|body| (kind.as_str(), body)));
        postern_model::check::rows(rows, plugins)
    }

    /// Waits until there may be something new.
    pub async fn changed(&self) {
        self.store.changed(self.revision).await;
    }

    /// Reads what is new; says whether there was anything.
    ///
    /// # Errors
    /// It cannot be read; what is known stays.
    pub async fn update(&mut self) -> Result<bool, StoreError> {
        let before = self.revision;
        match self.store.since(before).await? {
            None => self.all().await?,
            Some(changes) => {
                for change in changes.changes.iter().filter(|change| change.deleted) {
                    self.rows.entry(change.kind.clone()).or_default().remove(&change.id);
                }
                for kept in changes.rows {
                    self.rows.entry(kept.row.kind).or_default().insert(kept.row.id, kept.row.body);
                }
                self.revision = changes.revision;
            }
        }
        Ok(self.revision != before)
    }

    async fn all(&mut self) -> Result<(), StoreError> {
        let (revision, rows) = self.store.all().await?;
        self.rows.clear();
        for kept in rows {
            self.rows.entry(kept.row.kind).or_default().insert(kept.row.id, kept.row.body);
        }
        self.revision = revision;
        Ok(())
    }
}
