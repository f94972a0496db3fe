//! A configuration of vaults that may come, as its users see it: slots, what is derived from them, and the commit. Owns:
//! that all of it takes effect, or nothing. Must not know: what is in a generation; [`super::state`] does.

use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::{Instant, timeout_at};

use super::generations::Generation;
use super::{Engine, wait};
use crate::resolve::Resolver;
use crate::slot::{Consumer, Slot};
use crate::template::Template;

/// A generation beside the one in effect. It is filled with values of its own, and nothing else is changed by it: no
/// value, no slot, no login of a vault that it knows otherwise, no file. (Where it asks a vault that is in effect, it
/// does so over the login that is there, and such requests are counted there.) Dropping it is the whole rollback.
#[must_use = "a candidate that is dropped has no effect"]
pub struct Candidate {
    engine: Engine,
    generation: Generation,
    /// What gets a say at the commit.
    consumers: Mutex<Vec<Weak<dyn Consumer>>>,
}

impl Engine {
    pub(super) fn candidate(&self, resolver: Option<Resolver>) -> Candidate {
        let generation = self.shared.generations().begin(resolver, Instant::now());
        Candidate { engine: self.clone(), generation, consumers: Mutex::default() }
    }
}

impl Candidate {
    /// The slot of a text: the one in effect, if the text means the same there, or one of the candidate's own. Kept for
    /// as long as somebody holds it.
    pub fn slot(&self, template: &Template) -> Arc<Slot> {
        self.slots([template]).remove(0)
    }

    /// The slots of many texts. Those who share a secret also share its first read.
    pub fn slots<'a>(&self, templates: impl IntoIterator<Item = &'a Template>) -> Vec<Arc<Slot>> {
        let (shared, now) = (&self.engine.shared, Instant::now());
        let mut generations = shared.generations();
        let slots = generations.candidate(self.generation).map(|(candidate, in_effect)| {
            let dropped = || shared.note_dropped();
            let slots = templates.into_iter();
            slots.map(|template| candidate.candidate_slot(in_effect, template, now, dropped())).collect()
        });
        drop(generations);
        shared.look.notify_one();
        // There is one for as long as this is.
        slots.unwrap_or_default()
    }

    /// Waits until every reference that this candidate asks for, and that the generation in effect does not, or asks
    /// for otherwise, was tried once; at most until `deadline`.
    pub async fn settled(&self, deadline: Instant) {
        let settled = async {
            loop {
                let waits = {
                    let mut generations = self.engine.shared.generations();
                    generations.candidate(self.generation).map(|(candidate, _)| candidate.wait_for_new())
                };
                let Some(waits) = waits.filter(|waits| !waits.is_empty()) else { return };
                // Then look again: more may have been asked for meanwhile.
                wait(waits).await;
            }
        };
        // What is not there by then comes when it comes.
        let _ = timeout_at(deadline, settled).await;
    }

    /// Takes effect: its vaults, its values, its slots, and what is derived from them. Cannot fail, and waits for
    /// nothing. References that only others hold are asked for anew, with these vaults; their values serve meanwhile.
    pub fn commit(self) {
        self.engine.shared.generations().commit(self.generation, Instant::now());
        self.finish();
        self.engine.shared.look.notify_one();
    }

    /// Finishes what is derived from its values, and nothing else yet: for who has users to move from the old to the new before
    /// the values of vaults that are gone are taken away by the commit. After it, only the commit may follow.
    pub fn finish(&self) {
        let consumers = std::mem::take(&mut *self.consumers());
        // Without the lock of the state: these may take things over that others are using.
        consumers.iter().filter_map(Weak::upgrade).for_each(|consumer| consumer.take_effect());
    }

    pub(crate) fn separator(&self) -> Arc<str> {
        self.engine.separator()
    }

    /// From the commit on it has a say.
    pub(crate) fn takes_effect(&self, consumer: &Arc<dyn Consumer>) {
        let mut consumers = self.consumers();
        if consumers.len() == consumers.capacity() {
            consumers.retain(|consumer| consumer.strong_count() > 0);
        }
        consumers.push(Arc::downgrade(consumer));
    }

    fn consumers(&self) -> std::sync::MutexGuard<'_, Vec<Weak<dyn Consumer>>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // After a commit there is nothing to give up. What was in it is dropped, and wiped, without the lock.
        let given_up = self.engine.shared.generations().give_up(self.generation);
        if given_up.is_some() {
            self.engine.shared.look.notify_one();
        }
    }
}

impl Debug for Candidate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Candidate({})", self.generation)
    }
}

#[cfg(test)]
mod tests;
