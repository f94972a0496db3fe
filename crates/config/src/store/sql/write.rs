//! The one writer of a store.
//!
//! Owns: that all writes that wait go into one transaction, that one that fails fails alone, and that nobody is told of
//! success before the database has promised to keep it. Must not know: what a write may do (`rules.rs`).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch::Sender};

use super::super::rules::{self, CHANGES_KEPT};
use super::super::{Revision, StoreError, Write, Written};
use super::tables::Tables;
use super::watch::LAST;
use super::{Connection as _, Database, Pool};

/// How many writes may wait before those who want more wait for a place.
pub(super) const WAITING: usize = 1024;

/// How many writes share a transaction at most.
const TOGETHER: usize = 64;

/// After so many changes the oldest are removed.
const PRUNE_EACH: Revision = 1000;

/// A write, and who waits for it.
pub(super) struct Job {
    pub(super) write: Write,
    pub(super) reply: oneshot::Sender<Result<Written, StoreError>>,
}

/// Until nobody holds the store any longer.
pub(super) async fn writer<D: Database>(
    pool: Pool<D>,
    mut jobs: mpsc::Receiver<Job>,
    revision: Arc<Sender<Revision>>,
) {
    let mut together = Vec::with_capacity(TOGETHER);
    while jobs.recv_many(&mut together, TOGETHER).await > 0 {
        let (writes, replies): (Vec<_>, Vec<_>) =
            together.drain(..).map(|job| (job.write, job.reply)).unzip();
        let outcomes = match transaction(&pool, writes).await {
            Ok((now, outcomes)) => {
                revision.send_if_modified(|current| std::mem::replace(current, now) != now);
                outcomes
            }
            Err(error) => {
                // Those behind would wait as long, one batch after the other, to be told the same.
                while let Ok(job) = jobs.try_recv() {
                    let _ = job.reply.send(Err(error.clone()));
                }
                vec![Err(error); replies.len()]
            }
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Who does not wait any longer does not want to know.
            let _ = reply.send(outcome);
        }
    }
}

type Outcomes = Vec<Result<Written, StoreError>>;

/// All writes in one transaction; how each went, once that is kept. The connection is closed if anything else fails.
async fn transaction<D: Database>(
    pool: &Pool<D>,
    writes: Vec<Write>,
) -> Result<(Revision, Outcomes), StoreError> {
    let mut connection = pool.lease().await?;
    connection.run(D::BEGIN_WRITE).await?;
    let before = connection.number(LAST, &[]).await?.unwrap_or(0);
    let mut revision = before;
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        connection.run("SAVEPOINT one").await?;
        let outcome = rules::apply(&mut Tables(&mut *connection), write, revision).await;
        match &outcome {
            Ok(written) => revision = written.revision,
            Err(_) => connection.run("ROLLBACK TO SAVEPOINT one").await?,
        }
        connection.run("RELEASE SAVEPOINT one").await?;
        outcomes.push(outcome);
    }
    if revision == before {
        connection.run("ROLLBACK").await?;
    } else {
        if revision / PRUNE_EACH > before / PRUNE_EACH {
            let oldest = (revision - CHANGES_KEPT).into();
            connection.execute("DELETE FROM postern_changes WHERE revision <= $1", &[oldest]).await?;
        }
        connection.run(D::COMMIT).await?;
    }
    connection.done();
    Ok((revision, outcomes))
}
