//! The queue between requests and whoever their logs are for.
//!
//! Owns: batches, retries, and that it is bounded: where the other side does not keep up, the oldest entries are dropped and
//! counted, and no request waits. Must not know: what an entry says, where it goes. The fields are those of Kong's `queue`.
//!
//! A queue outlives the plugin that fills it ([`crate::state::State`]): when a credential rotates, what waits is delivered
//! with the new one. It costs a task only while something waits.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use postern_model::field::{Field, Rule};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::prepared::Living;

/// More entries go together nowhere.
const MAX_TOGETHER: i64 = 1_000_000;

/// The fields of `queue`, where so many entries go together unless said otherwise.
pub(crate) const fn fields(max_batch_size: i64) -> [Field; 8] {
    [
        Field::integer("max_batch_size")
            .default_int(max_batch_size)
            .rules(&[Rule::Between(1.0, 1_000_000.0)])
            .doc("How many entries are delivered together at most."),
        Field::number("max_coalescing_delay")
            .default_int(1)
            .rules(&[Rule::Between(0.0, 3600.0)])
            .doc("Seconds for which an entry waits for others at most."),
        Field::integer("max_entries")
            .default_int(10_000)
            .rules(&[Rule::Between(1.0, 1_000_000.0)])
            .doc("How many entries may wait; then the oldest are dropped."),
        Field::integer("max_bytes").doc("How many bytes may wait; then the oldest entries are dropped."),
        Field::number("max_retry_time")
            .default_int(60)
            .doc("Seconds after which a batch that could not be delivered is dropped; -1 for never."),
        Field::number("initial_retry_delay")
            .default(postern_model::field::Default::Number(0.01))
            .rules(&[Rule::Between(0.001, 1_000_000.0)])
            .doc("Seconds until a batch is tried again; twice as long each time."),
        Field::number("max_retry_delay")
            .default_int(60)
            .rules(&[Rule::Between(0.001, 1_000_000.0)])
            .doc("The longest of these pauses, in seconds."),
        Field::integer("concurrency_limit")
            .default_int(1)
            .rules(&[Rule::OneOfIntegers(&[-1, 1])])
            .doc("How many batches are on their way at once: 1, or -1 for as many as there are."),
    ]
}

/// The same, read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) max_batch_size: usize,
    pub(crate) max_coalescing_delay: f64,
    pub(crate) max_entries: usize,
    /// Below zero is as zero: nothing is kept.
    pub(crate) max_bytes: Option<i64>,
    pub(crate) max_retry_time: f64,
    pub(crate) initial_retry_delay: f64,
    pub(crate) max_retry_delay: f64,
    pub(crate) concurrency_limit: i64,
    /// How often a batch is tried again, in the words of older versions; besides `max_retry_time`.
    #[serde(skip)]
    pub(crate) retries: Option<u64>,
}

impl Config {
    /// As it is where a plugin has no field `queue`; so many entries go together, and wait for each other for so short a
    /// time that nobody notices, but the gateway: to wake a task for each request costs more than to write its entry.
    pub(crate) fn plain(max_batch_size: usize) -> Self {
        Self {
            max_batch_size,
            max_coalescing_delay: 0.05,
            max_entries: 10_000,
            max_bytes: None,
            max_retry_time: 60.0,
            initial_retry_delay: 0.01,
            max_retry_delay: 60.0,
            concurrency_limit: 1,
            retries: None,
        }
    }

    /// With what plugins called `retry_count`, `queue_size` and `flush_timeout` before there were queues. Numbers that say
    /// nothing, as -1, count as not given.
    pub(crate) fn in_older_words(
        mut self,
        retries: Option<i64>,
        size: Option<i64>,
        delay: Option<f64>,
    ) -> Self {
        self.retries = retries.and_then(|retries| u64::try_from(retries).ok());
        let size = size.filter(|size| *size > 1).map(|size| size.min(MAX_TOGETHER));
        self.max_batch_size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(self.max_batch_size);
        self.max_coalescing_delay = delay.unwrap_or(self.max_coalescing_delay);
        self
    }

    fn most_bytes(&self) -> usize {
        self.max_bytes.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0))
    }
}

/// Delivers batches. A plugin makes one from its configuration.
pub(crate) trait Deliver<T>: Send + Sync + 'static {
    /// Tries once, and says how many of the entries are lost for good. With an error none has arrived, and all are tried
    /// again; it is for people: it holds nothing of the entries, and no credential.
    fn deliver<'a>(&'a self, batch: &'a [T]) -> Delivery<'a>;
}

/// How many entries are lost, once all is done; see [`Deliver`].
pub(crate) type Delivery<'a> = Pin<Box<dyn Future<Output = Result<usize, String>> + Send + 'a>>;

/// Entries on their way.
pub(crate) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    /// Some more are there.
    more: Notify,
    counts: Arc<Counts>,
}

struct Waiting<T> {
    entries: VecDeque<(T, usize)>,
    bytes: usize,
    /// Whether a task looks after them.
    attended: bool,
    terms: Option<Terms<T>>,
}

impl<T> Waiting<T> {
    /// Whether there is nothing to wait for.
    fn is_enough(&self) -> bool {
        let wanted = self.terms.as_ref().map_or(0, |terms| terms.config.max_batch_size);
        self.entries.is_empty() || self.entries.len() >= wanted
    }
}

/// How batches are delivered at present.
struct Terms<T> {
    config: Config,
    to: Arc<dyn Deliver<T>>,
}

impl<T> Clone for Terms<T> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone(), to: Arc::clone(&self.to) }
    }
}

/// A plugin's end of a queue.
pub(crate) struct Sender<T> {
    queue: Arc<Queue<T>>,
    runtime: Handle,
}

/// What came of the entries of a queue.
#[derive(Debug)]
pub struct Counts {
    /// The plugin's name.
    pub plugin: &'static str,
    /// The plugin entity.
    pub id: Uuid,
    delivered: AtomicU64,
    dropped: AtomicU64,
    /// Neither yet.
    open: AtomicU64,
    /// The node stops: nothing waits for others any more.
    hurries: Arc<Hurry>,
}

impl Counts {
    /// Entries that were delivered, that were dropped, and that wait.
    pub fn read(&self) -> (u64, u64, u64) {
        let [delivered, dropped, open] =
            [&self.delivered, &self.dropped, &self.open].map(|count| count.load(Ordering::Relaxed));
        (delivered, dropped, open)
    }

    fn end(&self, entries: usize, count: &AtomicU64) -> u64 {
        self.open.fetch_sub(entries as u64, Ordering::Relaxed);
        count.fetch_add(entries as u64, Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Hurry {
    now: std::sync::atomic::AtomicBool,
    told: Notify,
}

/// Every queue of the node.
#[derive(Debug, Default)]
pub struct Queues {
    all: Mutex<Vec<Weak<Counts>>>,
    hurry: Arc<Hurry>,
}

impl Queues {
    /// The counts of those that are there.
    pub fn counts(&self) -> Vec<Arc<Counts>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// Delivers what waits, for as long as this at most: the node stops. Says how many entries are left.
    pub async fn flush(&self, most: Duration) -> u64 {
        self.hurry.now.store(true, Ordering::Relaxed);
        self.hurry.told.notify_waiters();
        let open = || self.counts().iter().map(|counts| counts.read().2).sum::<u64>();
        let emptied = async {
            while open() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(most, emptied).await;
        open()
    }

    fn add(&self, plugin: &'static str, id: Uuid) -> Arc<Counts> {
        let counts = Arc::new(Counts {
            plugin,
            id,
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            open: AtomicU64::new(0),
            hurries: Arc::clone(&self.hurry),
        });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|counts| counts.strong_count() > 0);
        all.push(Arc::downgrade(&counts));
        counts
    }
}

impl<T: Send + Sync + 'static> Sender<T> {
    /// The queue of this plugin, from now on on these terms.
    pub(crate) fn new(
        plugin: &'static str,
        living: &Living<'_>,
        config: Config,
        to: impl Deliver<T>,
    ) -> Self {
        let queue = living.state.of(living.id, || Queue {
            waiting: Mutex::new(Waiting { entries: VecDeque::new(), bytes: 0, attended: false, terms: None }),
            more: Notify::new(),
            counts: living.node.queues.add(plugin, living.id),
        });
        queue.lock().terms = Some(Terms { config, to: Arc::new(to) });
        Self { queue, runtime: living.io.clone() }
    }

    /// Puts an entry of so many bytes in. Never waits.
    pub(crate) fn push(&self, entry: T, bytes: usize) {
        let queue = &self.queue;
        let mut waiting = queue.lock();
        let Some(terms) = &waiting.terms else { return };
        queue.counts.open.fetch_add(1, Ordering::Relaxed);
        let (most, most_bytes) = (terms.config.max_entries, terms.config.most_bytes());
        let batch = terms.config.max_batch_size;
        waiting.entries.push_back((entry, bytes));
        waiting.bytes = waiting.bytes.saturating_add(bytes);
        let mut dropped = 0;
        while waiting.entries.len() > most || waiting.bytes > most_bytes {
            let Some((_, bytes)) = waiting.entries.pop_front() else { break };
            waiting.bytes -= bytes;
            dropped += 1;
        }
        let is_attended = std::mem::replace(&mut waiting.attended, true);
        let is_full = waiting.entries.len() >= batch;
        drop(waiting);
        if dropped > 0 && queue.counts.end(dropped, &queue.counts.dropped) == 0 {
            queue.complain(
                "entries come faster than they can be delivered; the oldest are dropped and counted",
            );
        }
        match is_attended {
            false => drop(self.runtime.spawn(Arc::clone(queue).attend())),
            true if is_full => queue.more.notify_one(),
            true => {}
        }
    }
}

impl<T: Send + Sync + 'static> Queue<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complain(&self, reason: &str) {
        tracing::warn!(plugin = self.counts.plugin, plugin_id = %self.counts.id, reason, "a log is not complete");
    }

    /// Delivers until nothing waits.
    async fn attend(self: Arc<Self>) {
        while let Some((batch, terms)) = self.batch().await {
            let delivered = Arc::clone(&self).deliver(batch, terms.clone());
            if terms.config.concurrency_limit == 1 {
                delivered.await;
            } else {
                tokio::spawn(delivered);
            }
        }
    }

    /// The next entries; `None` once there are none, and nobody attends the queue any more.
    async fn batch(&self) -> Option<(Vec<T>, Terms<T>)> {
        self.gather().await;
        let mut waiting = self.lock();
        let terms = waiting.terms.clone().filter(|_| !waiting.entries.is_empty());
        let Some(terms) = terms else {
            waiting.attended = false;
            return None;
        };
        let most = waiting.entries.len().min(terms.config.max_batch_size);
        let taken: Vec<_> = waiting.entries.drain(..most).collect();
        waiting.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        Some((taken.into_iter().map(|(entry, _)| entry).collect(), terms))
    }

    /// Waits until a batch is full, or has waited long enough.
    async fn gather(&self) {
        let delay = self.lock().terms.as_ref().map_or(0.0, |terms| terms.config.max_coalescing_delay);
        let full = async {
            loop {
                let hurry = self.counts.hurries.told.notified();
                let more = self.more.notified();
                if self.lock().is_enough() || self.counts.hurries.now.load(Ordering::Relaxed) {
                    return;
                }
                tokio::select! { () = more => {}, () = hurry => {} }
            }
        };
        let _ = timeout(Duration::from_secs_f64(delay.clamp(0.0, 3600.0)), full).await;
    }

    async fn deliver(self: Arc<Self>, batch: Vec<T>, mut terms: Terms<T>) {
        let began = Instant::now();
        let mut delay = terms.config.initial_retry_delay;
        let mut tries = 0;
        loop {
            let reason = match terms.to.deliver(&batch).await {
                Ok(lost) => {
                    self.counts.end(batch.len().saturating_sub(lost), &self.counts.delivered);
                    if lost > 0 && self.counts.end(lost, &self.counts.dropped) == 0 {
                        self.complain("entries could not be delivered and are dropped and counted");
                    }
                    return;
                }
                Err(reason) => reason,
            };
            tries += 1;
            let config = &terms.config;
            let is_late =
                config.max_retry_time >= 0.0 && began.elapsed().as_secs_f64() > config.max_retry_time;
            if is_late || config.retries.is_some_and(|most| tries > most) {
                let entries = batch.len();
                let reason = format!("{entries} entries could not be delivered and are dropped: {reason}");
                self.complain(&reason);
                self.counts.end(entries, &self.counts.dropped);
                return;
            }
            if tries == 1 {
                self.complain(&format!("a batch could not be delivered and is tried again: {reason}"));
            }
            sleep(Duration::from_secs_f64(delay.clamp(0.001, 1e6))).await;
            delay = (delay * 2.0).min(config.max_retry_delay);
            // Another credential may be in place by now.
            if let Some(now) = self.lock().terms.clone() {
                terms = now;
            }
        }
    }
}

#[cfg(test)]
mod tests;
