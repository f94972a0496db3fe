//! What somebody has used, where several nodes count it together in a Redis.
//!
//! Owns: that it is read before a request is sent on, and that a response's costs are added without anybody waiting for it. So
//! requests that are on their way at the same time do not see each other's costs, as in Kong. Must not know: what a limit is.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::runtime::Handle;

use super::super::counting::remote::{self, Remote};
use super::super::counting::window::Window;
use crate::prepared::Living;
use crate::redis::connect::{Failure, Settings};
use crate::view::Request;

/// Adds to counts; for each: how much, and for how long it counts.
const ADD: &[u8] = b"local sums = {}
for i, key in ipairs(KEYS) do
  sums[i] = redis.call('INCRBY', key, ARGV[2 * i - 1])
  if sums[i] == tonumber(ARGV[2 * i - 1]) then redis.call('EXPIRE', key, ARGV[2 * i]) end
end
return sums";

/// Counts of one plugin.
pub(super) struct Shared {
    remote: Arc<Remote>,
    pub(super) fault_tolerant: bool,
    runtime: Handle,
}

/// What is added to a count.
pub(super) struct Addition {
    pub(super) key: String,
    pub(super) window: Window,
    pub(super) cost: u32,
}

impl Shared {
    pub(super) fn new(settings: Settings, fault_tolerant: bool, living: &Living<'_>) -> Self {
        let remote = living.state.of(living.id, Remote::default);
        remote.redis.reach(settings, living);
        Self { remote, fault_tolerant, runtime: living.io.clone() }
    }

    /// What was used under these keys.
    pub(super) async fn used(&self, keys: &[String]) -> Result<SmallVec<[u32; 6]>, Failure> {
        let words = [&b"MGET"[..]].into_iter().chain(keys.iter().map(String::as_bytes));
        let words: SmallVec<[&[u8]; 8]> = words.collect();
        let first = keys.first().map_or(&b""[..], |key| key.as_bytes());
        let reply = self.remote.redis.ask(first, &words).await?;
        Ok(remote::counts(reply, keys.len())?.into())
    }

    /// Adds costs, by and by.
    pub(super) fn add(&self, additions: Vec<Addition>) {
        let Some(first) = additions.first().map(|addition| addition.key.clone()) else { return };
        let remote = Arc::clone(&self.remote);
        self.runtime.spawn(async move {
            let number = additions.len().to_string();
            let numbers: Vec<String> = additions
                .iter()
                .flat_map(|addition| [addition.cost, addition.window.length].map(|n| n.to_string()))
                .collect();
            let words: Vec<&[u8]> = [b"EVAL".as_slice(), ADD, number.as_bytes()]
                .into_iter()
                .chain(additions.iter().map(|addition| addition.key.as_bytes()))
                .chain(numbers.iter().map(String::as_bytes))
                .collect();
            let added = remote.redis.ask(first.as_bytes(), &words).await;
            if let Err(failure) = added.and_then(|reply| remote::counts(reply, additions.len())) {
                remote.complain(None, &failure, "costs of a response could not be counted");
            }
        });
    }

    /// Tells of trouble.
    pub(super) fn complain(&self, request: &Request, failure: &Failure) {
        self.remote.unreadable(request, failure, self.fault_tolerant);
    }
}

#[cfg(test)]
mod tests;
