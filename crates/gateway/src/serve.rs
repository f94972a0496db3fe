//! What a configuration is made into on this node: vaults and slots for its references, and what the data plane serves.
//!
//! Owns: that both change together, or neither. Must not know: where a configuration comes from.

use std::sync::{Arc, Mutex, PoisonError};

use postern_config::apply::Effect;
use postern_model::{Snapshot, Violation};
use postern_plugins::node::Node;
use postern_proxy::live::Problem;
use postern_proxy::{Compiler, Live, Proxy};
use postern_secrets::client::Trust;
use postern_secrets::rotate::Engine;

use crate::boot;
use crate::settings::Settings;

/// The parts of a node that a configuration takes effect on.
pub(crate) struct Serve {
    settings: Settings,
    trust: Trust,
    /// What the configuration is called for people.
    name: String,
    engine: Engine,
    compiler: Compiler,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The vaults of the configuration in effect are those of this one.
    snapshot: Option<Arc<Snapshot>>,
    serving: Serving,
}

/// The data plane, or what it will begin with.
#[derive(Default)]
enum Serving {
    #[default]
    Nothing,
    Ready(Box<Live>),
    Running(Arc<Proxy>),
}

impl Serve {
    pub(crate) fn new(
        settings: Settings,
        trust: Trust,
        name: String,
        engine: Engine,
        compiler: Compiler,
    ) -> Self {
        Self { settings, trust, name, engine, compiler, state: Mutex::default() }
    }

    /// What the data plane is to begin with, once.
    pub(crate) fn first(&self) -> Option<Live> {
        let mut state = self.lock();
        match std::mem::take(&mut state.serving) {
            Serving::Ready(live) => Some(*live),
            other => {
                state.serving = other;
                None
            }
        }
    }

    /// From now on configurations go there.
    pub(crate) fn running(&self, proxy: Arc<Proxy>) {
        self.lock().serving = Serving::Running(proxy);
    }

    /// Lets go of the data plane.
    pub(crate) fn stop(&self) -> Option<Arc<Proxy>> {
        match std::mem::take(&mut self.lock().serving) {
            Serving::Running(proxy) => Some(proxy),
            _ => None,
        }
    }

    /// The data plane.
    pub(crate) fn proxy(&self) -> Option<Arc<Proxy>> {
        match &self.lock().serving {
            Serving::Running(proxy) => Some(Arc::clone(proxy)),
            _ => None,
        }
    }

    /// The settings of the node.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The secrets.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What plugins know of the node.
    pub(crate) fn node(&self) -> &Node {
        self.compiler.node()
    }

    /// Waits until something changed that needs the configuration to be made again.
    pub(crate) async fn changed(&self) {
        self.compiler.changed().await;
    }

    /// Has the engine know a configuration's vaults.
    fn vaults(&self, snapshot: &Snapshot) -> Result<(), Violation> {
        let resolver = boot::vaults_of(&self.settings, self.trust.clone(), &self.name, snapshot)
            .map_err(|error| Violation::error("vaults", None, error.to_string()))?;
        self.engine.reconfigure(resolver);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Effect for Serve {
    type Made = (Live, Arc<Snapshot>);

    async fn make(&self, snapshot: Arc<Snapshot>) -> Result<Self::Made, Vec<Violation>> {
        let before = self.lock().snapshot.clone();
        let is_same = before.as_ref().is_some_and(|before| Arc::ptr_eq(before, &snapshot));
        if !is_same {
            self.vaults(&snapshot).map_err(|violation| vec![violation])?;
        }
        match self.compiler.compile(&snapshot).await {
            Ok(live) => Ok((live, snapshot)),
            Err(problems) => {
                // What serves on needs its own vaults.
                if let Some(before) = before.filter(|_| !is_same)
                    && let Err(violation) = self.vaults(&before)
                {
                    tracing::error!(%violation, "the vaults of the configuration in effect cannot be put back");
                }
                let violation = |Problem { path, position, message }: Problem| {
                    Violation::error(path, Some(position), message)
                };
                Err(problems.into_iter().map(violation).collect())
            }
        }
    }

    fn swap(&self, (live, snapshot): Self::Made) {
        let mut state = self.lock();
        state.snapshot = Some(snapshot);
        match &state.serving {
            Serving::Running(proxy) => proxy.swap(live),
            Serving::Nothing | Serving::Ready(_) => state.serving = Serving::Ready(Box::new(live)),
        }
    }
}
