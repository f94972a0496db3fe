//! Threads that read the slots all the time, as requests do, and say what was wrong with what they saw.
//!
//! Owns: what a good value is. Must not know: faults, or how a value gets into a slot.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use postern_secrets::slot::Slot;
use tokio::time::Instant;

/// A slot and what is to be seen in it.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) slot: Arc<Slot>,
    /// The number of its secret.
    pub(crate) secret: u64,
    /// What stands before each version's number, once a reference.
    pub(crate) stems: Vec<String>,
    /// The newest version that was written.
    pub(crate) written: Arc<AtomicU64>,
}

/// Readers at work.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

/// What readers saw.
#[derive(Default)]
struct Seen {
    good: AtomicU64,
    bad: AtomicU64,
    first: Mutex<Option<String>>,
    /// When the slot with the short window was there, and when it was not: changes only.
    window: Mutex<Vec<(Instant, bool)>>,
}

/// The same, at the end.
#[derive(Clone, Debug)]
pub(crate) struct Readings {
    pub(crate) good: u64,
    pub(crate) bad: u64,
    pub(crate) first_bad: Option<String>,
    pub(crate) window: Vec<(Instant, bool)>,
}

/// Two cores are shared with every other cell, so readers rest between their rounds.
const REST: Duration = Duration::from_millis(2);
const THREADS: usize = 2;

impl Readers {
    /// Starts them. What is in `window` may come and go; when it does is noted.
    pub(crate) fn start(watched: &[Watched], window: &Watched) -> Self {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Seen>::default());
        let threads = (0..THREADS).map(|number| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            let (watched, window) = (watched.to_vec(), window.clone());
            std::thread::spawn(move || {
                let mut newest = HashMap::new();
                while !stop.load(Ordering::Relaxed) {
                    for (at, one) in watched.iter().enumerate() {
                        seen.note(one.look(newest.entry(at).or_default()));
                    }
                    if number == 0 {
                        seen.note_window(&window, newest.entry(usize::MAX).or_default());
                    }
                    std::thread::park_timeout(REST);
                }
            })
        });
        let threads = threads.collect();
        Self { stop, seen, threads }
    }

    /// Ends them.
    pub(crate) fn stop(self) -> Readings {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.thread().unpark();
            thread.join().expect("readers do not panic");
        }
        Readings {
            good: self.seen.good.load(Ordering::Relaxed),
            bad: self.seen.bad.load(Ordering::Relaxed),
            first_bad: lock(&self.seen.first).clone(),
            window: lock(&self.seen.window).clone(),
        }
    }
}

impl Watched {
    /// The version in the slot, if it is one that was written, and no older than the one seen before.
    fn look(&self, newest: &mut u64) -> Result<u64, String> {
        // Before the look: what is written meanwhile may be seen.
        let template = self.slot.template();
        let version = self.slot.with(|value| match value {
            None => Err(format!("{template} is empty")),
            Some(text) => {
                self.version(text).ok_or_else(|| format!("{template} holds what was never written"))
            }
        })?;
        if version > self.written.load(Ordering::Acquire) {
            return Err(format!("{template} has version {version} before it was written"));
        }
        if version < *newest {
            return Err(format!("{template} went back from version {newest} to {version}"));
        }
        *newest = version;
        Ok(version)
    }

    /// The version in the slot; `None` while it is empty.
    pub(crate) fn seen(&self) -> Option<u64> {
        self.slot.with(|value| value.and_then(|text| self.version(text)))
    }

    /// Every part must be of the same version: what belongs together changes together.
    fn version(&self, text: &str) -> Option<u64> {
        let mut parts = text.split('|');
        let mut version = None;
        for stem in &self.stems {
            let number: u64 = parts.next()?.strip_prefix(stem.as_str())?.parse().ok()?;
            if version.is_some_and(|version| version != number) {
                return None;
            }
            version = Some(number);
        }
        version.filter(|_| parts.next().is_none())
    }
}

impl Seen {
    fn note(&self, look: Result<u64, String>) {
        match look {
            Ok(_) => {
                self.good.fetch_add(1, Ordering::Relaxed);
            }
            Err(bad) => {
                self.bad.fetch_add(1, Ordering::Relaxed);
                lock(&self.first).get_or_insert(bad);
            }
        }
    }

    fn note_window(&self, window: &Watched, newest: &mut u64) {
        let there = window.slot.with(|value| value.is_some());
        // While it is there it must be good, too.
        if there && let Err(bad) = window.look(newest) {
            // It may have gone between the two looks.
            if window.slot.with(|value| value.is_some()) {
                self.note(Err(bad));
            }
        }
        let mut changes = lock(&self.window);
        if changes.last().is_none_or(|(_, before)| *before != there) {
            changes.push((Instant::now(), there));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
