//! What was measured in a cell, beside what was promised.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::{Fault, Promise, SEEN_WITHIN};
use super::login::Login;
use super::readers::Readings;

/// What was measured in one cell.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) login: Login,
    pub(crate) fault: Fault,
    pub(crate) readings: Readings,
    /// Before the fault was begun, and after: revoking or sealing takes a while.
    pub(crate) before: Instant,
    pub(crate) began: Instant,
    /// The same of its end.
    pub(crate) ending: Instant,
    pub(crate) ended: Instant,
    /// Until a version that was written in the midst of it was seen; `None`: never, or none was written.
    pub(crate) through: Option<Duration>,
    /// From the end of the fault until the next version was seen everywhere.
    pub(crate) healed: Option<Duration>,
    /// What the engine complained about where it did not heal.
    pub(crate) complaint: String,
    /// Requests that the proxy saw, or for the login by certificate, that it and OpenBao saw.
    pub(crate) asked: u64,
    /// Those among them that the proxy saw while the fault lasted, and when they came.
    pub(crate) meanwhile: u64,
    pub(crate) arrivals: Vec<Instant>,
    /// Requests that OpenBao's audit device saw, and the logins among them.
    pub(crate) audited: u64,
    pub(crate) logins: u64,
}

/// The value with the short window may be used for so long after it was read.
const WINDOW: Duration = Duration::from_secs(4);
/// It was read at most so long before the fault began: its ttl, and what a machine may be late.
const ALREADY: Duration = Duration::from_secs(3);
/// A machine may be slow.
const SLACK: Duration = Duration::from_secs(2);
/// What comes so soon after a refusal was on its way before.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

impl Measured {
    /// A clock that jumps does so between the two.
    fn start(&self) -> Instant {
        if self.fault == Fault::ClockJump { self.began } else { self.before }
    }

    fn lasted(&self) -> f64 {
        (self.ended - self.start()).as_secs_f64()
    }

    fn healing(&self) -> f64 {
        self.healed.unwrap_or_else(|| self.fault.heals_within()).as_secs_f64()
    }

    pub(crate) fn bound(&self) -> u64 {
        self.fault.bound(self.login, self.lasted(), self.healing())
    }

    pub(crate) fn bound_meanwhile(&self) -> Option<u64> {
        self.fault.meanwhile(self.login, self.lasted())
    }

    pub(crate) fn bound_of_logins(&self) -> u64 {
        self.fault.logins(self.login, self.lasted(), self.healing())
    }

    /// Every promise that was not kept.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut demand = |kept: bool, what: String| {
            if !kept {
                broken.push(what);
            }
        };
        let Readings { good, bad, first_bad, .. } = &self.readings;
        demand(*good > 0, "the readers read nothing".to_owned());
        demand(
            *bad == 0,
            format!("{bad} bad values, the first: {}", first_bad.as_deref().unwrap_or_default()),
        );
        let bound = self.bound();
        demand(self.asked <= bound, format!("{} requests were sent; {bound} may be", self.asked));
        demand(self.audited <= bound, format!("OpenBao saw {} requests; {bound} may be", self.audited));
        let bound = self.bound_meanwhile().unwrap_or(u64::MAX);
        demand(self.meanwhile <= bound, format!("{} were sent meanwhile; {bound} may be", self.meanwhile));
        demand(self.pauses_are_kept(), "the pause that was asked for was not kept".to_owned());
        let bound = self.bound_of_logins();
        demand(self.logins <= bound, format!("OpenBao saw {} logins; {bound} may be", self.logins));
        let within = self.fault.heals_within();
        demand(
            self.healed.is_some(),
            format!("not healed within {} s: {}", within.as_secs(), self.complaint),
        );
        let promise = self.fault.promise(self.login);
        if promise == Ok(Promise::NoMatter) {
            demand(
                self.through.is_some(),
                format!(
                    "a new version was not seen within {} s meanwhile: {}",
                    SEEN_WITHIN.as_secs(),
                    self.complaint
                ),
            );
        }
        broken.extend(self.window(promise));
        broken
    }

    /// After a refusal that asks for a pause, nothing comes but what was on its way.
    fn pauses_are_kept(&self) -> bool {
        let Some(pause) = self.fault.retry_after() else { return true };
        let mut refusals = self.arrivals.iter().filter(|at| **at > self.began && **at < self.ending);
        let Some(mut first) = refusals.next() else { return false };
        refusals.all(|at| {
            let after = *at - *first;
            if after > ON_ITS_WAY {
                first = at;
            }
            after <= ON_ITS_WAY || after >= pause
        })
    }

    /// The value that may be used for a short time only: there as long as it may be, and no longer.
    fn window(&self, promise: Result<Promise, &str>) -> Option<String> {
        let there_at = |at: Instant| {
            self.readings
                .window
                .iter()
                .take_while(|(when, _)| *when <= at)
                .last()
                .is_some_and(|(_, there)| *there)
        };
        let (early, late) = (self.before + WINDOW - ALREADY, self.began + WINDOW + SLACK);
        match promise {
            Ok(Promise::LastValues | Promise::NewCredential) => {
                if !there_at(early) {
                    return Some("the value with the short window was taken away too soon".to_owned());
                }
                let again =
                    self.readings.window.iter().any(|(at, there)| *there && *at > late && *at < self.ending);
                (there_at(late) || again).then(|| "the value with the short window outlived it".to_owned())
            }
            // An hour is beyond the window. And where each read waits for the logins before it, it may be late.
            Ok(Promise::NoMatter) if !matches!(self.fault, Fault::ClockJump | Fault::OneUse) => {
                let gone = self.readings.window.iter().any(|(_, there)| !there);
                gone.then(|| "the value with the short window was taken away".to_owned())
            }
            _ => None,
        }
    }

    /// Its line in the table.
    pub(crate) fn line(&self) -> String {
        let Self { readings, asked, audited, logins, .. } = self;
        let seconds = |time: Option<Duration>| {
            time.map_or("never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
        };
        let through = match self.fault.promise(self.login) {
            Ok(Promise::NoMatter) => match self.through {
                Some(time) if time.as_millis() < 100 => format!("{} ms", time.as_millis()),
                time => seconds(time),
            },
            _ => "last values".to_owned(),
        };
        let meanwhile = self.bound_meanwhile().map(|bound| format!("{} ≤ {bound}", self.meanwhile));
        format!(
            "| {} | {} | {:.0} s | {}k good, {} bad | {through} | {} | {asked} sent, {audited} seen, ≤ {} | {logins} ≤ {} | {} |",
            self.fault.name(),
            self.login.name(),
            self.lasted(),
            readings.good / 1000,
            readings.bad,
            meanwhile.unwrap_or_default(),
            self.bound(),
            self.bound_of_logins(),
            seconds(self.healed),
        )
    }
}

/// Above the lines.
pub(crate) const HEAD: &str = "\
| fault | login | lasts | readers | a new version is seen | requests meanwhile | requests in all | logins | healed after |
| --- | --- | ---: | ---: | --- | ---: | --- | ---: | ---: |";
