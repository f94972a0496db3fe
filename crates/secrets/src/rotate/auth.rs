//! For users of a secret whose peer refused it: fetch afresh, once for all that ask, and try again.
//!
//! A rotated password is of use only if somebody asks for it. Owns: that a peer which goes on refusing cannot make a
//! storm of fetches. Must not know: what the peer is.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::slot::Slot;

/// How a call that uses secrets ended.
#[derive(Debug)]
pub enum Attempt<T, E> {
    /// It was done.
    Done(T),
    /// The peer refused the credentials.
    Refused(E),
}

/// The peer refused the credentials, fresh ones included.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused with fresh credentials too: {0}")]
pub struct AuthFailure<E>(pub E);

/// Values younger than this are not fetched again: the peer refuses what the vault says.
const YOUNG: Duration = Duration::from_secs(1);

impl Engine {
    /// Calls, and if the peer refuses what is in `slots`, has them fetched afresh and calls once more. If they changed
    /// meanwhile, nothing is fetched.
    ///
    /// # Errors
    /// The second refusal.
    pub async fn retry_on_auth_failure<T, E, F>(
        &self,
        slots: &[Arc<Slot>],
        mut call: impl FnMut() -> F,
    ) -> Result<T, AuthFailure<E>>
    where
        F: Future<Output = Attempt<T, E>>,
    {
        let before: Vec<u64> = slots.iter().map(|slot| slot.generation()).collect();
        let refused = match call().await {
            Attempt::Done(outcome) => return Ok(outcome),
            Attempt::Refused(refused) => refused,
        };
        let changed = || slots.iter().zip(&before).any(|(slot, before)| slot.generation() != *before);
        if !changed() {
            self.refresh_older_than(slots, YOUNG).await;
        }
        if !changed() {
            return Err(AuthFailure(refused));
        }
        match call().await {
            Attempt::Done(outcome) => Ok(outcome),
            Attempt::Refused(refused) => Err(AuthFailure(refused)),
        }
    }

    /// Fetches what is behind these slots, unless it is that young. Those who come while it is fetched share it.
    async fn refresh_older_than(&self, slots: &[Arc<Slot>], age: Duration) {
        let waits = {
            let state = &mut self.shared.generations().in_effect;
            let now = tokio::time::Instant::now();
            let references = slots.iter().flat_map(|slot| slot.template().references());
            references.filter_map(|reference| state.refresh_older_than(reference, age, now)).collect()
        };
        self.shared.look.notify_one();
        super::wait(waits).await;
    }
}
