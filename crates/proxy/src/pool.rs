//! Connections to peers, kept and used again. One pool a worker, so nothing is locked.
//!
//! Owns: which connection may serve a request, and for how long an unused one is kept. Must not know: requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use postern_plugins::mix::Mix;
use tokio::time::Instant;

use crate::body::ToUpstream;
use crate::timed::Timing;

/// What two requests must share to share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Where.
    pub(crate) address: SocketAddr,
    /// With which TLS settings and server name; 0 without TLS. New settings have a new number, so connections that used
    /// an old credential are not used for new requests.
    pub(crate) tls: u64,
}

/// The connections of a worker.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Key, Vec<Idle>, BuildHasherDefault<Mix>>>,
    shared: RefCell<HashMap<Key, http2::SendRequest<ToUpstream>, BuildHasherDefault<Mix>>>,
    most: usize,
    longest: Duration,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// An HTTP/1 connection, for one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) send: http1::SendRequest<ToUpstream>,
    pub(crate) timing: Arc<Timing>,
}

impl Pool {
    pub(crate) fn new(most: usize, longest: Duration) -> Self {
        Self { idle: RefCell::default(), shared: RefCell::default(), most, longest }
    }

    /// The connection that was used last and still lives.
    pub(crate) fn take(&self, key: Key) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&key)?;
        while let Some(Idle { connection, .. }) = kept.pop() {
            if !connection.send.is_closed() && !connection.timing.has_expired() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response is complete.
    pub(crate) fn put(&self, key: Key, connection: Connection) {
        if connection.send.is_closed() || self.most == 0 {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(key).or_default();
        if kept.len() >= self.most {
            kept.remove(0);
        }
        kept.push(Idle { connection, since: Instant::now() });
    }

    /// The HTTP/2 connection to a peer.
    pub(crate) fn shared(&self, key: Key) -> Option<http2::SendRequest<ToUpstream>> {
        let mut shared = self.shared.borrow_mut();
        match shared.get(&key) {
            Some(send) if !send.is_closed() => Some(send.clone()),
            Some(_) => {
                shared.remove(&key);
                None
            }
            None => None,
        }
    }

    /// Keeps an HTTP/2 connection for all.
    pub(crate) fn share(&self, key: Key, send: http2::SendRequest<ToUpstream>) {
        self.shared.borrow_mut().insert(key, send);
    }

    /// Lets go of what was not used for long, or has died.
    pub(crate) fn tidy(&self) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(|idle| {
                !idle.connection.send.is_closed() && now.duration_since(idle.since) < self.longest
            });
            !kept.is_empty()
        });
        self.shared.borrow_mut().retain(|_, send| !send.is_closed());
    }

    /// Lets go of everything. Connections with a request under way end after it.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }
}
