//! Connections to the Admin API, and to other pages for operators.
//!
//! Owns: that it does not listen where anybody could reach it unasked, and limits of number ([`places`]) and time. Must
//! not know: what is asked. It speaks HTTP/1.1 only, also in TLS.

mod places;

use std::convert::Infallible;
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

pub use self::places::Bounds;
use self::places::{Place, Places};
use super::route::Peer;
use super::{Admin, dispatch};

/// For how long a connection that makes room for another may still write its last answer.
const LAST_TIME: Duration = Duration::from_secs(1);
/// Until it is tried again to take a connection when the process can have no more files.
const NO_FILES: Duration = Duration::from_millis(100);
/// Until a request's head must be there, and for how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// Until TLS must stand.
const TLS_TIME: Duration = Duration::from_secs(10);
/// For how long a client may read nothing of its answer. Events are sent at longer intervals, but then nothing waits.
const READ_TIME: Duration = Duration::from_secs(60);
/// The longest head.
const HEAD_BYTES: usize = 64 * 1024;

/// Where it listens.
#[derive(Clone, Debug)]
pub struct AdminListener {
    /// The address.
    pub address: SocketAddr,
    /// How TLS is spoken; in clear where there is none.
    pub tls: Option<AdminTls>,
}

/// How TLS is spoken.
#[derive(Clone)]
pub struct AdminTls {
    /// It must not offer `h2`.
    pub config: Arc<rustls::ServerConfig>,
    /// Whether the configuration lets nobody in without a certificate that it verifies.
    pub verifies_clients: bool,
}

impl Debug for AdminTls {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminTls").field("verifies_clients", &self.verifies_clients).finish_non_exhaustive()
    }
}

/// Why it does not listen.
#[derive(Debug, Error)]
pub enum StartError {
    /// Whoever reaches the address could do everything.
    #[error(
        "anyone who can reach {0} could change the configuration: neither a token nor a client certificate is required"
    )]
    Open(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {}", postern_secrets::io_reason(.source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

impl StartError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Open(_) => {
                "set admin_token, verify client certificates (admin_ssl_client_ca), or set admin_listen to 127.0.0.1"
            }
            Self::Listen { .. } => "admin_listen says where",
        }
    }
}

/// Listeners, until this is dropped.
#[derive(Debug)]
pub struct Listening {
    addresses: Vec<SocketAddr>,
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    places: Arc<Places>,
}

/// Starts to listen where the options say.
///
/// # Errors
/// Nothing listens then.
pub async fn start(admin: Admin) -> Result<Listening, StartError> {
    start_within(admin, Bounds::default()).await
}

/// The same, with other bounds for the number of connections.
///
/// # Errors
/// Nothing listens then.
pub async fn start_within(admin: Admin, bounds: Bounds) -> Result<Listening, StartError> {
    let (end, ended) = watch::channel(false);
    let places = Places::new(bounds);
    let mut sockets = Vec::new();
    let options = &admin.0.guard.options;
    for listener in &options.listeners {
        let address = listener.address;
        let is_known = !options.tokens.is_empty()
            || options.insecure
            || listener.tls.as_ref().is_some_and(|tls| tls.verifies_clients);
        refuse_open(address, is_known)?;
        let failed = |source| StartError::Listen { address, source };
        let socket = bind(address).map_err(failed)?;
        sockets.push((socket.local_addr().map_err(failed)?, socket, listener.tls.clone()));
    }
    let mut listening = Listening { addresses: Vec::new(), end, tasks: Vec::new(), places };
    for (address, socket, tls) in sockets {
        let admin = admin.clone();
        let answer: Answer =
            Arc::new(move |request| Box::pin(dispatch::serve(State(admin.clone()), request)));
        let acceptor = Acceptor { name: "the Admin API", answer, tls, ended: ended.clone() };
        listening.listen(address, socket, acceptor);
    }
    Ok(listening)
}

/// Refuses an address that others than this machine may reach, unless requests must show who they are. `is_known`: they must,
/// or the operator wants it so.
///
/// # Errors
/// [`StartError::Open`].
pub fn refuse_open(address: SocketAddr, is_known: bool) -> Result<(), StartError> {
    match is_known || address.ip().to_canonical().is_loopback() {
        true => Ok(()),
        false => Err(StartError::Open(address)),
    }
}

/// Serves other pages on these sockets, with the same limits on connections and time, over TLS for sockets that come with a
/// configuration for it. There is no authentication: the pages are public to all who can reach the address.
///
/// # Errors
/// A socket without an address. Nothing listens then.
pub fn serve_pages(
    name: &'static str,
    sockets: Vec<(TcpListener, Option<Arc<rustls::ServerConfig>>)>,
    pages: &Router,
    bounds: Bounds,
) -> io::Result<Listening> {
    let (end, ended) = watch::channel(false);
    let mut listening =
        Listening { addresses: Vec::new(), end, tasks: Vec::new(), places: Places::new(bounds) };
    for (socket, tls) in sockets {
        let pages = pages.clone();
        let answer: Answer = Arc::new(move |request| {
            // A router is always ready.
            let answer = pages.clone().call(request);
            Box::pin(async move { answer.await.unwrap_or_else(|never| match never {}) })
        });
        let tls = tls.map(|config| AdminTls { config, verifies_clients: false });
        let acceptor = Acceptor { name, answer, tls, ended: ended.clone() };
        listening.listen(socket.local_addr()?, socket, acceptor);
    }
    Ok(listening)
}

/// A listening socket, beside one of a node that ends while this one starts, as the listeners of traffic do.
///
/// # Errors
/// The address cannot be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

impl Listening {
    /// Where it listens, with the ports that were found for 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn listen(&mut self, address: SocketAddr, socket: TcpListener, acceptor: Acceptor) {
        self.addresses.push(address);
        self.tasks.push(tokio::spawn(accept(socket, acceptor, Arc::clone(&self.places))));
    }

    /// Takes no more requests, and waits for those under way, but not longer than this.
    pub async fn end(self, patience: Duration) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let _ = self.end.send(true);
        let _ = timeout(patience, self.places.emptied()).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let _ = self.end.send(true);
    }
}

/// What answers requests.
type Answer = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

#[derive(Clone)]
struct Acceptor {
    /// What is served, for the log.
    name: &'static str,
    answer: Answer,
    tls: Option<AdminTls>,
    ended: watch::Receiver<bool>,
}

async fn accept(socket: TcpListener, acceptor: Acceptor, places: Arc<Places>) {
    loop {
        match socket.accept().await {
            Ok((stream, address)) => match places.take(address.ip()) {
                Some(place) => {
                    drop(tokio::spawn(acceptor.clone().connection(stream, address, Arc::new(place))))
                }
                None => {
                    let (peer, name) = (address.ip(), acceptor.name);
                    tracing::warn!(%peer, "{name} has no place for a connection: all are busy");
                }
            },
            Err(error) => {
                // Such as too many open files, which only time helps, or a connection less.
                tracing::warn!(%error, "{} could not take a connection", acceptor.name);
                places.make_room();
                let _ = timeout(NO_FILES, places.freed()).await;
            }
        }
    }
}

impl Acceptor {
    async fn connection(self, stream: TcpStream, address: SocketAddr, place: Arc<Place>) {
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let peer = Peer { address: address.ip(), certificate: None };
            return self.serve(stream, peer, place).await;
        };
        let handshake = timeout(TLS_TIME, TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream));
        let stream = tokio::select! {
            stream = handshake => stream,
            () = place.asked() => return,
        };
        let Ok(Ok(stream)) = stream else { return };
        // Without `verifies_clients` a certificate may be one that nobody looked at.
        let certificates = stream.get_ref().1.peer_certificates().filter(|_| tls.verifies_clients);
        let certificate = certificates.and_then(|certificates| subject(certificates.first()?));
        self.serve(stream, Peer { address: address.ip(), certificate }, place).await;
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut self,
        stream: S,
        peer: Peer,
        place: Arc<Place>,
    ) {
        let answer = self.answer;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(READ_TIME));
        let held = Arc::clone(&place);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let (answer, peer, place) = (Arc::clone(&answer), peer.clone(), Arc::clone(&held));
            place.begin();
            async move {
                let is_preflight = request.method() == Method::OPTIONS;
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer);
                let response = answer(request).await;
                let admitted = !is_preflight && is_admitted(response.status());
                Ok::<_, Infallible>(response.map(|body| Body::new(UnderWay { body, place, admitted })))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut connection = std::pin::pin!(connection);
        let asked = tokio::select! {
            _ = connection.as_mut() => return,
            _ = self.ended.wait_for(|ended| *ended) => false,
            () = place.asked() => true,
        };
        connection.as_mut().graceful_shutdown();
        if !asked {
            let _ = connection.await;
            return;
        }
        // A request may just have come.
        while timeout(LAST_TIME, connection.as_mut()).await.is_err() && place.is_busy() {}
    }
}

/// Whether the guard let a request in, by the status of its answer.
fn is_admitted(status: StatusCode) -> bool {
    !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
}

/// The body of an answer. With it the request ends.
struct UnderWay {
    body: Body,
    place: Arc<Place>,
    admitted: bool,
}

impl http_body::Body for UnderWay {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.place.end(self.admitted);
    }
}

fn subject(certificate: &rustls_pki_types::CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    // It is written into logs, in one line.
    Some(parsed.subject().to_string().chars().filter(|c| !c.is_control()).take(200).collect())
}
