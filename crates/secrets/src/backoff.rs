//! Pauses between attempts at what fails. Pure: how often it failed goes in, a time comes out.
//!
//! Owns: that pauses double up to a longest one, and how many who failed together are kept from coming back together.
//! Must not know: what is attempted, or when; its users say for how long they wait at first and at most.

use std::time::Duration;

/// How long to wait after a failure, after the next, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// `first` after the first failure, and twice as long after each further one, up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The same, but never longer than this.
    #[must_use]
    pub fn at_most(self, longest: Duration) -> Self {
        Self { longest: self.longest.min(longest), ..self }
    }

    /// The pause after so many failures in a row, the one just now included; after none, nothing.
    pub fn after(self, failures: u32) -> Duration {
        let Some(further) = failures.checked_sub(1) else { return Duration::ZERO };
        // 2^16 of even a millisecond are longer than any pause that makes sense.
        self.first.saturating_mul(2_u32.saturating_pow(further.min(16))).min(self.longest)
    }

    /// The same with its later half random: from `luck`, a random number from 0 to 1.
    pub fn random_after(self, failures: u32, luck: f64) -> Duration {
        let luck = if luck.is_nan() { 0.0 } else { luck.clamp(0.0, 1.0) };
        self.after(failures).mul_f64(0.5 + luck / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let cases = [(0, 0), (1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (7, 30), (40, 30), (u32::MAX, 30)];
        for (failures, seconds) in cases {
            assert_eq!(backoff.after(failures).as_secs(), seconds, "{failures}");
        }
        assert_eq!(backoff.at_most(Duration::from_secs(3)).after(3).as_secs(), 3);
        assert_eq!(backoff.at_most(Duration::from_secs(300)).after(9).as_secs(), 30);
    }

    #[test]
    fn half_of_a_pause_is_random() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let cases = [
            (1, 0.0, 500),
            (1, 1.0, 1000),
            (3, 0.5, 3000),
            (1, -1.0, 500),
            (1, f64::NAN, 500),
            (1, 9.0, 1000),
        ];
        for (failures, luck, milliseconds) in cases {
            assert_eq!(backoff.random_after(failures, luck).as_millis(), milliseconds, "{failures} {luck}");
        }
    }
}
