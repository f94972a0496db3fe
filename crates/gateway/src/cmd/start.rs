//! `postern start`: the gateway. Settings → secrets → configuration → data plane and status → drain.
//!
//! Owns: that order, and what a signal does. Must not know: how any of it is done.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use postern_client::Trust;
use postern_config::apply::Apply;
use postern_config::source::document::DbLess;
use postern_config::transact::{Requests, Transactions};
use postern_plugins as plugins;
use postern_proxy::live::OnProblem;
use postern_proxy::{Compiler, Proxy, StartError};
use postern_secrets::rotate::{Engine, EngineOptions};
use postern_secrets::snapshot::LastKnownGood;
use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::admin;
use crate::boot::{self, Kept, Running};
use crate::cli::Options;
use crate::node_files::NodeFiles;
use crate::own_log::own_log;
use crate::report::{Failure, Refused};
use crate::serve::{self, Serve};
use crate::settings::Settings;
use crate::settings::node::Node;
use crate::source;
use crate::status;
use crate::threads::{self, IoThread};

/// For how long a node that ends waits for those who take its logs.
const LOGS: Duration = Duration::from_secs(5);

/// Runs the gateway until it is told to end; `with_parent`, also when its parent process is gone.
/// `take_over`: beside a node of the same prefix.
pub(super) async fn start(options: &Options, with_parent: bool, take_over: bool) -> Result<ExitCode> {
    if with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let mut hints = Hints::listen()?;
    let io = IoThread::start()?;
    let Running { settings, mut node, trust, kept } = boot::run(options, io.handle()).await?;
    let files = NodeFiles::claim(&node.prefix, take_over)?;
    if !files.are_written() && settings.text("proxy_access_log").is_none() {
        tracing::warn!("the access log goes to standard output, because the prefix cannot be written to");
        if let Some(log) = &mut node.proxy.access_log {
            log.path = PathBuf::from("/dev/stdout");
        }
    }

    // The configuration is made before anything listens: who fails to start has disturbed nobody.
    let (name, shown, on_problem) = match &kept {
        Kept::Document(document) => {
            (document.name.clone(), Some(Arc::<DbLess>::default()), OnProblem::Refuse)
        }
        Kept::Store(store) => (format!("the database ({})", store.name()), None, OnProblem::Close),
    };
    let rows = match &kept {
        Kept::Document(_) => shown.clone().unwrap_or_default().rows(),
        Kept::Store(store) => Arc::clone(store),
    };
    let path = watched(&settings);
    let apply = Arc::new(Apply::new(serve(settings, &node, trust, &name, on_problem, io.handle())?));
    let (requests, applied) = transactions(kept, path, &apply, shown.clone(), &name, &io).await?;
    let live = apply.effect().first().ok_or_else(|| anyhow::anyhow!("there is nothing to serve"))?;
    let drain = node.proxy.drain;
    let proxy = Arc::new(Proxy::start(node.proxy, live).map_err(|error| {
        let hint = match &error {
            StartError::Listen { .. } => "is another process there? proxy_listen says where to listen",
            StartError::Certificate(_) => "ssl_cert and ssl_cert_key name files with PEM in them",
            StartError::AccessLog { .. } => "proxy_access_log names a file that can be written to, or off",
            StartError::Worker(_) => "nginx_worker_processes says how many threads serve",
        };
        Failure::new(error.to_string(), hint)
    })?);
    apply.effect().running(Arc::clone(&proxy));
    let audit = admin::audit_file(&node.admin)?;
    let status = status::start(&node.status, node.status_certificate.as_ref(), Arc::clone(&apply)).await?;
    let parts = admin::Parts {
        apply: Arc::clone(&apply),
        requests: requests.clone(),
        store: rows,
        db_less: shown,
        revision: applied,
        flavour: node.flavour,
    };
    let admin = admin::start(parts, &node.admin, audit.clone()).await?;
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

    let reopen_logs = || {
        apply.effect().node().log_files.reopen();
        if let Some(proxy) = apply.effect().proxy() {
            proxy.reopen_log();
        }
        if let Some(audit) = &audit {
            audit.reopen();
        }
        tracing::info!("log files are opened again");
    };
    until_told_to_end(&requests, &files, &mut hints, reopen_logs).await?;

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

/// Begins the loop by which configurations take effect, on a thread of its own, and waits for the first. Gives who asks for
/// more, and the last change of a store that is in effect.
async fn transactions(
    kept: Kept,
    watched: Option<PathBuf>,
    apply: &Arc<Apply<Serve>>,
    shown: Option<Arc<DbLess>>,
    name: &str,
    io: &IoThread,
) -> Result<(Requests, Arc<AtomicI64>)> {
    let (begun, first) = oneshot::channel();
    let (apply, name, handle) = (Arc::clone(apply), name.to_owned(), io.handle().clone());
    threads::compute(move || async move {
        let from = match source::open(kept, watched, &apply, shown, handle).await {
            Ok(from) => from,
            Err(failure) => return drop(begun.send(Err(failure.into()))),
        };
        let source::From { source, shown, document } = from;
        let read = source::read(Arc::clone(&apply));
        let (mut transactions, requests) = Transactions::new(apply, source, shown, read, name.clone());
        let applied = transactions.applied();
        let outcome = transactions.first(document).await;
        let outcome = outcome.map_err(|violations| anyhow::Error::from(Refused { file: name, violations }));
        let is_begun = outcome.is_ok();
        let told = begun.send(outcome.map(|()| (requests, applied)));
        if is_begun && told.is_ok() {
            transactions.run().await;
        }
    })?;
    first.await.map_err(|_| anyhow::anyhow!("the compiler ended"))?
}

/// What a configuration takes effect on.
fn serve(
    settings: Settings,
    node: &Node,
    trust: Trust,
    name: &str,
    on_problem: OnProblem,
    io: &Handle,
) -> Result<Serve> {
    let _io = io.enter();
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
    let facts = Arc::new(plugins::node::Facts {
        trust: trust.clone(),
        redaction: Arc::clone(&node.proxy.redaction),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        instance: uuid::Uuid::new_v4(),
        tracing: node.tracing,
        syslog: node.syslog.clone(),
    });
    let maker = serve::maker(node, &trust, Arc::clone(&facts), io)?;
    let node =
        plugins::node::Node { facts, own_log: Arc::clone(own_log()), ..plugins::node::Node::default() };
    let compiler = Compiler::new(maker, engine.clone(), Arc::new(node));
    Ok(Serve::new(settings, trust, name.to_owned(), engine, compiler, on_problem))
}

/// The file that may change.
fn watched(settings: &Settings) -> Option<PathBuf> {
    if settings.text("declarative_config_string").is_some() {
        return None;
    }
    let path = settings.text("declarative_config").map(|path| path.expose());
    path.filter(|path| !path.contains("{vault://")).map(PathBuf::from)
}

/// Signals that ask for something other than the end. They are caught from the beginning: by default, each would end the
/// process, and log rotation may send one at any time.
struct Hints {
    hang_up: Signal,
    user1: Signal,
    /// nginx upgrades its program by it; here it does nothing.
    _user2: Signal,
}

impl Hints {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            _user2: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Serves until a signal to end. Reloads that signals ask for run concurrently, so that they delay no other signal.
/// `reopen_logs`: log files may have been moved away.
async fn until_told_to_end(
    requests: &Requests,
    files: &NodeFiles,
    hints: &mut Hints,
    reopen_logs: impl Fn(),
) -> Result<()> {
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()]
        .map(signal)
        .into_iter()
        .collect::<Result<Vec<Signal>, _>>()?;
    let [terminate, interrupt, quit] = ends.as_mut_slice() else { return Ok(()) };
    let mut reloads = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = quit.recv() => return Ok(()),
            _ = hints.user1.recv() => reopen_logs(),
            _ = hints.hang_up.recv() => {
                reopen_logs();
                let requests = requests.clone();
                reloads.push(async move { requests.reload().await });
            }
            Some(outcome) = reloads.next() => files.reloaded(&outcome),
        }
    }
}

/// Notifies systemd, for services of type `notify`. Does nothing elsewhere.
fn tell_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told of the state of this service");
    }
}
