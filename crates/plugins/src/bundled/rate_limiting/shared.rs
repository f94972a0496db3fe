//! Counts that several nodes share, in a Redis.
//!
//! Owns: one script for all limits of a request, so that they are counted together or not at all; and with `sync_rate`, counts of
//! this node that are exchanged now and then. Must not know: requests' headers, how Redis is reached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::time::sleep;
use uuid::Uuid;

use super::super::counting::remote::{self, Remote};
use super::super::counting::window::{Period, Window};
use crate::prepared::Living;
use crate::redis::connect::{Failure, Settings};
use crate::redis::resp::Reply;
use crate::view::Request;

/// One limit of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) period: Period,
    pub(super) window: Window,
    /// How many requests pass.
    pub(super) passes: u32,
}

/// What was used of each limit, this request included where it passes.
pub(super) type Used = (SmallVec<[u32; 6]>, bool);

/// Adds one to every key, unless one of them has reached its limit. For each key: its limit, and for how long it counts.
const COUNT: &[u8] = b"local used, passes = {}, 1
for i, key in ipairs(KEYS) do
  used[i] = tonumber(redis.call('GET', key) or '0')
  if used[i] >= tonumber(ARGV[2 * i - 1]) then passes = 0 end
end
if passes == 1 then
  for i, key in ipairs(KEYS) do
    used[i] = redis.call('INCR', key)
    if used[i] == 1 then redis.call('EXPIRE', key, ARGV[2 * i]) end
  end
end
used[#used + 1] = passes
return used";

/// Adds what a node has counted, and gives the sum of all.
const ADD: &[u8] = b"local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if sum == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return sum";

/// Keys that a node keeps between two exchanges.
const KEPT: usize = 100_000;

/// The counts of one plugin.
pub(super) struct Shared {
    store: Arc<Store>,
    /// How long counts of this node's own may be apart from those of all; at once, where there is none.
    every: Option<Duration>,
    pub(super) fault_tolerant: bool,
    runtime: Handle,
}

/// What outlives a configuration.
#[derive(Default)]
struct Store {
    remote: Remote,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    keys: HashMap<String, Count>,
    /// A task exchanges them.
    attended: bool,
    failing: Option<Failure>,
}

/// What a node knows of a key.
#[derive(Clone, Copy, Default)]
struct Count {
    /// The sum of all nodes, when it was last heard.
    all: u32,
    /// What was counted here since.
    own: u32,
    /// Seconds for which the key counts.
    length: u32,
    /// Exchanges in which nothing was counted.
    idle: u32,
}

impl Shared {
    pub(super) fn new(settings: Settings, sync_rate: f64, fault_tolerant: bool, living: &Living<'_>) -> Self {
        let store = living.state.of(living.id, Store::default);
        store.remote.redis.reach(settings, living);
        let every = (sync_rate > 0.0).then(|| Duration::from_secs_f64(sync_rate.clamp(0.02, 3600.0)));
        Self { store, every, fault_tolerant, runtime: living.io.clone() }
    }

    /// Counts a request for somebody, unless it is one too many: then it counts for none of the limits.
    pub(super) async fn count(&self, plugin: Uuid, who: &[u8], limits: &[Counted]) -> Result<Used, Failure> {
        let keys = keys(plugin, who, limits);
        if let Some(every) = self.every {
            return self.count_here(&keys, limits, every);
        }
        let numbers: Vec<_> = limits
            .iter()
            .flat_map(|limit| [limit.passes, limit.window.length])
            .map(|n| n.to_string())
            .collect();
        let count = keys.len().to_string();
        let words: Vec<&[u8]> = [b"EVAL".as_slice(), COUNT, count.as_bytes()]
            .into_iter()
            .chain(keys.iter().map(String::as_bytes))
            .chain(numbers.iter().map(String::as_bytes))
            .collect();
        let first = keys.first().map_or(&b""[..], |key| key.as_bytes());
        read(self.store.remote.redis.ask(first, &words).await?, limits.len())
    }

    /// By what is known here.
    fn count_here(&self, keys: &[String], limits: &[Counted], every: Duration) -> Result<Used, Failure> {
        let mut counts = self.store.counts();
        if let Some(failure) = &counts.failing
            && !self.fault_tolerant
        {
            return Err(failure.clone());
        }
        if counts.keys.len() > KEPT {
            // Better to count somebody twice than to run out of memory.
            counts.keys.clear();
        }
        let known = |counts: &Counts, key: &String| {
            counts.keys.get(key).map_or(0, |count| count.all.saturating_add(count.own))
        };
        let passes = keys.iter().zip(limits).all(|(key, limit)| known(&counts, key) < limit.passes);
        let mut used = SmallVec::new();
        for (key, limit) in keys.iter().zip(limits) {
            if passes {
                let count = counts.keys.entry(key.clone()).or_default();
                count.own += 1;
                count.length = limit.window.length;
                count.idle = 0;
            }
            used.push(known(&counts, key));
        }
        if !std::mem::replace(&mut counts.attended, true) {
            self.runtime.spawn(exchange(Arc::downgrade(&self.store), every));
        }
        Ok((used, passes))
    }

    /// Tells of trouble.
    pub(super) fn complain(&self, request: &Request, failure: &Failure) {
        self.store.remote.unreadable(request, failure, self.fault_tolerant);
    }
}

impl Store {
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Exchanges counts until nothing is counted any more.
async fn exchange(store: Weak<Store>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(store) = store.upgrade() else { return };
        let open: Vec<(String, Count)> = {
            let mut counts = store.counts();
            // What ended long ago is not heard of again.
            counts.keys.retain(|_, count| {
                count.idle += 1;
                count.own > 0 || count.idle < 100
            });
            if counts.keys.is_empty() {
                counts.attended = false;
                return;
            }
            // Also of those that nothing was counted for here: others may have.
            let busy = counts.keys.iter().filter(|(_, count)| count.own > 0 || count.idle < 10);
            busy.map(|(key, count)| (key.clone(), *count)).collect()
        };
        let mut failing = None;
        for (key, count) in open {
            let (own, length) = (count.own.to_string(), count.length.to_string());
            let words = [b"EVAL", ADD, b"1", key.as_bytes(), own.as_bytes(), length.as_bytes()];
            match store.remote.redis.ask(key.as_bytes(), &words).await {
                Ok(Reply::Integer(sum)) => {
                    if let Some(known) = store.counts().keys.get_mut(&key) {
                        known.all = u32::try_from(sum).unwrap_or(u32::MAX);
                        known.own = known.own.saturating_sub(count.own);
                    }
                }
                Ok(_) => failing = Some(remote::unexpected()),
                Err(failure) => failing = Some(failure),
            }
            if failing.is_some() {
                break;
            }
        }
        if let Some(failure) = &failing {
            tracing::warn!(reason = %failure, "counts cannot be exchanged; this node counts alone");
        }
        store.counts().failing = failing;
    }
}

/// The names of all counts.
fn keys(plugin: Uuid, who: &[u8], limits: &[Counted]) -> Vec<String> {
    let whose = remote::whose(super::SCHEMA.name, plugin, who);
    limits.iter().map(|limit| remote::key(&whose, limit.period, &limit.window)).collect()
}

fn read(reply: Reply, limits: usize) -> Result<Used, Failure> {
    let mut used = remote::counts(reply, limits + 1)?;
    let passes = used.pop() == Some(1);
    Ok((used.into(), passes))
}

#[cfg(test)]
mod tests;
