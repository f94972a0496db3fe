//! A live value: read without a lock by those who use it, swapped by rotation.
//!
//! Owns: the swap, and that nothing half-made is ever seen. Must not know: where values come from, or when they
//! change; [`crate::rotate`] does. A slot without a value is *unresolved*, and its users fail closed.

use std::any::Any;
use std::fmt::{self, Debug, Formatter};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use zeroize::Zeroizing;

use crate::template::Template;
use postern_secret::Secret;

/// The value of a text that holds references. Shared by all fields with the same text.
pub struct Slot {
    template: Arc<Template>,
    value: ArcSwapOption<Zeroizing<String>>,
    /// Grows with every change, so that a user can tell whether it saw the newest value.
    generation: AtomicU64,
    consumers: Mutex<Vec<Weak<dyn Consumer>>>,
    /// Told when the last user lets go.
    dropped: Box<Dropped>,
}

/// Is told that nobody holds the slot of a text any longer.
type Dropped = dyn Fn(&Arc<Template>) + Send + Sync;

/// What is derived from a slot's value, made again at every change: a parsed certificate, a key, a pool.
pub struct Derived<T> {
    slot: Arc<Slot>,
    name: &'static str,
    value: ArcSwapOption<T>,
    /// Why there is none, where the slot has a value.
    problem: ArcSwapOption<String>,
    make: Box<Make<T>>,
    standing: Mutex<Standing<T>>,
}

/// What was made of a value.
pub enum Made<T> {
    /// It is there at once: making it has changed nothing else.
    Ready(T),
    /// It is finished when it takes effect: it takes something over then, or starts something. Must not call the
    /// engine, and must not take long. If it is dropped instead, nothing has happened.
    AtCommit(Finish<T>),
}

/// The last step of making something.
pub type Finish<T> = Box<dyn FnOnce() -> T + Send>;

/// Makes something of a value, or says why that is not possible, without repeating the value.
type Make<T> = dyn Fn(&Secret) -> Result<Made<T>, String> + Send + Sync;

/// Whether something derived is in effect.
enum Standing<T> {
    /// It belongs to a candidate, and has no say; with what is to be done at the commit.
    Candidate(Option<Finish<T>>),
    InEffect,
}

/// A value that does not satisfy one of its users. The reason never holds the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be used as {user}: {reason}")]
pub struct Invalid {
    /// Who refused it.
    pub user: &'static str,
    /// Why.
    pub reason: String,
}

/// Whoever must agree to a value before it is used. Two steps, so that all change or none.
pub(crate) trait Consumer: Send + Sync {
    fn prepare(&self, value: &Secret) -> Result<Box<dyn Any + Send>, Invalid>;
    fn commit(&self, prepared: Box<dyn Any + Send>);
    fn clear(&self);
    /// Whether a value that it refuses is not used. What belongs to a candidate has no veto.
    fn has_veto(&self) -> bool;
    /// The candidate that it belongs to takes effect.
    fn take_effect(&self);
}

impl Slot {
    pub(crate) fn new(
        template: Arc<Template>,
        dropped: impl Fn(&Arc<Template>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            template,
            value: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            consumers: Mutex::default(),
            dropped: Box::new(dropped),
        }
    }

    /// The value now; `None` while the slot is unresolved. One atomic load: no lock, no copy.
    pub fn load(&self) -> Option<Secret> {
        self.value.load_full().map(Secret::from_shared)
    }

    /// Shows the value to `read`, for less than [`Slot::load`] costs: the value is not even counted.
    pub fn with<R>(&self, read: impl FnOnce(Option<&str>) -> R) -> R {
        let value = self.value.load();
        read(value.as_ref().map(|text| text.as_str()))
    }

    /// The text as written.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// How often the value has changed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Registers something that is made from the value, now and at every change. A value from which it cannot be made
    /// is a fault of the slot, and the old one serves on; so is one on which `make` panics. `make` is called while
    /// values change: it must not call the engine, and must not take long.
    pub fn derive<T: Send + Sync + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        make: impl Fn(&Secret) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Derived<T>>, Invalid> {
        let make = move |value: &Secret| make(value).map(Made::Ready);
        let (derived, outcome) = self.register(name, make, Standing::InEffect);
        outcome.map(|()| derived)
    }

    /// The same for a user who waits for a value that can be used, also where the present one cannot.
    pub(crate) fn derive_or_wait<T: Send + Sync + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        make: impl Fn(&Secret) -> Result<T, String> + Send + Sync + 'static,
    ) -> Arc<Derived<T>> {
        let make = move |value: &Secret| make(value).map(Made::Ready);
        let (derived, outcome) = self.register(name, make, Standing::InEffect);
        derived.note(outcome);
        derived
    }

    /// The same for a user who belongs to a candidate.
    pub(crate) fn derive_for_candidate<T: Send + Sync + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        make: impl Fn(&Secret) -> Result<Made<T>, String> + Send + Sync + 'static,
    ) -> Arc<Derived<T>> {
        let (derived, outcome) = self.register(name, make, Standing::Candidate(None));
        derived.note(outcome);
        derived
    }

    fn register<T: Send + Sync + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        make: impl Fn(&Secret) -> Result<Made<T>, String> + Send + Sync + 'static,
        standing: Standing<T>,
    ) -> (Arc<Derived<T>>, Result<(), Invalid>) {
        let derived = Arc::new(Derived {
            slot: Arc::clone(self),
            name,
            value: ArcSwapOption::empty(),
            problem: ArcSwapOption::empty(),
            make: Box::new(make),
            standing: Mutex::new(standing),
        });
        let consumer: Arc<dyn Consumer> = Arc::<Derived<T>>::clone(&derived) as _;
        // Under the lock, so that no change comes between the first value and the registration.
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match self.load() {
            Some(value) => consumer.prepare(&value).map(|made| consumer.commit(made)),
            None => Ok(()),
        };
        consumers.push(Arc::downgrade(&consumer));
        (derived, outcome)
    }

    /// Swaps the value, if all users can use it. Tells whether it was another one than before.
    pub(crate) fn set(&self, value: &Secret) -> Result<bool, Invalid> {
        // Held to the end, so that a user who registers meanwhile gets the new value.
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.with(|old| old == Some(value.expose())) {
            return Ok(false);
        }
        let users = living(&mut consumers);
        let prepare = |user: &Arc<dyn Consumer>| match user.prepare(value) {
            Ok(made) => Some(Ok((Arc::clone(user), made))),
            // It goes on with what it has.
            Err(_) if !user.has_veto() => None,
            Err(invalid) => Some(Err(invalid)),
        };
        let prepared: Vec<_> = users.iter().filter_map(prepare).collect::<Result<_, Invalid>>()?;
        self.value.store(Some(value.shared()));
        for (user, made) in prepared {
            user.commit(made);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    /// Takes the value away: it may not be used any longer. Tells whether there was one.
    pub(crate) fn clear(&self) -> bool {
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        let had = self.value.swap(None).is_some();
        living(&mut consumers).iter().for_each(|user| user.clear());
        if had {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        had
    }
}

fn living(consumers: &mut Vec<Weak<dyn Consumer>>) -> Vec<Arc<dyn Consumer>> {
    consumers.retain(|consumer| consumer.strong_count() > 0);
    consumers.iter().filter_map(Weak::upgrade).collect()
}

impl Drop for Slot {
    fn drop(&mut self) {
        (self.dropped)(&self.template);
    }
}

impl Debug for Slot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.template)
    }
}

impl<T> Derived<T> {
    /// What was made from the newest usable value; `None` while the slot is unresolved. One atomic load.
    pub fn load(&self) -> Option<Arc<T>> {
        self.value.load_full()
    }

    /// The same for less, for as long as it is not held over a wait.
    pub fn peek(&self) -> arc_swap::Guard<Option<Arc<T>>> {
        self.value.load()
    }

    /// Why there is nothing although the slot has a value: it cannot be used. Never holds the value.
    pub fn problem(&self) -> Option<Arc<String>> {
        self.problem.load_full()
    }

    /// The slot behind it.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl<T: Send + Sync + 'static> Derived<T> {
    fn standing(&self) -> MutexGuard<'_, Standing<T>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, outcome: Result<(), Invalid>) {
        if let Err(invalid) = outcome {
            self.problem.store(Some(Arc::new(invalid.reason)));
        }
    }

    fn is_empty(&self) -> bool {
        self.value.load().is_none() && !matches!(*self.standing(), Standing::Candidate(Some(_)))
    }

    fn show(&self, value: T) {
        self.value.store(Some(Arc::new(value)));
        self.problem.store(None);
    }

    fn finish(&self, finish: Finish<T>) {
        match catch_unwind(AssertUnwindSafe(finish)) {
            Ok(value) => self.show(value),
            Err(_) => {
                tracing::error!(
                    user = self.name,
                    "a value could not be put into effect; the old one serves on"
                );
                if self.value.load().is_none() {
                    self.problem.store(Some(Arc::new(BROKE_OFF.to_owned())));
                }
            }
        }
    }
}

/// What is broken after a panic is the user's own; the reconciler must go on for all others.
const BROKE_OFF: &str = "its check failed to run to its end";

impl<T: Send + Sync + 'static> Consumer for Derived<T> {
    fn prepare(&self, value: &Secret) -> Result<Box<dyn Any + Send>, Invalid> {
        let made = catch_unwind(AssertUnwindSafe(|| (self.make)(value)));
        match made.unwrap_or_else(|_| Err(BROKE_OFF.to_owned())) {
            Ok(made) => Ok(Box::new(made)),
            Err(reason) => {
                if self.is_empty() {
                    self.problem.store(Some(Arc::new(reason.clone())));
                }
                Err(Invalid { user: self.name, reason })
            }
        }
    }

    fn commit(&self, prepared: Box<dyn Any + Send>) {
        // Always of this type: `prepare` is the only maker.
        let Ok(made) = prepared.downcast::<Made<T>>() else { return };
        // Held to the end, so that what was made of an older value never replaces what was made of a newer one.
        let mut standing = self.standing();
        match (*made, &mut *standing) {
            (Made::Ready(value), Standing::InEffect) => self.show(value),
            (Made::Ready(value), Standing::Candidate(pending)) => {
                *pending = None;
                self.show(value);
            }
            (Made::AtCommit(finish), Standing::InEffect) => self.finish(finish),
            (Made::AtCommit(finish), Standing::Candidate(pending)) => {
                *pending = Some(finish);
                self.value.store(None);
                self.problem.store(None);
            }
        }
    }

    fn clear(&self) {
        self.value.store(None);
        if let Standing::Candidate(pending) = &mut *self.standing() {
            *pending = None;
        }
    }

    fn has_veto(&self) -> bool {
        matches!(*self.standing(), Standing::InEffect)
    }

    fn take_effect(&self) {
        let mut standing = self.standing();
        if let Standing::Candidate(Some(finish)) = mem::replace(&mut *standing, Standing::InEffect) {
            self.finish(finish);
        }
    }
}

impl<T> Debug for Made<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::AtCommit(_) => "AtCommit",
        })
    }
}

impl<T> Debug for Derived<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Derived({} from {})", self.name, self.slot.template)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    fn slot() -> Arc<Slot> {
        Arc::new(Slot::new(Arc::new(Template::parse("{vault://env/a}").unwrap()), |_| {}))
    }

    fn number(value: &Secret) -> Result<u32, String> {
        value.expose().parse().map_err(|_| "not a number".to_owned())
    }

    #[test]
    fn it_is_empty_then_set_then_cleared() {
        let slot = slot();
        assert!(slot.load().is_none());
        assert_eq!(slot.set(&Secret::from("1")), Ok(true));
        assert_eq!(slot.set(&Secret::from("1")), Ok(false));
        assert_eq!((slot.load().unwrap().expose(), slot.generation()), ("1", 1));
        slot.clear();
        assert!(slot.load().is_none() && slot.with(|value| value.is_none()));
        assert_eq!(slot.generation(), 2);
    }

    #[test]
    fn a_value_that_one_user_cannot_use_changes_nothing_for_anyone() {
        let slot = slot();
        let (numbers, lengths) = (
            slot.derive("a number", number).unwrap(),
            slot.derive("text", |v| Ok(v.expose().len())).unwrap(),
        );
        slot.set(&Secret::from("12")).unwrap();
        let invalid = slot.set(&Secret::from("hunter2")).unwrap_err();
        assert_eq!(invalid.to_string(), "the value cannot be used as a number: not a number");
        assert_eq!(
            (slot.load().unwrap().expose(), *numbers.load().unwrap(), *lengths.load().unwrap()),
            ("12", 12, 2)
        );
        slot.set(&Secret::from("345")).unwrap();
        assert_eq!((*numbers.load().unwrap(), *lengths.load().unwrap()), (345, 3));
        slot.clear();
        assert!(numbers.load().is_none() && lengths.load().is_none());
    }

    #[test]
    fn a_late_user_gets_the_value_that_is_there() {
        let slot = slot();
        slot.set(&Secret::from("7")).unwrap();
        assert_eq!(*slot.derive("a number", number).unwrap().load().unwrap(), 7);
        assert!(slot.derive("an empty text", |_| Err::<(), _>("not empty".into())).is_err());
        // The refused user is gone, and does not stand in the way of the next value.
        assert_eq!(slot.set(&Secret::from("8")), Ok(true));
    }

    #[test]
    fn a_user_that_panics_refuses() {
        let slot = slot();
        let picky = slot.derive("text without x", |value| {
            assert!(!value.expose().contains('x'), "not shown");
            Ok(value.expose().len())
        });
        slot.set(&Secret::from("abc")).unwrap();
        let refused = slot.set(&Secret::from("xyz")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the value cannot be used as text without x: its check failed to run to its end"
        );
        assert_eq!((slot.load().unwrap().expose(), *picky.unwrap().load().unwrap()), ("abc", 3));
        assert_eq!(slot.set(&Secret::from("de")), Ok(true));
    }

    #[test]
    fn readers_never_see_a_torn_or_empty_value() {
        let (slot, done) = (slot(), AtomicBool::new(false));
        slot.set(&Secret::from("aaaaaaaa")).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        slot.with(|value| {
                            let value = value.expect("never empty");
                            assert!(
                                value.len() == 8 && value.bytes().all(|b| b == value.as_bytes()[0]),
                                "torn"
                            );
                        });
                    }
                });
            }
            for round in 0..20_000_u32 {
                let letter = if round % 2 == 0 { "b" } else { "a" };
                slot.set(&Secret::from(letter.repeat(8))).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
