//! Where a request goes: the targets of an upstream, or the one host of a service.
//!
//! Owns: the peers of each upstream, the choice among them, and what the outcome of a request changes. Must not know:
//! connections, requests beyond what is hashed. Peers come from [`crate::dns`], their health from [`crate::health`];
//! the proxy connects to what [`Balancer::pick`] gives, and calls [`Balancer::report`].
//!
//! A balancer is shared by all workers. Choosing neither locks nor allocates: it loads the current set of peers and
//! reads atomics. Tasks on the control runtime keep the set true ([`keep`]).

mod check;
mod consistent_hashing;
mod hash;
mod keep;
mod latency;
mod least_connections;
mod peer;
mod places;
mod round_robin;
mod set;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use postern_model::entity::upstream::Algorithm;
use postern_model::entity::{Target, Upstream};
use rustls::RootCertStore;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use hash::{HashInput, Key};
pub use peer::{Peer, Picked, Tried};

use crate::dns::Dns;
use crate::health::{Outcome, Rules};
use check::Checks;
use hash::Hashing;
use places::{Place, Resolved};
use set::{Entry, PeerSet, Turn};

/// Kong's text of the 503 when [`Balancer::pick`] has nothing for an upstream.
pub const NO_PEER: &str = "failure to get a peer from the ring-balancer";
/// Kong's text of the 503 when the host of a service has no address.
pub const NO_NAME: &str = "name resolution failed";

/// What all balancers of a process share.
#[derive(Clone)]
pub struct Control {
    handle: Handle,
    dns: Dns,
    /// Peers outlive balancers, so their clocks are one.
    epoch: Instant,
    roots: Arc<RootCertStore>,
}

impl Control {
    /// `handle`: of the runtime that resolves and checks.
    pub fn new(handle: Handle, dns: Dns) -> Self {
        Self { handle, dns, epoch: Instant::now(), roots: Arc::new(RootCertStore::empty()) }
    }

    /// The runtime that resolves and checks, on which plugins do what takes time, too.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whom checks of type `https` trust where they verify; nobody unless told.
    #[must_use]
    pub fn with_roots(mut self, roots: Arc<RootCertStore>) -> Self {
        self.roots = roots;
        self
    }
}

/// The peers of one upstream, or of one host of services. Dropping it ends its tasks.
///
/// Making one touches nothing: it has tasks only from [`Balancer::start`] on, when its configuration takes effect.
pub struct Balancer {
    shared: Arc<Shared>,
    origin: Origin,
    tasks: OnceLock<JoinSet<()>>,
}

/// What it was made from: the same origin need not be made again.
#[derive(PartialEq)]
enum Origin {
    Single,
    Upstream(Box<Upstream>),
}

/// What the tasks hold.
struct Shared {
    /// The upstream's name, for logs.
    label: Arc<str>,
    /// Whether logs may name the hosts of targets.
    names_hosts: bool,
    algorithm: Algorithm,
    slots: u32,
    threshold: f64,
    use_srv_name: bool,
    hashing: Hashing,
    passive: Rules,
    active: Option<Arc<Checks>>,
    /// Whether there are health checks of any kind.
    checked: bool,
    epoch: Instant,
    /// On the control path only.
    places: Mutex<Vec<Resolved>>,
    set: ArcSwap<PeerSet>,
    turn: AtomicUsize,
    up: AtomicBool,
    /// Of `up`: whoever computed it from an older state computes it again.
    version: AtomicU64,
    falls: AtomicU64,
    rises: AtomicU64,
    changed: Notify,
}

/// What is known of one address, or of a target without one.
#[derive(Clone, Debug)]
pub struct PeerHealth {
    /// `host:port` as configured.
    pub target: Arc<str>,
    /// `None` with [`State::DnsError`].
    pub address: Option<SocketAddr>,
    /// The share of this address.
    pub weight: u32,
    /// As a word.
    pub state: State,
    /// Why there is no address, or why it may be an old one.
    pub dns_error: Option<String>,
    /// Requests under way.
    pub active: u32,
    /// Requests so far.
    pub picks: u64,
}

/// Kong's words for it are in [`State::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words themselves")]
pub enum State {
    Healthy,
    Unhealthy,
    DnsError,
    ChecksOff,
}

impl State {
    /// As in Kong's Admin API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::DnsError => "DNS_ERROR",
            Self::ChecksOff => "HEALTHCHECKS_OFF",
        }
    }
}

impl Balancer {
    /// For the host of a service that is no upstream's name: its addresses in turn, without health checks.
    pub fn single(host: &str, port: u16, control: &Control) -> Arc<Self> {
        let place = Place { text: format!("{host}:{port}").into(), host: host.into(), port, weight: 100 };
        let shared = Shared { label: host.into(), ..Shared::empty(control) };
        Self::made(shared, Origin::Single, vec![Resolved::new(place, None)])
    }

    /// For a host that came from a vault: logs do not name it.
    pub fn secret_host(host: &str, port: u16, control: &Control) -> Arc<Self> {
        let place = Place { text: format!("{host}:{port}").into(), host: host.into(), port, weight: 100 };
        let label = "a host that came from a vault".into();
        let shared = Shared { label, names_hosts: false, ..Shared::empty(control) };
        Self::made(shared, Origin::Single, vec![Resolved::new(place, None)])
    }

    /// For an upstream with its targets. `before` is the upstream's balancer so far: it is returned if nothing
    /// changed, and otherwise what is known of targets that stay (addresses, health, latency) goes over.
    pub fn upstream(
        upstream: &Upstream,
        targets: &[Target],
        before: Option<&Arc<Self>>,
        control: &Control,
    ) -> Arc<Self> {
        let mut places: Vec<_> =
            targets.iter().map(|target| Place::new(&target.target, target.weight)).collect();
        // The order in a document means nothing, and must not move turns.
        places.sort_by(|a, b| a.text.cmp(&b.text));
        let known = before.map(|before| before.shared.places().clone()).unwrap_or_default();
        if let Some(before) = before
            && matches!(&before.origin, Origin::Upstream(origin) if **origin == *upstream)
            && known.iter().map(|resolved| &resolved.place).eq(&places)
        {
            return before.clone();
        }
        // Under other rules, what was counted means something else; a peer that fell may have no way back.
        let same_checks = before.is_some_and(|before| {
            matches!(&before.origin, Origin::Upstream(origin) if origin.healthchecks == upstream.healthchecks)
        });
        let places = places.into_iter().map(|place| {
            let same = |known: &&Resolved| {
                same_checks && (&known.place.host, known.place.port) == (&place.host, place.port)
            };
            let known = known.iter().find(same);
            Resolved::new(place, known)
        });
        let places = places.collect();
        let checks = &upstream.healthchecks;
        let passive = Rules::new(&checks.passive.healthy, &checks.passive.unhealthy);
        let active = Checks::new(upstream, &control.roots);
        let shared = Shared {
            label: upstream.name.as_str().into(),
            algorithm: upstream.algorithm,
            slots: upstream.slots,
            threshold: checks.threshold,
            use_srv_name: upstream.use_srv_name,
            hashing: Hashing::new(upstream),
            checked: active.is_some() || passive.can_fail(),
            passive,
            active,
            ..Shared::empty(control)
        };
        Self::made(shared, Origin::Upstream(Box::new(upstream.clone())), places)
    }

    fn made(shared: Shared, origin: Origin, places: Vec<Resolved>) -> Arc<Self> {
        *shared.places() = places;
        shared.rebuild();
        Arc::new(Self { shared: Arc::new(shared), origin, tasks: OnceLock::new() })
    }

    /// Asks once for each name of which nothing is known: before that, requests may fail for want of an address. Nobody
    /// but this balancer learns of the answers. Bounded by the patience of DNS; callers may want to wait for less.
    pub async fn look_up(&self, control: &Control) {
        keep::look_up(&self.shared, control).await;
    }

    /// From now on its peers are kept true and checked. Nothing happens where that is so already.
    pub fn start(&self, control: &Control) {
        self.tasks.get_or_init(|| keep::start(&self.shared, control));
    }

    /// What is hashed of a request; the same for all its tries.
    pub fn key(&self, input: &HashInput<'_>) -> Key {
        self.shared.hashing.key(input)
    }

    /// A peer for a request. `None`: none is up, or too few are; the answer is 503 with [`NO_PEER`], or [`NO_NAME`]
    /// for a single host.
    pub fn pick(&self, key: &Key, tried: &Tried) -> Option<Picked> {
        let shared = &*self.shared;
        if !shared.up.load(Ordering::Acquire) {
            return None;
        }
        let turn = Turn {
            key,
            tried,
            count: shared.turn.fetch_add(1, Ordering::Relaxed),
            now: shared.epoch.elapsed(),
        };
        shared.set.load().choose(&turn).cloned().map(Picked::new)
    }

    /// Whether this is an upstream's, whose failure to pick has Kong's [`NO_PEER`] as its text.
    pub fn is_upstream(&self) -> bool {
        self.origin != Origin::Single
    }

    /// What came of a request to a peer, once for each try: for passive checks, and for `latency`.
    /// `head_latency` is the time until the reply's head, or until the failure.
    pub fn report(&self, peer: &Arc<Peer>, outcome: Outcome, head_latency: Duration) {
        let shared = &*self.shared;
        if shared.algorithm == Algorithm::Latency {
            let seen = match outcome {
                Outcome::Status(_) | Outcome::Connected => head_latency,
                _ => head_latency.max(latency::FAILURE),
            };
            peer.latency.observe(seen, shared.epoch.elapsed());
        }
        shared.count(&shared.passive, peer, outcome, "passive");
    }

    /// Sets the health of every peer with this address, as Kong's `PUT /upstreams/x/targets/y/healthy`. Returns how
    /// many there are.
    pub fn set_health(&self, address: SocketAddr, healthy: bool) -> usize {
        self.shared.set_health(healthy, |peer| peer.address == address)
    }

    /// Likewise for all addresses of a target, named as configured.
    pub fn set_target_health(&self, target: &str, healthy: bool) -> usize {
        self.shared.set_health(healthy, |peer| &*peer.target == target)
    }

    /// Every address, and every target without one.
    pub fn health(&self) -> Vec<PeerHealth> {
        let places = self.shared.places();
        let of = |resolved: &Resolved| -> Vec<_> {
            let target = resolved.place.text.clone();
            let dns_error = resolved.error.clone();
            if resolved.entries.is_empty() && dns_error.is_some() {
                let (weight, state) = (resolved.place.weight, State::DnsError);
                return vec![PeerHealth {
                    target,
                    address: None,
                    weight,
                    state,
                    dns_error,
                    active: 0,
                    picks: 0,
                }];
            }
            let known = |Entry { peer, weight }: &Entry| PeerHealth {
                target: target.clone(),
                address: Some(peer.address),
                weight: *weight,
                state: match peer.is_up() {
                    _ if !self.shared.checked || *weight == 0 => State::ChecksOff,
                    true => State::Healthy,
                    false => State::Unhealthy,
                },
                dns_error: dns_error.clone(),
                active: peer.active(),
                picks: peer.picks(),
            };
            resolved.entries.iter().map(known).collect()
        };
        places.iter().flat_map(of).collect()
    }

    /// Whether it gives peers at all: more of the weight than the threshold is up.
    pub fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Acquire)
    }

    /// How often peers went down and came up again, since this balancer was made.
    pub fn changes(&self) -> (u64, u64) {
        (self.shared.falls.load(Ordering::Relaxed), self.shared.rises.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn empty(control: &Control) -> Self {
        let set = PeerSet::new(Algorithm::RoundRobin, 1, Box::default(), None, Duration::ZERO);
        Self {
            label: "".into(),
            names_hosts: true,
            algorithm: Algorithm::RoundRobin,
            slots: 1,
            threshold: 0.0,
            use_srv_name: false,
            hashing: Hashing::none(),
            passive: Rules::none(),
            active: None,
            checked: false,
            epoch: control.epoch,
            places: Mutex::default(),
            set: ArcSwap::from_pointee(set),
            // Nodes that start together must not all begin with the same target.
            turn: AtomicUsize::new(fastrand::usize(..1 << 16)),
            up: AtomicBool::new(false),
            version: AtomicU64::new(0),
            falls: AtomicU64::new(0),
            rises: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    fn places(&self) -> MutexGuard<'_, Vec<Resolved>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a target, and the set if it says so.
    fn change(&self, index: usize, change: impl FnOnce(&mut Resolved) -> bool) {
        let changed = self.places().get_mut(index).is_some_and(change);
        if changed {
            self.rebuild();
        }
    }

    /// A new set from the targets as they are.
    fn rebuild(&self) {
        let places = self.places();
        let entries = places.iter().flat_map(|resolved| &resolved.entries);
        let entries = entries.filter(|entry| entry.weight > 0).cloned().collect();
        let before = self.set.load();
        let now = self.epoch.elapsed();
        self.set.store(Arc::new(PeerSet::new(self.algorithm, self.slots, entries, Some(&before), now)));
        // Held until here, so that a later set is not overwritten by an earlier one.
        drop(places);
        self.judge();
    }

    /// Whether enough is up. Whoever sees a newer version judges again, so that the last word is about the last state.
    fn judge(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        loop {
            let version = self.version.load(Ordering::Acquire);
            let up = self.set.load().is_up(self.threshold);
            let before = self.up.swap(up, Ordering::AcqRel);
            if before != up && self.checked {
                tracing::warn!(upstream = %self.label, healthy = up, "health of the upstream changed");
            }
            if self.version.load(Ordering::Acquire) == version {
                return;
            }
        }
    }

    fn count(&self, rules: &Rules, peer: &Peer, outcome: Outcome, by: &'static str) {
        let Some((count, limit)) = rules.meaning(outcome) else { return };
        if let Some(up) = peer.health.count(count, limit) {
            self.turned(peer, up, by, Some(outcome));
        }
    }

    fn set_health(&self, healthy: bool, which: impl Fn(&Peer) -> bool) -> usize {
        let peers: Vec<_> = {
            let places = self.places();
            let entries = places.iter().flat_map(|resolved| &resolved.entries);
            entries.map(|entry| entry.peer.clone()).filter(|peer| which(peer)).collect()
        };
        for peer in &peers {
            if peer.health.set(healthy) {
                self.turned(peer, healthy, "by hand", None);
            }
        }
        peers.len()
    }

    fn turned(&self, peer: &Peer, up: bool, by: &'static str, outcome: Option<Outcome>) {
        if up { &self.rises } else { &self.falls }.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            upstream = %self.label, target = %peer.target, address = %peer.address, healthy = up, by, last = ?outcome,
            "health of a target changed"
        );
        self.judge();
        self.changed.notify_one();
    }
}
