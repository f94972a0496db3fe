//! The Admin API of a running node.
//!
//! Owns: what the Admin API asks of the node that it runs in, and what the settings say of its listeners. Must not know:
//! its wire form ([`postern_admin::server`] does).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use async_trait::async_trait;
use postern_admin::server::{
    About, AddressHealth, Admin, AdminListener, AdminOptions, AdminTls, AdminToken, Applied, AuditLog,
    Counts, Listening, Node, TargetHealth, TokenValue, UpstreamHealth, refuse_open, start as listen,
};
use postern_config::apply::Apply;
use postern_config::source::document::DbLess;
use postern_config::store::Store;
use postern_config::transact::Requests;
use postern_model::field::Plugins;
use postern_model::{Kind, Violation};
use postern_plugins::registry::Registry;
use postern_proxy::balance::{Balancer, PeerHealth, State};
use postern_proxy::observe::LogFile;
use postern_router::Flavour;
use postern_secrets::clock::Clock;
use postern_secrets::rotate::Engine;
use postern_secrets::{Template, io_reason};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::broken;
use crate::own_tls;
use crate::report::Failure;
use crate::serve::Serve;
use crate::settings::Settings;
use crate::settings::node::{self, Audit};

/// What it shows and changes.
pub(crate) struct Parts {
    pub(crate) apply: Arc<Apply<Serve>>,
    /// Puts documents in effect.
    pub(crate) requests: Requests,
    /// Where entities are kept.
    pub(crate) store: Arc<dyn Store>,
    /// Without a database: what the file says.
    pub(crate) db_less: Option<Arc<DbLess>>,
    /// The last change of the store that is in effect.
    pub(crate) revision: Arc<AtomicI64>,
    pub(crate) flavour: Flavour,
}

/// Starts to listen, unless the settings say nowhere.
pub(crate) async fn start(
    parts: Parts,
    settings: &node::Admin,
    audit: Option<Arc<LogFile>>,
) -> Result<Option<Listening>> {
    if settings.listen.is_empty() {
        return Ok(None);
    }
    let Parts { apply, requests, store, db_less, revision, flavour } = parts;
    let tls = tls(settings)?;
    let options = AdminOptions {
        listeners: settings
            .listen
            .iter()
            .map(|listener| AdminListener {
                address: listener.address,
                tls: tls.clone().filter(|_| listener.tls),
            })
            .collect(),
        tokens: token(apply.effect()).await?.into_iter().collect(),
        insecure: settings.insecure,
        hosts: settings.hosts.clone(),
        origins: settings.origins.clone(),
        audit: audit_log(audit.as_ref(), settings),
    };
    let about = about(apply.effect().settings(), flavour, db_less.is_some());
    let running = Running { about, apply, requests, db_less, revision, registry: Registry::bundled() };
    let admin = Admin::new(store, Arc::new(running), Clock::system(), options);
    let listening = listen(admin).await.map_err(|error| Failure::new(error.to_string(), error.hint()))?;
    Ok(Some(listening))
}

/// The file of the audit log, if the settings name one.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn audit_file(settings: &node::Admin) -> Result<Option<Arc<LogFile>>, Failure> {
    let Audit::File(path) = &settings.audit else { return Ok(None) };
    LogFile::start(path).map(|file| Some(Arc::new(file))).map_err(|error| {
        Failure::new(
            format!("admin_audit_log: cannot open {}: {}", path.display(), io_reason(&error)),
            "it names a file that can be written to, log (the node's own log) or off",
        )
    })
}

fn audit_log(file: Option<&Arc<LogFile>>, settings: &node::Admin) -> AuditLog {
    match (file, &settings.audit) {
        (Some(file), _) => {
            let file = Arc::clone(file);
            AuditLog::Lines(Arc::new(move |line| file.line(line)))
        }
        (None, Audit::Off) => AuditLog::Off,
        (None, _) => AuditLog::OwnLog,
    }
}

fn about(settings: &Settings, flavour: Flavour, is_db_less: bool) -> About {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    About {
        hostname,
        node_id: Uuid::new_v4(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        router_flavor: match flavour {
            Flavour::TraditionalCompatible => "traditional_compatible",
            Flavour::Expressions => "expressions",
        }
        .to_owned(),
        is_db_less,
        settings: settings.shown().map(|(key, text)| (key.to_owned(), text.into())).collect(),
    }
}

/// `admin_token`: a text, or a reference that may rotate.
async fn token(serve: &Serve) -> Result<Option<AdminToken>> {
    let Some(text) = serve.settings().text("admin_token") else { return Ok(None) };
    let value = match Template::has_reference(text.expose()) {
        false => TokenValue::Fixed(text.clone()),
        true => {
            let template = Template::parse(text.expose())
                .map_err(|error| Failure::new(format!("admin_token: {error}"), error.hint()))?;
            let slot = serve.engine().slot(&template);
            serve.engine().settled(std::slice::from_ref(&slot)).await;
            TokenValue::Slot(slot)
        }
    };
    Ok(Some(AdminToken { name: "admin_token".to_owned(), value }))
}

fn tls(settings: &node::Admin) -> Result<Option<AdminTls>, Failure> {
    if !settings.listen.iter().any(|listener| listener.tls) && settings.certificate.is_none() {
        return Ok(None);
    }
    let config = own_tls::server("admin_ssl", settings.certificate.as_ref(), settings.client_ca.as_deref())?;
    Ok(Some(AdminTls { config: Arc::new(config), verifies_clients: settings.client_ca.is_some() }))
}

/// What a start would say of the settings of the Admin API, before anything listens.
///
/// # Errors
/// It would be open to everybody, or its certificate cannot be used.
pub(crate) fn check(settings: &Settings, admin: &node::Admin) -> Result<(), Failure> {
    let tls = tls(admin)?;
    let has_token = settings.text("admin_token").is_some();
    for listener in &admin.listen {
        let verifies_clients = listener.tls && tls.as_ref().is_some_and(|tls| tls.verifies_clients);
        refuse_open(listener.address, has_token || admin.insecure || verifies_clients)
            .map_err(|error| Failure::new(format!("admin_listen: {error}"), error.hint()))?;
    }
    Ok(())
}

/// The node, as the Admin API sees it.
struct Running {
    about: About,
    apply: Arc<Apply<Serve>>,
    requests: Requests,
    db_less: Option<Arc<DbLess>>,
    revision: Arc<AtomicI64>,
    registry: Registry,
}

impl Running {
    /// The balancer of an upstream that is in use.
    fn balancer(&self, upstream: Uuid) -> Option<Arc<Balancer>> {
        let snapshot = self.apply.state().current?.snapshot;
        let name =
            snapshot.upstreams.iter().find(|entry| entry.id == upstream)?.record.text("name")?.to_owned();
        self.apply.effect().proxy()?.balancer(&name)
    }
}

#[async_trait]
impl Node for Running {
    fn about(&self) -> About {
        self.about.clone()
    }

    fn plugins(&self) -> &dyn Plugins {
        &self.registry
    }

    fn engine(&self) -> Option<Engine> {
        Some(self.apply.effect().engine().clone())
    }

    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        let proxy = self.apply.effect().proxy();
        for counts in proxy.iter().flat_map(|proxy| proxy.counts()) {
            let (accepted, closed, _) = counts.connections();
            sum.accepted += accepted;
            sum.active += accepted.saturating_sub(closed);
            sum.requests += counts.lines().iter().map(|(_, count)| count.requests).sum::<u64>();
        }
        sum
    }

    fn applied(&self) -> Applied {
        let state = self.apply.state();
        let broken = state.current.as_ref().map_or(&[][..], broken::of);
        Applied {
            revision: self.revision.load(Ordering::Acquire),
            broken: broken::shown(broken),
            broken_count: broken.len(),
            hash: state.current.as_ref().map(|current| current.hash.clone()),
            refused: state.refused.map(|all| all.iter().map(ToString::to_string).collect()),
        }
    }

    fn health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        let balancer = self.balancer(upstream)?;
        let mut targets: Vec<TargetHealth> = Vec::new();
        for peer in balancer.health() {
            add(&mut targets, &peer);
        }
        Some(UpstreamHealth { is_well: balancer.is_up(), targets })
    }

    fn set_health(&self, upstream: Uuid, target: &str, address: Option<&str>, is_well: bool) -> bool {
        let Some(balancer) = self.balancer(upstream) else { return false };
        match address {
            None => balancer.set_target_health(target, is_well) > 0,
            Some(address) => address.parse().is_ok_and(|address| balancer.set_health(address, is_well) > 0),
        }
    }

    fn prepare(&self, kind: Kind, id: Uuid, body: &Map<String, Value>) -> Result<(), Vec<Violation>> {
        self.apply.effect().check(kind, id, body)
    }

    fn document(&self) -> Option<String> {
        let text = self.db_less.as_ref()?.text()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    async fn load(&self, document: &[u8]) -> Result<(), Vec<Violation>> {
        match self.db_less {
            None => Err(vec![Violation::error("", None, "this node has a database")]),
            Some(_) => self.requests.load(document.to_vec()).await,
        }
    }
}

/// An address belongs to the target before it, or begins one.
fn add(targets: &mut Vec<TargetHealth>, peer: &PeerHealth) {
    let health = peer.state.as_str();
    if targets.last().is_none_or(|last| last.target != *peer.target) {
        targets.push(TargetHealth { target: peer.target.to_string(), health, addresses: Vec::new() });
    }
    let Some(target) = targets.last_mut() else { return };
    // A target is well as long as one of its addresses is.
    if peer.state == State::Healthy {
        target.health = health;
    }
    target.addresses.extend(peer.address.map(|address| AddressHealth {
        ip: address.ip(),
        port: address.port(),
        weight: peer.weight,
        health,
    }));
}
