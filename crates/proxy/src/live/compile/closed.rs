//! What rows of a store close that cannot take effect.
//!
//! Owns: that a broken entity closes what needs it, and nothing else; docs/decisions/0019 has the table, with the reasons. Must
//! not know: why an entity is broken.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use postern_model::field::{PluginSchema, Schema};
use postern_model::snapshot::{Broken, Part};
use postern_model::{Snapshot, entity};
use postern_plugins::plan::{self, Instance};
use postern_plugins::registry::{Definition, Phases};
use postern_plugins::view::{Entity, ServiceInfo};
use uuid::Uuid;

use super::work::Work;
use super::{Cell, ServiceRef};

/// Stands in for a plugin that cannot be identified: it runs first, and answers every request with 503.
static UNKNOWN: PluginSchema = PluginSchema {
    name: "unknown",
    priority: i32::MAX,
    version: "0.0.0",
    protocols: postern_model::field::HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema { fields: &[], checks: &[] },
    doc: "A plugin of a broken row, of which nobody knows what it is.",
};

/// What stands for a plugin that this build does not have.
pub(super) static NOBODY: Definition = Definition {
    schema: &UNKNOWN,
    phases: Phases { rewrite: false, access: true, response: false, body_filter: false, log: false },
    // Never called: there is nothing that it could make.
    make: |_, _| Err(String::new()),
};

/// Consumers that are left out of the directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Consumers {
    These(HashSet<Uuid>),
    All,
}

impl Consumers {
    /// One more.
    pub(super) fn add(&mut self, consumer: Uuid) {
        if let Self::These(these) = self {
            these.insert(consumer);
        }
    }

    pub(super) fn contains(&self, consumer: Uuid) -> bool {
        match self {
            Self::These(these) => these.contains(&consumer),
            Self::All => true,
        }
    }
}

fn of<'s>(snapshot: &'s Snapshot, kind: &'static str) -> impl Iterator<Item = &'s Arc<Broken>> {
    snapshot.broken.iter().filter(move |broken| broken.kind == kind)
}

/// Consumers one of whose groups cannot be read: a group may be what keeps them out.
pub(super) fn consumers(snapshot: &Snapshot) -> Consumers {
    let mut these = HashSet::new();
    for broken in of(snapshot, "acls").chain(of(snapshot, "consumer_group_consumers")) {
        match broken.remains.reference("consumer") {
            Part::Known(id) => drop(these.insert(id)),
            Part::Absent => {}
            Part::Unreadable => return Consumers::All,
        }
    }
    let groups: HashSet<Uuid> = of(snapshot, "consumer_groups").map(|broken| broken.id).collect();
    let members = snapshot.group_members.iter().filter(|(_, group)| groups.contains(group));
    these.extend(members.map(|(consumer, _)| *consumer));
    Consumers::These(these)
}

/// Services that are broken: their routes match, and answer 503.
pub(super) fn services(snapshot: &Snapshot) -> HashMap<Uuid, Arc<ServiceRef>> {
    let service = |broken: &Arc<Broken>| {
        let name = broken.remains.name.known().cloned();
        let info = Arc::new(ServiceInfo { id: broken.id, name, entity: Entity::default() });
        let reason = Some(broken.to_string());
        (broken.id, Arc::new(ServiceRef { info, cell: Cell::Nothing, broken: reason, enabled: true }))
    };
    of(snapshot, "services").map(service).collect()
}

/// Upstreams that are broken, or have no value. A host that is such a name must not be looked up as if it were a server's: its
/// requests would go elsewhere.
#[derive(Default)]
pub(super) struct Upstreams<'s> {
    named: HashMap<&'s str, String>,
    /// One whose name nobody can read: it may be any.
    unnamed: Option<String>,
}

impl<'s> Upstreams<'s> {
    /// Of broken rows.
    pub(super) fn of(snapshot: &'s Snapshot) -> Self {
        let mut upstreams = Self::default();
        for broken in of(snapshot, "upstreams") {
            let reason = format!("its upstream cannot take effect: {broken}");
            upstreams.add(broken.remains.name.known().map(String::as_str), reason);
        }
        upstreams
    }

    /// One more, by its name.
    pub(super) fn add(&mut self, name: Option<&'s str>, reason: String) {
        match name {
            Some(name) => drop(self.named.insert(name, reason)),
            None => self.unnamed = Some(reason),
        }
    }

    /// Why a service with this host, which no upstream that works is called by, has nowhere to go.
    pub(super) fn why(&self, host: &str) -> Option<String> {
        // An address is nobody's name.
        let is_address = || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let unnamed = self.unnamed.as_ref().filter(|_| !is_address());
        self.named.get(host).or(unnamed).cloned()
    }
}

/// Server names of broken rows: their handshakes are refused, for any other certificate would be a wrong one.
pub(super) fn server_names(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    of(snapshot, "snis").filter_map(|broken| broken.remains.name.known().map(String::as_str))
}

impl Work<'_> {
    /// Instances for plugins that are broken rows: they answer 503 in their scope.
    pub(super) fn closed_instances(&self, snapshot: &Snapshot) -> Vec<Instance> {
        of(snapshot, "plugins").filter_map(|broken| self.closed_instance(broken)).collect()
    }

    fn closed_instance(&self, broken: &Broken) -> Option<Instance> {
        let remains = &broken.remains;
        let known = remains.name.known().and_then(|name| self.maker.registry.get(name));
        let known = known.unwrap_or(&NOBODY);
        let scopes = ["service", "route", "consumer", "consumer_group"].map(|field| remains.reference(field));
        // A scope that nobody can read may be any: then it closes all, whatever else is configured there.
        let anywhere = scopes.contains(&Part::Unreadable);
        let schema = if anywhere { &UNKNOWN } else { known.schema };
        let [service, route, consumer, consumer_group] =
            scopes.map(|scope| scope.known().copied().filter(|_| !anywhere));
        let head = entity::Plugin {
            name: schema.name.into(),
            instance_name: None,
            service,
            route,
            consumer,
            consumer_group,
            protocols: vec![entity::Protocol::Http, entity::Protocol::Https],
            enabled: remains.enabled,
            config: postern_model::Record::default(),
        };
        let definition = Definition { schema, phases: NOBODY.phases, make: known.make };
        Instance::new(broken.id, &head, &definition, plan::Cell::live(|| None))
    }
}
