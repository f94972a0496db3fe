//! Plugin entities → instances.
//!
//! Owns: that a plugin is made before its configuration takes effect, and finished when it does. Must not know: any plugin.

use std::sync::Arc;

use postern_model::Entry;
use postern_model::entity;
use postern_plugins::logging::secret_values::{Marked, SecretValues};
use postern_plugins::node::Node;
use postern_plugins::plan::{self, Instance};
use postern_plugins::plugin::Plugin;
use postern_plugins::prepared::{self, Living};
use postern_plugins::registry::{Context, Definition};
use postern_plugins::renewal::Renewal;
use postern_plugins::state::State;
use postern_secrets::bundle::Filled;
use postern_secrets::rotate::Engine;
use postern_secrets::slot::{Derived, Made, Slot};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::closed::NOBODY;
use super::work::Work;
use crate::live::head;

/// Finishes plugins when their configuration takes effect: only it can reach what they keep.
pub(super) struct Finisher {
    state: Arc<State>,
    node: Arc<Node>,
    io: Handle,
    engine: Engine,
}

impl Finisher {
    pub(super) fn new(state: Arc<State>, node: Arc<Node>, io: Handle, engine: Engine) -> Self {
        Self { state, node, io, engine }
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    #[cfg(test)]
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How a plugin gets fresh credentials whose texts are in this slot.
    fn renewal(&self, slot: &Arc<Slot>) -> Renewal {
        Renewal::of(self.engine.clone(), Arc::clone(slot))
    }

    fn finish(&self, id: Uuid, plugin: prepared::Prepared, renewal: &Renewal) -> Box<dyn Plugin> {
        let Self { state, node, io, .. } = self;
        plugin.commit(&Living { id, state, node, renewal, io })
    }
}

/// A plugin that is made and not finished.
pub(super) struct Prepared {
    id: Uuid,
    head: entity::Plugin,
    definition: &'static Definition,
    made: Cell,
}

enum Cell {
    /// Its configuration holds no reference.
    Fixed(prepared::Prepared),
    /// It is made again whenever a reference changes, and finished by itself at the commit.
    Live(Arc<Derived<Box<dyn Plugin>>>),
    /// It cannot be made: who needs it gets nothing.
    Nothing,
}

impl Prepared {
    /// The instance; `None` where it never runs.
    pub(super) fn commit(self, finisher: &Finisher) -> Option<Instance> {
        let Self { id, head, definition, made } = self;
        let cell = match made {
            Cell::Fixed(plugin) => plan::Cell::fixed(finisher.finish(id, plugin, &Renewal::default())),
            Cell::Live(derived) => plan::Cell::live(move || derived.load()),
            Cell::Nothing => plan::Cell::live(|| None),
        };
        Instance::new(id, &head, definition, cell)
    }
}

impl Work<'_> {
    pub(super) fn plugin(&mut self, entry: &Arc<Entry<entity::Plugin>>) -> Prepared {
        let name = entry.record.text("name").unwrap_or_default();
        let Some(definition) = self.maker.registry.get(name) else {
            // A name that holds a reference is refused before; what is not there closes what it is bound to.
            self.problem("plugins", entry, format!("plugin '{name}' not enabled"));
            let (head, definition) = (head::plugin(entry, &NOBODY), &NOBODY);
            return Prepared { id: entry.id, head, definition, made: Cell::Nothing };
        };
        let (clock, facts, id) = (self.maker.clock.clone(), Arc::clone(&self.maker.facts), entry.id);
        let make = move |plugin: &entity::Plugin| {
            (definition.make)(&plugin.config, &Context { id, clock: &clock, node: &facts })
        };
        let made = match (&entry.value, &self.secrets) {
            (Some(plugin), _) => match make(plugin) {
                Ok(made) => Cell::Fixed(made),
                Err(reason) => {
                    self.problem("plugins", entry, in_config(&reason));
                    Cell::Nothing
                }
            },
            (None, None) => Cell::Nothing,
            (None, Some(secrets)) => {
                let Some(bundle) = secrets.bundles.get(&entry.id) else {
                    unreachable!("each entity with references has a bundle")
                };
                let renewal = secrets.finisher.renewal(bundle.slot());
                let (filled, finisher) = (Entry::clone(entry), Arc::clone(secrets.finisher));
                let derived = secrets.candidate.derive_filled(bundle, definition.schema.name, move |texts| {
                    let values = SecretValues::of(texts.iter().flat_map(Filled::values));
                    let texts: Vec<_> =
                        texts.iter().map(|text| text.text_with(|value| definition.literal(value))).collect();
                    let plugin = make(&filled.fill(&texts)?)?;
                    let (finisher, renewal) = (Arc::clone(&finisher), renewal.clone());
                    Ok(Made::AtCommit(Box::new(move || {
                        Marked::wrap(finisher.finish(id, plugin, &renewal), values)
                    })))
                });
                if bundle.slot().load().is_none() || derived.problem().is_some() {
                    self.note(entry, &derived, "fails closed until it has a value");
                }
                Cell::Live(derived)
            }
        };
        Prepared { id: entry.id, head: head::plugin(entry, definition), definition, made }
    }
}

/// Constructors name the field; in the entity it stands in `config`.
fn in_config(reason: &str) -> String {
    format!("config: {reason}")
}
