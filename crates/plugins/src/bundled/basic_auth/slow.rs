//! Password checks that take long: beside the workers, few at a time, and not again for a password that was right a
//! moment ago.
//!
//! Owns: how many run, and what is remembered: that a check came out well, by a keyed hash, never the password. A
//! wrong password is not remembered; so those who try many cost no memory. Must not know: requests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::directory::Slow;
use postern_secrets::clock::Clock;

/// Seconds for which a right password is remembered: a minute of requests costs one check.
const REMEMBERED: u64 = 60;
/// So many are remembered at most.
const RIGHT_MAX: usize = 10_000;

/// The checks of a node.
#[derive(Debug)]
pub(super) struct SlowChecks {
    /// Until when, in seconds since 1970, by [`Slow::fingerprint`].
    right: Mutex<HashMap<[u8; 32], u64>>,
    /// As many as there are cores: more would only take memory.
    places: Semaphore,
}

impl Default for SlowChecks {
    fn default() -> Self {
        let places = Semaphore::new(available_parallelism().map_or(1, usize::from));
        Self { right: Mutex::default(), places }
    }
}

impl SlowChecks {
    /// Whether the password is right.
    pub(super) async fn run(&self, check: Slow, password: Zeroizing<Vec<u8>>, clock: &Clock) -> bool {
        if self.is_remembered(&check, clock.now()) {
            return true;
        }
        // Never closed; an error is a refusal.
        let Ok(_place) = self.places.acquire().await else { return false };
        let fingerprint = check.fingerprint;
        let is_right = spawn_blocking(move || check.run(&password)).await.unwrap_or(false);
        if is_right {
            self.remember(fingerprint, clock.now());
        }
        is_right
    }

    fn is_remembered(&self, check: &Slow, now: u64) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(&check.fingerprint).is_some_and(|end| now < *end)
    }

    fn remember(&self, fingerprint: [u8; 32], now: u64) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= RIGHT_MAX {
            right.retain(|_, end| now < *end);
        }
        if right.len() < RIGHT_MAX {
            right.insert(fingerprint, now.saturating_add(REMEMBERED));
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.right.lock().unwrap().len()
    }
}
