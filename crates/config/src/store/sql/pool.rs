//! Connections that are kept for the next one who needs one.
//!
//! Owns: how many there are, and that one whose work was cut off is closed. Must not know: what they are used for.
//!
//! The one of sqlx would hold the password in plain text as long as it lives, try a refused connection again until its
//! time is up, and wait for a connection that was cut off in the middle of an answer.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::super::StoreError;
use super::{Connection as _, Database};

/// Some connections to a database.
pub(in super::super) struct Pool<D: Database> {
    database: Arc<D>,
    idle: Mutex<Vec<D::Connection>>,
    permits: Semaphore,
}

/// A connection that is in use. Closed when it is dropped, unless it was [`Lease::done`].
pub(in super::super) struct Lease<'p, D: Database> {
    connection: D::Connection,
    pool: &'p Pool<D>,
    _permit: SemaphorePermit<'p>,
}

impl<D: Database> Pool<D> {
    /// At most so many at once.
    pub(in super::super) fn new(database: Arc<D>, size: usize) -> Self {
        Self { database, idle: Mutex::default(), permits: Semaphore::new(size) }
    }

    /// One that works.
    pub(in super::super) async fn lease(&self) -> Result<Lease<'_, D>, StoreError> {
        let busy = || StoreError::Unavailable("all connections are in use".to_owned());
        let permit = timeout(self.database.patience(), self.permits.acquire()).await.map_err(|_| busy())?;
        let permit = permit.map_err(|_| busy())?;
        let connection = match self.idle().await {
            Some(connection) => connection,
            None => self.database.connect().await?,
        };
        Ok(Lease { connection, pool: self, _permit: permit })
    }

    async fn idle(&self) -> Option<D::Connection> {
        let mut connection = self.locked().pop()?;
        if connection.alive().await {
            return Some(connection);
        }
        // What became of this one has become of all: to ask each of them could take long.
        self.locked().clear();
        None
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<D::Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'p, D: Database> Lease<'p, D> {
    /// Gives it back: it waits for nothing and is in no transaction.
    pub(in super::super) fn done(self) {
        let Self { connection, pool, _permit } = self;
        pool.locked().push(connection);
    }
}

impl<D: Database> Deref for Lease<'_, D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        &self.connection
    }
}

impl<D: Database> DerefMut for Lease<'_, D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        &mut self.connection
    }
}
