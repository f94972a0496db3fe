//! The one way a configuration takes effect, whatever it comes from.
//!
//! Owns: that one is prepared at a time, beside the one in effect, and that a refusal changes nothing: [`Effect::prepare`] has
//! `&self` and gives a [`Prepared`], which is dropped where something stands against it. The only way on is
//! [`Prepared::commit`], which consumes it, cannot fail and does not wait. Must not know: what is made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_model::snapshot::Broken;
use postern_model::{Snapshot, Violation};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use uuid::Uuid;

/// What a configuration is made into.
pub trait Effect: Send + Sync {
    /// What may take effect.
    type Prepared<'a>: Prepared
    where
        Self: 'a;

    /// Makes it, beside what is in effect, and touches nothing of that. May wait for secrets to be read for the first time.
    ///
    /// # Errors
    /// Everything that stands against it.
    fn prepare(
        &self,
        snapshot: &Arc<Snapshot>,
    ) -> impl Future<Output = Result<Self::Prepared<'_>, Vec<Violation>>>;

    /// Waits until something changed that needs the configuration in effect to be prepared again.
    fn changed(&self) -> impl Future<Output = ()>;
}

/// What may take effect. Dropping it leaves no trace.
pub trait Prepared {
    /// Takes effect. The entities that it gives cannot: what needs them is closed.
    fn commit(self) -> Vec<Arc<Broken>>;
}

/// Applies configurations, one after the other.
#[derive(Debug)]
pub struct Apply<E> {
    effect: E,
    turn: AsyncMutex<()>,
    state: Mutex<State>,
}

/// What is in effect, and what was refused since.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What is in effect; `None` before the first.
    pub current: Option<Current>,
    /// Why the newest was refused, if it was.
    pub refused: Option<Vec<Violation>>,
}

/// The configuration in effect.
#[derive(Clone, Debug)]
pub struct Current {
    /// Tells it from others, in hexadecimal digits: what `/status` calls `configuration_hash`.
    pub hash: String,
    /// Its entities.
    pub snapshot: Arc<Snapshot>,
    /// Those of a store that could not take effect. What needs them fails closed.
    pub broken: Arc<[Arc<Broken>]>,
    /// Since when.
    pub since: Instant,
    /// One more with each.
    pub number: u64,
}

/// In place of a hash, until a configuration is loaded: as Kong shows it, for controllers that load one when they see it.
pub const NO_CONFIGURATION: &str = "00000000000000000000000000000000";

/// The hash of a configuration's text.
pub fn hash(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl<E: Effect> Apply<E> {
    /// Nothing is in effect yet.
    pub fn new(effect: E) -> Self {
        Self { effect, turn: AsyncMutex::new(()), state: Mutex::default() }
    }

    /// Prepares what was checked, and puts it in effect. `hash` tells it from others; of a text it is [`hash`].
    ///
    /// # Errors
    /// Everything that stands against it; what was in effect still is.
    pub async fn apply(&self, snapshot: Snapshot, hash: String) -> Result<(), Vec<Violation>> {
        let _turn = self.turn.lock().await;
        let snapshot = Arc::new(snapshot);
        match self.effect.prepare(&snapshot).await {
            Err(violations) => {
                self.refused(violations.clone());
                Err(violations)
            }
            Ok(prepared) => {
                self.commit(prepared, |before, broken| {
                    let number = before.current.as_ref().map_or(1, |current| current.number + 1);
                    let current = Current { hash, snapshot, broken, since: Instant::now(), number };
                    State { current: Some(current), refused: None }
                });
                Ok(())
            }
        }
    }

    /// Prepares what is in effect once more: something that it hangs on has changed. A failure changes nothing.
    pub async fn again(&self) {
        let _turn = self.turn.lock().await;
        let Some(current) = self.state().current else { return };
        match self.effect.prepare(&current.snapshot).await {
            Err(violations) => {
                for violation in violations {
                    tracing::error!(%violation, "a value that changed cannot be used; the old ones serve on");
                }
            }
            Ok(prepared) => {
                self.commit(prepared, |before, broken| State {
                    current: Some(Current { broken, ..current }),
                    refused: before.refused.clone(),
                });
            }
        }
    }

    /// Commits, and notes what is in effect from then on: `now` makes that of what was, and of the entities that are broken.
    fn commit<P: Prepared>(&self, prepared: P, now: impl FnOnce(&State, Arc<[Arc<Broken>]>) -> State) {
        let broken = prepared.commit().into();
        let mut state = self.lock();
        let now = now(&state, broken);
        tell(&state, &now);
        *state = now;
    }

    /// Notes that a configuration was refused before it came here: it could not be read.
    pub fn refused(&self, violations: Vec<Violation>) {
        self.lock().refused = Some(violations);
    }

    /// What is in effect.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// What it is put into effect by.
    pub fn effect(&self) -> &E {
        &self.effect
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of entities that are broken, once each, and of those that are mended.
fn tell(before: &State, now: &State) {
    /// More are counted, and shown by the status page.
    const MOST: usize = 100;
    fn broken(state: &State) -> &[Arc<Broken>] {
        state.current.as_ref().map_or(&[], |current| &current.broken)
    }
    let (before, now) = (broken(before), broken(now));
    fn named(all: &[Arc<Broken>]) -> HashMap<(&str, Uuid), &Arc<Broken>> {
        all.iter().map(|broken| ((broken.kind.as_str(), broken.id), broken)).collect()
    }
    let (known, there) = (named(before), named(now));
    let is_known = |broken: &Arc<Broken>| {
        known.get(&(&broken.kind, broken.id)).is_some_and(|known| known.reasons == broken.reasons)
    };
    for broken in now.iter().filter(|broken| !is_known(broken)).take(MOST) {
        tracing::error!(entity = broken.path, id = %broken.id, reason = %broken, "cannot take effect; what needs it is closed");
    }
    let is_there = |broken: &Arc<Broken>| there.contains_key(&(broken.kind.as_str(), broken.id));
    for broken in before.iter().filter(|broken| !is_there(broken)).take(MOST) {
        tracing::info!(entity = broken.path, id = %broken.id, "is not broken any longer");
    }
}

#[cfg(test)]
mod tests;
