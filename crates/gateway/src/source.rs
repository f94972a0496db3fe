//! What a node's configuration comes from: a file that a person writes, or a store that the Admin API writes.
//!
//! Owns: that whatever is new goes through [`Apply`], and what is told of it. Must not know: when there is something new
//! (`postern_config::source` does), what it is made into. Without a database the Admin API reads a store in memory, which
//! always holds what the file said last.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use postern_config::apply::Apply;
use postern_config::source::document::DbLess;
use postern_config::source::feed::StoreFeed;
use postern_config::source::file::{FileSource, Reader, Watch};
use postern_config::source::store::{Followed, StoreSource};
use postern_config::source::{Candidate, Loaded};
use postern_config::store::{Store, StoreError};
use postern_model::Violation;
use postern_plugins::registry::Registry;
use tokio::runtime::Handle;

use crate::boot;
use crate::report::Refused;
use crate::serve::Serve;

/// Where it comes from.
pub(crate) struct Source {
    source: Box<dyn postern_config::source::Source>,
    /// Without a database: what the document in effect says.
    db_less: Option<Arc<DbLess>>,
    /// The last change of a store that is in effect, for others to see.
    applied: Arc<AtomicI64>,
}

/// Reads the file that the settings name.
struct FromSettings(Arc<Apply<Serve>>);

#[async_trait]
impl Reader for FromSettings {
    async fn read(&self) -> Result<Option<Loaded>, Vec<Violation>> {
        boot::load(self.0.effect().settings(), None::<&Path>).await.map_err(violations)
    }
}

impl Source {
    /// A file that was read; `path` is where to watch it.
    pub(crate) fn file(path: Option<PathBuf>, apply: &Arc<Apply<Serve>>) -> Self {
        let current = Arc::clone(apply);
        let in_effect = move || current.state().current.map(|current| current.hash);
        let source = FileSource::new(path.map(Watch::new), FromSettings(Arc::clone(apply)), in_effect);
        Self { source: Box::new(source), db_less: Some(Arc::default()), applied: Arc::default() }
    }

    /// A database.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn store(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let feed = Arc::new(StoreFeed::new(store, Handle::current()));
        let followed = Followed::read(feed, Box::new(Registry::bundled())).await?;
        Ok(Self { source: Box::new(StoreSource::new(followed)), db_less: None, applied: Arc::default() })
    }

    /// The last change of a store that is in effect; stays 0 for a file.
    pub(crate) fn applied(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.applied)
    }

    /// Without a database: what the file says.
    pub(crate) fn db_less(&self) -> Option<Arc<DbLess>> {
        self.db_less.clone()
    }

    /// Waits until there may be something new.
    pub(crate) async fn changed(&mut self) {
        self.source.changed().await;
    }

    /// Reads it again, and puts what is new in effect. A bad one is refused with its reasons; the old one serves on.
    /// `asked`: by a person, who wants to see it done even where nothing is new.
    pub(crate) async fn reload(
        &mut self,
        apply: &Apply<Serve>,
        name: &str,
        asked: bool,
    ) -> Result<(), Vec<Violation>> {
        let outcome = match self.source.next(asked).await {
            Ok(None) => return Ok(()),
            Ok(Some(candidate)) => self.put(apply, candidate, name).await,
            Err(violations) => {
                // A store that is away says nothing of what it holds.
                if self.db_less.is_some() {
                    apply.refused(violations.clone());
                }
                Err(violations)
            }
        };
        tell(&outcome, name);
        outcome
    }

    /// The first configuration; `document` is that of a file.
    pub(crate) async fn begin(
        &mut self,
        apply: &Apply<Serve>,
        document: Option<Loaded>,
        name: &str,
    ) -> Result<(), Vec<Violation>> {
        let candidate = match document {
            Some(document) => Some(document.into()),
            None => self.source.next(true).await?,
        };
        match candidate {
            Some(candidate) => self.put(apply, candidate, name).await,
            None => Ok(()),
        }
    }

    async fn put(
        &self,
        apply: &Apply<Serve>,
        candidate: Candidate,
        name: &str,
    ) -> Result<(), Vec<Violation>> {
        let revision = candidate.revision;
        put(apply, self.db_less.as_ref(), candidate, name).await?;
        if let Some(revision) = revision {
            self.applied.store(revision, Ordering::Release);
        }
        Ok(())
    }
}

/// Puts a candidate in effect; `shown` is where the entities of a document are shown.
///
/// # Errors
/// Everything that stands against it; what was in effect still is.
pub(crate) async fn put(
    apply: &Apply<Serve>,
    shown: Option<&Arc<DbLess>>,
    candidate: Candidate,
    name: &str,
) -> Result<(), Vec<Violation>> {
    for warning in &candidate.warnings {
        tracing::warn!("{}", warning.in_file(name));
    }
    let turn = match shown {
        Some(shown) => Some(shown.turn().await),
        None => None,
    };
    apply.apply(candidate.snapshot, candidate.hash).await?;
    if let (Some(turn), Some(document)) = (turn, candidate.document) {
        turn.show(document).await;
    }
    Ok(())
}

/// Why a document cannot be used.
pub(crate) fn violations(error: anyhow::Error) -> Vec<Violation> {
    match error.downcast::<Refused>() {
        Ok(refused) => refused.violations,
        Err(error) => vec![Violation::error("", None, error.to_string())],
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "what is shown to people is the time of the calendar")]
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn tell(outcome: &Result<(), Vec<Violation>>, name: &str) {
    match outcome {
        Ok(()) => tracing::info!(configuration = name, "a new configuration is in effect"),
        Err(violations) => {
            for violation in violations {
                tracing::error!("{}", violation.in_file(name));
            }
            tracing::error!(configuration = name, "a new configuration was refused; the old one serves on");
        }
    }
}
