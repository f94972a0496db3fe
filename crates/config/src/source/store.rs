//! A configuration that is kept in a store, and follows it.
//!
//! Owns: the entities as they were last read, checked and typed once each, and when to look again. Must not know: what a store is made of. Data goes on to
//! [`crate::apply`], which makes a snapshot take effect.

use std::sync::Arc;

use postern_model::check::Rows;
use postern_model::field::Plugins;
use postern_model::{Snapshot, Violation};

use crate::store::{Kept, Revision, Store, StoreError};

/// What a node knows of a store.
pub struct Followed {
    store: Arc<dyn Store>,
    plugins: Box<dyn Plugins + Send + Sync>,
    rows: Rows,
    revision: Revision,
}

impl Followed {
    /// Reads all of it; `plugins` says which there are and what they take.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read(
        store: Arc<dyn Store>,
        plugins: Box<dyn Plugins + Send + Sync>,
    ) -> Result<Self, StoreError> {
        let mut followed = Self { store, plugins, rows: Rows::default(), revision: 0 };
        followed.all().await?;
        Ok(followed)
    }

    /// The change up to which it is known.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entities, checked and typed. What did not change is the same as in the snapshot before.
    ///
    /// # Errors
    /// Everything that is wrong with them: another version of the gateway may have written them, by other rules.
    pub fn snapshot(&mut self) -> Result<(Snapshot, Vec<Violation>), Vec<Violation>> {
        self.rows.snapshot()
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
                    self.rows.remove(&change.kind, change.id);
                }
                for Kept { row, .. } in changes.rows {
                    self.rows.put(&row.kind, row.id, row.body, &*self.plugins);
                }
                self.revision = changes.revision;
            }
        }
        Ok(self.revision != before)
    }

    async fn all(&mut self) -> Result<(), StoreError> {
        // Each is made as it comes: all of their texts at once would be several times what is made of them.
        let (mut rows, plugins) = (Rows::default(), &*self.plugins);
        let take = &mut |kind: &str, id, body| rows.put(kind, id, body, plugins);
        self.revision = self.store.bodies(take).await?;
        self.rows = rows;
        Ok(())
    }
}
