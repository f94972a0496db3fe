//! A plugin that was made and checked, and that touches nothing that lives until its configuration takes effect.
//!
//! Owns: the two steps of making a plugin. The first ([`crate::registry::Make`]) reads the configuration, and may refuse it;
//! it sees nothing that outlives a configuration. The second ([`Prepared::commit`]) takes over queues, connections and counts
//! from the configuration before, and cannot fail. Dropping what was prepared undoes the first step. Must not know: any plugin.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use tokio::runtime::Handle;
use uuid::Uuid;

use crate::node::Node;
use crate::plugin::Plugin;
use crate::renewal::Renewal;
use crate::state::State;

/// A plugin whose configuration is right.
#[must_use = "it does nothing before it is committed"]
pub struct Prepared(Finish);

enum Finish {
    Ready(Box<dyn Plugin>),
    AtCommit(Box<LastStep>),
}

type LastStep = dyn FnOnce(&Living<'_>) -> Box<dyn Plugin> + Send;

/// What outlives a configuration, for the plugin of one entity. Only a commit can reach it.
#[derive(Clone, Copy, Debug)]
pub struct Living<'a> {
    /// The plugin entity.
    pub id: Uuid,
    /// What plugins keep from one configuration to the next.
    pub state: &'a Arc<State>,
    /// The node's queues and counts.
    pub node: &'a Arc<Node>,
    /// How the plugin gets fresh credentials.
    pub renewal: &'a Renewal,
    /// Where its tasks and connections run.
    pub io: &'a Handle,
}

impl Prepared {
    /// A plugin that keeps nothing across configurations.
    pub fn ready(plugin: impl Plugin) -> Self {
        Self(Finish::Ready(Box::new(plugin)))
    }

    /// A plugin that takes something over when its configuration takes effect. `finish` neither fails nor waits: everything
    /// that can be refused was looked at before.
    pub fn at_commit<P: Plugin>(finish: impl FnOnce(&Living<'_>) -> P + Send + 'static) -> Self {
        Self(Finish::AtCommit(Box::new(move |living| Box::new(finish(living)))))
    }

    /// The plugin, in effect from now on.
    pub fn commit(self, living: &Living<'_>) -> Box<dyn Plugin> {
        match self.0 {
            Finish::Ready(plugin) => plugin,
            Finish::AtCommit(finish) => finish(living),
        }
    }

    /// The plugin, if it takes nothing over; for tests.
    pub fn into_ready(self) -> Option<Box<dyn Plugin>> {
        match self.0 {
            Finish::Ready(plugin) => Some(plugin),
            Finish::AtCommit(_) => None,
        }
    }
}

impl Debug for Prepared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Finish::Ready(_) => "Prepared(ready)",
            Finish::AtCommit(_) => "Prepared(at commit)",
        })
    }
}
