//! Balancers as the proxy uses them.

mod changes;
mod checks;
mod choice;
mod hashing;

use postern_model::entity::Foreign;
use postern_model::entity::upstream::{Active, CheckKind, HashOn, HealthChecks, Healthy, Passive, Unhealthy};
use postern_model::value::Text;
use uuid::Uuid;

use super::*;
use crate::dns::{Ask, Asked, Data, DnsError, Kind, Records, Settings};

/// An upstream with Kong's defaults, and a name.
fn upstream() -> Upstream {
    let healthy = || Healthy { interval: 0.0, http_statuses: vec![200, 302], successes: 0 };
    let unhealthy = || Unhealthy {
        interval: 0.0,
        http_statuses: vec![429, 500, 503],
        tcp_failures: 0,
        timeouts: 0,
        http_failures: 0,
    };
    Upstream {
        name: "orders".into(),
        algorithm: Algorithm::RoundRobin,
        hash_on: HashOn::None,
        hash_fallback: HashOn::None,
        hash_on_header: None,
        hash_fallback_header: None,
        hash_on_cookie: None,
        hash_on_cookie_path: Some("/".into()),
        hash_on_query_arg: None,
        hash_fallback_query_arg: None,
        hash_on_uri_capture: None,
        hash_fallback_uri_capture: None,
        slots: 10_000,
        host_header: None,
        client_certificate: None,
        use_srv_name: false,
        healthchecks: HealthChecks {
            threshold: 0.0,
            active: Active {
                kind: CheckKind::Http,
                timeout: 1.0,
                concurrency: 10,
                http_path: "/".into(),
                https_sni: None,
                https_verify_certificate: true,
                headers: None,
                healthy: healthy(),
                unhealthy: unhealthy(),
            },
            passive: Passive { kind: CheckKind::Http, healthy: healthy(), unhealthy: unhealthy() },
        },
    }
}

fn targets(of: &[(&str, u32)]) -> Vec<Target> {
    let upstream = Foreign { id: Uuid::nil() };
    of.iter()
        .map(|(target, weight)| Target { upstream, target: Text::from(*target), weight: *weight })
        .collect()
}

/// A DNS whose answers a test writes: names with addresses, or a failure.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<(String, Said)>>>);

type Said = Result<Records, DnsError>;

impl Names {
    fn set(&self, name: &str, ips: &[&str], ttl: u64) {
        let data = ips.iter().map(|ip| Data::Address(ip.parse().unwrap())).collect();
        self.put(name, Ok(Records { data, ttl: Duration::from_secs(ttl) }));
    }

    fn put(&self, name: &str, outcome: Result<Records, DnsError>) {
        let mut names = self.0.lock().unwrap();
        names.retain(|(known, _)| known != name);
        names.push((name.into(), outcome));
    }
}

impl Ask for Names {
    fn ask<'a>(&'a self, name: &'a str, kind: Kind) -> Asked<'a> {
        let names = self.0.lock().unwrap();
        let found = names.iter().find(|(known, _)| known == name).map(|(_, outcome)| outcome.clone());
        let fits = |records: &Records| match records.data[0] {
            Data::Service { .. } => kind == Kind::Srv,
            Data::Address(ip) => kind == if ip.is_ipv4() { Kind::A } else { Kind::Aaaa },
        };
        let outcome = match found {
            Some(Ok(records)) if !fits(&records) => Err(DnsError::Absent),
            found => found.unwrap_or(Err(DnsError::Absent)),
        };
        Box::pin(std::future::ready(outcome))
    }
}

fn control(names: &Names) -> Control {
    Control::new(Handle::current(), Dns::with(names.clone(), Settings::default()))
}

/// A balancer in effect, once its names were asked for.
async fn running(balancer: Arc<Balancer>, control: &Control) -> Arc<Balancer> {
    balancer.look_up(control).await;
    balancer.start(control);
    balancer
}

/// The addresses of the next `n` picks, each dropped at once.
fn picks(balancer: &Balancer, n: usize) -> Vec<String> {
    (0..n).map(|_| picked(balancer, &Key::NONE).unwrap_or_else(|| "none".into())).collect()
}

fn picked(balancer: &Balancer, key: &Key) -> Option<String> {
    balancer.pick(key, &Tried::default()).map(|peer| peer.address.to_string())
}

/// How often each is among them, sorted by address.
fn counts(picks: &[String]) -> Vec<(&str, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    picks.iter().for_each(|pick| *counts.entry(&**pick).or_default() += 1);
    counts.into_iter().collect()
}

/// Lets the tasks of the control runtime do what they have to do now.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
