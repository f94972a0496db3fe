//! What can be followed: rows that change, to be read and never to be written.
//!
//! Owns: that whoever reads may be busy for long, on a thread of its own, while the other side goes on: connections to a
//! database are served by the runtime that is given, and what they bring waits in a bounded channel. Must not know: what
//! rows mean.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::store::{Body, Changes, Kept, Revision, Sink, Store, StoreError};

/// How many batches may wait for the reader.
const WAITING: usize = 2;

/// Rows, and what changes of them.
#[async_trait]
pub trait Feed: Send + Sync + Debug {
    /// What people call it.
    fn name(&self) -> String;

    /// Begins to hand out every row as of one moment.
    fn rows(&self) -> Batches;

    /// What changed since; `None` where that is not known any longer: read all. As [`Store::since`].
    async fn since(&self, revision: Revision) -> Result<Option<Changes>, StoreError>;

    /// One row, with all that the store knows of it. As [`Store::get`].
    async fn kept(&self, kind: &str, id: Uuid) -> Result<Option<Kept>, StoreError>;

    /// Waits until there may be changes behind this revision. As [`Store::changed`].
    async fn changed(&self, revision: Revision);
}

/// Every row as of one moment, a thousand at a time. Dropping it ends the read.
#[derive(Debug)]
pub struct Batches {
    batches: mpsc::Receiver<Vec<Body>>,
    reading: Task<Result<Revision, StoreError>>,
}

impl Batches {
    /// Has `read` fill them, on another runtime.
    pub fn new<F>(runtime: &Handle, read: impl FnOnce(Batching) -> F) -> Self
    where
        F: Future<Output = Result<Revision, StoreError>> + Send + 'static,
    {
        let (sender, batches) = mpsc::channel(WAITING);
        Self { batches, reading: Task(runtime.spawn(read(Batching(sender)))) }
    }

    /// The next ones; `None` behind the last.
    pub async fn next(&mut self) -> Option<Vec<Body>> {
        self.batches.recv().await
    }

    /// To which change they belong, once all were taken.
    ///
    /// # Errors
    /// They could not be read; those that were taken are of no use.
    pub async fn revision(self) -> Result<Revision, StoreError> {
        let Self { batches, reading } = self;
        drop(batches);
        reading.outcome().await?
    }
}

/// Where [`Batches`] are filled from.
#[derive(Debug)]
pub struct Batching(mpsc::Sender<Vec<Body>>);

#[async_trait]
impl Sink for Batching {
    async fn take(&mut self, bodies: Vec<Body>) -> Result<(), StoreError> {
        self.0.send(bodies).await.map_err(|_| StoreError::Unavailable("nobody reads any longer".to_owned()))
    }
}

/// The feed of a store, whose work is done on the runtime that is given.
#[derive(Clone, Debug)]
pub struct StoreFeed {
    store: Arc<dyn Store>,
    runtime: Handle,
}

impl StoreFeed {
    /// Of this store; it should have been opened on the same runtime.
    pub fn new(store: Arc<dyn Store>, runtime: Handle) -> Self {
        Self { store, runtime }
    }

    fn spawn<F: Future<Output: Send + 'static> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Task<F::Output> {
        Task(self.runtime.spawn(work(Arc::clone(&self.store))))
    }
}

#[async_trait]
impl Feed for StoreFeed {
    fn name(&self) -> String {
        format!("the database ({})", self.store.name())
    }

    fn rows(&self) -> Batches {
        let store = Arc::clone(&self.store);
        Batches::new(&self.runtime, |mut batching| async move { store.bodies(&mut batching).await })
    }

    async fn since(&self, revision: Revision) -> Result<Option<Changes>, StoreError> {
        self.spawn(|store| async move { store.since(revision).await }).outcome().await?
    }

    async fn kept(&self, kind: &str, id: Uuid) -> Result<Option<Kept>, StoreError> {
        let kind = kind.to_owned();
        self.spawn(move |store| async move { store.get(&kind, id).await }).outcome().await?
    }

    async fn changed(&self, revision: Revision) {
        let waiting = self.spawn(|store| async move { store.changed(revision).await });
        if waiting.outcome().await.is_err() {
            // The other runtime has ended: nobody can be told of anything.
            std::future::pending::<()>().await;
        }
    }
}

/// Work on another runtime. Dropping it aborts the work.
#[derive(Debug)]
struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    async fn outcome(mut self) -> Result<T, StoreError> {
        (&mut self.0).await.map_err(|_| StoreError::Unavailable("the program is ending".to_owned()))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
