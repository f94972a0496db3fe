//! Services, upstreams and targets → where requests go, and how they are spoken to.
//!
//! Owns: which balancer a service has, the one that it had before if nothing changed, and the TLS settings towards its peers.
//! Must not know: requests.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use postern_model::entity::{self, Foreign};
use postern_model::{Entry, Snapshot};
use postern_plugins::view::{Entity, ServiceInfo};
use rustls::ClientConfig;
use uuid::Uuid;

use super::closed;
use super::work::{Note, Used, Work};
use super::{Cell, Service, ServiceRef};
use crate::balance::Balancer;
use crate::live::head::ServiceHead;
use crate::tls::{self, ClientTls};

/// What the index entities come to.
pub(super) struct Index<'s> {
    targets: HashMap<Uuid, Vec<entity::Target>>,
    authorities: HashMap<Uuid, entity::CaCertificate>,
    certificates: HashMap<Uuid, entity::Certificate>,
    upstreams: HashMap<String, (Uuid, entity::Upstream)>,
    /// Those that requests must not get past.
    closed: closed::Upstreams<'s>,
}

/// The balancers of upstreams, by name.
type Balancers<'a> = HashMap<&'a str, (Arc<Balancer>, &'a entity::Upstream)>;

/// TLS settings, and their number.
type Tls = Option<(Arc<ClientConfig>, u64)>;

impl Work<'_> {
    pub(super) fn index<'s>(&mut self, snapshot: &'s Snapshot) -> Index<'s> {
        let mut targets: HashMap<Uuid, Vec<entity::Target>> = HashMap::new();
        for entry in &snapshot.targets {
            if let Some(target) = self.now(entry) {
                targets.entry(target.upstream.id).or_default().push(target);
            }
        }
        let mut authorities = HashMap::new();
        for entry in &snapshot.ca_certificates {
            let Some(authority) = self.now(entry) else { continue };
            match tls::authority(&authority.cert) {
                Ok(_) => drop(authorities.insert(entry.id, authority)),
                Err(reason) => self.problem("ca_certificates", entry, format!("cert: {reason}")),
            }
        }
        // Only those that a service or an upstream shows; what listeners show is a cell.
        let foreign = |field: &str, record: &postern_model::Record| Foreign::of(record.get(field)?);
        let shown: HashSet<Uuid> = snapshot
            .services
            .iter()
            .filter_map(|service| foreign("client_certificate", &service.record))
            .chain(
                snapshot
                    .upstreams
                    .iter()
                    .filter_map(|upstream| foreign("client_certificate", &upstream.record)),
            )
            .collect();
        let certificates = snapshot.certificates.iter().filter(|entry| shown.contains(&entry.id));
        let certificates = certificates.filter_map(|entry| Some((entry.id, self.now(entry)?))).collect();
        let mut upstreams = HashMap::new();
        let mut closed = closed::Upstreams::of(snapshot);
        for entry in &snapshot.upstreams {
            match self.now(entry) {
                Some(upstream) => {
                    upstreams.insert(upstream.name.as_str().to_owned(), (entry.id, upstream));
                }
                // A name that holds a reference is as good as none.
                None => closed.add(
                    entry.record.text("name"),
                    format!("its upstream {} has no usable value", entry.path),
                ),
            }
        }
        Index { targets, authorities, certificates, upstreams, closed }
    }

    pub(super) fn services(
        &mut self,
        snapshot: &Snapshot,
        index: &Index<'_>,
    ) -> HashMap<Uuid, Arc<ServiceRef>> {
        let mut balancers: Balancers<'_> = HashMap::new();
        for (name, (id, upstream)) in &index.upstreams {
            let targets = index.targets.get(id).map_or(&[][..], Vec::as_slice);
            balancers.insert(name, (self.upstream(*id, upstream, targets), upstream));
        }
        let mut services = HashMap::new();
        for entry in &snapshot.services {
            let service = self.service(entry, index, &balancers);
            services.insert(entry.id, Arc::new(service));
        }
        services.extend(closed::services(snapshot));
        services
    }

    /// The balancer of an upstream, or the one it had before.
    fn upstream(
        &mut self,
        id: Uuid,
        upstream: &entity::Upstream,
        targets: &[entity::Target],
    ) -> Arc<Balancer> {
        let before = self.before.and_then(|kept| kept.upstreams.get(&id)).and_then(Weak::upgrade);
        let balancer = Balancer::upstream(upstream, targets, before.as_ref(), &self.maker.control);
        self.upstreams.push((upstream.name.as_str().to_owned(), Arc::downgrade(&balancer)));
        self.balancers.push(Used::Upstream(id, Arc::clone(&balancer)));
        balancer
    }

    /// The balancer of a host that is no upstream's name. `is_secret`: the host came from a vault.
    fn single(&mut self, host: &str, port: u16, is_secret: bool) -> Arc<Balancer> {
        let key = (host.to_owned(), port);
        let made = |used: &Used| match used {
            Used::Single(known, balancer) if *known == key => Some(Arc::clone(balancer)),
            _ => None,
        };
        if let Some(balancer) = self.singles.get(&key).and_then(|at| made(self.balancers.get(*at)?)) {
            return balancer;
        }
        let before = self.before.and_then(|kept| kept.singles.get(&key)).and_then(Weak::upgrade);
        let balancer = before.unwrap_or_else(|| match is_secret {
            false => Balancer::single(host, port, &self.maker.control),
            true => Balancer::secret_host(host, port, &self.maker.control),
        });
        self.singles.insert(key.clone(), self.balancers.len());
        self.balancers.push(Used::Single(key, Arc::clone(&balancer)));
        balancer
    }

    fn service(
        &mut self,
        entry: &Arc<Entry<entity::Service>>,
        index: &Index<'_>,
        balancers: &Balancers<'_>,
    ) -> ServiceRef {
        let head = ServiceHead::of(entry);
        let upstream = head.host.and_then(|host| balancers.get(host)).map(|(_, upstream)| *upstream);
        let tls = self.service_tls(&head, index, upstream);
        let (tls, mut broken) = match tls {
            Ok(tls) => (tls, None),
            Err(reason) => (None, Some(reason)),
        };
        // A host that rotates leads to another balancer, which only the compiler makes.
        let rotates = if head.host.is_some() && head.port.is_some() { None } else { self.now(entry) };
        let host = head.host.or_else(|| rotates.as_ref().map(|service| service.host.as_str()));
        if let Some(host) = host.filter(|host| !balancers.contains_key(host)) {
            broken = broken.or_else(|| index.closed.why(host));
        }
        if let Some(reason) = &broken {
            self.notes.push(Note {
                path: entry.path.clone(),
                line: entry.position.line,
                reason: reason.clone(),
                consequence: "fails closed until this heals",
            });
        }
        let host_header = |upstream: &entity::Upstream| upstream.host_header.clone();
        let cell = match (head.host, head.port) {
            _ if broken.is_some() => Cell::Nothing,
            (Some(host), Some(port)) => {
                let balancer = match balancers.get(host) {
                    Some((balancer, _)) => Arc::clone(balancer),
                    None => self.single(host, port, false),
                };
                let host = upstream.and_then(host_header);
                self.cell_with_values("services", entry, "a service", move |service, values| {
                    let service = Service::new(service, Arc::clone(&balancer), host.as_deref(), tls.clone());
                    Ok(service.with_values(values))
                })
            }
            _ => match rotates {
                Some(service) => {
                    let (balancer, host) = match balancers.get(service.host.as_str()) {
                        Some((balancer, upstream)) => (Arc::clone(balancer), host_header(upstream)),
                        None => (self.single(&service.host, service.port, true), None),
                    };
                    let service = Service::new(&service, balancer, host.as_deref(), tls);
                    Cell::Fixed(Arc::new(service.with_values(self.values_of(entry))))
                }
                // It has no host now: nothing to be asked, and 503 for who needs it.
                None => Cell::Nothing,
            },
        };
        let (name, enabled) = (head.name.map(str::to_owned), head.enabled);
        let info = Arc::new(ServiceInfo { id: entry.id, name, entity: Entity::of(entry) });
        ServiceRef { info, cell, broken, enabled }
    }

    /// TLS to the peers of a service. A certificate that it needs and that has no value now is an error that heals: the
    /// index is made again when there is one.
    fn service_tls(
        &self,
        head: &ServiceHead<'_>,
        index: &Index<'_>,
        upstream: Option<&entity::Upstream>,
    ) -> Result<Tls, String> {
        if !head.tls {
            return Ok(None);
        }
        let shown = head
            .client_certificate
            .or_else(|| upstream?.client_certificate.map(|certificate| certificate.id));
        let certificate = match shown {
            None => None,
            Some(id) => {
                Some(index.certificates.get(&id).ok_or("its client certificate has no usable value")?)
            }
        };
        let authority = |id: &Uuid| index.authorities.get(id).map(|authority| &authority.cert);
        let authorities: Option<Vec<_>> = head.ca_certificates.iter().map(authority).collect();
        let tls = ClientTls {
            verify: head.tls_verify.unwrap_or(self.maker.verify),
            depth: head.tls_verify_depth,
            authorities: authorities.ok_or("one of its CA certificates has no usable value")?,
            certificate,
            http2: head.http2,
        };
        self.maker.client_tls(&tls).map(Some)
    }
}
