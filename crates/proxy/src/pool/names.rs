//! The server names of TLS peers, each with a number of its own.
//!
//! Owns: that two names never have one number, that a request finds the number of a configured name without looking at the
//! text, and how many names that clients choose (`preserve_host`) are remembered.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use postern_plugins::mix::Mix;

/// Values of `Host` that are remembered. Above it all are forgotten: connections under their numbers are used no more.
const HOSTS: usize = 4096;

/// The names under which a worker connects now: those of peers and upstreams, which are as many as are configured, and those
/// of `Host` headers that are sent on, which are bounded.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By where the text is in memory. The text is held, so nothing else can come to be there.
    by_place: RefCell<HashMap<usize, Known, BuildHasherDefault<Mix>>>,
    by_text: RefCell<HashMap<Box<str>, u64>>,
    /// By the value of a `Host` header, as it was written. Clients choose these, so the hash is keyed.
    by_host: RefCell<HashMap<Box<str>, Host>>,
    /// The last number that was given; none is given twice.
    last: Cell<u64>,
}

#[derive(Debug)]
struct Known {
    text: Arc<str>,
    number: u64,
}

#[derive(Debug)]
struct Host {
    name: Arc<str>,
    /// Since the last tidying.
    used: Cell<bool>,
}

impl Names {
    /// The server name for a `Host` header that is sent. Nothing is allocated for one that was sent lately.
    pub(crate) fn of_host(&self, host: &str) -> Arc<str> {
        if let Some(known) = self.by_host.borrow().get(host) {
            known.used.set(true);
            return Arc::clone(&known.name);
        }
        if self.by_host.borrow().len() >= HOSTS {
            self.by_host.borrow_mut().clear();
            self.forget();
        }
        let name: Arc<str> = server_name(host).into();
        let known = Host { name: Arc::clone(&name), used: Cell::new(true) };
        self.by_host.borrow_mut().insert(host.into(), known);
        name
    }

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

    /// Forgets the names that no peer has any more, and the hosts that were not sent since the last time.
    pub(crate) fn tidy(&self) {
        self.by_host.borrow_mut().retain(|_, host| host.used.replace(false));
        self.forget();
    }

    fn forget(&self) {
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
        let (texts, places) = (self.by_text.borrow().len(), self.by_place.borrow().len());
        assert!(texts <= places, "{texts} names are known in {places} places");
        places
    }
}

/// The name that is sent and verified for a `Host`: in lower case, without port, brackets and final dot.
pub(crate) fn server_name(host: &str) -> String {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => match host.split_once(':') {
            // An address of version 6 without brackets, as a plugin may write it.
            Some((_, port)) if port.contains(':') => host,
            Some((name, _)) => name,
            None => host,
        },
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
