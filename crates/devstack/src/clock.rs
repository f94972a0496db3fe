//! The clock: monotonic time for lives and leases, and the wall time that goes with it.
//!
//! Owns the one look at the machine's wall clock. Everything else adds tokio's time to it, so that a test
//! that pauses and advances tokio's clock moves token lives, lease times and JWT expiry together.
//! Knows nothing of tokens or requests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Tells wall time from tokio's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall_at_start: Duration,
}

impl Clock {
    /// Starts at the machine's wall time.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), wall_at_start: wall_clock() }
    }

    /// Wall time now, since the Unix epoch.
    pub(crate) fn wall(&self) -> Duration {
        self.wall_at_start + self.started.elapsed()
    }

    /// Wall time now in whole seconds since the Unix epoch.
    pub(crate) fn unix(&self) -> u64 {
        self.wall().as_secs()
    }
}

#[expect(clippy::disallowed_methods, reason = "JWT and lease times are wall times; taken once, at the start")]
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A wall time in RFC 3339 with nanoseconds, UTC, as Vault prints it: `2026-11-23T14:43:27.773353403Z`.
pub(crate) fn rfc3339(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let nanos = since_epoch.subsec_nanos();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Days since 1970-01-01 to a Gregorian date. Years are counted from March, so that the leap day comes last.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// A duration in Go's notation: `0s`, `1h0m0s`, `1m30s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_dates_as_vault_does() {
        let table = [
            (0, "1970-01-01T00:00:00.000000005Z"),
            (951_782_399, "2000-02-28T23:59:59.000000005Z"),
            (951_782_400, "2000-02-29T00:00:00.000000005Z"),
            (1_795_445_007, "2026-11-23T14:43:27.000000005Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000005Z"),
        ];
        for (seconds, printed) in table {
            assert_eq!(rfc3339(Duration::new(seconds, 5)), printed);
        }
    }

    #[test]
    fn prints_durations_as_go_does() {
        for (seconds, printed) in
            [(0, "0s"), (59, "59s"), (90, "1m30s"), (3600, "1h0m0s"), (93_784, "26h3m4s")]
        {
            assert_eq!(go_duration(Duration::from_secs(seconds)), printed);
        }
    }
}
