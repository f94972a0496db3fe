//! Names of targets and services → addresses, with the time until which an answer holds.
//!
//! Owns: the order of record types, SRV records' targets, the bounds of a TTL, one question at a time for each name,
//! and the answers that hold. Must not know: balancers (they decide what an old answer is still good for), and how a
//! question travels ([`system`] does). Answers go to [`crate::balance`].

pub mod system;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// A name with a TTL of zero would be asked for without a pause.
const SHORTEST: Duration = Duration::from_secs(1);
/// A name whose TTL is wrong by a unit (days) would never move.
const LONGEST: Duration = Duration::from_secs(3600);
/// For how long a failure is the answer to those who ask at the same time.
const FAILURE: Duration = Duration::from_millis(500);
/// One name, all its questions.
const PATIENCE: Duration = Duration::from_secs(30);
/// Names that are asked for at once; a big configuration must not flood the server when it starts.
const AT_ONCE: usize = 64;
/// Addresses of one name. What is above is left out.
const MOST: usize = 256;
/// Targets of one SRV record that are looked up.
const MOST_SERVICES: usize = 64;
/// Names that are kept. Above it those are dropped whose answer no longer holds, or else all.
const KEPT: usize = 16_384;

/// What resolution is told; the names of Kong's settings are beside the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `dns_resolver`: empty means those of the system.
    pub servers: Vec<SocketAddr>,
    /// `dns_order`: the first kind that has records wins.
    pub order: Vec<Kind>,
    /// Whether the kind that won last time is asked for first (`LAST` in `dns_order`).
    pub last_first: bool,
    /// `dns_valid_ttl`: in place of the records' own TTL.
    pub valid_ttl: Option<Duration>,
    /// `dns_hostsfile`: whether the system's is looked at.
    pub hosts_file: bool,
    /// For one question to one server.
    pub timeout: Duration,
    /// Further questions after one without an answer.
    pub attempts: usize,
}

impl Default for Settings {
    /// Kong's order, and AAAA where there is nothing else.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            order: vec![Kind::Srv, Kind::A, Kind::Aaaa],
            last_first: true,
            valid_ttl: None,
            hosts_file: true,
            timeout: Duration::from_secs(2),
            attempts: 2,
        }
    }
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "DNS's own names")]
pub enum Kind {
    Srv,
    A,
    Aaaa,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// An address, of A and AAAA.
    Address(IpAddr),
    /// Of SRV: whoever has the lowest priority is used, by weight.
    #[expect(missing_docs, reason = "DNS's own names")]
    Service { priority: u16, weight: u16, port: u16, target: String },
}

/// The records of one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// What they say; more than none.
    pub data: Vec<Data>,
    /// The shortest of theirs.
    pub ttl: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The servers say that there is no such name, or nothing of the kinds that are asked for. Kong's text.
    #[error("dns server error: 3 name error")]
    Absent,
    /// Nobody gave an answer that counts. What was known before may still be true.
    #[error("name resolution failed: {0}")]
    Unanswered(String),
    /// The system's resolver configuration could not be read.
    #[error("the system's resolver configuration could not be read: {0}")]
    System(String),
}

/// A pending answer to a question.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<Records, DnsError>> + Send + 'a>>;

/// Whoever answers single questions: the DNS, or a double in tests.
pub trait Ask: Send + Sync + 'static {
    /// Addresses that are known without a question, as from a hosts file.
    fn known(&self, _name: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    /// Asks once; [`DnsError::Absent`] means that there is nothing of this kind.
    fn ask<'a>(&'a self, name: &'a str, kind: Kind) -> Asked<'a>;
}

/// One address of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub ip: IpAddr,
    /// What an SRV record adds to it.
    pub service: Option<Service>,
}

/// What an SRV record says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `None` where the record leaves it to whoever asks.
    pub port: Option<u16>,
    /// At least 1: weight 0 means "rarely", not "never" (RFC 2782; Kong does the same).
    pub weight: u16,
    /// The name that the record points to, without the last dot.
    pub name: Arc<str>,
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// More than none, sorted, without doubles.
    pub endpoints: Vec<Endpoint>,
    /// Ask again then.
    pub until: Instant,
}

/// Resolution for everyone: cheap to clone, and what it keeps is shared.
#[derive(Clone)]
pub struct Dns(Arc<Inner>);

struct Inner {
    source: Box<dyn Ask>,
    settings: Settings,
    names: Mutex<HashMap<Box<str>, Arc<Name>>>,
    places: Semaphore,
}

/// Held while a name is asked for, so that all others wait for the same answer.
type Name = tokio::sync::Mutex<Kept>;

#[derive(Default)]
struct Kept {
    outcome: Option<Result<Answer, DnsError>>,
    until: Option<Instant>,
    won: Option<Kind>,
}

impl Dns {
    /// With the servers of the settings, or the system's.
    ///
    /// # Errors
    /// [`DnsError::System`].
    pub fn new(settings: Settings) -> Result<Self, DnsError> {
        Ok(Self::with(system::System::new(&settings)?, settings))
    }

    /// With a source of one's own.
    pub fn with(source: impl Ask, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            source: Box::new(source),
            settings,
            names: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }))
    }

    /// The addresses of a name. An address as a name is its own answer, for ever.
    ///
    /// # Errors
    /// [`DnsError::Absent`] and [`DnsError::Unanswered`]; they are told apart because the latter says nothing about
    /// what was known before.
    pub async fn resolve(&self, name: &str) -> Result<Answer, DnsError> {
        let inner = &*self.0;
        if let Some(ip) = literal(name) {
            return Ok(Answer::of([ip], LONGEST));
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let known = inner.known(&name);
        if !known.is_empty() {
            return Ok(Answer::of(known, LONGEST));
        }
        let cell = inner.cell(&name);
        let mut kept = cell.lock().await;
        if let (Some(outcome), Some(until)) = (&kept.outcome, kept.until)
            && Instant::now() < until
        {
            return outcome.clone();
        }
        let outcome = match inner.places.acquire().await {
            Ok(_place) => timeout(PATIENCE, inner.look_up(&name, &mut kept.won))
                .await
                .unwrap_or_else(|_| Err(DnsError::Unanswered("no answer in time".into()))),
            Err(_) => Err(DnsError::Unanswered("shut down".into())),
        };
        kept.until = Some(outcome.as_ref().map_or_else(|_| Instant::now() + FAILURE, |answer| answer.until));
        kept.outcome = Some(outcome.clone());
        outcome
    }
}

impl Inner {
    /// Before every question: the hosts file, and what `localhost` is without a server (RFC 6761).
    fn known(&self, name: &str) -> Vec<IpAddr> {
        let known = self.source.known(name);
        let localhost = name == "localhost" || name.ends_with(".localhost");
        if known.is_empty() && localhost { vec![Ipv4Addr::LOCALHOST.into()] } else { known }
    }

    fn cell(&self, name: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = names.get(name) {
            return cell.clone();
        }
        if names.len() >= KEPT {
            let now = Instant::now();
            // Whatever is asked for at this moment is locked, and stays.
            names.retain(|_, cell| {
                cell.try_lock().is_ok_and(|kept| kept.until.is_none_or(|until| now < until))
            });
        }
        if names.len() >= KEPT {
            names.clear();
        }
        names.entry(name.into()).or_default().clone()
    }

    /// The kinds in their order, until one has records.
    async fn look_up(&self, name: &str, won: &mut Option<Kind>) -> Result<Answer, DnsError> {
        let first = won.filter(|_| self.settings.last_first);
        let rest = self.settings.order.iter().copied().filter(|kind| Some(*kind) != first);
        let mut worst = DnsError::Absent;
        for kind in first.into_iter().chain(rest) {
            match self.of_kind(name, kind).await {
                Ok(answer) => {
                    *won = Some(kind);
                    return Ok(answer);
                }
                Err(DnsError::Absent) => {}
                // Another kind may be answered; if none is, nobody may conclude that the name is absent.
                Err(error) => worst = error,
            }
        }
        Err(worst)
    }

    async fn of_kind(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let records = self.source.ask(name, kind).await?;
        if kind == Kind::Srv {
            return self.services(records).await;
        }
        let addresses = records.data.into_iter().filter_map(|data| match data {
            Data::Address(ip) => Some(Endpoint { ip, service: None }),
            Data::Service { .. } => None,
        });
        Answer::new(addresses.collect(), self.ttl(records.ttl))
    }

    /// The names that the best SRV records point to, looked up in turn; those without an address are left out.
    async fn services(&self, records: Records) -> Result<Answer, DnsError> {
        let mut services: Vec<_> = records
            .data
            .into_iter()
            .filter_map(|data| match data {
                Data::Service { priority, weight, port, target } => Some((priority, weight, port, target)),
                Data::Address(_) => None,
            })
            .collect();
        let best = services.iter().map(|(priority, ..)| *priority).min();
        services.retain(|(priority, ..)| Some(*priority) == best);
        services.truncate(MOST_SERVICES);
        let (mut endpoints, mut ttl, mut worst) = (Vec::new(), records.ttl, DnsError::Absent);
        for (_, weight, port, target) in services {
            let target = target.trim_end_matches('.');
            let (found, until) = match self.addresses(target).await {
                Ok(found) => found,
                Err(DnsError::Absent) => continue,
                Err(error) => {
                    worst = error;
                    continue;
                }
            };
            ttl = ttl.min(until);
            let port = Some(port).filter(|port| *port != 0);
            let service = Service { port, weight: weight.max(1), name: target.into() };
            endpoints.extend(found.into_iter().map(|ip| Endpoint { ip, service: Some(service.clone()) }));
        }
        if endpoints.is_empty() { Err(worst) } else { Answer::new(endpoints, self.ttl(ttl)) }
    }

    /// The addresses of the target of an SRV record, which may not be an SRV name again.
    async fn addresses(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), DnsError> {
        let known = literal(name).map_or_else(|| self.known(name), |ip| vec![ip]);
        if !known.is_empty() {
            return Ok((known, LONGEST));
        }
        let mut worst = DnsError::Absent;
        for kind in self.settings.order.iter().filter(|kind| **kind != Kind::Srv) {
            match self.source.ask(name, *kind).await {
                Ok(records) => {
                    let ips = records.data.iter().filter_map(|data| match data {
                        Data::Address(ip) => Some(*ip),
                        Data::Service { .. } => None,
                    });
                    return Ok((ips.collect(), records.ttl));
                }
                Err(DnsError::Absent) => {}
                Err(error) => worst = error,
            }
        }
        Err(worst)
    }

    fn ttl(&self, records: Duration) -> Duration {
        self.settings.valid_ttl.unwrap_or(records).clamp(SHORTEST, LONGEST)
    }
}

impl Answer {
    fn new(mut endpoints: Vec<Endpoint>, ttl: Duration) -> Result<Self, DnsError> {
        if endpoints.is_empty() {
            return Err(DnsError::Absent);
        }
        // Servers rotate their answers; sorted, the same addresses are the same answer.
        endpoints.sort_by(|a, b| a.order().cmp(&b.order()));
        endpoints.dedup_by(|a, b| (a.ip, a.port()) == (b.ip, b.port()));
        endpoints.truncate(MOST);
        Ok(Self { endpoints, until: Instant::now() + ttl })
    }

    fn of(ips: impl IntoIterator<Item = IpAddr>, ttl: Duration) -> Self {
        let endpoints = ips.into_iter().map(|ip| Endpoint { ip, service: None }).collect();
        Self { endpoints, until: Instant::now() + ttl }
    }
}

impl Endpoint {
    /// The port of the SRV record.
    pub fn port(&self) -> Option<u16> {
        self.service.as_ref().and_then(|service| service.port)
    }

    fn order(&self) -> (IpAddr, Option<u16>, Option<&str>) {
        (self.ip, self.port(), self.service.as_ref().map(|service| &*service.name))
    }
}

/// An address in the place of a name; IPv6 may be in brackets.
pub(crate) fn literal(name: &str) -> Option<IpAddr> {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).parse().ok()
}
