//! The one way a configuration takes effect, whatever it comes from.
//!
//! Owns: that one is made at a time, beside the one in effect, and that a refusal changes nothing. Must not know: what is
//! made.

use std::sync::{Arc, Mutex, PoisonError};

use postern_model::{Snapshot, Violation};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

/// What a configuration is made into, and how that takes effect.
pub trait Effect: Send + Sync {
    /// What is made.
    type Made: Send;

    /// Makes it, beside what is in effect. May wait for secrets to be read for the first time.
    fn make(&self, snapshot: Arc<Snapshot>) -> impl Future<Output = Result<Self::Made, Vec<Violation>>>;

    /// Puts it in effect at once.
    fn swap(&self, made: Self::Made);
}

/// Applies configurations, one after the other.
#[derive(Debug)]
pub struct Apply<E> {
    effect: E,
    turn: AsyncMutex<()>,
    state: Mutex<State>,
}

/// What is in effect, and what was refused since.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What is in effect; `None` before the first.
    pub current: Option<Current>,
    /// Why the newest was refused, if it was.
    pub refused: Option<Vec<Violation>>,
}

/// The configuration in effect.
#[derive(Clone, Debug)]
pub struct Current {
    /// Tells it from others, in hexadecimal digits: what `/status` calls `configuration_hash`.
    pub hash: String,
    /// Its entities.
    pub snapshot: Arc<Snapshot>,
    /// Since when.
    pub since: Instant,
    /// One more with each.
    pub number: u64,
}

/// The hash of a configuration's text.
pub fn hash(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl<E: Effect> Apply<E> {
    /// Nothing is in effect yet.
    pub fn new(effect: E) -> Self {
        Self { effect, turn: AsyncMutex::new(()), state: Mutex::default() }
    }

    /// Makes what was checked, and puts it in effect. `hash` tells it from others; of a text it is [`hash`].
    ///
    /// # Errors
    /// Everything that stands against it; what was in effect still is.
    pub async fn apply(&self, snapshot: Snapshot, hash: String) -> Result<(), Vec<Violation>> {
        let _turn = self.turn.lock().await;
        let snapshot = Arc::new(snapshot);
        match self.effect.make(Arc::clone(&snapshot)).await {
            Ok(made) => {
                self.effect.swap(made);
                let mut state = self.lock();
                let number = state.current.as_ref().map_or(1, |current| current.number + 1);
                *state = State {
                    current: Some(Current { hash, snapshot, since: Instant::now(), number }),
                    refused: None,
                };
                Ok(())
            }
            Err(violations) => {
                self.refused(violations.clone());
                Err(violations)
            }
        }
    }

    /// Makes what is in effect once more: something that it hangs on has changed. A failure changes nothing.
    pub async fn again(&self) {
        let _turn = self.turn.lock().await;
        let Some(current) = self.state().current else { return };
        match self.effect.make(current.snapshot).await {
            Ok(made) => self.effect.swap(made),
            Err(violations) => {
                for violation in violations {
                    tracing::error!(%violation, "a value that changed cannot be used; the old ones serve on");
                }
            }
        }
    }

    /// Notes that a configuration was refused before it came here: it could not be read.
    pub fn refused(&self, violations: Vec<Violation>) {
        self.lock().refused = Some(violations);
    }

    /// What is in effect.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// What it is put into effect by.
    pub fn effect(&self) -> &E {
        &self.effect
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses services that are called `bad`.
    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);

    impl Effect for Names {
        type Made = Vec<String>;

        async fn make(&self, snapshot: Arc<Snapshot>) -> Result<Vec<String>, Vec<Violation>> {
            let names = snapshot.services.iter().filter_map(|service| service.record.text("name"));
            let names: Vec<_> = names.map(str::to_owned).collect();
            match names.iter().any(|name| name == "bad") {
                true => Err(vec![Violation::error("services[0]", None, "no")]),
                false => Ok(names),
            }
        }

        fn swap(&self, made: Vec<String>) {
            *self.0.lock().unwrap() = made;
        }
    }

    fn checked(name: &str) -> (Snapshot, String) {
        let text = format!("_format_version: \"3.0\"\nservices: [{{name: {name}, host: h}}]\n");
        let document = postern_model::read(text.as_bytes(), &|_| None).unwrap();
        (postern_model::check(document, &Vec::new()).unwrap().snapshot, hash(text.as_bytes()))
    }

    #[tokio::test]
    async fn a_refusal_changes_nothing() {
        let apply = Apply::new(Names::default());
        let (one, hash_of_one) = checked("one");
        apply.apply(one, hash_of_one.clone()).await.unwrap();
        let (bad, hash_of_bad) = checked("bad");
        apply.apply(bad, hash_of_bad).await.unwrap_err();
        assert_eq!(*apply.effect().0.lock().unwrap(), ["one"]);
        let state = apply.state();
        assert_eq!(state.current.unwrap().hash, hash_of_one);
        assert_eq!(state.refused.unwrap().len(), 1);
        let (two, hash_of_two) = checked("two");
        apply.apply(two, hash_of_two).await.unwrap();
        assert_eq!(*apply.effect().0.lock().unwrap(), ["two"]);
        assert!(apply.state().refused.is_none());
        assert_eq!(apply.state().current.unwrap().number, 2);
    }
}
