//! A configuration that is in effect: entities and slots → router, plans, balancers, certificates; swapped whole.
//!
//! Owns: what a request reads. Must not know: where the configuration came from, listeners. It is made by `compile`
//! beside the one in effect. What hangs on a secret is a [`Cell`]: it is made anew when the secret changes, off the
//! request path, and swapped by itself; nothing of the routing is touched.

mod compile;
mod head;
mod known;
mod service;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use postern_model::entity::route::PathHandling;
use postern_plugins::directory::Directory;
use postern_plugins::plan::{Plan, Plans};
use postern_plugins::view::{RouteInfo, ServiceInfo};
use postern_router::Router;
use postern_secrets::slot::{Derived, Slot};
use uuid::Uuid;

use crate::balance::{Balancer, PeerHealth};
use crate::tls::Certificates;

pub use compile::{Compiler, Maker, Means, OnProblem, Prepared, Problem};
pub(crate) use service::{Service, authority};

/// What requests read.
pub struct Live {
    pub(crate) router: Router,
    /// By the numbers that the router gives.
    pub(crate) routes: Vec<Route>,
    pub(crate) plans: Plans,
    pub(crate) directory: Arc<Directory>,
    pub(crate) certificates: Certificates,
    /// The slots behind entities with references, to tell which these are.
    slots: HashMap<Uuid, Arc<Slot>>,
    /// By name, for status and metrics.
    upstreams: Vec<(String, Weak<Balancer>)>,
    /// What the indexes were made of, so that changes are told.
    #[expect(dead_code, reason = "held, not read")]
    kept: Vec<Arc<dyn Any + Send + Sync>>,
}

impl Live {
    /// The references in an entity, for the log of whoever fails for want of one.
    pub(crate) fn references(&self, entity: Uuid) -> String {
        let Some(slot) = self.slots.get(&entity) else { return String::new() };
        let references: Vec<_> = slot.template().references().map(ToString::to_string).collect();
        references.join(", ")
    }

    /// Every upstream and service host that is in use, by name, with the health of its addresses.
    pub(crate) fn health(&self) -> Vec<(String, Vec<PeerHealth>)> {
        let balancers =
            self.upstreams.iter().filter_map(|(name, balancer)| Some((name, balancer.upgrade()?)));
        balancers.map(|(name, balancer)| (name.clone(), balancer.health())).collect()
    }

    /// The balancer of an upstream, by its name.
    pub(crate) fn balancer(&self, name: &str) -> Option<Arc<Balancer>> {
        let found = self.upstreams.iter().filter(|(known, _)| known == name);
        found.filter_map(|(_, balancer)| balancer.upgrade()).find(|balancer| balancer.is_upstream())
    }
}

/// A route, as far as requests need it.
pub(crate) struct Route {
    pub(crate) info: Arc<RouteInfo>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) service: Option<Arc<ServiceRef>>,
    pub(crate) strip_path: bool,
    pub(crate) path_handling: PathHandling,
    pub(crate) preserve_host: bool,
    pub(crate) https_redirect: u16,
    pub(crate) request_buffering: bool,
    /// It takes gRPC only.
    pub(crate) grpc: bool,
}

/// A service: what is always known of it, and what may hang on secrets.
pub(crate) struct ServiceRef {
    pub(crate) info: Arc<ServiceInfo>,
    pub(crate) cell: Cell<Service>,
    /// Why there is none, apart from its own fields: a certificate it needs.
    pub(crate) broken: Option<String>,
    pub(crate) enabled: bool,
}

/// Something that may hang on a secret.
#[derive(Debug)]
pub(crate) enum Cell<T> {
    /// It does not.
    Fixed(Arc<T>),
    /// It does.
    Live(Arc<Derived<T>>),
    /// It cannot be made of the secrets that there are; the configuration is made again when they change. It must not
    /// be a `Live` that refuses every value: a slot takes a value only if all who use it can.
    Nothing,
}

impl<T> Cell<T> {
    /// What it is now; `None` while the secret has no usable value.
    pub(crate) fn load(&self) -> Option<Arc<T>> {
        match self {
            Self::Fixed(value) => Some(Arc::clone(value)),
            Self::Live(derived) => derived.load(),
            Self::Nothing => None,
        }
    }
}

impl<T> Clone for Cell<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Fixed(value) => Self::Fixed(Arc::clone(value)),
            Self::Live(derived) => Self::Live(Arc::clone(derived)),
            Self::Nothing => Self::Nothing,
        }
    }
}
