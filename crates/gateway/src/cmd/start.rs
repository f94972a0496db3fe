//! `postern start`: the gateway. Settings → secrets → configuration → data plane and status → drain.
//!
//! Owns: that order, and what a signal does. Must not know: how any of it is done.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use postern_config::apply::Apply;
use postern_config::source::file::Watch;
use postern_model::Violation;
use postern_plugins::registry::Registry;
use postern_proxy::balance::Control;
use postern_proxy::dns::Dns;
use postern_proxy::live::Parts;
use postern_proxy::{Compiler, Proxy};
use postern_secrets::client::Trust;
use postern_secrets::rotate::{Engine, EngineOptions};
use postern_secrets::snapshot::LastKnownGood;
use rustls::RootCertStore;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::boot::{self, Loaded, Running};
use crate::cli::Options;
use crate::node_files::NodeFiles;
use crate::report::{Failure, Refused};
use crate::serve::Serve;
use crate::settings::Settings;
use crate::settings::node::Node;
use crate::status;

/// Runs the gateway until it is told to end; `with_parent`, also when its parent process is gone.
pub(super) async fn start(options: &Options, with_parent: bool) -> Result<ExitCode> {
    if with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let Running { settings, node, trust, document } = boot::run(options).await?;
    let files = NodeFiles::claim(&node.prefix)?;
    let Loaded { name, checked, hash } = document;
    let watched = watched(&settings);

    // The configuration is made before anything listens: who fails to start has disturbed nobody.
    let apply = Arc::new(Apply::new(serve(settings, &node, trust, &name, &checked.snapshot.vaults)?));
    apply.apply(checked, hash).await.map_err(|violations| Refused { file: name.clone(), violations })?;
    let live = apply.effect().first().ok_or_else(|| anyhow::anyhow!("there is nothing to serve"))?;
    let drain = node.proxy.drain;
    let proxy = Arc::new(Proxy::start(node.proxy, live).map_err(|error| {
        Failure::new(error.to_string(), "is another process there? proxy_listen says where to listen")
    })?);
    apply.effect().running(Arc::clone(&proxy));
    let status = status::start(&node.status, Arc::clone(&apply)).await?;
    tracing::info!(
        proxy = ?proxy.addresses(), status = ?status.addresses(), configuration = name, "serving"
    );
    drop(proxy);
    files.ready(std::process::id())?;
    tell_service_manager("READY=1");

    run(&apply, watched, &name, &files).await?;

    tell_service_manager("STOPPING=1");
    tracing::info!(seconds = drain.as_secs(), "ending: requests under way are finished first");
    status.not_ready();
    if let Some(proxy) = apply.effect().stop() {
        proxy.drain(drain).await;
    }
    apply.effect().engine().flush().await;
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// What a configuration takes effect on.
fn serve(
    settings: Settings,
    node: &Node,
    trust: Trust,
    name: &str,
    vaults: &[postern_model::VaultEntity],
) -> Result<Serve> {
    let resolver = boot::vaults(&settings, trust.clone(), name, vaults)?;
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
async fn run(
    apply: &Arc<Apply<Serve>>,
    watched: Option<PathBuf>,
    name: &str,
    files: &NodeFiles,
) -> Result<()> {
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()]
        .map(signal)
        .into_iter()
        .collect::<Result<Vec<Signal>, _>>()?;
    let [terminate, interrupt, quit] = ends.as_mut_slice() else { return Ok(()) };
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut watch = watched.as_deref().map(Watch::new);
    loop {
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = quit.recv() => return Ok(()),
            _ = hang_up.recv() => {
                let outcome = reload(apply, name, true).await;
                files.reloaded(&outcome);
            }
            () = changed => drop(reload(apply, name, false).await),
            () = apply.effect().changed() => {
                // Several changes that come together are one.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                apply.again().await;
            }
        }
    }
}

/// Reads the configuration again. A bad one is refused with its reasons; the old one serves on.
async fn reload(apply: &Arc<Apply<Serve>>, name: &str, asked: bool) -> Result<(), Vec<Violation>> {
    let outcome = match boot::load(apply.effect().settings(), None::<&Path>).await {
        Ok(Some(Loaded { checked, hash, .. })) => {
            let current = apply.state().current.map(|current| current.hash);
            if current.as_deref() == Some(hash.as_str()) && !asked {
                return Ok(());
            }
            for warning in &checked.warnings {
                tracing::warn!("{}", warning.in_file(name));
            }
            apply.apply(checked, hash).await
        }
        Ok(None) => Err(vec![Violation::error("", None, "there is no configuration any longer")]),
        Err(error) => {
            let violations = match error.downcast::<Refused>() {
                Ok(refused) => refused.violations,
                Err(error) => vec![Violation::error("", None, error.to_string())],
            };
            apply.refused(violations.clone());
            Err(violations)
        }
    };
    match &outcome {
        Ok(()) => tracing::info!(configuration = name, "a new configuration is in effect"),
        Err(violations) => {
            for violation in violations {
                tracing::error!("{}", violation.in_file(name));
            }
            tracing::error!(configuration = name, "a new configuration was refused; the old one serves on");
        }
    }
    outcome
}

/// systemd's protocol for services of the type `notify`: a word on a socket that it names. Nobody else listens.
fn tell_service_manager(word: &str) {
    if let Some(path) = crate::settings::notify_socket() {
        let path = path.strip_prefix('@').map_or(path.clone(), |name| format!("\0{name}"));
        let socket = std::os::unix::net::UnixDatagram::unbound();
        let address = match path.strip_prefix('\0') {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt as _;
                std::os::unix::net::SocketAddr::from_abstract_name(name)
            }
            None => std::os::unix::net::SocketAddr::from_pathname(&path),
        };
        if let (Ok(socket), Ok(address)) = (socket, address) {
            let _ = socket.send_to_addr(word.as_bytes(), &address);
        }
    }
}
