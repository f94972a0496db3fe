//! Rows in this process: what a node without a database serves, and what tests compare the others with.
//!
//! Owns: maps that answer what a database answers (`memory/state.rs`), and putting all rows in place of all others. Must
//! not know: where the rows came from. Nothing is kept when the process ends.

mod state;

use async_trait::async_trait;
use tokio::sync::{RwLock, watch};
use uuid::Uuid;

use self::state::{Attempt, State};
use super::{
    Change, Changes, Filter, Kept, Key, Page, Revision, Row, Select, Store, StoreError, Tags, Write, Written,
    rules,
};

/// A store in memory.
#[derive(Debug)]
pub struct Memory {
    state: RwLock<State>,
    revision: watch::Sender<Revision>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { state: RwLock::default(), revision: watch::Sender::new(0) }
    }
}

impl Memory {
    /// A store with these rows, in any order.
    ///
    /// # Errors
    /// [`StoreError::NotUnique`] and [`StoreError::Dangling`].
    pub fn from_rows(rows: Vec<Row>) -> Result<Self, StoreError> {
        let (state, written) = State::default().replaced(rows, "")?;
        Ok(Self { state: RwLock::new(state), revision: watch::Sender::new(written.revision) })
    }

    /// Puts these rows, in any order, in place of all that are there, at once. Those that stay as they are keep their
    /// versions, so that [`Store::since`] tells just the difference. `by` is who wants it, for [`Change::by`].
    ///
    /// # Errors
    /// [`StoreError::NotUnique`] and [`StoreError::Dangling`]; nothing has changed then.
    pub async fn replace(&self, rows: Vec<Row>, by: &str) -> Result<Written, StoreError> {
        let mut state = self.state.write().await;
        let (next, written) = state.replaced(rows, by)?;
        *state = next;
        self.revision.send_replace(written.revision);
        Ok(written)
    }
}

#[async_trait]
impl Store for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, kind: &str, id: Uuid) -> Result<Option<Kept>, StoreError> {
        Ok(self.state.read().await.row(kind, id).cloned())
    }

    async fn find(&self, kind: &str, key: &Key) -> Result<Option<Kept>, StoreError> {
        let state = self.state.read().await;
        Ok(state.holder(kind, key).and_then(|id| state.row(kind, id)).cloned())
    }

    async fn page(&self, select: &Select) -> Result<Page, StoreError> {
        let state = self.state.read().await;
        let mut wanted = state.behind(&select.kind, select.after).filter(|kept| wanted(&kept.row, select));
        let rows = wanted.by_ref().take(select.size).cloned().collect();
        Ok(Page { rows, more: wanted.next().is_some() })
    }

    async fn all(&self) -> Result<(Revision, Vec<Kept>), StoreError> {
        let state = self.state.read().await;
        Ok((state.revision, state.all().cloned().collect()))
    }

    async fn since(&self, revision: Revision) -> Result<Option<Changes>, StoreError> {
        Ok(self.state.read().await.since(revision))
    }

    async fn changed(&self, revision: Revision) {
        // The sender lives as long as the store.
        let _ = self.revision.subscribe().wait_for(|current| *current != revision).await;
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let mut state = self.state.write().await;
        let revision = state.revision;
        // Nothing here waits, so nobody can leave it half done.
        let mut attempt = Attempt::new(&mut state);
        let written = rules::apply(&mut attempt, write, revision).await.inspect_err(|_| attempt.undo())?;
        self.revision.send_replace(written.revision);
        Ok(written)
    }

    async fn history(&self, size: usize) -> Result<Vec<Change>, StoreError> {
        Ok(self.state.read().await.changes.iter().rev().take(size).cloned().collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn wanted(row: &Row, select: &Select) -> bool {
    let filtered = match &select.filter {
        None => true,
        Some(Filter::Key(key)) => row.keys.contains(key),
        Some(Filter::RefersTo { field, id }) => {
            row.references.iter().any(|reference| reference.field == *field && reference.id == *id)
        }
    };
    let tagged = match &select.tags {
        None => true,
        Some(Tags::All(tags)) => tags.iter().all(|tag| row.tags.contains(tag)),
        Some(Tags::Any(tags)) => tags.iter().any(|tag| row.tags.contains(tag)),
    };
    filtered && tagged
}
