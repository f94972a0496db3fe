//! The reconciler: keeps every slot as fresh as its policy says, whatever happens to the vaults.
//!
//! Owns: one task that wakes when something is due, or is told to look; fetches what is due, as much at once as each
//! vault allows; and hands the outcome to [`state`], which says what changes. Must not know: what the values are for.
//! It takes no input but "look again", so it cannot miss any, and looking once too often does nothing.

mod auth;
mod state;
mod status;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::reference::Reference;
use crate::resolve::{Fetched, ResolveError, Resolver};
use crate::slot::Slot;
use crate::template::Template;
use crate::trail::Trail;
use state::{Job, State};

pub use auth::{Attempt, AuthFailure};
pub use status::{ReferenceState, ReferenceStatus, Status};

/// Keeps slots. Clones are handles to the same one; the task ends when the last is dropped.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    _task: Arc<Task>,
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
    state: Mutex<State>,
    look: Notify,
}

/// Ends the reconciler's task when the last handle is dropped.
#[derive(Debug)]
struct Task(tokio::task::AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One finished fetch.
struct Done {
    job: Job,
    started: Instant,
    outcome: Result<Fetched, ResolveError>,
}

impl Engine {
    /// Starts the reconciler on the current runtime.
    pub fn start(resolver: Resolver) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::new(Arc::new(resolver))), look: Notify::new() });
        let task = tokio::spawn(reconcile(Arc::clone(&shared)));
        Self { shared, _task: Arc::new(Task(task.abort_handle())) }
    }

    /// The slot of a text, kept for as long as somebody holds it. It may have no value yet: see [`Engine::settled`].
    pub fn slot(&self, template: &Template) -> Arc<Slot> {
        let shared = Arc::downgrade(&self.shared);
        // The slot may be dropped while the state is locked, so its end is only noted.
        let dropped = move || {
            if let Some(shared) = shared.upgrade() {
                shared.look.notify_one();
            }
        };
        let slot = self.state().slot(template, Instant::now(), dropped);
        self.shared.look.notify_one();
        slot
    }

    /// Waits until everything behind these slots has been tried once.
    pub async fn settled(&self, slots: &[Arc<Slot>]) {
        let waits = self.state().wait_for_first(slots);
        wait(waits).await;
    }

    /// Has something fetched at once, and returns at once.
    pub fn nudge(&self, what: &Nudge) {
        self.state().nudge(what, Instant::now());
        self.shared.look.notify_one();
    }

    /// Has something fetched at once, and waits for the outcome, which is in the status and in the slots.
    pub async fn refresh(&self, what: &Nudge) {
        let waits = {
            let mut state = self.state();
            state.nudge(what, Instant::now());
            state.wait_for_next(what)
        };
        self.shared.look.notify_one();
        wait(waits).await;
    }

    /// Takes over another configuration of vaults. What changes by it is fetched anew; until that is done the old
    /// values serve.
    pub fn reconfigure(&self, resolver: Resolver) {
        self.state().reconfigure(resolver, Instant::now());
        self.shared.look.notify_one();
    }

    /// What is known of every reference and every vault; never a value.
    pub fn status(&self) -> Status {
        let (references, resolver) = self.state().references(Instant::now());
        Status { references, vaults: resolver.sessions_status() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn wait(waits: Vec<oneshot::Receiver<()>>) {
    for wait in waits {
        // An error means that the secret is not wanted any longer.
        let _ = wait.await;
    }
}

/// The task: look, fetch, apply, sleep.
async fn reconcile(shared: Arc<Shared>) {
    let mut fetches: JoinSet<Done> = JoinSet::new();
    let mut maintenance: JoinSet<()> = JoinSet::new();
    loop {
        let (jobs, resolver, mut wake) = {
            let mut state = shared.state();
            let jobs = state.due(Instant::now());
            (jobs, state.resolver(), state.next_wake())
        };
        for job in jobs {
            let resolver = Arc::clone(&resolver);
            fetches.spawn(async move {
                let started = Instant::now();
                let outcome = resolver.fetch(&job.reference, &Trail::off()).await;
                Done { job, started, outcome }
            });
        }
        if maintenance.is_empty() {
            match resolver.maintenance_due() {
                Some(at) if at <= Instant::now() => {
                    let resolver = Arc::clone(&resolver);
                    maintenance.spawn(async move { resolver.maintain().await });
                }
                Some(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                None => {}
            }
        }
        tokio::select! {
            Some(done) = fetches.join_next(), if !fetches.is_empty() => apply(&shared, done),
            Some(_) = maintenance.join_next(), if !maintenance.is_empty() => {}
            () = shared.look.notified() => {}
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
        while let Some(done) = fetches.try_join_next() {
            apply(&shared, done);
        }
    }
}

fn apply(shared: &Shared, done: Result<Done, tokio::task::JoinError>) {
    // A fetch that panicked is a bug of ours; its group stays in flight, and the process says so.
    match done {
        Ok(Done { job, started, outcome }) => shared.state().apply(&job, started, Instant::now(), outcome),
        Err(error) => tracing::error!(%error, "a fetch did not end"),
    }
}
