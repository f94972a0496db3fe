//! The server names of TLS peers, each with a number of its own.
//!
//! Owns: that two names never have one number, and that a request finds it without looking at the text.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use postern_plugins::mix::Mix;

/// The names that the peers of a worker have now. There are as many as there are peers, and no client chooses them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By where the text is in memory. The text is held, so nothing else can come to be there.
    by_place: RefCell<HashMap<usize, Known, BuildHasherDefault<Mix>>>,
    by_text: RefCell<HashMap<Box<str>, u64>>,
    /// The last number that was given; none is given twice.
    last: Cell<u64>,
}

#[derive(Debug)]
struct Known {
    text: Arc<str>,
    number: u64,
}

impl Names {
    /// The number of a name; never 0.
    pub(crate) fn number(&self, name: &Arc<str>) -> u64 {
        // Texts are aligned, and the hash does not mix the last bits.
        let place = name.as_ptr().addr() >> 3;
        if let Some(known) = self.by_place.borrow().get(&place)
            && Arc::ptr_eq(&known.text, name)
        {
            return known.number;
        }
        let number = *self.by_text.borrow_mut().entry((**name).into()).or_insert_with(|| {
            self.last.set(self.last.get() + 1);
            self.last.get()
        });
        self.by_place.borrow_mut().insert(place, Known { text: Arc::clone(name), number });
        number
    }

    /// Forgets the names that no peer has any more.
    pub(crate) fn tidy(&self) {
        let mut by_place = self.by_place.borrow_mut();
        let before = by_place.len();
        by_place.retain(|_, known| Arc::strong_count(&known.text) > 1);
        if by_place.len() < before {
            let numbers: HashSet<u64> = by_place.values().map(|known| known.number).collect();
            self.by_text.borrow_mut().retain(|_, number| numbers.contains(number));
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let texts = self.by_text.borrow().len();
        assert_eq!(texts, self.by_place.borrow().len(), "each is known in one place");
        texts
    }
}
