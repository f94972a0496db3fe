//! Active checks: whom to check, and when.
//!
//! Owns: the two rhythms (of those that are up, and of those that are down) and the number of checks at once. Must not
//! know: what a check sends ([`crate::health`]'s probe does).

use std::sync::Arc;
use std::time::Duration;

use postern_model::entity::Upstream;
use rustls::RootCertStore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Shared;
use super::peer::Peer;
use crate::health::Rules;
use crate::health::probe::{Probe, seconds};

/// Kong's schema has 0.001 s; as a rhythm it would be an attack.
const SHORTEST: Duration = Duration::from_millis(10);

/// The active checks of an upstream.
pub(super) struct Checks {
    probe: Probe,
    rules: Rules,
    concurrency: usize,
    /// Between checks of peers that are up, and of those that are down; `None`: not at all.
    up: Option<Duration>,
    down: Option<Duration>,
}

impl Checks {
    /// `None` if the upstream has none.
    pub(super) fn new(upstream: &Upstream, roots: &Arc<RootCertStore>) -> Option<Arc<Self>> {
        let active = &upstream.healthchecks.active;
        let rhythm = |interval: f64| (interval > 0.0).then(|| seconds(interval).max(SHORTEST));
        let (up, down) = (rhythm(active.healthy.interval), rhythm(active.unhealthy.interval));
        (up.is_some() || down.is_some()).then(|| {
            Arc::new(Self {
                probe: Probe::new(upstream, roots),
                rules: Rules::new(&active.healthy, &active.unhealthy),
                concurrency: (active.concurrency as usize).max(1),
                up,
                down,
            })
        })
    }

    /// The rhythms there are, with whom each is for.
    pub(super) fn rhythms(&self) -> impl Iterator<Item = (Duration, bool)> {
        self.up.map(|up| (up, true)).into_iter().chain(self.down.map(|down| (down, false)))
    }
}

/// Checks those that are `up` (or not) in their rhythm. A round that takes longer than the interval delays the next.
pub(super) async fn follow(shared: Arc<Shared>, checks: Arc<Checks>, every: Duration, up: bool) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut peers = due(&shared, up).into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < checks.concurrency
                && let Some(peer) = peers.next()
            {
                under_way.spawn(check(shared.clone(), checks.clone(), peer));
            }
            if under_way.join_next().await.is_none() {
                break;
            }
        }
    }
}

fn due(shared: &Shared, up: bool) -> Vec<Arc<Peer>> {
    let places = shared.places();
    let entries = places.iter().flat_map(|resolved| &resolved.entries);
    entries
        .filter(|entry| entry.weight > 0 && entry.peer.is_up() == up)
        .map(|entry| entry.peer.clone())
        .collect()
}

async fn check(shared: Arc<Shared>, checks: Arc<Checks>, peer: Arc<Peer>) {
    let outcome = checks.probe.check(peer.address, &peer.name).await;
    tracing::debug!(upstream = %shared.label, target = %peer.target, address = %peer.address, ?outcome, "checked");
    shared.count(&checks.rules, &peer, outcome, "active");
}
