//! A vault that is not asked too much: a decorator around any other.
//!
//! Owns: how many requests are under way, the circuit that opens when a vault fails, the pause that a vault asked for,
//! and the counts of what came of it. Must not know: what is asked, or by whom.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::vault::{Read, Reading, SessionStatus, Vault, VaultError};

/// How many requests to one vault may be under way, unless told otherwise.
pub const AT_ONCE: usize = 8;
/// So many failures in a row open the circuit.
const OPENS_AFTER: u32 = 5;
/// For how long it opens first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const BACKOFF: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_secs(30));

/// A vault behind its guard.
#[derive(Debug)]
pub struct Guard {
    inner: Arc<dyn Vault>,
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
    counts: Counts,
}

/// An open circuit.
#[derive(Debug)]
struct Open {
    until: Instant,
    /// How often it has opened in a row.
    times: u32,
    /// Whether somebody is trying if the vault is back.
    probing: bool,
    why: String,
}

/// Requests by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// There was a value.
    pub succeeded: u64,
    /// There was none.
    pub absent: u64,
    /// The vault said no.
    pub refused: u64,
    /// The vault or the IdP failed, or could not be reached.
    pub failed: u64,
    /// Not asked, because the circuit is open.
    pub held: u64,
}

/// How the circuit to a vault stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Requests are made.
    Closed,
    /// No requests for this long.
    Open(Duration),
    /// One request tries whether the vault is back.
    Probing,
}

/// What is known of one session with a vault.
#[derive(Clone, Debug)]
pub struct VaultStatus {
    /// What the session says of itself.
    pub session: SessionStatus,
    /// How the circuit stands.
    pub circuit: Circuit,
    /// Requests since the start.
    pub requests: Counts,
}

impl Guard {
    /// Guards a vault; `at_once` requests may be under way.
    pub fn new(inner: Arc<dyn Vault>, at_once: usize) -> Self {
        Self { inner, permits: Semaphore::new(at_once), state: Mutex::default() }
    }

    /// How it stands.
    pub fn vault_status(&self) -> VaultStatus {
        let state = self.state();
        let circuit = match &state.open {
            None => Circuit::Closed,
            Some(Open { probing: true, .. }) => Circuit::Probing,
            Some(Open { until, .. }) => Circuit::Open(until.saturating_duration_since(Instant::now())),
        };
        VaultStatus { session: self.inner.session(), circuit, requests: state.counts }
    }

    /// Lets a request through, or says for how long not to ask.
    fn enter(&self) -> Result<(), VaultError> {
        let mut state = self.state();
        let now = Instant::now();
        let Some(open) = &mut state.open else { return Ok(()) };
        if now >= open.until && !open.probing {
            open.probing = true;
            return Ok(());
        }
        let wait = open.until.saturating_duration_since(now).max(FIRST_PAUSE);
        let held = VaultError::Held { why: open.why.clone(), wait };
        state.counts.held += 1;
        Err(held)
    }

    fn leave<T>(&self, outcome: &Result<T, VaultError>) {
        let mut state = self.state();
        match outcome {
            Ok(_) => state.counts.succeeded += 1,
            Err(VaultError::Absent { .. }) => state.counts.absent += 1,
            Err(error) if error.is_transient() => state.counts.failed += 1,
            Err(_) => state.counts.refused += 1,
        }
        let Some(error) = outcome.as_ref().err().filter(|error| error.is_transient()) else {
            // The vault answers, be it with a no.
            state.failures = 0;
            state.open = None;
            return;
        };
        state.failures = state.failures.saturating_add(1);
        let asked = error.retry_after();
        let was_open = state.open.as_ref().map(|open| (open.times, open.probing));
        if asked.is_none() && state.failures < OPENS_AFTER && was_open.is_none() {
            return;
        }
        let times = match was_open {
            // A request that was under way when the circuit opened: nothing new.
            Some((times, false)) => times,
            Some((times, true)) => times.saturating_add(1),
            None => 1,
        };
        let random = BACKOFF.random_after(times, fastrand::f64());
        let until = Instant::now() + asked.map_or(random, |asked| asked.max(random));
        if was_open.is_none() {
            tracing::warn!(%error, "the vault fails; asking it less");
        }
        state.open = Some(Open { until, times, probing: false, why: error.to_string() });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A probe that is dropped before its end must not keep the circuit open for ever.
struct Entered<'a> {
    guard: &'a Guard,
    left: bool,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if !self.left
            && let Some(open) = &mut self.guard.state().open
        {
            open.probing = false;
        }
    }
}

#[async_trait]
impl Vault for Guard {
    async fn read(&self, request: &Read<'_>) -> Result<Reading, VaultError> {
        // Never closed, so never an error.
        let _permit = self.permits.acquire().await.ok();
        self.enter()?;
        let mut entered = Entered { guard: self, left: false };
        let outcome = self.inner.read(request).await;
        entered.left = true;
        self.leave(&outcome);
        outcome
    }

    fn alternative(&self, resource: &str, key: &str) -> Option<String> {
        self.inner.alternative(resource, key)
    }

    fn session(&self) -> SessionStatus {
        self.inner.session()
    }

    fn maintenance_due(&self) -> Option<Instant> {
        self.inner.maintenance_due()
    }

    async fn maintain(&self) {
        let _permit = self.permits.acquire().await.ok();
        self.inner.maintain().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;
    use crate::kind::Kind;
    use crate::settings::Settings;
    use crate::trail::Trail;
    use postern_secret::Secret;

    /// Fails as often as it is told to, and counts.
    #[derive(Debug, Default)]
    struct Flaky {
        failures: AtomicUsize,
        asked: AtomicUsize,
        under_way: AtomicUsize,
        most: AtomicUsize,
        retry_after: Option<Duration>,
    }

    #[async_trait]
    impl Vault for Flaky {
        async fn read(&self, _: &Read<'_>) -> Result<Reading, VaultError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            sleep(Duration::from_millis(10)).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            let left = |left: usize| left.checked_sub(1);
            if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
                return Err(VaultError::Refused {
                    doing: "",
                    what: "testing".to_owned(),
                    status: 503,
                    body: "busy".to_owned(),
                    hint: None,
                    retry_after: self.retry_after,
                });
            }
            Ok(Secret::from("value").into())
        }
    }

    async fn read(guard: &Guard) -> Result<(), bool> {
        let (settings, trail) = (Settings::empty(Kind::Hcv), Trail::off());
        let request = Read { settings: &settings, resource: "a", version: None, trail: &trail };
        guard.read(&request).await.map(drop).map_err(|error| matches!(error, VaultError::Held { .. }))
    }

    fn guarded(flaky: Flaky) -> (Arc<Flaky>, Arc<Guard>) {
        let flaky = Arc::new(flaky);
        (Arc::clone(&flaky), Arc::new(Guard::new(flaky, AT_ONCE)))
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_eight_at_once() {
        let (flaky, guard) = guarded(Flaky::default());
        let reads: Vec<_> = (0..100)
            .map(|_| {
                let guard = Arc::clone(&guard);
                tokio::spawn(async move { read(&guard).await })
            })
            .collect();
        for read in reads {
            assert_eq!(read.await.unwrap(), Ok(()));
        }
        assert_eq!((flaky.most.load(Ordering::SeqCst), guard.vault_status().requests.succeeded), (8, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn the_circuit_opens_probes_and_closes() {
        let (flaky, guard) = guarded(Flaky { failures: 6.into(), ..Flaky::default() });
        for _ in 0..5 {
            assert_eq!(read(&guard).await, Err(false));
        }
        for _ in 0..50 {
            assert_eq!(read(&guard).await, Err(true), "held");
        }
        assert_eq!(flaky.asked.load(Ordering::SeqCst), 5);
        advance(FIRST_PAUSE).await;
        assert_eq!(read(&guard).await, Err(false), "the probe fails");
        assert_eq!(read(&guard).await, Err(true), "held again, for longer");
        advance(FIRST_PAUSE * 2).await;
        assert_eq!(read(&guard).await, Ok(()));
        assert_eq!(guard.vault_status().circuit, Circuit::Closed);
        assert_eq!(guard.vault_status().requests.held, 51);
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_that_names_a_time_is_not_asked_before() {
        let wait = Some(Duration::from_secs(20));
        let (flaky, guard) = guarded(Flaky { failures: 1.into(), retry_after: wait, ..Flaky::default() });
        assert_eq!(read(&guard).await, Err(false));
        advance(Duration::from_secs(19)).await;
        assert_eq!(read(&guard).await, Err(true));
        advance(Duration::from_secs(2)).await;
        assert_eq!(read(&guard).await, Ok(()));
        assert_eq!(flaky.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_does_not_close_the_way() {
        let (_, guard) = guarded(Flaky { failures: 5.into(), ..Flaky::default() });
        for _ in 0..5 {
            assert_eq!(read(&guard).await, Err(false));
        }
        advance(FIRST_PAUSE).await;
        let given_up = tokio::time::timeout(Duration::from_millis(1), read(&guard)).await;
        assert!(given_up.is_err());
        assert_eq!(read(&guard).await, Ok(()));
    }
}
