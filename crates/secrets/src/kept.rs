//! A credential that is got once and kept until shortly before it ends.
//!
//! Owns: that callers who need it at the same time cause one request, and share its failure too. Must not know:
//! what the credential is or how it is got.

use std::future::Future;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Never used later than this long before its end: the request that carries it takes time.
const MARGIN: Duration = Duration::from_secs(10);

/// A hundred years: whoever says that something lives longer must not make the arithmetic of times overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A credential with an end.
#[derive(Debug)]
pub(crate) struct Kept<T, E> {
    held: std::sync::Mutex<Option<Held<T>>>,
    /// Held by whoever gets a new one; the failure of the last attempt, and when that was.
    flight: Mutex<Option<(E, Instant)>>,
}

/// What is kept.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    /// The credential.
    pub(crate) value: T,
    /// When it was got, or its life last extended.
    pub(crate) since: Instant,
    /// How long it lives from then; `None` if it does not end.
    pub(crate) life: Option<Duration>,
}

/// A credential just got.
#[derive(Debug)]
pub(crate) struct Fresh<T> {
    /// The credential.
    pub(crate) value: T,
    /// How long it lives; `None` if it does not end.
    pub(crate) life: Option<Duration>,
}

impl<T> Held<T> {
    /// One that begins to live.
    fn now(value: T, life: Option<Duration>) -> Self {
        Self { value, since: Instant::now(), life: life.map(|life| life.min(LONGEST)) }
    }

    /// From when on it is not used any longer.
    fn end(&self) -> Option<Instant> {
        // Three quarters of a very short life are still used: a renewal after two thirds comes before that.
        self.life.map(|life| self.since + life - MARGIN.min(life / 4))
    }
}

impl<T, E> Default for Kept<T, E> {
    fn default() -> Self {
        Self { held: std::sync::Mutex::default(), flight: Mutex::default() }
    }
}

impl<T: Clone + PartialEq, E: Clone> Kept<T, E> {
    /// The kept credential, if it has not ended and `usable` agrees, or a new one. Whoever comes while one is being
    /// got waits for the outcome of that attempt.
    pub(crate) async fn get<F>(&self, usable: impl Fn(&T) -> bool, get: impl FnOnce() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<Fresh<T>, E>>,
    {
        let came = Instant::now();
        if let Some(value) = self.living(&usable) {
            return Ok(value);
        }
        let mut failure = self.flight.lock().await;
        if let Some(value) = self.living(&usable) {
            return Ok(value);
        }
        if let Some((error, at)) = &*failure
            && *at >= came
        {
            return Err(error.clone());
        }
        *self.held() = None;
        match get().await {
            Ok(Fresh { value, life }) => {
                *failure = None;
                // The one who got it is its first user.
                usable(&value);
                *self.held() = Some(Held::now(value.clone(), life));
                Ok(value)
            }
            Err(error) => {
                *failure = Some((error.clone(), Instant::now()));
                Err(error)
            }
        }
    }

    /// Forgets the credential if it is still this one, so that the next caller gets a new one.
    pub(crate) fn forget(&self, stale: &T) {
        let mut held = self.held();
        if held.as_ref().is_some_and(|held| held.value == *stale) {
            *held = None;
        }
    }

    /// Gives the credential a new life, if it is still this one.
    pub(crate) fn extend(&self, value: &T, life: Option<Duration>) {
        if let Some(held) = self.held().as_mut().filter(|held| held.value == *value) {
            *held = Held::now(value.clone(), life);
        }
    }

    /// What is kept, ended or not.
    pub(crate) fn peek(&self) -> Option<Held<T>> {
        self.held().clone()
    }

    fn living(&self, usable: impl Fn(&T) -> bool) -> Option<T> {
        let held = self.held();
        let living = held.as_ref().filter(|held| held.end().is_none_or(|end| Instant::now() < end));
        living.filter(|held| usable(&held.value)).map(|held| held.value.clone())
    }

    fn held(&self) -> MutexGuard<'_, Option<Held<T>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;

    type Numbers = Kept<u32, String>;

    async fn next(kept: &Numbers, calls: &AtomicU32, life: Option<u64>) -> Result<u32, String> {
        let get = || async {
            sleep(Duration::from_millis(50)).await;
            let value = calls.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Fresh { value, life: life.map(Duration::from_secs) })
        };
        kept.get(|_| true, get).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_callers_cause_one_request() {
        let (kept, calls) = (Arc::new(Numbers::default()), Arc::new(AtomicU32::new(0)));
        let callers = (0..100).map(|_| {
            let (kept, calls) = (Arc::clone(&kept), Arc::clone(&calls));
            tokio::spawn(async move { next(&kept, &calls, Some(60)).await })
        });
        for caller in callers.collect::<Vec<_>>() {
            assert_eq!(caller.await.unwrap(), Ok(1));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_replaced_shortly_before_its_end() {
        let (kept, calls) = (Numbers::default(), AtomicU32::new(0));
        assert_eq!(next(&kept, &calls, Some(60)).await, Ok(1));
        advance(Duration::from_secs(49)).await;
        assert_eq!(next(&kept, &calls, Some(60)).await, Ok(1));
        advance(Duration::from_secs(2)).await;
        assert_eq!(next(&kept, &calls, None).await, Ok(2));
        advance(Duration::from_secs(1_000_000)).await;
        assert_eq!(next(&kept, &calls, None).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn no_life_is_too_long() {
        let (kept, calls) = (Numbers::default(), AtomicU32::new(0));
        assert_eq!(next(&kept, &calls, Some(u64::MAX)).await, Ok(1));
        assert_eq!(next(&kept, &calls, None).await, Ok(1));
        kept.extend(&1, Some(Duration::MAX));
        assert_eq!(next(&kept, &calls, None).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn forgetting_is_only_of_the_value_that_was_seen() {
        let (kept, calls) = (Numbers::default(), AtomicU32::new(0));
        assert_eq!(next(&kept, &calls, None).await, Ok(1));
        kept.forget(&7);
        assert_eq!(next(&kept, &calls, None).await, Ok(1));
        kept.forget(&1);
        assert_eq!(next(&kept, &calls, None).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_waited_share_the_failure_and_later_callers_try_again() {
        let (kept, calls) = (Arc::new(Numbers::default()), Arc::new(AtomicU32::new(0)));
        let attempt = || {
            let (kept, calls) = (Arc::clone(&kept), Arc::clone(&calls));
            async move {
                let get = || async {
                    sleep(Duration::from_millis(50)).await;
                    calls.fetch_add(1, Ordering::SeqCst);
                    Err::<Fresh<u32>, _>("refused".to_owned())
                };
                kept.get(|_| true, get).await
            }
        };
        let callers: Vec<_> = (0..20).map(|_| tokio::spawn(attempt())).collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Err("refused".to_owned()));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        sleep(Duration::from_millis(1)).await;
        assert!(attempt().await.is_err());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}
