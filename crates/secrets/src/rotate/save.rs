//! Writing the last known good values down. Owns: that there is one write at a time, off the runtime, and what came of
//! the last one. Must not know: what is written, or when; [`super::state`] says that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Shared;
use super::status::LastKnownGoodStatus;
use crate::snapshot::{SnapshotError, Store};

/// The file, and how it stands.
#[derive(Debug)]
pub(super) struct Saving {
    store: Arc<Store>,
    one_at_a_time: tokio::sync::Mutex<()>,
    outcome: Mutex<Outcome>,
}

#[derive(Debug)]
struct Outcome {
    written: Option<Instant>,
    problem: Option<SnapshotError>,
}

impl Saving {
    /// `problem` is why the file could not be read.
    pub(super) fn new(store: Store, problem: Option<SnapshotError>) -> Self {
        Self {
            store: Arc::new(store),
            one_at_a_time: tokio::sync::Mutex::default(),
            outcome: Mutex::new(Outcome { written: None, problem }),
        }
    }

    pub(super) fn status(&self, serving: usize, now: Instant) -> LastKnownGoodStatus {
        let outcome = self.outcome();
        LastKnownGoodStatus {
            file: self.store.file.clone(),
            serving,
            written: outcome.written.map(|written| now.saturating_duration_since(written)),
            problem: outcome.problem.as_ref().map(ToString::to_string),
        }
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is to be written, if anything is.
pub(super) async fn save(shared: &Arc<Shared>) {
    let Some(saving) = &shared.saving else { return };
    // Taken before the values are, so that newer ones are not overwritten by older ones.
    let _one = saving.one_at_a_time.lock().await;
    let Some(entries) = shared.generations().in_effect.take_unsaved(Instant::now()) else { return };
    let store = Arc::clone(&saving.store);
    let written = tokio::task::spawn_blocking(move || store.write(&entries)).await;
    let mut outcome = saving.outcome();
    match written {
        Ok(Ok(())) => *outcome = Outcome { written: Some(Instant::now()), problem: None },
        Ok(Err(problem)) => {
            if outcome.problem.as_ref() != Some(&problem) {
                let (file, hint) = (saving.store.file.display(), problem.hint());
                tracing::warn!(%file, %problem, hint, "the last known good values cannot be written");
            }
            outcome.problem = Some(problem);
            shared.generations().in_effect.save_failed(Instant::now());
        }
        Err(error) => {
            tracing::error!(%error, "writing the last known good values broke off");
            shared.generations().in_effect.save_failed(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
