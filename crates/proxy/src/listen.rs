//! Workers and listeners: connections come in here, and end here.
//!
//! Owns: the threads, the sockets, TLS in front, which version of HTTP a connection speaks, and the drain. Must not know:
//! requests; each goes to [`crate::phases`].
//!
//! A worker is a thread with a runtime of its own and its own listening sockets (`SO_REUSEPORT`): the kernel spreads
//! connections, and a connection never leaves its worker.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use postern_plugins::view::TlsInfo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::framing;
use crate::live::Live;
use crate::observe::{Counts, Log, Observe, Writer};
use crate::options::{Limits, Listener, Options};
use crate::phases;
use crate::timed::{self, Phase, TICK, Timed, Timing};
use crate::tls;
use crate::upstream::Local;
use crate::worker::Worker;

/// The preface of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
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
    _log: Option<Writer>,
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
        Ok(Self { live, workers: Mutex::new(threads), stop, counts, addresses, _log: log })
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

/// Sockets for each worker.
#[expect(clippy::type_complexity, reason = "used in one place")]
fn bind(
    listeners: &[Listener],
    workers: usize,
) -> Result<(Vec<Vec<(Listener, StdListener)>>, Vec<SocketAddr>), StartError> {
    let mut by_worker: Vec<Vec<(Listener, StdListener)>> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let mut address = listener.address;
        for sockets in &mut by_worker {
            let fail =
                |error: io::Error| StartError::Listen { address, reason: postern_secrets::io_reason(&error) };
            let socket = bind_one(address).map_err(fail)?;
            // Of port 0 the kernel chooses one, and the other workers take the same.
            address = socket.local_addr().map_err(fail)?;
            sockets.push((Listener { address, ..*listener }, socket));
        }
        addresses.push(address);
    }
    Ok((by_worker, addresses))
}

fn bind_one(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(16_384)?;
    Ok(socket.into())
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
        let mut accepting = Vec::new();
        for (listener, socket) in std::mem::take(&mut self.listeners) {
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let (worker, speaker, stop) =
                        (Rc::clone(&worker), Rc::clone(&speaker), self.stop.clone());
                    accepting.push(tokio::task::spawn_local(accept(worker, speaker, listener, socket, stop)));
                }
                Err(error) => {
                    tracing::error!(error = postern_secrets::io_reason(&error), "a listener failed")
                }
            }
        }
        tokio::task::spawn_local(look_over(Rc::clone(&worker)));
        let stop = *self.stop.wait_for(|stop| *stop != Stop::No).await.as_deref().unwrap_or(&Stop::Now);
        for accepting in accepting {
            let _ = accepting.await;
        }
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

/// Takes connections until the end; then those that the kernel has taken already.
async fn accept(
    worker: Rc<Worker>,
    speaker: Rc<Speaker>,
    listener: Listener,
    socket: TcpListener,
    mut stop: watch::Receiver<Stop>,
) {
    let take = |stream: TcpStream, peer: SocketAddr| {
        worker.observe.counts().accepted.fetch_add(1, Ordering::Relaxed);
        let (worker, speaker) = (Rc::clone(&worker), Rc::clone(&speaker));
        tokio::task::spawn_local(async move {
            connection(&worker, &speaker, listener, stream, peer).await;
            worker.observe.counts().closed.fetch_add(1, Ordering::Relaxed);
        });
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|stop| *stop != Stop::No) => break,
        };
        match accepted {
            Ok((stream, peer)) => take(stream, peer),
            // Most are about one connection; but without file descriptors all fail, and at once.
            Err(error) => {
                tracing::warn!(error = postern_secrets::io_reason(&error), "a connection was not accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // The kernel resets what it still has when the socket closes. It is asked itself: tokio may not know yet of what came
    // last.
    let Ok(socket) = socket.into_std() else { return };
    while let Ok((stream, peer)) = socket.accept() {
        let is_ready = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = is_ready {
            take(stream, peer);
        }
    }
}

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

/// How connections are spoken to.
struct Speaker {
    http1: http1::Builder,
    http2: http2::Builder<Local>,
    plain: TlsAcceptor,
    both: TlsAcceptor,
    limits: timed::Limits,
    handshake: Duration,
}

impl Speaker {
    fn new(limits: &Limits, certificates: &Arc<rustls::ServerConfig>) -> Self {
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(limits.head_size.max(8192)).max_header_size(limits.head_size);
        let mut http2 = http2::Builder::new(Local);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(64)
            .initial_stream_window_size(128 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .max_send_buf_size(128 * 1024);
        let with = |protocols: &[&[u8]]| {
            let mut config = rustls::ServerConfig::clone(certificates);
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsAcceptor::from(Arc::new(config))
        };
        Self {
            http1,
            http2,
            plain: with(&[b"http/1.1"]),
            both: with(&[b"h2", b"http/1.1"]),
            limits: timed::Limits::new(
                limits.idle_timeout,
                limits.head_timeout,
                limits.body_timeout,
                limits.send_timeout,
            ),
            handshake: limits.head_timeout,
        }
    }
}

/// One connection, to its end.
async fn connection(
    worker: &Rc<Worker>,
    speaker: &Speaker,
    listener: Listener,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().unwrap_or(listener.address);
    let timing = worker.watch.timing(Phase::Head, speaker.limits);
    let connected = |tls, sni| {
        let timing = Arc::clone(&timing);
        let texts =
            Texts { peer: framing::value(&peer.ip().to_string()), port: HeaderValue::from(local.port()) };
        Rc::new(Connected { peer, local, tls, sni, timing, texts, requests: Cell::new(0) })
    };
    if !listener.tls {
        let is_http2 =
            listener.http2 && timeout(speaker.handshake, begins_http2(&stream)).await.unwrap_or(false);
        let connected = connected(None, None);
        return speak(worker, speaker, connected, stream, is_http2).await;
    }
    let acceptor = if listener.http2 { &speaker.both } else { &speaker.plain };
    let stream = match timeout(speaker.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        failed => {
            worker.observe.counts().handshakes_failed.fetch_add(1, Ordering::Relaxed);
            let reason = failed.map_or_else(
                |_| "it took too long".to_owned(),
                |failed| failed.err().map_or_else(String::new, |error| error.to_string()),
            );
            tracing::debug!(%peer, reason, "a TLS handshake failed");
            return;
        }
    };
    let (_, session) = stream.get_ref();
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let sni = session.server_name().map(|name| name.to_ascii_lowercase().into());
    let spoken = Some(tls::spoken(session));
    speak(worker, speaker, connected(spoken, sni), stream, is_http2).await;
}

/// Whether the client begins with HTTP/2's preface. Nothing is taken from the connection.
async fn begins_http2(stream: &TcpStream) -> bool {
    let mut buffer = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(read) if buffer[..read] != PREFACE[..read] => return false,
            Ok(read) if read == PREFACE.len() => return true,
            // Readiness does not tell of more bytes behind those that were looked at.
            Ok(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn speak<T>(worker: &Rc<Worker>, speaker: &Speaker, connected: Rc<Connected>, stream: T, is_http2: bool)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let timing = Arc::clone(&connected.timing);
    timing.enter(Phase::Head);
    let io = TokioIo::new(Timed::new(stream, Arc::clone(&timing)));
    let most = worker.options.limits.requests_per_connection;
    let worker = Rc::clone(worker);
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, connected) = (Rc::clone(&worker), Rc::clone(&connected));
        async move {
            let count = connected.requests.get() + 1;
            connected.requests.set(count);
            let mut reply = phases::serve(worker, connected, request).await;
            if count == most && !is_http2 {
                reply.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(reply)
        }
    });
    let outcome = if is_http2 {
        let connection = pin!(speaker.http2.serve_connection(io, service));
        until_drained(connection, &timing, |connection| connection.graceful_shutdown()).await
    } else {
        let connection = pin!(speaker.http1.serve_connection(io, service).with_upgrades());
        until_drained(connection, &timing, |connection| connection.graceful_shutdown()).await
    };
    if let Err(error) = outcome {
        tracing::debug!(error = %error, "a connection of a client ended");
    }
}

/// Polls a connection, and tells it once when it should end.
async fn until_drained<C: Future>(
    mut connection: Pin<&mut C>,
    timing: &Arc<Timing>,
    shut_down: impl Fn(Pin<&mut C>),
) -> C::Output {
    let mut told = false;
    poll_fn(|cx| {
        if !told && timing.is_draining(cx) {
            told = true;
            shut_down(connection.as_mut());
        }
        connection.as_mut().poll(cx)
    })
    .await
}
