//! The Admin API, served: Kong's wire form over a [`Store`].
//!
//! A request takes this way:
//!
//! ```text
//!  listen.rs      a connection: limits of number and time; TLS, and who the client's certificate names
//!    ↓
//!  guard.rs       whether it may be here at all: Host, Origin, token
//!    ↓
//!  dispatch.rs    the body, bounded; path → endpoint by the table in route.rs; an answer, its headers, the audit log
//!    ↓
//!  crud.rs        entities of all kinds: lists (page.rs), one, created, replaced, merged (merge.rs), deleted
//!    ↓  decode.rs   the body → JSON, by the types of its fields
//!    ↓  write.rs    JSON → a checked row (generated.rs: keys that nobody gave; derived.rs: hashes and digests; snis.rs:
//!    │              server names that come with a certificate; foreign.rs: names → identifiers)
//!    ↓
//!  prepare.rs     what a start could not make of it is refused before the store is told
//!    ↓
//!  postern_config::store
//!    ↓
//!  shown.rs       a row → what is shown of it; error.rs: what is answered when one of them refuses
//! ```
//!
//! Beside entities: root.rs, listeners.rs, tags.rs, schemas.rs, openapi.rs, groups.rs, upstream_health.rs, config.rs,
//! flattened.rs, secrets.rs, events.rs,
//! audit.rs. Must not know: how a configuration takes effect, how rows are kept. What the server asks of the node that it
//! runs in is [`Node`].

mod audit;
mod call;
mod config;
mod crud;
pub mod decode;
mod derived;
mod dispatch;
mod error;
mod events;
mod flattened;
mod foreign;
mod generated;
mod groups;
mod guard;
mod listen;
mod listeners;
mod merge;
mod openapi;
mod page;
mod prepare;
mod root;
pub mod route;
mod schemas;
mod secrets;
mod shown;
mod snis;
mod tags;
mod upstream_health;
mod write;

use std::fmt::{self, Debug, Formatter};
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use postern_config::store::{Revision, Store};
use postern_model::field::Plugins;
use postern_model::{Kind, Violation};
use postern_secrets::clock::Clock;
use postern_secrets::rotate::Engine;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, Semaphore};
use uuid::Uuid;

pub use audit::AuditLog;
pub use derived::settle;
pub use guard::{AdminOptions, AdminToken, TokenValue};
pub use listen::{
    AdminListener, AdminTls, Bounds, Listening, StartError, bind, refuse_open, serve_pages, start,
    start_within,
};

/// The version of Kong whose Admin API this is. decK and others choose by it what they send.
pub const KONG_VERSION: &str = "3.9.1";

/// What the server asks of the node that it runs in. None of it may take long, except [`Node::load`] and [`Node::prepare`].
#[async_trait]
pub trait Node: Send + Sync {
    /// What does not change while it runs.
    fn about(&self) -> About;

    /// Which plugins there are, and what they take.
    fn plugins(&self) -> &dyn Plugins;

    /// Where references are resolved; `None` where there is no such thing.
    fn engine(&self) -> Option<Engine>;

    /// What its listeners count.
    fn counts(&self) -> Counts;

    /// Which configuration it serves.
    fn applied(&self) -> Applied;

    /// How the targets of an upstream are; `None` while the node does not balance over it.
    fn health(&self, upstream: Uuid) -> Option<UpstreamHealth>;

    /// Says of a target, or of one of its addresses (`ip:port`), that it is well or not. Whether there is such a one.
    fn set_health(&self, upstream: Uuid, target: &str, address: Option<&str>, is_well: bool) -> bool;

    /// Makes an entity as a start would, and throws it away: everything that a constructor (plugin, route index,
    /// certificate, balancer) refuses is a violation here. References stay unresolved: what a vault holds is never a reason
    /// for a refusal. It touches nothing that lives, and its cost does not grow with the number of entities. It may compute
    /// for long (keys of certificates, regular expressions): the server calls it off the threads that answer.
    ///
    /// `body` is the whole entity as it would be kept: every field, with identifiers wherever it refers to others.
    ///
    /// # Errors
    /// Everything that is wrong with it, at least one error; paths begin at the entity: `config.minute`.
    fn prepare(&self, kind: Kind, id: Uuid, body: &Map<String, Value>) -> Result<(), Vec<Violation>>;

    /// Without a database: the document that is in effect, as YAML.
    fn document(&self) -> Option<String>;

    /// Without a database: puts a document in effect, and its entities in the store. When this returns, it serves.
    ///
    /// # Errors
    /// Everything that is wrong with it; what was in effect still is.
    async fn load(&self, document: &[u8]) -> Result<(), Vec<Violation>>;
}

/// What does not change while a node runs.
#[derive(Clone, Debug)]
pub struct About {
    /// The name of its machine.
    pub hostname: String,
    /// Its own identifier.
    pub node_id: Uuid,
    /// The version of Postern.
    pub version: String,
    /// `traditional_compatible`, `expressions`.
    pub router_flavor: String,
    /// Whether its configuration is a document, and the Admin API for reading only.
    pub is_db_less: bool,
    /// The settings, without secrets: what `/` shows as `configuration`.
    pub settings: Map<String, Value>,
}

/// What listeners count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections since the start.
    pub accepted: u64,
    /// Connections now.
    pub active: u64,
    /// Requests since the start.
    pub requests: u64,
}

/// Which configuration a node serves.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The last change that it has; 0 before the first.
    pub revision: Revision,
    /// The hash of the document, or of all rows; `None` before the first.
    pub hash: Option<String>,
    /// Entities that take no part in it: `{entity, id, path, reasons}`. As many as a person would read.
    pub broken: Vec<Value>,
    /// How many there are.
    pub broken_count: usize,
    /// Why a newer one was refused, if it was.
    pub refused: Option<Vec<String>>,
}

/// How an upstream is.
#[derive(Clone, Debug, Default)]
pub struct UpstreamHealth {
    /// Whether enough of its weight is well.
    pub is_well: bool,
    /// Its targets.
    pub targets: Vec<TargetHealth>,
}

/// How a target is.
#[derive(Clone, Debug)]
pub struct TargetHealth {
    /// As in the entity: `host:port`.
    pub target: String,
    /// `HEALTHY`, `UNHEALTHY`, `DNS_ERROR` or `HEALTHCHECKS_OFF`.
    pub health: &'static str,
    /// What its name stands for now.
    pub addresses: Vec<AddressHealth>,
}

/// How an address is.
#[derive(Clone, Debug)]
pub struct AddressHealth {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// Its share.
    pub weight: u32,
    /// As that of a target.
    pub health: &'static str,
}

/// The Admin API of a node. Clones are handles to the same one.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    node: Arc<dyn Node>,
    clock: Clock,
    endpoints: Vec<route::Endpoint>,
    guard: guard::Guard,
    /// Requests at once.
    requests: Semaphore,
    /// Those who listen to events.
    listeners: Arc<Semaphore>,
    /// Passwords that are hashed at once: each takes memory and a core.
    hashing: Semaphore,
    /// Entities that are prepared at once: each may take a core.
    preparing: Semaphore,
    /// Vaults are judged together, so they are written one after the other.
    vaults: Mutex<()>,
    /// Whole configurations too: what `If-Match` was compared with must still be there when the next one takes effect.
    documents: Mutex<()>,
}

/// Requests that are worked on at once. decK sends some thirty.
const REQUESTS: usize = 256;
/// Listeners to events.
const LISTENERS: usize = 64;

impl Admin {
    /// The Admin API over a store, which without a database holds what [`Node::load`] put there.
    pub fn new(store: Arc<dyn Store>, node: Arc<dyn Node>, clock: Clock, options: AdminOptions) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Inner {
            store,
            node,
            clock,
            endpoints: route::endpoints(),
            guard: guard::Guard::new(options),
            requests: Semaphore::new(REQUESTS),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
            hashing: Semaphore::new(cores),
            preparing: Semaphore::new(cores),
            vaults: Mutex::new(()),
            documents: Mutex::new(()),
        }))
    }

    /// Every endpoint that is served.
    pub fn endpoints(&self) -> &[route::Endpoint] {
        &self.0.endpoints
    }

    fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    fn node(&self) -> &dyn Node {
        &*self.0.node
    }

    /// Seconds since 1970.
    fn now(&self) -> i64 {
        i64::try_from(self.0.clock.now()).unwrap_or(i64::MAX)
    }
}

impl Debug for Admin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("store", &self.0.store).finish_non_exhaustive()
    }
}

/// All of it, for a listener of one's own. Whoever uses it puts a [`route::Peer`] into each request's extensions;
/// without, a request counts as one from afar. [`start`] does both.
pub fn router(admin: Admin) -> Router {
    Router::new().fallback(dispatch::serve).with_state(admin)
}
