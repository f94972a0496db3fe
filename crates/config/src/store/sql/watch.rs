//! Noticing that somebody else has written.
//!
//! Owns: asking for the last revision now and then, and at once when the database says so. Must not know: who waits for it.

use std::sync::Arc;

use tokio::sync::{Notify, watch::Sender};
use tokio::time::timeout;

use super::super::{Revision, StoreError};
use super::{Connection as _, Database, Pool};

/// Until nobody holds the store any longer.
pub(super) async fn watch<D: Database>(database: Arc<D>, pool: Pool<D>, revision: Arc<Sender<Revision>>) {
    let written = Notify::new();
    tokio::select! {
        () = revision.closed() => {}
        () = database.listen(&written) => {}
        () = look(&pool, &written, &revision) => {}
    }
}

async fn look<D: Database>(pool: &Pool<D>, written: &Notify, revision: &Sender<Revision>) {
    loop {
        // Asked whether or not it is told: a connection that is dead does not say so.
        let _ = timeout(D::POLL, written.notified()).await;
        let before = *revision.borrow();
        match last(pool).await {
            // Unless our own writer was faster. Less than before, too, is new: somebody put an older copy in place.
            Ok(now) => revision.send_if_modified(|current| {
                let new = *current == before && now != before;
                if new {
                    *current = now;
                }
                new
            }),
            Err(error) => {
                tracing::debug!(%error, "whether something has changed cannot be seen now");
                false
            }
        };
    }
}

/// The number of the last change.
pub(super) async fn last<D: Database>(pool: &Pool<D>) -> Result<Revision, StoreError> {
    let mut connection = pool.lease().await?;
    let last = connection.number(LAST, &[]).await?;
    connection.done();
    Ok(last.unwrap_or(0))
}

/// The number of the last change. The feed is never without it.
pub(super) const LAST: &str = "SELECT coalesce(max(revision), 0) FROM postern_changes";
