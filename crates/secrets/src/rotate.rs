//! The reconciler: keeps every slot as fresh as its policy says, whatever happens to the vaults.
//!
//! Owns: one task that wakes when something is due, or is told to look; fetches what is due, as much at once as each
//! vault allows; and hands the outcome to [`state`], which says what changes. Must not know: what the values are for.
//! It takes no input but "look again", so it cannot miss any, and looking once too often does nothing.

mod auth;
mod candidate;
mod generations;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod memory;
mod save;
mod state;
mod status;
mod task;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::backend::fs::watch::Watch;
use crate::guard::AT_ONCE;
use crate::reference::Reference;
use crate::resolve::Resolver;
use crate::slot::Slot;
use crate::snapshot::LastKnownGood;
use crate::template::Template;
use generations::Generations;
use save::Saving;
use state::State;

pub use auth::{Attempt, AuthFailure};
pub use candidate::Candidate;
pub use status::{LastError, LastKnownGoodStatus, ReferenceState, ReferenceStatus, Status};

/// Keeps slots. Clones are handles to the same one; the task ends when the last is dropped.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    at_once: usize,
    /// Stands between the texts of a bundle; not to be guessed.
    separator: Arc<str>,
    _task: Arc<Task>,
}

/// How an engine works.
#[derive(Debug)]
pub struct EngineOptions {
    /// Values kept from an earlier run, which serve while their vault cannot be reached, and where to keep them. Off
    /// unless given.
    pub last_known_good: Option<LastKnownGood>,
    /// How many requests to one vault may be under way; 8 unless told otherwise.
    pub at_once: usize,
    /// Whether files that vaults of kind `fs` read are watched, so that a change takes effect within about a second.
    /// They are, unless told otherwise.
    pub watch_files: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { last_known_good: None, at_once: AT_ONCE, watch_files: true }
    }
}

/// What to fetch now, due or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// Everything.
    All,
    /// Everything from the vault of this name.
    Vault(String),
    /// One reference, and what shares its secret.
    Reference(Reference),
}

#[derive(Debug)]
struct Shared {
    generations: Mutex<Generations>,
    /// The texts of slots that were let go. They may be dropped while the state is locked, so their end is only noted.
    dropped: Mutex<Vec<Arc<Template>>>,
    look: Notify,
    saving: Option<Saving>,
}

/// Ends the reconciler's task when the last handle is dropped.
#[derive(Debug)]
struct Task(tokio::task::AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Engine {
    /// Starts the reconciler on the current runtime.
    pub fn start(resolver: Resolver) -> Self {
        Self::start_with(resolver, EngineOptions::default())
    }

    /// Starts the reconciler on the current runtime, as told.
    pub fn start_with(mut resolver: Resolver, options: EngineOptions) -> Self {
        resolver.set_at_once(options.at_once);
        let mut state = State::new(Arc::new(resolver));
        let saving = options.last_known_good.map(|LastKnownGood { store, clock, entries, problem }| {
            state.keep(clock, entries, Instant::now());
            Saving::new(store, problem)
        });
        let generations = Mutex::new(Generations::new(state));
        let shared = Shared { generations, dropped: Mutex::default(), look: Notify::new(), saving };
        let shared = Arc::new(shared);
        let (changed, changes) = mpsc::unbounded_channel();
        let watch = options.watch_files.then(|| Arc::new(Watch::new(changed)));
        let task = tokio::spawn(task::reconcile(Arc::clone(&shared), watch, changes));
        let separator = unguessable();
        Self { shared, at_once: options.at_once, separator, _task: Arc::new(Task(task.abort_handle())) }
    }

    /// The slot of a text, kept for as long as somebody holds it. It may have no value yet: see [`Engine::settled`].
    pub fn slot(&self, template: &Template) -> Arc<Slot> {
        self.slots([template]).remove(0)
    }

    /// The slots of many texts. Those who share a secret also share its first read, which one after the other they
    /// might not.
    pub fn slots<'a>(&self, templates: impl IntoIterator<Item = &'a Template>) -> Vec<Arc<Slot>> {
        let mut generations = self.shared.generations();
        let (state, now) = (&mut generations.in_effect, Instant::now());
        let slots =
            templates.into_iter().map(|template| state.slot(template, now, self.shared.note_dropped()));
        let slots = slots.collect();
        drop(generations);
        self.shared.look.notify_one();
        slots
    }

    pub(crate) fn separator(&self) -> Arc<str> {
        Arc::clone(&self.separator)
    }

    /// Waits until everything behind these slots has been tried once.
    pub async fn settled(&self, slots: &[Arc<Slot>]) {
        loop {
            let waits = self.shared.generations().in_effect.wait_for_first(slots);
            if waits.is_empty() {
                return;
            }
            // Then look again: what a reference means may have changed meanwhile.
            wait(waits).await;
        }
    }

    /// Has something fetched at once, and returns at once.
    pub fn nudge(&self, what: &Nudge) {
        self.shared.generations().in_effect.nudge(what, Instant::now());
        self.shared.look.notify_one();
    }

    /// Has something fetched at once, and waits for the outcome, which is in the status and in the slots.
    pub async fn refresh(&self, what: &Nudge) {
        let waits = {
            let state = &mut self.shared.generations().in_effect;
            state.nudge(what, Instant::now());
            state.wait_for_next(what)
        };
        self.shared.look.notify_one();
        wait(waits).await;
    }

    /// Begins another generation beside the one in effect, with these vaults. Dropping the candidate is the whole
    /// rollback. Where there are several, the one that is committed last is in effect.
    pub fn prepare(&self, mut resolver: Resolver) -> Candidate {
        resolver.set_at_once(self.at_once);
        self.candidate(Some(resolver))
    }

    /// The same with the vaults that are in effect: for a configuration whose vaults have not changed.
    pub fn prepare_again(&self) -> Candidate {
        self.candidate(None)
    }

    /// Writes the last known good values now, if they are kept and something has changed. For the end of a program:
    /// meanwhile they are written by themselves, a second after a change.
    pub async fn flush(&self) {
        save::save(&self.shared).await;
    }

    /// What is known of every reference and every vault; never a value.
    pub fn status(&self) -> Status {
        let now = Instant::now();
        let (references, resolver, serving) = {
            let state = &self.shared.generations().in_effect;
            let (references, resolver) = state.references(now);
            (references, resolver, state.served_from_kept())
        };
        let last_known_good = self.shared.saving.as_ref().map(|saving| saving.status(serving, now));
        Status { references, vaults: resolver.sessions_status(), last_known_good }
    }
}

impl Shared {
    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a slot does when nobody holds it any longer.
    fn note_dropped(self: &Arc<Self>) -> impl Fn(&Arc<Template>) + Send + Sync + use<> {
        let shared = Arc::downgrade(self);
        move |template| {
            if let Some(shared) = shared.upgrade() {
                shared.dropped().push(Arc::clone(template));
                shared.look.notify_one();
            }
        }
    }

    fn dropped(&self) -> MutexGuard<'_, Vec<Arc<Template>>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A separator that stands in no value, unless somebody could guess it.
fn unguessable() -> Arc<str> {
    let mut random = [0; 16];
    // Without randomness it is only less unguessable; what it protects is one writer of a vault from himself.
    let _ = aws_lc_rs::rand::fill(&mut random);
    format!("\u{1e}{:032x}\u{1e}", u128::from_ne_bytes(random)).into()
}

async fn wait(waits: Vec<oneshot::Receiver<()>>) {
    for wait in waits {
        // An error means that the secret is not wanted any longer.
        let _ = wait.await;
    }
}
