//! Transactions: whatever brings a configuration, it takes effect here, one after the other.
//!
//! Owns: the loop, which has a task of its own: a client that disconnects neither cancels its change nor leaves half of it. It may run
//! on a thread of its own, which is busy for as long as a configuration takes to be made. Must not know: what is made of a
//! configuration ([`crate::apply`]), where it comes from ([`crate::source`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use postern_model::Violation;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::apply::{Apply, Effect};
use crate::source::document::DbLess;
use crate::source::{Candidate, Loaded, Source};

/// How many requests may wait. Those who ask for more wait for a place.
const WAITING: usize = 16;
/// Several secrets that change together are one change.
const TOGETHER: Duration = Duration::from_millis(50);

/// What came of a change.
pub type Outcome = Result<(), Vec<Violation>>;

/// Asks for changes. Clones ask the same loop.
#[derive(Clone, Debug)]
pub struct Requests(mpsc::Sender<Request>);

#[derive(Debug)]
struct Request {
    what: What,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
enum What {
    /// Whatever the source has.
    Reload,
    /// This document.
    Load(Vec<u8>),
}

impl Requests {
    /// Has the source read again, and what is there put in effect, whether it is new or not.
    ///
    /// # Errors
    /// Everything that stands against it; what was in effect still is.
    pub async fn reload(&self) -> Outcome {
        self.ask(What::Reload).await
    }

    /// Has a document put in effect. Dropping the future does not cancel it.
    ///
    /// # Errors
    /// Everything that stands against it; what was in effect still is.
    pub async fn load(&self, document: Vec<u8>) -> Outcome {
        self.ask(What::Load(document)).await
    }

    async fn ask(&self, what: What) -> Outcome {
        let ending = |()| vec![Violation::error("", None, "the node is ending")];
        let (answer, outcome) = oneshot::channel();
        self.0.send(Request { what, answer }).await.map_err(|_| ending(()))?;
        outcome.await.map_err(|_| ending(()))?
    }
}

/// Reads and checks a document that came by the Admin API.
pub type Read = Box<dyn Fn(&[u8]) -> Result<Loaded, Vec<Violation>> + Send>;

/// The loop.
pub struct Transactions<E> {
    apply: Arc<Apply<E>>,
    source: Box<dyn Source>,
    /// Without a database: where the document in effect is shown.
    shown: Option<Arc<DbLess>>,
    /// The last change of a store that is in effect.
    applied: Arc<AtomicI64>,
    read: Read,
    /// What the source is called for people.
    name: String,
    requests: mpsc::Receiver<Request>,
}

impl<E: Effect> Transactions<E> {
    /// Over a source; `name` is what people call it.
    pub fn new(
        apply: Arc<Apply<E>>,
        source: Box<dyn Source>,
        shown: Option<Arc<DbLess>>,
        read: Read,
        name: String,
    ) -> (Self, Requests) {
        let (sender, requests) = mpsc::channel(WAITING);
        let applied = Arc::default();
        (Self { apply, source, shown, applied, read, name, requests }, Requests(sender))
    }

    /// The last change of a store that is in effect, for others to see; stays 0 for a file.
    pub fn applied(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.applied)
    }

    /// The first configuration: this one, or what the source has.
    ///
    /// # Errors
    /// Everything that stands against it; nothing is in effect.
    pub async fn first(&mut self, document: Option<Loaded>) -> Outcome {
        let candidate = match document {
            Some(document) => Some(document.into()),
            None => self.source.next(true).await?,
        };
        match candidate {
            Some(candidate) => self.put(candidate).await,
            None => Ok(()),
        }
    }

    /// Runs until every [`Requests`] is dropped.
    pub async fn run(mut self) {
        loop {
            // Only waiting is ever cut off here; what was begun is done to its end.
            tokio::select! {
                request = self.requests.recv() => match request {
                    None => return,
                    Some(Request { what, answer }) => {
                        let outcome = match what {
                            What::Reload => self.next(true).await,
                            What::Load(document) => self.load(&document).await,
                        };
                        // Nobody waits any longer: fine.
                        let _ = answer.send(outcome);
                    }
                },
                () = self.source.changed() => drop(self.next(false).await),
                () = self.apply.effect().changed() => {
                    sleep(TOGETHER).await;
                    self.apply.again().await;
                }
            }
        }
    }

    /// Puts in effect what the source has. `asked`: by a person, who wants to see it done even where nothing is new.
    async fn next(&mut self, asked: bool) -> Outcome {
        let outcome = match self.source.next(asked).await {
            Ok(None) => return Ok(()),
            Ok(Some(candidate)) => self.put(candidate).await,
            Err(violations) => {
                // A store that is away says nothing of what it holds.
                if self.shown.is_some() {
                    self.apply.refused(violations.clone());
                }
                Err(violations)
            }
        };
        tell(&outcome, &self.name);
        outcome
    }

    async fn load(&mut self, document: &[u8]) -> Outcome {
        let outcome = match (self.read)(document) {
            Ok(loaded) => self.put(loaded.into()).await,
            Err(violations) => Err(violations),
        };
        tell(&outcome, "the Admin API");
        outcome
    }

    async fn put(&mut self, candidate: Candidate) -> Outcome {
        let Candidate { snapshot, warnings, hash, revision, document } = candidate;
        warnings.iter().for_each(|warning| tracing::warn!("{}", warning.in_file(&self.name)));
        self.apply.apply(snapshot, hash).await?;
        if let (Some(shown), Some(document)) = (&self.shown, document) {
            shown.show(document).await;
        }
        if let Some(revision) = revision {
            self.applied.store(revision, Ordering::Release);
        }
        Ok(())
    }
}

fn tell(outcome: &Outcome, name: &str) {
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
