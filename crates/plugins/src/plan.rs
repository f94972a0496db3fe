//! Who runs for a route, a service, a consumer and its groups, and in which order.
//!
//! Owns: the order of plugins, which instance of a plugin is the one that runs, and that all of it is worked out when
//! a configuration takes effect, not when a request comes. Must not know: what a plugin does, which route matched and
//! why. `scope` has the precedence, `run` takes a request through the phases.
//!
//! Of a plugin that is configured several times, one instance runs: the most specific one ([`Scope`]). Routes for
//! which the same instances are to be had share one [`Plan`], and plans share what they have in common.

mod run;
mod scope;

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use postern_model::entity;
use postern_model::entity::Protocol;
use postern_model::field::PluginSchema;
use uuid::Uuid;

use crate::plugin::Plugin;
use crate::registry::{Definition, Phases};
pub use run::{Running, Verdict, run_rewrite};
pub use scope::Scope;
use scope::{Binding, Layer, Who};

/// What a constructor made. Twice indirect, so that it is what `postern_secrets::slot::Derived<Box<dyn Plugin>>` gives.
pub type Made = Arc<Box<dyn Plugin>>;

/// A configured plugin: one entity.
pub struct Instance {
    /// The entity's identifier.
    pub id: Uuid,
    /// What is to be known of the plugin.
    pub schema: &'static PluginSchema,
    /// The phases it has a method for.
    pub phases: Phases,
    /// For whom it runs.
    pub scope: Scope,
    cell: Cell,
}

/// Where an instance's plugin is.
pub enum Cell {
    /// Made once: its configuration holds no reference.
    Fixed(Made),
    /// Made again whenever a reference's value changes; empty while one has no usable value.
    Live(Box<dyn Fn() -> Option<Made> + Send + Sync>),
}

impl Cell {
    /// For a configuration without references.
    pub fn fixed(plugin: Box<dyn Plugin>) -> Self {
        Self::Fixed(Arc::new(plugin))
    }

    /// For one with references: `load` gives what was made from the newest usable values, and must not wait.
    pub fn live(load: impl Fn() -> Option<Made> + Send + Sync + 'static) -> Self {
        Self::Live(Box::new(load))
    }
}

impl Instance {
    /// An instance of a plugin entity; `None` where it never runs: it is switched off, or for other protocols than
    /// those of HTTP.
    pub fn new(id: Uuid, entity: &entity::Plugin, definition: &Definition, cell: Cell) -> Option<Self> {
        // As in Kong, the listener's kind decides and not the single protocol: an authentication that is written for
        // `https` also guards a route that takes `http`.
        let is_http = |protocol: &Protocol| {
            !matches!(protocol, Protocol::Tcp | Protocol::Tls | Protocol::TlsPassthrough | Protocol::Udp)
        };
        if !entity.enabled || !entity.protocols.iter().any(is_http) {
            return None;
        }
        let scope = Scope {
            route: entity.route,
            service: entity.service,
            consumer: entity.consumer,
            consumer_group: entity.consumer_group,
        };
        Some(Self { id, schema: definition.schema, phases: definition.phases, scope, cell })
    }

    /// The plugin now; `None` while a reference in its configuration has no usable value.
    pub fn load(&self) -> Option<Made> {
        match &self.cell {
            Cell::Fixed(made) => Some(Arc::clone(made)),
            Cell::Live(load) => load(),
        }
    }
}

impl Instance {
    /// Whether its configuration holds references.
    pub(crate) fn holds_references(&self) -> bool {
        matches!(self.cell, Cell::Live(_))
    }
}

impl Debug for Instance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({} {} {:?})", self.schema.name, self.id, self.scope)
    }
}

/// The plugins for some routes, in the order in which they run.
#[derive(Debug, Default)]
pub struct Plan {
    entries: Vec<Entry>,
}

/// One plugin, with all its instances that may be the one that runs.
#[derive(Debug)]
struct Entry {
    /// By what they are bound to, the more specific first; `scope` has the order.
    layers: [Option<Arc<Layer>>; 4],
}

impl Plan {
    /// Whether nothing ever runs.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The instances that run for this consumer, in their order. For tests and for `explain`; requests choose as they
    /// go ([`Running`]).
    pub fn instances(&self, consumer: Option<&crate::directory::Consumer>) -> Vec<&Arc<Instance>> {
        self.entries.iter().filter_map(|entry| scope::choose(&entry.layers, consumer)).collect()
    }
}

/// The plans of all routes.
#[derive(Debug, Default)]
pub struct Plans {
    by_route: HashMap<Uuid, Arc<Plan>>,
    unrouted: Arc<Plan>,
}

impl Plans {
    /// Works out the plan of each route, which is given with its service. The order of `instances` does not matter.
    pub fn new(routes: impl IntoIterator<Item = (Uuid, Option<Uuid>)>, instances: Vec<Instance>) -> Self {
        let parts = Parts::new(instances);
        let mut shared: HashMap<(Option<Uuid>, Option<Uuid>), Arc<Plan>> = HashMap::new();
        let mut plan = |route: Option<Uuid>, service: Option<Uuid>| {
            // Routes and services to which nothing is bound are all alike.
            let key = (
                route.filter(|id| parts.routes.contains_key(id)),
                service.filter(|id| parts.services.contains_key(id)),
            );
            Arc::clone(shared.entry(key).or_insert_with(|| Arc::new(parts.plan(key.0, key.1))))
        };
        let unrouted = plan(None, None);
        let by_route =
            routes.into_iter().map(|(route, service)| (route, plan(Some(route), service))).collect();
        Self { by_route, unrouted }
    }

    /// The plan of a route. One that was not known when the plans were made has what runs everywhere.
    pub fn of(&self, route: Uuid) -> &Arc<Plan> {
        self.by_route.get(&route).unwrap_or(&self.unrouted)
    }

    /// What runs for requests without a route, and in the phase `rewrite`: only what is bound to nothing.
    pub fn unrouted(&self) -> &Arc<Plan> {
        &self.unrouted
    }
}

/// All instances, by plugin and by what they are bound to.
struct Parts {
    /// The plugins' schemas in the order in which they run.
    plugins: Vec<&'static PluginSchema>,
    layers: HashMap<(&'static str, Binding), Arc<Layer>>,
    /// Routes and services to which something is bound.
    routes: HashMap<Uuid, ()>,
    services: HashMap<Uuid, ()>,
}

impl Parts {
    fn new(instances: Vec<Instance>) -> Self {
        let mut layers: HashMap<(&'static str, Binding), Layer> = HashMap::new();
        let mut plugins: Vec<&'static PluginSchema> = Vec::new();
        let (mut routes, mut services) = (HashMap::new(), HashMap::new());
        for instance in instances {
            let Scope { route, service, .. } = instance.scope;
            routes.extend(route.map(|id| (id, ())));
            services.extend(service.map(|id| (id, ())));
            if !plugins.iter().any(|known| known.name == instance.schema.name) {
                plugins.push(instance.schema);
            }
            let layer = layers.entry((instance.schema.name, Binding { route, service })).or_default();
            layer.add(Who::of(&instance.scope), Arc::new(instance));
        }
        // As in Kong: higher priorities first, and of equal ones the later in the alphabet.
        plugins.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| b.name.cmp(a.name)));
        let layers = layers.into_iter().map(|(key, layer)| (key, Arc::new(layer))).collect();
        Self { plugins, layers, routes, services }
    }

    fn plan(&self, route: Option<Uuid>, service: Option<Uuid>) -> Plan {
        let bindings = Binding::all(route, service);
        let entries = self.plugins.iter().filter_map(|plugin| {
            let layers = bindings.map(|binding| self.layers.get(&(plugin.name, binding?)).cloned());
            layers.iter().any(Option::is_some).then_some(Entry { layers })
        });
        Plan { entries: entries.collect() }
    }
}

#[cfg(test)]
mod tests;
