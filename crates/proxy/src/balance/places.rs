//! Where the peers of a balancer come from: its targets, and what names resolve to.
//!
//! Owns: the parsing of `host:port`, and which peer stays the same when answers change. Must not know: tasks and time
//! ([`super::keep`] asks), algorithms.

use std::net::SocketAddr;
use std::sync::Arc;

use super::peer::Peer;
use super::set::Entry;
use crate::dns::{Answer, literal};

/// Kong's port of targets that name none.
const PORT: u16 = 8000;

/// A target as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// As written.
    pub(super) text: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) weight: u32,
}

impl Place {
    pub(super) fn new(text: &str, weight: u32) -> Self {
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address without a port has colons of its own.
            Some((host, port)) if literal(text).is_none() => (host, port.parse().unwrap_or(PORT)),
            _ => (text, PORT),
        };
        Self { text: text.into(), host: host.into(), port, weight }
    }
}

/// A target with the peers it has now.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) place: Place,
    pub(super) entries: Vec<Entry>,
    /// Why there are no addresses, in words.
    pub(super) error: Option<String>,
}

impl Resolved {
    /// A target whose host is an address has its peer at once; a name has none yet. Peers of `before` stay.
    pub(super) fn new(place: Place, before: Option<&Self>) -> Self {
        let mut resolved = Self { place, entries: Vec::new(), error: None };
        if let Some(ip) = literal(&resolved.place.host) {
            let address = SocketAddr::new(ip, resolved.place.port);
            let peer =
                resolved.peer(address, resolved.place.host.clone(), before.map_or(&[], |b| &b.entries));
            resolved.entries = vec![Entry { peer, weight: resolved.place.weight }];
        } else if let Some(before) = before {
            // Good until the first answer; a service's own weight stays, a target's is the new one.
            let weight = |entry: &Entry| {
                let own = entry.weight != before.place.weight;
                if own && resolved.place.weight > 0 { entry.weight } else { resolved.place.weight }
            };
            resolved.entries = before
                .entries
                .iter()
                .map(|entry| Entry { peer: entry.peer.clone(), weight: weight(entry) })
                .collect();
        }
        resolved
    }

    /// Takes an answer. Says whether the peers changed.
    pub(super) fn answered(&mut self, answer: &Answer, use_srv_name: bool) -> bool {
        let entries: Vec<_> = answer
            .endpoints
            .iter()
            .map(|endpoint| {
                let service = endpoint.service.as_ref();
                let address = SocketAddr::new(endpoint.ip, endpoint.port().unwrap_or(self.place.port));
                let name = service.filter(|_| use_srv_name).map_or(&self.place.host, |service| &service.name);
                // A target that is out by its own weight is out, whatever its records say.
                let weight = match service {
                    Some(service) if self.place.weight > 0 => u32::from(service.weight),
                    _ => self.place.weight,
                };
                Entry { peer: self.peer(address, name.clone(), &self.entries), weight }
            })
            .collect();
        let same = entries.len() == self.entries.len()
            && entries
                .iter()
                .zip(&self.entries)
                .all(|(a, b)| Arc::ptr_eq(&a.peer, &b.peer) && a.weight == b.weight);
        let changed = !same || self.error.take().is_some();
        self.entries = entries;
        changed
    }

    /// The name has no addresses any more, or (`keep`) nobody can tell. Says whether the peers changed.
    pub(super) fn failed(&mut self, error: String, keep: bool) -> bool {
        let changed = !keep && !self.entries.is_empty();
        if changed {
            self.entries.clear();
        }
        self.error = Some(error);
        changed
    }

    /// The peer with this address and name, with all that is known of it, or a new one.
    fn peer(&self, address: SocketAddr, name: Arc<str>, known: &[Entry]) -> Arc<Peer> {
        known
            .iter()
            .map(|entry| &entry.peer)
            .find(|peer| peer.address == address && peer.name == name)
            .cloned()
            .unwrap_or_else(|| Arc::new(Peer::new(address, name, self.place.text.clone())))
    }
}
