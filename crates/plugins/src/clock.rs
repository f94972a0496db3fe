//! The time of day, for windows that are aligned to it and credentials that end.
//!
//! Owns: the one reading of the machine's clock in this crate, and a clock that tests move. Must not know: who asks.
//! Durations of waits are tokio's; this clock is for what people and calendars see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time of day.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self(None)
    }

    /// One that stands at this many seconds since 1970 until [`Clock::set`] is called; its clones move with it.
    pub fn at(seconds: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(seconds))))
    }

    /// Moves a clock that was made by [`Clock::at`]; the machine's does not listen.
    pub fn set(&self, seconds: u64) {
        if let Some(at) = &self.0 {
            at.store(seconds, Ordering::Relaxed);
        }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        self.since_1970().as_secs()
    }

    /// The same, as exactly as the machine knows it.
    #[expect(
        clippy::disallowed_methods,
        reason = "windows are aligned to the calendar, which tokio's clock is not"
    )]
    pub fn since_1970(&self) -> Duration {
        match &self.0 {
            Some(at) => Duration::from_secs(at.load(Ordering::Relaxed)),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}
