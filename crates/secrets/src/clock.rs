//! The time of day: for windows that are aligned to the calendar, credentials that end, ages that outlive the process, and what
//! people are shown.
//!
//! Owns: the one reading of the machine's clock, and clocks that tests move. Must not know: who asks. Durations of waits are
//! tokio's.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time of day.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    /// Seconds since 1970.
    Standing(Arc<AtomicU64>),
    Told(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// One that stands at this many seconds since 1970 until [`Clock::set`] is called; its clones move with it.
    pub fn at(seconds: u64) -> Self {
        Self(Source::Standing(Arc::new(AtomicU64::new(seconds))))
    }

    /// One that tells what `since_1970` says, for tests.
    pub fn of(since_1970: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Source::Told(Arc::new(since_1970)))
    }

    /// Moves a clock that was made by [`Clock::at`]; others do not listen.
    pub fn set(&self, seconds: u64) {
        if let Source::Standing(at) = &self.0 {
            at.store(seconds, Ordering::Relaxed);
        }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        self.since_1970().as_secs()
    }

    /// The time of day, in full. Before 1970 no clock was set.
    #[expect(clippy::disallowed_methods, reason = "the calendar is not tokio's")]
    pub fn since_1970(&self) -> Duration {
        match &self.0 {
            Source::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Source::Standing(at) => Duration::from_secs(at.load(Ordering::Relaxed)),
            Source::Told(since_1970) => since_1970(),
        }
    }
}

impl Debug for Clock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
