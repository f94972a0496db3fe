//! Wrong passwords, counted by name, and how long somebody has to wait after too many of them.
//!
//! Owns: when there are too many, and the wait. As in Kong, the third wrong one is answered with 429, the wait is two to the
//! power of their number in seconds and an hour at most, and a right password takes none back. Unlike there, an attempt during
//! the wait is neither checked nor counted: it tells nobody whether it would have been right, and whoever has the right
//! password does not lengthen the wait by trying; and what was counted is known for an hour after the last wrong one. Must not
//! know: whether the name is anybody's, else an answer would tell. Where: in this node's memory, or in a Redis.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use super::super::counting::remote::{self, Remote};
use crate::prepared::Living;
use crate::redis::connect::{Failure, Settings};
use crate::view::Request;
use postern_secrets::clock::Clock;

/// From how many wrong ones on one has to wait.
const MOST: u32 = 3;
/// Seconds, of a wait at most, and for which wrong ones are known after the last.
const HOUR: u64 = 3600;
/// Names that are known at once. About 10 MiB.
const KNOWN: usize = 100_000;

/// Counts one more wrong password; answers with the seconds of the wait, or 0.
const FAILED: &[u8] = b"local failures = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
if failures < tonumber(ARGV[1]) then return {0} end
local wait = math.min(2 ^ math.min(failures, 20), tonumber(ARGV[2]))
redis.call('SET', KEYS[2], failures, 'EX', string.format('%d', wait))
redis.call('EXPIRE', KEYS[1], string.format('%d', wait + tonumber(ARGV[2])))
return {wait}";

/// Seconds until it is one's turn again.
const WAIT: &[u8] = b"return {math.max(redis.call('TTL', KEYS[1]), 0)}";

/// What is known of wrong passwords.
pub(super) struct Attempts {
    plugin: Uuid,
    kept: Kept,
}

enum Kept {
    Here(Arc<Memory>, Clock),
    There(Arc<Remote>),
}

impl Attempts {
    /// In the memory of this node; it outlives a configuration.
    pub(super) fn here(clock: Clock, living: &Living<'_>) -> Self {
        let memory = living.state.of(living.id, Memory::default);
        Self { plugin: living.id, kept: Kept::Here(memory, clock) }
    }

    /// In a Redis, for several nodes together.
    pub(super) fn there(settings: Settings, living: &Living<'_>) -> Self {
        let remote = living.state.of(living.id, Remote::default);
        remote.redis.reach(settings, living);
        Self { plugin: living.id, kept: Kept::There(remote) }
    }

    /// The seconds that somebody of this name has to wait still; 0 for none.
    pub(super) async fn wait(&self, name: &str) -> Result<u32, Failure> {
        match &self.kept {
            Kept::Here(memory, clock) => Ok(memory.wait(name, clock.now())),
            Kept::There(remote) => {
                let [_, waits] = self.keys(name);
                let words = [b"EVAL", WAIT, b"1", waits.as_bytes()];
                number(remote, &waits, &words).await
            }
        }
    }

    /// Counts a wrong password, and says how long to wait from now on.
    pub(super) async fn failed(&self, name: &str) -> Result<u32, Failure> {
        match &self.kept {
            Kept::Here(memory, clock) => Ok(memory.failed(name, clock.now())),
            Kept::There(remote) => {
                let [failures, waits] = self.keys(name);
                let (most, hour) = (MOST.to_string(), HOUR.to_string());
                let words = [
                    b"EVAL",
                    FAILED,
                    b"2",
                    failures.as_bytes(),
                    waits.as_bytes(),
                    most.as_bytes(),
                    hour.as_bytes(),
                ];
                number(remote, &failures, &words).await
            }
        }
    }

    /// Tells of trouble. Without counts nobody comes in: otherwise, who can disturb Redis can try passwords.
    pub(super) fn complain(&self, request: &Request, failure: &Failure) {
        if let Kept::There(remote) = &self.kept {
            remote.unreadable(request, failure, false);
        }
    }

    /// Of the count, and of the wait.
    fn keys(&self, name: &str) -> [String; 2] {
        let whose = remote::whose(super::SCHEMA.name, self.plugin, name.as_bytes());
        [format!("{whose}:failures"), format!("{whose}:wait")]
    }
}

async fn number(remote: &Remote, key: &str, words: &[&[u8]]) -> Result<u32, Failure> {
    let reply = remote.redis.ask(key.as_bytes(), words).await?;
    Ok(remote::counts(reply, 1)?.first().copied().unwrap_or(0))
}

/// Seconds after so many wrong ones.
fn wait_after(failures: u32) -> u64 {
    if failures < MOST { 0 } else { 2_u64.saturating_pow(failures).min(HOUR) }
}

/// Wrong passwords by a hash of the name: names may be long.
#[derive(Default)]
struct Memory {
    hasher: RandomState,
    known: RwLock<HashMap<u64, Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    failures: u32,
    /// In seconds since 1970.
    until: u64,
}

impl Known {
    fn is_over(&self, now: u64) -> bool {
        self.until.saturating_add(HOUR) <= now
    }
}

impl Memory {
    fn wait(&self, name: &str, now: u64) -> u32 {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let until = known.get(&self.hasher.hash_one(name)).map_or(0, |known| known.until);
        u32::try_from(until.saturating_sub(now)).unwrap_or(u32::MAX)
    }

    fn failed(&self, name: &str, now: u64) -> u32 {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.retain(|_, known| !known.is_over(now));
        }
        if known.len() >= KNOWN {
            // Whoever fills this up with names must not free the one that is waited for: away with those that do not wait.
            known.retain(|_, known| known.until > now);
        }
        if known.len() >= KNOWN {
            // Memory is bounded all the same; which go, a hash decides that nobody can aim with.
            let mut index = 0_usize;
            known.retain(|_, _| {
                index += 1;
                !index.is_multiple_of(4)
            });
        }
        let one = known.entry(self.hasher.hash_one(name)).or_insert(Known { failures: 0, until: now });
        if one.is_over(now) {
            one.failures = 0;
        }
        one.failures = one.failures.saturating_add(1);
        let wait = wait_after(one.failures);
        one.until = now.saturating_add(wait);
        u32::try_from(wait).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
