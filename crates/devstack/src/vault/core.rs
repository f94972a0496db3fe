//! Everything the vault knows, behind one lock.
//!
//! Owns the state; each part has its own rules in its own file. Handlers get it locked, do no IO and give it back;
//! the two that do IO (`jwt`) hold the lock only before and after it.

use super::kv;
use super::policy::Policies;
use super::sys::{Mounts, Seal, Wrappings};
use super::token::Tokens;
use crate::clock::Clock;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The locked state.
pub(super) struct Core {
    pub(super) clock: Clock,
    pub(super) seal: Seal,
    pub(super) mounts: Mounts,
    pub(super) policies: Policies,
    pub(super) tokens: Tokens,
    pub(super) wrappings: Wrappings,
}

/// The state, shared between connections.
pub(super) struct Shared(Mutex<Core>);

impl Shared {
    /// As after `vault server -dev`.
    pub(super) fn new(root_token: &str) -> Self {
        let clock = Clock::start();
        let mut mounts = Mounts::default();
        mounts.add_secrets("secret/", kv::Version::V2, "key/value secret storage");
        let policies = Policies::with_default(&clock);
        let tokens = Tokens::with_root(root_token, &clock);
        Self(Mutex::new(Core {
            clock,
            seal: Seal::new(),
            mounts,
            policies,
            tokens,
            wrappings: Wrappings::default(),
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
