//! Requests in flight, so that the same one is not made twice at once. Owns: who waits for what. Must not know: what
//! is fetched; outcomes are handed out, not kept.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

type Flight<V> = Shared<BoxFuture<'static, V>>;
type Weak<V> = WeakShared<BoxFuture<'static, V>>;

/// Requests in flight, by what they ask for.
pub(super) struct Flights<K, V: Clone>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V: Clone> Debug for Flights<K, V> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

impl<K: Clone + Eq + Hash, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// The outcome of the request for `key` that is under way, or of `request`. A request that nobody waits for any
    /// more is dropped.
    pub(super) async fn join(&self, key: K, request: impl Future<Output = V> + Send + 'static) -> V {
        let flight = self.flight(key.clone(), request);
        let outcome = flight.clone().await;
        self.land(&key, &flight);
        outcome
    }

    fn flight(&self, key: K, request: impl Future<Output = V> + Send + 'static) -> Flight<V> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A finished flight that a waiter still holds is not joined: its outcome is not kept for later askers.
        let under_way = flights.get(&key).and_then(Weak::upgrade).filter(|flight| flight.peek().is_none());
        under_way.unwrap_or_else(|| {
            let flight = request.boxed().shared();
            if let Some(weak) = flight.downgrade() {
                flights.insert(key, weak);
            }
            flight
        })
    }

    fn land(&self, key: &K, flight: &Flight<V>) {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(key).and_then(Weak::upgrade).is_none_or(|known| known.ptr_eq(flight)) {
            flights.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_request_is_made_once_at_a_time_and_not_kept() {
        let (flights, calls) = (Arc::new(Flights::default()), Arc::new(AtomicU32::new(0)));
        let ask = |key: &'static str| {
            let (flights, calls) = (Arc::clone(&flights), Arc::clone(&calls));
            tokio::spawn(async move {
                let request = async move {
                    sleep(Duration::from_millis(10)).await;
                    calls.fetch_add(1, Ordering::SeqCst)
                };
                flights.join(key, request).await
            })
        };
        let first: Vec<_> = (0..50).map(|i| ask(if i % 2 == 0 { "a" } else { "b" })).collect();
        for answer in first {
            answer.await.unwrap();
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        ask("a").await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_nobody_waits_for_does_not_block_the_next() {
        let flights = Flights::default();
        let never = timeout(Duration::from_millis(1), flights.join("a", std::future::pending())).await;
        assert!(never.is_err());
        assert_eq!(flights.join("a", async { 1 }).await, 1);
    }
}
