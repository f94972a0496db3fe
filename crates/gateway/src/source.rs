//! What a node's configuration comes from: a file that a person writes, or a store that the Admin API writes.
//!
//! Owns: when to look again, and that whatever is new goes through [`Apply`]. Must not know: what it is made into. Without
//! a database the Admin API reads a store in memory, which always holds what the file said last.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postern_config::apply::{Apply, hash};
use postern_config::source::file::Watch;
use postern_config::source::store::Followed;
use postern_config::store::memory::Memory;
use postern_config::store::{Store, StoreError};
use postern_model::{Kind, Violation};
use postern_plugins::registry::Registry;
use tokio::time::{Instant, sleep};

use crate::boot::{self, Loaded};
use crate::report::Refused;
use crate::serve::Serve;

/// Several changes that come together are one.
const TOGETHER: Duration = Duration::from_millis(20);
/// A change takes effect within a second, however long the one before took to be made.
const LONGEST_PAUSE: Duration = Duration::from_millis(600);
/// Between two attempts to reach a store that is away.
const AWAY: Duration = Duration::from_millis(500);

/// Where it comes from.
pub(crate) enum Source {
    /// A file, or a setting.
    File {
        /// The file, if it is one that may change.
        watch: Option<Box<Watch>>,
        /// What it says.
        kept: Arc<DbLess>,
    },
    /// A database.
    Store(Box<FromStore>),
}

/// A configuration without a database.
#[derive(Debug, Default)]
pub(crate) struct DbLess {
    store: Arc<Memory>,
    text: Mutex<Option<Arc<[u8]>>>,
    /// The file and the Admin API may both bring a document: what is in effect, what is shown and the text are of one.
    turn: tokio::sync::Mutex<()>,
}

/// A configuration in a database, as it was last read.
pub(crate) struct FromStore {
    followed: Followed,
    /// The last change that is in effect, for others to see.
    applied: Arc<AtomicI64>,
    /// How long the node rests before it looks again, so that a stream of changes does not take all of a processor.
    pause: Duration,
    is_away: bool,
}

impl Source {
    /// A file that was read; `path` is where to watch it.
    pub(crate) fn file(path: Option<PathBuf>) -> Self {
        Self::File { watch: path.as_deref().map(Watch::new).map(Box::new), kept: Arc::default() }
    }

    /// A database.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn store(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let followed = Followed::read(store, Box::new(Registry::bundled())).await?;
        let applied = Arc::default();
        Ok(Self::Store(Box::new(FromStore { followed, applied, pause: TOGETHER, is_away: false })))
    }

    /// The last change of a store that is in effect; stays 0 for a file.
    pub(crate) fn applied(&self) -> Arc<AtomicI64> {
        match self {
            Self::File { .. } => Arc::default(),
            Self::Store(from) => Arc::clone(&from.applied),
        }
    }

    /// Without a database: what the file says.
    pub(crate) fn db_less(&self) -> Option<Arc<DbLess>> {
        match self {
            Self::File { kept, .. } => Some(Arc::clone(kept)),
            Self::Store(_) => None,
        }
    }

    /// Waits until there may be something new.
    pub(crate) async fn changed(&mut self) {
        match self {
            Self::File { watch: Some(watch), .. } => watch.changed().await,
            Self::File { watch: None, .. } => std::future::pending().await,
            Self::Store(from) => {
                sleep(from.pause).await;
                from.followed.changed().await;
                sleep(TOGETHER).await;
            }
        }
    }

    /// Reads it again, and puts what is new in effect. A bad one is refused with its reasons; the old one serves on.
    /// `asked`: by a person, who wants to see it done even where nothing is new.
    pub(crate) async fn reload(
        &mut self,
        apply: &Apply<Serve>,
        name: &str,
        asked: bool,
    ) -> Result<(), Vec<Violation>> {
        let outcome = match self {
            Self::File { kept, .. } => match kept.read(apply, asked).await {
                Ok(false) => return Ok(()),
                other => other.map(drop),
            },
            Self::Store(from) => match from.read(apply, asked).await {
                Ok(false) => return Ok(()),
                other => other.map(drop),
            },
        };
        tell(&outcome, name);
        outcome
    }
}

impl DbLess {
    /// What the Admin API reads.
    pub(crate) fn rows(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// The document in effect, as it was written.
    pub(crate) fn text(&self) -> Option<Arc<[u8]>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a document in effect that was read.
    ///
    /// # Errors
    /// Everything that stands against it; what was in effect still is.
    pub(crate) async fn put(&self, apply: &Apply<Serve>, loaded: Loaded) -> Result<(), Vec<Violation>> {
        let Loaded { name, checked, hash, text } = loaded;
        for warning in &checked.warnings {
            tracing::warn!("{}", warning.in_file(&name));
        }
        let rows = checked.flat();
        let _turn = self.turn.lock().await;
        apply.apply(checked.snapshot, hash).await?;
        let now = now();
        let rows = rows.into_iter().filter_map(|(kind, mut body)| {
            let kind = Kind::named(kind)?;
            let id = uuid::Uuid::try_parse(body.get("id")?.as_str()?).ok()?;
            for field in ["created_at", "updated_at"] {
                if body.get(field).is_some_and(serde_json::Value::is_null) {
                    body.insert(field.to_owned(), now.into());
                }
            }
            Some(postern_admin::server::row(kind, id, body))
        });
        if let Err(error) = self.store.replace(rows.collect(), "the file").await {
            tracing::error!(%error, "the Admin API shows an older configuration than the one in effect");
        }
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        Ok(())
    }

    /// Reads the file; says whether there was anything new.
    async fn read(&self, apply: &Apply<Serve>, asked: bool) -> Result<bool, Vec<Violation>> {
        match boot::load(apply.effect().settings(), None::<&Path>).await {
            Ok(Some(loaded)) => {
                let current = apply.state().current.map(|current| current.hash);
                if current.as_deref() == Some(loaded.hash.as_str()) && !asked {
                    return Ok(false);
                }
                self.put(apply, loaded).await.map(|()| true)
            }
            Ok(None) => Err(vec![Violation::error("", None, "there is no configuration any longer")]),
            Err(error) => {
                let violations = match error.downcast::<Refused>() {
                    Ok(refused) => refused.violations,
                    Err(error) => vec![Violation::error("", None, error.to_string())],
                };
                apply.refused(violations.clone());
                Err(violations)
            }
        }
    }
}

impl FromStore {
    /// Reads what is new and puts it in effect; says whether there was anything.
    async fn read(&mut self, apply: &Apply<Serve>, asked: bool) -> Result<bool, Vec<Violation>> {
        match self.followed.update().await {
            Ok(is_new) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("the database is back");
                }
                if !is_new && !asked {
                    return Ok(false);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::error!(%error, "the configuration in effect serves on");
                }
                self.pause = AWAY;
                return match asked {
                    true => Err(vec![Violation::error("", None, error.to_string())]),
                    false => Ok(false),
                };
            }
        }
        self.put(apply).await.map(|()| true)
    }

    /// Puts what was read in effect.
    ///
    /// # Errors
    /// Everything that stands against it; what was in effect still is.
    pub(crate) async fn put(&mut self, apply: &Apply<Serve>) -> Result<(), Vec<Violation>> {
        let started = Instant::now();
        let outcome = match self.followed.snapshot() {
            Ok((snapshot, warnings)) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                let revision = self.followed.revision();
                apply.apply(snapshot, hash(format!("revision {revision}").as_bytes())).await
            }
            Err(violations) => {
                apply.refused(violations.clone());
                Err(violations)
            }
        };
        if outcome.is_ok() {
            self.applied.store(self.followed.revision(), Ordering::Release);
        }
        self.pause = (started.elapsed() * 2).clamp(TOGETHER, LONGEST_PAUSE);
        outcome
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
