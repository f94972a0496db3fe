//! For how long a value may be used, and when it is due again. Pure: times go in, decisions come out.
//!
//! Owns: the meaning of `ttl`, `neg_ttl` and `resurrect_ttl`, and the back-off after failures. Must not know: what is
//! fetched, or how. `rotate` asks here after every fetch.
//!
//! The documented meaning, where Kong's documentation and code disagree: no `ttl`, or 0, is "read once"; a value is
//! used until ttl + resurrect_ttl after it was read; what could not be read is tried again, and never given up.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::settings::Settings;

/// How often what is absent is looked for again, unless `neg_ttl` says otherwise.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// `resurrect_ttl` when none is given: Kong's 1e8 seconds, about three years.
const RESURRECT: Duration = Duration::from_secs(100_000_000);
/// After a failure that may pass.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// After one that lasts until something is changed: up to `neg_ttl`.
const LASTING: Backoff = Backoff::new(Duration::from_secs(1), Duration::MAX);
/// How much later than its ttl a value may be due, so that what was read together is not read together for ever.
const SPREAD: f64 = 0.05;
/// A value that may not be used for long after its ttl is read again this much before its end, or a fifth of its time:
/// a slot must not be empty while its value is being read.
const AHEAD: Duration = Duration::from_secs(10);

/// For how long one reference's value may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After this it is read again; `None`: never.
    pub ttl: Option<Duration>,
    /// After this, what is absent is looked for again.
    pub neg_ttl: Duration,
    /// For this long after its ttl it may be used while it cannot be read.
    pub resurrect: Duration,
}

impl Policy {
    /// As a vault's settings say, overlaid with the reference's options.
    pub fn of(settings: &Settings) -> Self {
        let seconds = |name| {
            let seconds = settings.number(name).filter(|seconds| *seconds > 0.0)?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        // An explicit 0 is a decision: nothing is used beyond its ttl.
        let resurrect =
            if settings.number("resurrect_ttl") == Some(0.0) { Some(Duration::ZERO) } else { None };
        Self {
            ttl: seconds("ttl"),
            neg_ttl: seconds("neg_ttl").unwrap_or(LOOK_AGAIN),
            resurrect: resurrect.or_else(|| seconds("resurrect_ttl")).unwrap_or(RESURRECT),
        }
    }

    /// The same for a value that was lent for so long: after that it is of no use.
    #[must_use]
    pub fn within(self, lent_for: Option<Duration>) -> Self {
        let Some(lent_for) = lent_for else { return self };
        let ttl = self.ttl.map_or(lent_for, |ttl| ttl.min(lent_for));
        Self { ttl: Some(ttl), resurrect: self.resurrect.min(lent_for.saturating_sub(ttl)), ..self }
    }

    /// Until when a value that was read at `read` may be used; `None`: without end.
    pub fn usable_until(&self, read: Instant) -> Option<Instant> {
        let ttl = self.ttl?;
        // So far away that it does not matter if the clock cannot say it.
        read.checked_add(ttl.saturating_add(self.resurrect))
    }

    /// When a value that was read at `read` is to be read again. `luck` is a random number from 0 to 1.
    pub fn due(&self, read: Instant, luck: f64) -> Option<Instant> {
        let (ttl, luck) = (self.ttl?, luck.clamp(0.0, 1.0));
        let usable = ttl.saturating_add(self.resurrect);
        let ahead = AHEAD.min(usable / 5).mul_f64(1.0 - luck / 2.0);
        let due = ttl.saturating_add(ttl.mul_f64(SPREAD * luck)).min(usable.saturating_sub(ahead));
        read.checked_add(due)
    }
}

/// Why a read failed, as far as the next attempt is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may work soon, or at the time that the other side named.
    Transient(Option<Duration>),
    /// Something has to be changed first: there is no such secret, or it may not be read.
    Lasting,
}

/// The pause before the next attempt, after `failures` in a row (the one just now included). `luck` is a random
/// number from 0 to 1: half of a pause is random, so that many who failed together do not come back together.
pub fn pause(failures: u32, failure: Failure, neg_ttl: Duration, luck: f64) -> Duration {
    let backoff = match failure {
        Failure::Transient(_) => BACKOFF,
        Failure::Lasting => LASTING.at_most(neg_ttl),
    };
    let random = backoff.random_after(failures.max(1), luck);
    match failure {
        Failure::Transient(Some(named)) => named.max(random),
        _ => random,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::Kind;

    fn policy(config: serde_json::Value) -> Policy {
        let mut config = config;
        config["token"] = "t".into();
        Policy::of(&Settings::from_entity(Kind::Hcv, config.as_object().unwrap()).unwrap())
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn the_documented_meaning() {
        let read = Instant::now();
        let after = |at: Option<Instant>| at.map(|at| (at - read).as_secs());
        // (config, due after, usable for)
        let cases = [
            (json!({}), None, None),
            (json!({"ttl": 0}), None, None),
            (json!({"ttl": 30}), Some(30), Some(100_000_030)),
            // Read again in time: it may not be used while it is.
            (json!({"ttl": 60, "resurrect_ttl": 0}), Some(50), Some(60)),
            (json!({"ttl": 10, "resurrect_ttl": 0}), Some(8), Some(10)),
            (json!({"ttl": 60, "resurrect_ttl": 300}), Some(60), Some(360)),
            // The window is ttl + resurrect_ttl also where it is short: the value is never lost before its ttl.
            (json!({"ttl": 300, "resurrect_ttl": 60}), Some(300), Some(360)),
        ];
        for (config, due, usable) in cases {
            let policy = policy(config.clone());
            assert_eq!(after(policy.due(read, 0.0)), due, "{config}");
            assert_eq!(after(policy.usable_until(read)), usable, "{config}");
        }
        assert_eq!(after(policy(json!({"ttl": 100})).due(read, 1.0)), Some(105));
        assert_eq!(after(policy(json!({"ttl": 100, "resurrect_ttl": 0})).due(read, 1.0)), Some(95));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lent_is_of_no_use_after_that() {
        let read = Instant::now();
        let after = |at: Option<Instant>| at.map(|at| (at - read).as_secs());
        // (config, lent for, due after, usable for)
        let cases = [
            (json!({"ttl": 30}), None, Some(30), Some(100_000_030)),
            (json!({"ttl": 30}), Some(s(3600)), Some(30), Some(3600)),
            (json!({"ttl": 30, "resurrect_ttl": 60}), Some(s(3600)), Some(30), Some(90)),
            (json!({"ttl": 300}), Some(s(60)), Some(50), Some(60)),
            (json!({}), Some(s(60)), Some(50), Some(60)),
            (json!({}), Some(s(0)), Some(0), Some(0)),
        ];
        for (config, lent_for, due, usable) in cases {
            let policy = policy(config.clone()).within(lent_for);
            assert_eq!(
                (after(policy.due(read, 0.0)), after(policy.usable_until(read))),
                (due, usable),
                "{config}"
            );
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_are_half_random() {
        let at = |failures, luck| pause(failures, Failure::Transient(None), LOOK_AGAIN, luck).as_millis();
        assert_eq!((at(1, 0.0), at(1, 1.0)), (500, 1000));
        assert_eq!((at(3, 0.0), at(3, 1.0)), (2000, 4000));
        assert_eq!((at(7, 1.0), at(40, 1.0), at(u32::MAX, 1.0)), (60_000, 60_000, 60_000));
    }

    #[test]
    fn what_is_absent_is_looked_for_as_often_as_neg_ttl_says() {
        assert_eq!(pause(1, Failure::Lasting, s(10), 1.0), s(1));
        assert_eq!(pause(9, Failure::Lasting, s(10), 1.0), s(10));
        assert_eq!(policy(json!({})).neg_ttl, LOOK_AGAIN);
        assert_eq!(policy(json!({"neg_ttl": 5})).neg_ttl, s(5));
    }

    #[test]
    fn a_time_that_the_other_side_named_is_kept() {
        assert_eq!(pause(1, Failure::Transient(Some(s(30))), LOOK_AGAIN, 0.0), s(30));
        assert_eq!(pause(9, Failure::Transient(Some(s(1))), LOOK_AGAIN, 1.0), s(60));
    }
}
