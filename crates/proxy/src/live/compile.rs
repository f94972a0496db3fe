//! Snapshot + secrets → [`Live`].
//!
//! Owns: which entity needs which, what is kept from the configuration before (balancers and their health, TLS sessions,
//! what plugins count), and what is made anew when a secret changes. Must not know: where the snapshot came from.
//!
//! Two kinds of entity may hang on a secret. Those whose value is read by a request (services, plugins, certificates)
//! become [`Cell`]s. Those that make up an index (routes, consumers, credentials, upstreams) take part with the value
//! they have, and when it changes [`Compiler::changed`] tells that the index is to be made again.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use postern_model::entity::{self, Protocol};
use postern_model::{Entry, Position, Record, Snapshot, Text, Value};
use postern_plugins::clock::Clock;
use postern_plugins::directory::{Directory, PasswordForm, Source};
use postern_plugins::node::Node;
use postern_plugins::plan::{self, Instance, Plans};
use postern_plugins::prepared::Living;
use postern_plugins::registry::{Context, Definition, Registry};
use postern_plugins::renewal::Renewal;
use postern_plugins::state::State;
use postern_plugins::view::{Entity, RouteInfo, ServiceInfo};
use postern_router::{Flavour, Router};
use postern_secrets::bundle::Bundle;
use postern_secrets::rotate::Engine;
use postern_secrets::slot::Derived;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Notify;
use tokio::time::timeout;
use uuid::Uuid;

use super::known::Known;
use super::{Cell, Live, Route, Service, ServiceRef};
use crate::balance::{Balancer, Control};
use crate::tls::{self, Certificates, ClientTls, Pair};

/// For how long a configuration waits for the names of its upstreams.
const NAMES: Duration = Duration::from_secs(5);

/// Makes configurations take shape; kept from one to the next.
pub struct Compiler {
    engine: Engine,
    registry: Registry,
    control: Control,
    flavour: Flavour,
    state: Arc<State>,
    clock: Clock,
    node: Arc<Node>,
    system: Arc<RootCertStore>,
    /// Whether upstreams are checked where a service does not say; Kong's setting `tls_certificate_verify`.
    verify: bool,
    changed: Arc<Notify>,
    balancers: Mutex<HashMap<Uuid, Weak<Balancer>>>,
    singles: Mutex<HashMap<(String, u16), Weak<Balancer>>>,
    tls: Mutex<HashMap<u64, Weak<ClientConfig>>>,
    hashes: RandomState,
    known: Known,
}

/// Why a configuration cannot take effect.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The entity.
    pub path: String,
    /// Where it stands.
    pub position: Position,
    /// What is wrong; never a value.
    pub message: String,
}

/// What a compiler works with.
pub struct Parts {
    /// Keeps the slots.
    pub engine: Engine,
    /// The plugins of this build.
    pub registry: Registry,
    /// What balancers share.
    pub control: Control,
    /// How routes are written.
    pub flavour: Flavour,
    /// Whom upstreams are checked against where a service names nobody.
    pub system: Arc<RootCertStore>,
    /// Whether they are checked where a service does not say.
    pub verify: bool,
    /// What plugins know of the node.
    pub node: Arc<Node>,
}

impl Compiler {
    /// With everything that stays the same.
    pub fn new(parts: Parts) -> Self {
        let Parts { engine, registry, control, flavour, system, verify, node } = parts;
        Self {
            engine,
            registry,
            control,
            flavour,
            state: Arc::default(),
            clock: Clock::system(),
            node,
            system,
            verify,
            changed: Arc::default(),
            balancers: Mutex::default(),
            singles: Mutex::default(),
            tls: Mutex::default(),
            hashes: RandomState::new(),
            known: Known::default(),
        }
    }

    /// What plugins know of the node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Waits until a secret changed on which an index hangs, so that the configuration is to be compiled again.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A configuration as requests read it. Waits until each reference has been tried once.
    ///
    /// # Errors
    /// Everything that stands against it.
    pub async fn compile(&self, snapshot: &Snapshot) -> Result<Live, Vec<Problem>> {
        let mut work = Work::new(self, snapshot);
        work.settle().await;
        let live = work.live(snapshot);
        // Names that were never asked for have no address yet; a server that does not answer must not hold a start up.
        let named = work.balancers.iter().map(|balancer| balancer.look_up(&self.control));
        let _ = timeout(NAMES, join_all(named)).await;
        if work.problems.is_empty() { Ok(live) } else { Err(work.problems) }
    }

    /// The balancer of an upstream, or the one it had before.
    fn balancer(&self, id: Uuid, upstream: &entity::Upstream, targets: &[entity::Target]) -> Arc<Balancer> {
        let mut kept = self.balancers.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, balancer| balancer.strong_count() > 0);
        let before = kept.get(&id).and_then(Weak::upgrade);
        let balancer = Balancer::upstream(upstream, targets, before.as_ref(), &self.control);
        kept.insert(id, Arc::downgrade(&balancer));
        balancer
    }

    fn single(&self, host: &str, port: u16) -> Arc<Balancer> {
        let mut kept = self.singles.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), port);
        if let Some(balancer) = kept.get(&key).and_then(Weak::upgrade) {
            return balancer;
        }
        kept.retain(|_, balancer| balancer.strong_count() > 0);
        let balancer = Balancer::single(host, port, &self.control);
        kept.insert(key, Arc::downgrade(&balancer));
        balancer
    }

    /// The configuration for connections to an upstream, and a number that is another one for another configuration.
    fn client_tls(&self, tls: &ClientTls<'_>) -> Result<(Arc<ClientConfig>, u64), String> {
        let texts = |certificate: &entity::Certificate| {
            (certificate.cert.as_str().to_owned(), certificate.key.as_str().to_owned())
        };
        let authorities: Vec<&str> = tls.authorities.iter().map(|text| text.as_str()).collect();
        let shown = tls.certificate.map(texts);
        // One bit is for the protocol, and 0 is for none.
        let number = self.hashes.hash_one((tls.verify, tls.depth, authorities, shown, tls.http2)) >> 1 | 1;
        let mut kept = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = kept.get(&number).and_then(Weak::upgrade) {
            return Ok((config, number));
        }
        kept.retain(|_, config| config.strong_count() > 0);
        let config = Arc::new(tls::client(tls, &self.system)?);
        kept.insert(number, Arc::downgrade(&config));
        Ok((config, number))
    }
}

/// One compilation.
struct Work<'a> {
    compiler: &'a Compiler,
    /// Of each entity with references.
    bundles: HashMap<Uuid, Bundle>,
    /// Whether a change from now on tells that the index is to be made again.
    armed: Arc<AtomicBool>,
    /// What index entities are made of; kept, or nobody would tell of changes.
    kept: Vec<Arc<dyn Any + Send + Sync>>,
    /// By name, for status and metrics.
    upstreams: Vec<(String, Weak<Balancer>)>,
    /// All that are in use.
    balancers: Vec<Arc<Balancer>>,
    problems: Vec<Problem>,
}

/// What the index entities come to.
struct Index {
    targets: HashMap<Uuid, Vec<entity::Target>>,
    authorities: HashMap<Uuid, entity::CaCertificate>,
    certificates: HashMap<Uuid, entity::Certificate>,
    upstreams: HashMap<String, (Uuid, entity::Upstream)>,
}

type RouteEntry = Arc<Entry<entity::Route>>;

/// The balancers of upstreams, by name.
type Balancers<'a> = HashMap<&'a str, (Arc<Balancer>, &'a entity::Upstream)>;

macro_rules! each_list {
    ($snapshot:expr, $do:ident) => {
        $do!($snapshot.services);
        $do!($snapshot.routes);
        $do!($snapshot.consumers);
        $do!($snapshot.consumer_groups);
        $do!($snapshot.keyauth_credentials);
        $do!($snapshot.basicauth_credentials);
        $do!($snapshot.hmacauth_credentials);
        $do!($snapshot.jwt_secrets);
        $do!($snapshot.acls);
        $do!($snapshot.plugins);
        $do!($snapshot.upstreams);
        $do!($snapshot.targets);
        $do!($snapshot.certificates);
        $do!($snapshot.snis);
        $do!($snapshot.ca_certificates);
    };
}

impl<'a> Work<'a> {
    fn new(compiler: &'a Compiler, snapshot: &Snapshot) -> Self {
        let mut pending: Vec<(Uuid, Vec<&postern_secrets::Template>)> = Vec::new();
        macro_rules! add {
            ($list:expr) => {
                if $list.has_pending() {
                    pending.extend(
                        $list
                            .iter()
                            .filter(|entry| entry.value.is_none())
                            .map(|entry| (entry.id, entry.templates())),
                    );
                }
            };
        }
        each_list!(snapshot, add);
        let bundles = compiler.engine.bundles(pending.iter().map(|(_, templates)| templates.iter().copied()));
        let bundles = pending.iter().map(|(id, _)| *id).zip(bundles).collect();
        let armed = Arc::new(AtomicBool::new(false));
        Self {
            compiler,
            bundles,
            armed,
            kept: Vec::new(),
            upstreams: Vec::new(),
            balancers: Vec::new(),
            problems: Vec::new(),
        }
    }

    async fn settle(&mut self) {
        let slots: Vec<_> = self.bundles.values().map(|bundle| Arc::clone(bundle.slot())).collect();
        if !slots.is_empty() {
            self.compiler.engine.settled(&slots).await;
        }
    }

    fn live(&mut self, snapshot: &Snapshot) -> Live {
        let index = self.index(snapshot);
        let services = self.services(snapshot, &index);
        let certificates = self.certificates(snapshot);
        let compiler = self.compiler;
        let directory = compiler.known.directory(snapshot, compiler.clock.now(), || self.directory(snapshot));
        let (router, typed) = self.router(snapshot);
        let instances = snapshot.plugins.iter().filter_map(|entry| self.instance(entry)).collect();
        let plans = Plans::new(
            typed.iter().map(|(entry, route)| (entry.id, route.service.map(|service| service.id))),
            instances,
        );
        let routes = typed.into_iter().map(|(entry, route)| {
            let name = route.name.as_ref().map(|name| name.as_str().to_owned());
            Route {
                info: Arc::new(RouteInfo { id: entry.id, name, entity: Entity::of(entry) }),
                plan: Arc::clone(plans.of(entry.id)),
                service: route.service.and_then(|service| services.get(&service.id).cloned()),
                strip_path: route.strip_path,
                path_handling: route.path_handling,
                preserve_host: route.preserve_host,
                https_redirect: route.https_redirect_status_code,
                request_buffering: route.request_buffering,
                grpc: route.protocols.iter().all(|p| matches!(p, Protocol::Grpc | Protocol::Grpcs)),
            }
        });
        let routes = routes.collect();
        let kept = std::mem::take(&mut self.kept);
        let upstreams = std::mem::take(&mut self.upstreams);
        let slots = self.bundles.iter().map(|(id, bundle)| (*id, Arc::clone(bundle.slot()))).collect();
        Live { router, routes, plans, directory, certificates, slots, upstreams, kept }
    }

    fn problem<T>(&mut self, entry: &Entry<T>, message: impl Into<String>) {
        let (path, position) = (entry.path.clone(), entry.position);
        self.problems.push(Problem { path, position, message: message.into() });
    }

    /// The present value of an entity that makes up an index. Without one it takes no part, until it has one.
    fn now<T: Clone + Send + Sync + 'static>(&mut self, entry: &Entry<T>) -> Option<T> {
        if let Some(value) = &entry.value {
            return Some(value.clone());
        }
        let bundle = self.bundles.get(&entry.id)?;
        let (changed, armed) = (Arc::clone(&self.compiler.changed), Arc::clone(&self.armed));
        let filled = entry.clone();
        let derived = bundle.derive("an entity", move |texts| {
            let value = filled.fill(texts)?;
            if armed.load(Ordering::Acquire) {
                changed.notify_one();
            }
            Ok(value)
        });
        // First listen, then look: a change in between is told.
        self.armed.store(true, Ordering::Release);
        let value = derived.load();
        if value.is_none() {
            tell(entry, &derived, "takes no part until it has a value");
        }
        self.kept.push(derived);
        value.map(|value| T::clone(&value))
    }

    /// An entity that requests read, made into what they need.
    fn cell<T: Clone + Send + Sync + 'static, U: Send + Sync + 'static>(
        &mut self,
        entry: &Entry<T>,
        name: &'static str,
        make: impl Fn(&T) -> Result<U, String> + Send + Sync + 'static,
    ) -> Option<Cell<U>> {
        if let Some(value) = &entry.value {
            return match make(value) {
                Ok(made) => Some(Cell::Fixed(Arc::new(made))),
                Err(reason) => {
                    self.problem(entry, reason);
                    None
                }
            };
        }
        let bundle = self.bundles.get(&entry.id)?;
        let filled = entry.clone();
        let derived = bundle.derive(name, move |texts| make(&filled.fill(texts)?));
        if derived.load().is_none() {
            tell(entry, &derived, "fails closed until it has a value");
        }
        Some(Cell::Live(derived))
    }

    fn index(&mut self, snapshot: &Snapshot) -> Index {
        let mut targets: HashMap<Uuid, Vec<entity::Target>> = HashMap::new();
        for entry in &snapshot.targets {
            if let Some(target) = self.now(entry) {
                targets.entry(target.upstream.id).or_default().push(target);
            }
        }
        let authorities =
            snapshot.ca_certificates.iter().filter_map(|entry| Some((entry.id, self.now(entry)?))).collect();
        // Only those that a service or an upstream shows; what listeners show is a cell.
        let shown: HashSet<Uuid> = snapshot
            .services
            .iter()
            .filter_map(|service| foreign(&service.record, "client_certificate"))
            .chain(
                snapshot
                    .upstreams
                    .iter()
                    .filter_map(|upstream| foreign(&upstream.record, "client_certificate")),
            )
            .collect();
        let certificates = snapshot.certificates.iter().filter(|entry| shown.contains(&entry.id));
        let certificates = certificates.filter_map(|entry| Some((entry.id, self.now(entry)?))).collect();
        let upstreams = snapshot.upstreams.iter().filter_map(|entry| {
            let upstream = self.now(entry)?;
            Some((upstream.name.as_str().to_owned(), (entry.id, upstream)))
        });
        let upstreams = upstreams.collect();
        Index { targets, authorities, certificates, upstreams }
    }

    fn services(&mut self, snapshot: &Snapshot, index: &Index) -> HashMap<Uuid, Arc<ServiceRef>> {
        let balancers: Balancers<'_> = index
            .upstreams
            .iter()
            .map(|(name, (id, upstream))| {
                let targets = index.targets.get(id).map_or(&[][..], Vec::as_slice);
                (name.as_str(), (self.compiler.balancer(*id, upstream, targets), upstream))
            })
            .collect();
        for (name, (balancer, _)) in &balancers {
            self.upstreams.push(((*name).to_owned(), Arc::downgrade(balancer)));
            self.balancers.push(Arc::clone(balancer));
        }
        let mut services = HashMap::new();
        for entry in &snapshot.services {
            if let Some(service) = self.service(entry, index, &balancers) {
                services.insert(entry.id, Arc::new(service));
            }
        }
        services
    }

    fn service(
        &mut self,
        entry: &Arc<Entry<entity::Service>>,
        index: &Index,
        balancers: &Balancers<'_>,
    ) -> Option<ServiceRef> {
        let host = entry.record.text("host").unwrap_or_default();
        let upstream = balancers.get(host).map(|(_, upstream)| *upstream);
        let (tls, broken) = match self.service_tls(entry, index, upstream) {
            Ok(tls) => (tls, None),
            Err(reason) => (None, Some(reason)),
        };
        if let Some(reason) = &broken {
            tracing::error!(
                entity = entry.path,
                line = entry.position.line,
                reason,
                "fails closed until this heals"
            );
        }
        let host_header = |upstream: &entity::Upstream| upstream.host_header.clone();
        let cell = match (entry.record.text("host"), entry.record.get("port")) {
            (Some(host), Some(Value::Integer(port))) => {
                let balancer = match balancers.get(host) {
                    Some((balancer, _)) => Arc::clone(balancer),
                    None => self.single(host, u16::try_from(*port).unwrap_or(80)),
                };
                let host = upstream.and_then(host_header);
                self.cell(entry, "a service", move |service| {
                    Ok(Service::new(service, Arc::clone(&balancer), host.as_deref(), tls.clone()))
                })?
            }
            // A host that rotates leads to another balancer, which only the compiler makes.
            _ => match self.now(entry) {
                Some(service) => {
                    let (balancer, host) = match balancers.get(service.host.as_str()) {
                        Some((balancer, upstream)) => (Arc::clone(balancer), host_header(upstream)),
                        None => (self.single(&service.host, service.port), None),
                    };
                    Cell::Fixed(Arc::new(Service::new(&service, balancer, host.as_deref(), tls)))
                }
                // It has no host now: nothing to be asked, and 503 for who needs it.
                None => Cell::Nothing,
            },
        };
        let name = entry.record.text("name").map(str::to_owned);
        let info = Arc::new(ServiceInfo { id: entry.id, name, entity: Entity::of(entry) });
        let enabled = !matches!(entry.record.get("enabled"), Some(Value::Boolean(false)));
        Some(ServiceRef { info, cell, broken, enabled })
    }

    fn single(&mut self, host: &str, port: u16) -> Arc<Balancer> {
        let balancer = self.compiler.single(host, port);
        self.balancers.push(Arc::clone(&balancer));
        balancer
    }

    /// TLS to the peers of a service. A certificate that it needs and that has no value now is an error that heals: the
    /// index is made again when there is one.
    fn service_tls(
        &mut self,
        entry: &Entry<entity::Service>,
        index: &Index,
        upstream: Option<&entity::Upstream>,
    ) -> Result<Option<(Arc<ClientConfig>, u64)>, String> {
        let protocol = entry.record.text("protocol").unwrap_or_default();
        if !matches!(protocol, "https" | "grpcs" | "wss") {
            return Ok(None);
        }
        let own = foreign(&entry.record, "client_certificate");
        let shown = own.or_else(|| upstream?.client_certificate.map(|certificate| certificate.id));
        let certificate = match shown {
            None => None,
            Some(id) => {
                Some(index.certificates.get(&id).ok_or("its client certificate has no usable value")?)
            }
        };
        let ids = match entry.record.get("ca_certificates") {
            Some(Value::List(ids)) => ids.iter().filter_map(uuid_of).collect(),
            _ => Vec::new(),
        };
        let authorities: Result<Vec<_>, _> = ids
            .iter()
            .map(|id| {
                index
                    .authorities
                    .get(id)
                    .map(|ca| &ca.cert)
                    .ok_or("one of its CA certificates has no usable value")
            })
            .collect();
        let verify = match entry.record.get("tls_verify") {
            Some(Value::Boolean(verify)) => *verify,
            _ => self.compiler.verify,
        };
        let depth = match entry.record.get("tls_verify_depth") {
            Some(Value::Integer(depth)) => u8::try_from(*depth).ok(),
            _ => None,
        };
        let tls =
            ClientTls { verify, depth, authorities: authorities?, certificate, http2: protocol == "grpcs" };
        self.compiler.client_tls(&tls).map(Some)
    }

    fn certificates(&mut self, snapshot: &Snapshot) -> Certificates {
        let names: Vec<_> = snapshot.snis.iter().filter_map(|entry| self.now(entry)).collect();
        let cells: HashMap<Uuid, Cell<Pair>> = snapshot
            .certificates
            .iter()
            .filter_map(|entry| Some((entry.id, self.cell(entry, "a certificate", Pair::new)?)))
            .collect();
        let by_name = names.iter().filter_map(|sni| {
            Some((
                sni.name.trim_end_matches('.').to_ascii_lowercase(),
                cells.get(&sni.certificate.id)?.clone(),
            ))
        });
        Certificates::new(by_name.collect())
    }

    fn directory(&mut self, snapshot: &Snapshot) -> Directory {
        macro_rules! present {
            ($list:expr) => {
                $list.iter().filter_map(|entry| Some((entry.id, self.now(entry)?))).collect()
            };
        }
        Directory::new(Source {
            consumers: present!(snapshot.consumers),
            consumer_groups: present!(snapshot.consumer_groups),
            group_members: snapshot.group_members.clone(),
            keyauth_credentials: present!(snapshot.keyauth_credentials),
            basicauth_credentials: present!(snapshot.basicauth_credentials),
            hmacauth_credentials: present!(snapshot.hmacauth_credentials),
            jwt_secrets: present!(snapshot.jwt_secrets),
            acls: present!(snapshot.acls),
            loaded_at: self.compiler.clock.now(),
            passwords: PasswordForm::Plain,
        })
    }

    fn router<'s>(&mut self, snapshot: &'s Snapshot) -> (Router, Vec<(&'s RouteEntry, entity::Route)>) {
        let typed: Vec<_> =
            snapshot.routes.iter().filter_map(|entry| Some((entry, self.now(entry)?))).collect();
        let routes = || typed.iter().enumerate().map(|(number, (_, route))| (number, route));
        match Router::new(routes(), self.compiler.flavour) {
            Ok(router) => (router, typed),
            Err(wrong) => {
                wrong.iter().for_each(|(number, reason)| self.problem(typed[*number].0, reason.as_str()));
                let empty = Router::new(std::iter::empty(), self.compiler.flavour);
                (empty.unwrap_or_else(|_| unreachable!("a router without routes compiles")), typed)
            }
        }
    }

    fn instance(&mut self, entry: &Entry<entity::Plugin>) -> Option<Instance> {
        let name = entry.record.text("name").unwrap_or_default();
        let Some(definition) = self.compiler.registry.get(name) else {
            self.problem(entry, format!("plugin '{name}' not enabled"));
            return None;
        };
        let (state, node) = (Arc::clone(&self.compiler.state), Arc::clone(&self.compiler.node));
        let (clock, id) = (self.compiler.clock.clone(), entry.id);
        let renewal = self.bundles.get(&entry.id).map_or_else(Renewal::default, |bundle| {
            Renewal::of(self.compiler.engine.clone(), Arc::clone(bundle.slot()))
        });
        let io = self.compiler.control.handle().clone();
        let make = move |plugin: &entity::Plugin| {
            let context = Context { id, clock: &clock, node: &node.facts };
            let prepared = (definition.make)(&plugin.config, &context)?;
            let living = Living { id, state: &state, node: &node, renewal: &renewal, io: &io };
            Ok(prepared.commit(&living))
        };
        let cell = match self.cell(entry, definition.schema.name, make)? {
            Cell::Fixed(made) => plan::Cell::Fixed(made),
            Cell::Live(derived) => plan::Cell::live(move || derived.load()),
            Cell::Nothing => plan::Cell::live(|| None),
        };
        Instance::new(entry.id, &head(entry, definition), definition, cell)
    }
}

/// Says why an entity with references has no value yet.
fn tell<T, U: Send + Sync + 'static>(entry: &Entry<T>, derived: &Derived<U>, consequence: &'static str) {
    let problem = derived.problem();
    let reason = problem.as_ref().map_or("a reference has no usable value", |reason| reason.as_str());
    tracing::error!(entity = entry.path, line = entry.position.line, reason, "{consequence}");
}

/// A plugin entity without its configuration, which may hang on references.
fn head(entry: &Entry<entity::Plugin>, definition: &Definition) -> entity::Plugin {
    let record = &entry.record;
    let protocols = match record.get("protocols") {
        Some(Value::List(protocols)) => protocols
            .iter()
            .filter_map(|protocol| match protocol {
                Value::Text(text) => protocol_of(text),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    entity::Plugin {
        name: Text::from(definition.schema.name),
        instance_name: None,
        service: foreign(record, "service"),
        route: foreign(record, "route"),
        consumer: foreign(record, "consumer"),
        consumer_group: foreign(record, "consumer_group"),
        protocols,
        enabled: !matches!(record.get("enabled"), Some(Value::Boolean(false))),
        config: Record::default(),
    }
}

fn protocol_of(name: &str) -> Option<Protocol> {
    const ALL: [Protocol; 10] = [
        Protocol::Http,
        Protocol::Https,
        Protocol::Grpc,
        Protocol::Grpcs,
        Protocol::Ws,
        Protocol::Wss,
        Protocol::Tcp,
        Protocol::Tls,
        Protocol::TlsPassthrough,
        Protocol::Udp,
    ];
    ALL.into_iter().find(|protocol| protocol.name() == name)
}

/// The identifier that a field of another entity holds.
fn foreign(record: &Record, field: &str) -> Option<Uuid> {
    match record.get(field)? {
        Value::Record(record) => uuid_of(record.get("id")?),
        Value::Map(entries) => entries.iter().find(|(key, _)| &**key == "id").and_then(|(_, id)| uuid_of(id)),
        _ => None,
    }
}

fn uuid_of(value: &Value) -> Option<Uuid> {
    match value {
        Value::Text(text) => Uuid::try_parse(text).ok(),
        _ => None,
    }
}
