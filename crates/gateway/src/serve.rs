//! What a configuration is made into on this node: vaults and slots for its references, and what the data plane serves.
//!
//! Owns: that both change together, or neither. Must not know: where a configuration comes from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postern_client::Trust;
use postern_config::apply::{self, Effect};
use postern_model::snapshot::Broken;
use postern_model::{Kind, Snapshot, Violation, check};
use postern_plugins::node::{Facts, Node};
use postern_plugins::registry::Registry;
use postern_proxy::balance::Control;
use postern_proxy::dns::Dns;
use postern_proxy::live::{Maker, Means, OnProblem, Prepared, Problem};
use postern_proxy::{Compiler, Live, Proxy};
use postern_secrets::rotate::Engine;
use rustls::RootCertStore;
use serde_json::{Map, Value as Json};
use tokio::runtime::Handle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::boot;
use crate::report::Failure;
use crate::settings::{self, Settings};

/// For how long a configuration waits for references and names that are new with it. What comes later takes effect then; a vault
/// or a name server that does not answer must hold up neither a start nor a change.
const PATIENCE: Duration = Duration::from_secs(3);

/// The parts of a node that a configuration takes effect on.
pub(crate) struct Serve {
    settings: Settings,
    trust: Trust,
    /// What the configuration is called for people.
    name: String,
    engine: Engine,
    compiler: Compiler,
    on_problem: OnProblem,
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
        on_problem: OnProblem,
    ) -> Self {
        Self { settings, trust, name, engine, compiler, on_problem, state: Mutex::default() }
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

    /// What a start would say of one entity: it is made and thrown away. References stay unresolved.
    ///
    /// # Errors
    /// Everything that is wrong with it; paths begin at the entity.
    pub(crate) fn check(&self, kind: Kind, id: Uuid, body: &Map<String, Json>) -> Result<(), Vec<Violation>> {
        let snapshot = check::alone(kind.collection(), id, body, &Registry::bundled())?;
        self.compiler
            .maker()
            .check(&snapshot)
            .map_err(|problems| problems.into_iter().map(Problem::of_entity).collect())
    }

    /// What a start would say of all of them beyond what the document says by itself.
    pub(crate) fn problems(&self, snapshot: &Snapshot) -> Vec<Violation> {
        self.compiler.maker().violations(snapshot)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What entities are made with, by the settings of a node.
///
/// # Errors
/// Names cannot be resolved here.
pub(crate) fn maker(
    node: &settings::node::Node,
    trust: &Trust,
    facts: Arc<Facts>,
    io: &Handle,
) -> Result<Maker, Failure> {
    let dns = Dns::new(node.dns.clone()).map_err(|error| {
        Failure::new(format!("name resolution: {error}"), "dns_resolver names other servers")
    })?;
    let mut system = RootCertStore::empty();
    system.add_parsable_certificates(trust.certificates());
    let system = Arc::new(system);
    Ok(Maker::new(Means {
        registry: Registry::bundled(),
        control: Control::new(io.clone(), dns).with_roots(Arc::clone(&system)),
        flavour: node.flavour,
        system,
        verify: node.verify_upstreams,
        facts,
    }))
}

/// Everything that stands against a configuration that was checked, but for what its references come to: it is made as a start
/// would make it, and thrown away.
///
/// # Errors
/// Why it cannot be said.
pub(crate) fn problems(
    settings: &Settings,
    trust: &Trust,
    snapshot: &Snapshot,
) -> Result<Vec<Violation>, Failure> {
    let node = boot::node_without_references(settings)?;
    let facts = Arc::new(Facts { trust: trust.clone(), ..Facts::default() });
    Ok(maker(&node, trust, facts, &Handle::current())?.violations(snapshot))
}

impl Effect for Serve {
    type Prepared<'a> = PreparedServe<'a>;

    async fn prepare(&self, snapshot: &Arc<Snapshot>) -> Result<PreparedServe<'_>, Vec<Violation>> {
        let before = self.lock().snapshot.clone();
        let candidate = match before.is_some_and(|before| Arc::ptr_eq(&before, snapshot)) {
            true => self.engine.prepare_again(),
            false => {
                let resolver = boot::vaults_of(&self.settings, self.trust.clone(), &self.name, snapshot);
                let resolver =
                    resolver.map_err(|error| vec![Violation::error("vaults", None, error.to_string())])?;
                self.engine.prepare(resolver)
            }
        };
        self.settings.hold_compiler();
        let deadline = Instant::now() + PATIENCE;
        let prepared = self.compiler.prepare(snapshot, candidate, self.on_problem, deadline).await;
        let prepared =
            prepared.map_err(|problems| problems.iter().map(Problem::violation).collect::<Vec<_>>())?;
        Ok(PreparedServe { serve: self, prepared, snapshot: Arc::clone(snapshot) })
    }

    async fn changed(&self) {
        self.compiler.changed().await;
    }
}

/// What may take effect on this node.
pub(crate) struct PreparedServe<'a> {
    serve: &'a Serve,
    prepared: Prepared<'a>,
    snapshot: Arc<Snapshot>,
}

impl apply::Prepared for PreparedServe<'_> {
    fn commit(self) -> Vec<Arc<Broken>> {
        let Self { serve, prepared, snapshot } = self;
        let broken = Arc::clone(&snapshot);
        let problems = prepared.commit(|live| {
            let mut state = serve.lock();
            state.snapshot = Some(snapshot);
            match &state.serving {
                Serving::Running(proxy) => proxy.swap(live),
                Serving::Nothing | Serving::Ready(_) => state.serving = Serving::Ready(Box::new(live)),
            }
        });
        broken.broken.iter().cloned().chain(problems).collect()
    }
}
