//! Which of several instances of one plugin is the one that runs.
//!
//! Owns: Kong's table of precedence. Must not know: plugins, phases.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::Instance;
use crate::directory::Consumer;

/// For whom an instance runs: all that is given must hold. Most specific first:
///
/// 1. consumer, route and service
/// 2. consumer group, route and service
/// 3. consumer and route
/// 4. consumer and service
/// 5. consumer group and route
/// 6. consumer group and service
/// 7. route and service
/// 8. consumer
/// 9. consumer group
/// 10. route
/// 11. service
/// 12. everybody
///
/// Of several groups, the first by name for which there is an instance counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the entities' names")]
pub struct Scope {
    pub route: Option<Uuid>,
    pub service: Option<Uuid>,
    pub consumer: Option<Uuid>,
    pub consumer_group: Option<Uuid>,
}

/// To which route and service an instance is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Binding {
    pub(super) route: Option<Uuid>,
    pub(super) service: Option<Uuid>,
}

impl Binding {
    /// All that fit a route and its service, in the order of the layers of an entry: [`BOTH`], [`ROUTE`], [`SERVICE`],
    /// [`NONE`].
    pub(super) fn all(route: Option<Uuid>, service: Option<Uuid>) -> [Option<Self>; 4] {
        [
            route.and(service).map(|_| Self { route, service }),
            route.map(|_| Self { route, service: None }),
            service.map(|_| Self { route: None, service }),
            Some(Self { route: None, service: None }),
        ]
    }
}

const BOTH: usize = 0;
const ROUTE: usize = 1;
const SERVICE: usize = 2;
const NONE: usize = 3;

/// To whom an instance is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Consumer(Uuid),
    Group(Uuid),
    Anybody,
}

impl Who {
    pub(super) fn of(scope: &Scope) -> Self {
        match (scope.consumer, scope.consumer_group) {
            (Some(id), _) => Self::Consumer(id),
            (None, Some(id)) => Self::Group(id),
            (None, None) => Self::Anybody,
        }
    }
}

/// The instances of one plugin with one binding.
#[derive(Debug, Default)]
pub(super) struct Layer {
    consumers: HashMap<Uuid, Arc<Instance>>,
    groups: HashMap<Uuid, Arc<Instance>>,
    anybody: Option<Arc<Instance>>,
}

impl Layer {
    /// Two of one plugin for exactly the same are refused when a configuration is checked; the first would win here.
    pub(super) fn add(&mut self, who: Who, instance: Arc<Instance>) {
        match who {
            Who::Consumer(id) => {
                self.consumers.entry(id).or_insert(instance);
            }
            Who::Group(id) => {
                self.groups.entry(id).or_insert(instance);
            }
            Who::Anybody => {
                self.anybody.get_or_insert(instance);
            }
        }
    }
}

/// What a place in the table of precedence asks for.
#[derive(Clone, Copy)]
enum Asks {
    Consumer,
    Group,
    Anybody,
}

/// The table of [`Scope`].
const PRECEDENCE: [(Asks, usize); 12] = [
    (Asks::Consumer, BOTH),
    (Asks::Group, BOTH),
    (Asks::Consumer, ROUTE),
    (Asks::Consumer, SERVICE),
    (Asks::Group, ROUTE),
    (Asks::Group, SERVICE),
    (Asks::Anybody, BOTH),
    (Asks::Consumer, NONE),
    (Asks::Group, NONE),
    (Asks::Anybody, ROUTE),
    (Asks::Anybody, SERVICE),
    (Asks::Anybody, NONE),
];

/// The instance that runs for this consumer.
pub(super) fn choose<'a>(
    layers: &'a [Option<Arc<Layer>>; 4],
    consumer: Option<&Consumer>,
) -> Option<&'a Arc<Instance>> {
    PRECEDENCE.iter().find_map(|(asks, binding)| {
        let layer = layers[*binding].as_ref()?;
        match (asks, consumer) {
            (Asks::Anybody, _) => layer.anybody.as_ref(),
            (Asks::Consumer, Some(consumer)) if !layer.consumers.is_empty() => {
                layer.consumers.get(&consumer.id)
            }
            (Asks::Group, Some(consumer)) if !layer.groups.is_empty() => {
                consumer.groups.iter().find_map(|(id, _)| layer.groups.get(id))
            }
            _ => None,
        }
    })
}
