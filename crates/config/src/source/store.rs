//! A configuration that is kept in a store, and follows it.
//!
//! Owns: the entities as they were last read, checked and typed once each, and when to look again. Must not know: what a
//! store is made of; it sees a [`Feed`]. Data goes on to [`crate::apply`], which makes a snapshot take effect.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postern_model::check::Rows;
use postern_model::field::Plugins;
use postern_model::{Snapshot, Violation};
use tokio::time::{Instant, sleep, sleep_until};

use super::feed::Feed;
use super::{Candidate, Source};
use crate::apply::hash;
use crate::store::{Body, Revision, StoreError};

/// Several changes that come together are one.
const TOGETHER: Duration = Duration::from_millis(20);
/// A change takes effect within a second, however long the one before took to be made.
const LONGEST_PAUSE: Duration = Duration::from_millis(600);
/// Between two attempts to reach a store that is away.
const AWAY: Duration = Duration::from_millis(500);

/// So many broken rows are asked for once more, for what their bodies do not say. Of others that may be anything, which closes
/// more than it must.
const MOST_ASKED: usize = 1000;

/// What a node knows of a store.
pub struct Followed {
    feed: Arc<dyn Feed>,
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
        feed: Arc<dyn Feed>,
        plugins: Box<dyn Plugins + Send + Sync>,
    ) -> Result<Self, StoreError> {
        let mut followed = Self { feed, plugins, rows: Rows::default(), revision: 0 };
        followed.all().await?;
        Ok(followed)
    }

    /// The change up to which it is known.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many entities there are, those apart that are broken by themselves.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entities, checked and typed, with those that are broken: another version of the gateway may have written them,
    /// by other rules, or somebody past us. And the warnings. What did not change is the same as in the snapshot before.
    pub fn snapshot(&mut self) -> (Snapshot, Vec<Violation>) {
        self.rows.snapshot()
    }

    /// Waits until there may be something new.
    pub async fn changed(&self) {
        self.feed.changed(self.revision).await;
    }

    /// Reads what is new; says whether there was anything.
    ///
    /// # Errors
    /// It cannot be read; what is known stays.
    pub async fn update(&mut self) -> Result<bool, StoreError> {
        let before = self.revision;
        match self.feed.since(before).await? {
            None => self.all().await?,
            Some(changes) => {
                for change in changes.changes.iter().filter(|change| change.deleted) {
                    self.rows.remove(&change.kind, change.id);
                }
                for mut kept in changes.rows {
                    let (kind, id) = (kept.row.kind.clone(), kept.row.id);
                    let body = Body { kind, id, json: kept.take_body() };
                    put(&mut self.rows, body, &*self.plugins);
                    if self.rows.is_unsaid(&kept.row.kind, id) {
                        self.rows.say(&kept.row.kind, id, &kept.row.rest());
                    }
                }
                self.revision = changes.revision;
            }
        }
        Ok(self.revision != before)
    }

    async fn all(&mut self) -> Result<(), StoreError> {
        // Each is made as it comes: all of their texts at once would be several times what is made of them.
        let mut rows = Rows::default();
        let mut batches = self.feed.rows();
        while let Some(batch) = batches.next().await {
            batch.into_iter().for_each(|body| put(&mut rows, body, &*self.plugins));
        }
        let revision = batches.revision().await?;
        for (kind, id) in rows.unsaid().into_iter().take(MOST_ASKED) {
            // It may be another one by now; then it is among the next changes.
            if let Some(kept) = self.feed.kept(&kind, id).await? {
                rows.say(&kind, id, &kept.row.rest());
            }
        }
        (self.rows, self.revision) = (rows, revision);
        Ok(())
    }
}

/// Puts what was read of a row among the others, whether it can be read or not.
pub fn put(rows: &mut Rows, body: Body, plugins: &dyn Plugins) {
    let Body { kind, id, json } = body;
    match json {
        Ok(json) => rows.put(&kind, id, json, plugins),
        Err(unreadable) => rows.put_unreadable(&kind, id, &unreadable.reason, unreadable.rest.as_ref()),
    }
}

/// Follows a store. It rests for twice as long as the last candidate kept its thread, so that a stream of changes does not
/// take all of a processor.
pub struct StoreSource {
    followed: Followed,
    /// When the last candidate was begun, until it is known how long it took.
    began: Option<Instant>,
    /// Nothing is looked at before.
    rests_until: Instant,
    is_away: bool,
}

impl StoreSource {
    /// Of what was read already; the first candidate is there for who asks.
    pub fn new(followed: Followed) -> Self {
        Self { followed, began: None, rests_until: Instant::now(), is_away: false }
    }
}

#[async_trait]
impl Source for StoreSource {
    async fn changed(&mut self) {
        if let Some(began) = self.began.take() {
            let pause =
                if self.is_away { AWAY } else { (began.elapsed() * 2).clamp(TOGETHER, LONGEST_PAUSE) };
            self.rests_until = Instant::now() + pause;
        }
        sleep_until(self.rests_until).await;
        self.followed.changed().await;
        sleep(TOGETHER).await;
    }

    async fn next(&mut self, asked: bool) -> Result<Option<Candidate>, Vec<Violation>> {
        self.began = Some(Instant::now());
        match self.followed.update().await {
            Ok(is_new) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("the database is back");
                }
                if !is_new && !asked {
                    return Ok(None);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::error!(%error, "the configuration in effect serves on");
                }
                return match asked {
                    true => Err(vec![Violation::error("", None, error.to_string())]),
                    false => Ok(None),
                };
            }
        }
        let (snapshot, warnings) = self.followed.snapshot();
        let revision = self.followed.revision();
        let hash = hash(format!("revision {revision}").as_bytes());
        Ok(Some(Candidate { snapshot, warnings, hash, revision: Some(revision), document: None }))
    }
}

#[cfg(test)]
mod tests;
