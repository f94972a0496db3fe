//! Workers and listeners: connections come in here, and end here.
//!
//! Owns: the threads, and the drain. `sockets` binds, `accept` takes connections while there are places, `speak` is one
//! connection to its end. Must not know: requests; each goes to [`crate::phases`].
//!
//! A worker is a thread with a runtime of its own and its own listening sockets (`SO_REUSEPORT`): the kernel spreads
//! connections, and a connection never leaves its worker.

mod accept;
mod sockets;
mod speak;

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use postern_plugins::view::TlsInfo;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::live::Live;
use crate::observe::{Counts, Log, Observe, Writer};
use crate::options::{Listener, Options};
use crate::timed::{TICK, Timing};
use crate::tls;
use crate::worker::Worker;
use accept::{Place, Places, accept};
use sockets::bind;
use speak::Speaker;

/// Idle upstream connections are looked over this often, in ticks.
const TIDY: u32 = 20;
/// How often is looked whether a configuration that was replaced is still in use.
const RETIRED_LOOK: Duration = Duration::from_millis(100);

/// A connection of a client.
pub(crate) struct Connected {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) sni: Option<Arc<str>>,
    pub(crate) timing: Arc<Timing>,
    pub(crate) texts: Texts,
    requests: Cell<u32>,
    /// Held as long as a request, or a tunnel that a request became.
    _place: Place,
}

/// What every request of a connection tells its upstream, as the values of headers.
pub(crate) struct Texts {
    pub(crate) peer: HeaderValue,
    pub(crate) port: HeaderValue,
}

/// Why the data plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
    /// The default certificate.
    #[error("the default certificate: {0}")]
    Certificate(String),
    /// The access log.
    #[error("the access log {path}: {reason}")]
    AccessLog {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A thread.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

/// Traffic that is being served. Dropping it ends all connections at once; [`Proxy::drain`] lets them finish.
pub struct Proxy {
    live: Arc<ArcSwap<Live>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    stop: watch::Sender<Stop>,
    counts: Vec<Arc<Counts>>,
    addresses: Vec<SocketAddr>,
    log: Option<Writer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Go on.
    No,
    /// Take no connections, and let those that are there finish until then.
    Drain(Instant),
    /// Now.
    Now,
}

impl Proxy {
    /// Starts to listen and serve. A port of 0 becomes a free one; see [`Proxy::addresses`].
    ///
    /// # Errors
    /// Nothing listens then.
    pub fn start(options: Options, live: Live) -> Result<Self, StartError> {
        let live = Arc::new(ArcSwap::from_pointee(live));
        let certificates = tls::server(Arc::clone(&live), options.default_certificate.as_ref());
        let certificates = certificates.map_err(StartError::Certificate)?;
        let log = match &options.access_log {
            None => None,
            Some(log) => Some(Writer::start(&log.path).map_err(|error| StartError::AccessLog {
                path: log.path.display().to_string(),
                reason: postern_secrets::io_reason(&error),
            })?),
        };
        let workers = options.workers.max(1);
        let (listeners, addresses) = bind(&options.listen, workers)?;
        let options = Arc::new(options);
        let (stop, stopped) = watch::channel(Stop::No);
        let counts: Vec<Arc<Counts>> = (0..workers).map(|_| Arc::default()).collect();
        let mut threads = Vec::with_capacity(workers);
        for (number, (listeners, counts)) in listeners.into_iter().zip(&counts).enumerate() {
            let lines = log
                .as_ref()
                .and_then(|writer| writer.log(options.access_log.as_ref().is_some_and(|log| log.json)));
            let task = Task {
                options: Arc::clone(&options),
                live: Arc::clone(&live),
                certificates: Arc::clone(&certificates),
                counts: Arc::clone(counts),
                log: lines,
                listeners,
                stop: stopped.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || task.run()).map_err(StartError::Worker)?);
        }
        Ok(Self { live, workers: Mutex::new(threads), stop, counts, addresses, log })
    }

    /// Requests that begin from now on are served by this configuration; those under way keep theirs.
    pub fn swap(&self, live: Live) {
        let before = self.live.swap(Arc::new(live));
        // Whoever lets go of it last frees all of it, which takes milliseconds where there is much: no worker shall.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                while Arc::strong_count(&before) > 1 {
                    sleep(RETIRED_LOOK).await;
                }
            });
        }
    }

    /// Opens the file of the access log again: it may have been moved away, as logrotate does.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Where it listens, in the order of the options.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What was counted, a worker each.
    pub fn counts(&self) -> &[Arc<Counts>] {
        &self.counts
    }

    /// Health of the targets of all upstreams, by the upstream's name.
    pub fn balancers(&self) -> Vec<(String, Vec<crate::balance::PeerHealth>)> {
        self.live.load().health()
    }

    /// The balancer of an upstream, by its name, while a service is balanced by it.
    pub fn balancer(&self, upstream: &str) -> Option<Arc<crate::balance::Balancer>> {
        self.live.load().balancer(upstream)
    }

    /// Takes no more connections, and lets requests that are under way finish, for so long at most.
    pub async fn drain(&self, longest: Duration) {
        self.stop.send_replace(Stop::Drain(Instant::now() + longest));
        let workers = self.take_workers();
        let joined =
            tokio::task::spawn_blocking(move || workers.into_iter().for_each(|worker| drop(worker.join())));
        let _ = joined.await;
    }

    fn take_workers(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Now);
        self.take_workers().into_iter().for_each(|worker| drop(worker.join()));
    }
}

/// What a worker's thread is given.
struct Task {
    options: Arc<Options>,
    live: Arc<ArcSwap<Live>>,
    certificates: Arc<rustls::ServerConfig>,
    counts: Arc<Counts>,
    log: Option<Log>,
    listeners: Vec<(Listener, StdListener)>,
    stop: watch::Receiver<Stop>,
}

impl Task {
    fn run(self) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        match runtime {
            Ok(runtime) => runtime.block_on(self.serve()),
            Err(error) => {
                tracing::error!(error = postern_secrets::io_reason(&error), "a worker has no runtime")
            }
        }
    }

    async fn serve(mut self) {
        let observe = Observe::new(self.log.take(), Arc::clone(&self.counts));
        let worker = Worker::new(Arc::clone(&self.options), Arc::clone(&self.live), observe);
        let speaker = Rc::new(Speaker::new(&self.options.limits, &self.certificates));
        let places = Places::new(self.options.limits.connections);
        let mut accepting = Vec::new();
        for (listener, socket) in std::mem::take(&mut self.listeners) {
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let (worker, speaker) = (Rc::clone(&worker), Rc::clone(&speaker));
                    let (places, stop) = (Rc::clone(&places), self.stop.clone());
                    let accept = accept(worker, speaker, places, listener, socket, stop);
                    accepting.push(tokio::task::spawn_local(accept));
                }
                Err(error) => {
                    tracing::error!(error = postern_secrets::io_reason(&error), "a listener failed")
                }
            }
        }
        tokio::task::spawn_local(look_over(Rc::clone(&worker)));
        let unread = tokio::task::spawn_local(Rc::clone(&worker.unread).run());
        let stop = *self.stop.wait_for(|stop| *stop != Stop::No).await.as_deref().unwrap_or(&Stop::Now);
        for accepting in accepting {
            let _ = accepting.await;
        }
        // Who has its answer is not waited for.
        unread.abort();
        if let Stop::Drain(until) = stop {
            // Unused connections to upstreams are no requests under way.
            worker.pool.clear();
            while worker.watch.drain() > 0 && Instant::now() < until && *self.stop.borrow() != Stop::Now {
                sleep(TICK).await;
                worker.pool.clear();
            }
        }
        worker.observe.flush();
    }
}

/// Looks over, a few times a second, what belongs to a worker.
async fn look_over(worker: Rc<Worker>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut count = 0_u32;
    loop {
        ticks.tick().await;
        worker.watch.tick();
        worker.observe.flush();
        count = count.wrapping_add(1);
        if count.is_multiple_of(TIDY) {
            worker.pool.tidy();
        }
    }
}
