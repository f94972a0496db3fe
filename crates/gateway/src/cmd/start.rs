//! `postern start`: the gateway. Settings → secrets → configuration → data plane and status → drain.
//!
//! Owns: that order, and what a signal does. Must not know: how any of it is done.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use postern_config::apply::Apply;
use postern_plugins as plugins;
use postern_plugins::registry::Registry;
use postern_proxy::balance::Control;
use postern_proxy::dns::Dns;
use postern_proxy::live::Parts;
use postern_proxy::{Compiler, Proxy};
use postern_secrets::client::Trust;
use postern_secrets::rotate::{Engine, EngineOptions};
use postern_secrets::snapshot::LastKnownGood;
use rustls::RootCertStore;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin;
use crate::boot::{self, Kept, Running};
use crate::cli::Options;
use crate::node_files::NodeFiles;
use crate::own_log::own_log;
use crate::report::{Failure, Refused};
use crate::serve::Serve;
use crate::settings::Settings;
use crate::settings::node::Node;
use crate::source::Source;
use crate::status;

/// For how long a node that ends waits for those who take its logs.
const LOGS: Duration = Duration::from_secs(5);

/// Runs the gateway until it is told to end; `with_parent`, also when its parent process is gone.
pub(super) async fn start(options: &Options, with_parent: bool) -> Result<ExitCode> {
    if with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let Running { settings, node, trust, kept } = boot::run(options).await?;
    let files = NodeFiles::claim(&node.prefix)?;

    // The configuration is made before anything listens: who fails to start has disturbed nobody.
    let name = match &kept {
        Kept::Document(document) => document.name.clone(),
        Kept::Store(store) => format!("the database ({})", store.name()),
    };
    let path = watched(&settings);
    let apply = Arc::new(Apply::new(serve(settings, &node, trust, &name)?));
    let (mut source, rows, document) = match kept {
        Kept::Document(document) => (Source::file(path, &apply), None, Some(*document)),
        Kept::Store(store) => {
            let source = Source::store(Arc::clone(&store)).await.map_err(|error| {
                Failure::new(
                    error.to_string(),
                    "is the database there? postern migrations list says how it is",
                )
            })?;
            (source, Some(store), None)
        }
    };
    let first = source.begin(&apply, document, &name).await;
    first.map_err(|violations| Refused { file: name.clone(), violations })?;
    let live = apply.effect().first().ok_or_else(|| anyhow::anyhow!("there is nothing to serve"))?;
    let drain = node.proxy.drain;
    let proxy = Arc::new(Proxy::start(node.proxy, live).map_err(|error| {
        Failure::new(error.to_string(), "is another process there? proxy_listen says where to listen")
    })?);
    apply.effect().running(Arc::clone(&proxy));
    let status = status::start(&node.status, Arc::clone(&apply)).await?;
    let parts = admin::Parts {
        apply: Arc::clone(&apply),
        store: rows.unwrap_or_else(|| source.db_less().unwrap_or_default().rows()),
        db_less: source.db_less(),
        revision: source.applied(),
        flavour: node.flavour,
    };
    let admin = admin::start(parts, &node.admin).await?;
    tracing::info!(
        proxy = ?proxy.addresses(),
        status = ?status.addresses(),
        admin = ?admin.as_ref().map(|admin| admin.addresses()).unwrap_or_default(),
        configuration = name,
        "serving"
    );
    drop(proxy);
    files.ready(std::process::id())?;
    tell_service_manager(NotifyState::Ready);

    run(&apply, source, &name, &files).await?;

    tell_service_manager(NotifyState::Stopping);
    tracing::info!(seconds = drain.as_secs(), "ending: requests under way are finished first");
    status.not_ready();
    if let Some(admin) = admin {
        admin.end(Duration::from_secs(5)).await;
    }
    if let Some(proxy) = apply.effect().stop() {
        proxy.drain(drain).await;
    }
    let left = apply.effect().node().queues.flush(LOGS).await;
    if left > 0 {
        tracing::warn!(entries = left, "logs could not be delivered in time");
    }
    apply.effect().engine().flush().await;
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// What a configuration takes effect on.
fn serve(settings: Settings, node: &Node, trust: Trust, name: &str) -> Result<Serve> {
    // Those of the configuration come with it.
    let resolver = boot::vaults(&settings, trust.clone(), name, &[])?;
    let last_known_good = match &node.last_known_good {
        None => None,
        Some(options) => Some(LastKnownGood::open(options).map_err(|error| {
            Failure::new(
                format!("secrets_last_known_good: {error}"),
                "it is a file for encrypted values; its key is kept in another directory",
            )
        })?),
    };
    let engine = Engine::start_with(
        resolver,
        EngineOptions { last_known_good, at_once: node.at_once, ..EngineOptions::default() },
    );
    let dns = Dns::new(node.dns.clone()).map_err(|error| {
        Failure::new(format!("name resolution: {error}"), "dns_resolver names other servers")
    })?;
    let mut system = RootCertStore::empty();
    system.add_parsable_certificates(trust.certificates());
    let system = Arc::new(system);
    let compiler = Compiler::new(Parts {
        engine: engine.clone(),
        registry: Registry::bundled(),
        control: Control::new(tokio::runtime::Handle::current(), dns).with_roots(Arc::clone(&system)),
        flavour: node.flavour,
        system,
        verify: node.verify_upstreams,
        node: Arc::new(plugins::node::Node {
            facts: Arc::new(plugins::node::Facts {
                trust: trust.clone(),
                redaction: Arc::clone(&node.proxy.redaction),
                hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
                instance: uuid::Uuid::new_v4(),
                tracing: node.tracing,
                syslog: node.syslog.clone(),
            }),
            own_log: Arc::clone(own_log()),
            ..plugins::node::Node::default()
        }),
    });
    Ok(Serve::new(settings, trust, name.to_owned(), engine, compiler))
}

/// The file that may change.
fn watched(settings: &Settings) -> Option<PathBuf> {
    if settings.text("declarative_config_string").is_some() {
        return None;
    }
    let path = settings.text("declarative_config").map(|path| path.expose());
    path.filter(|path| !path.contains("{vault://")).map(PathBuf::from)
}

/// Serves until a signal to end. What happens meanwhile: the file changes, somebody asks to look at it, or a secret has
/// changed on which the routing hangs.
async fn run(apply: &Arc<Apply<Serve>>, mut source: Source, name: &str, files: &NodeFiles) -> Result<()> {
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()]
        .map(signal)
        .into_iter()
        .collect::<Result<Vec<Signal>, _>>()?;
    let [terminate, interrupt, quit] = ends.as_mut_slice() else { return Ok(()) };
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = quit.recv() => return Ok(()),
            _ = hang_up.recv() => {
                let outcome = source.reload(apply, name, true).await;
                files.reloaded(&outcome);
            }
            () = source.changed() => drop(source.reload(apply, name, false).await),
            () = apply.effect().changed() => {
                // Several changes that come together are one.
                tokio::time::sleep(Duration::from_millis(50)).await;
                apply.again().await;
            }
        }
    }
}

/// What systemd is told of a service of the type `notify`. Elsewhere nobody listens.
fn tell_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told of the state of this service");
    }
}
