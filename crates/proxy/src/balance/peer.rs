//! One address that requests may go to, and what is known of it.
//!
//! Owns: its name, its health, its latency, and the count of requests under way. Must not know: its weight (one peer
//! outlives many configurations), nor who chooses it.

use std::fmt::{self, Debug, Formatter};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::hash::Fnv;
use super::latency::Latency;
use crate::health::Health;

/// An address of a target.
pub struct Peer {
    /// Where to connect.
    pub address: SocketAddr,
    /// The host of the target, or the name of the SRV record with `use_srv_name`: for `Host` and SNI.
    pub name: Arc<str>,
    /// `host:port` as configured: for logs and metrics.
    pub target: Arc<str>,
    /// The same on every node and after every start.
    pub(super) id: u64,
    pub(super) health: Health,
    pub(super) latency: Latency,
    active: AtomicU32,
    picks: AtomicU64,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, name: Arc<str>, target: Arc<str>) -> Self {
        let id = Fnv::default().with(target.as_bytes()).with(address.to_string().as_bytes()).end();
        Self {
            address,
            name,
            target,
            id,
            health: Health::default(),
            latency: Latency::default(),
            active: AtomicU32::new(0),
            picks: AtomicU64::new(0),
        }
    }

    /// The port of the target, or of the SRV record.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// How often it was chosen.
    pub fn picks(&self) -> u64 {
        self.picks.load(Ordering::Relaxed)
    }

    /// Whether it may get requests.
    pub fn is_up(&self) -> bool {
        self.health.is_up()
    }
}

impl Debug for Peer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.target, self.address)
    }
}

/// A peer that a request goes to. Dropping it ends the request for the count of those under way, so it is kept until
/// the last byte of the reply.
#[derive(Debug)]
pub struct Picked(Arc<Peer>);

impl Picked {
    pub(super) fn new(peer: Arc<Peer>) -> Self {
        peer.active.fetch_add(1, Ordering::Relaxed);
        peer.picks.fetch_add(1, Ordering::Relaxed);
        Self(peer)
    }
}

impl Deref for Picked {
    type Target = Arc<Peer>;

    fn deref(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The peers that this request went to in vain: the last few, which is enough to come to others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    ids: [u64; Self::MOST],
    count: usize,
}

impl Tried {
    const MOST: usize = 8;

    /// Not this one again, while there is another.
    pub fn add(&mut self, peer: &Peer) {
        self.ids[self.count % Self::MOST] = peer.id;
        self.count += 1;
    }

    /// Whether nothing was tried.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn contains(&self, peer: &Peer) -> bool {
        self.ids[..self.count.min(Self::MOST)].contains(&peer.id)
    }
}
