//! An upstream that keeps what it is sent and answers what it is told to: HTTP/1.1 and HTTP/2, in clear or in TLS.
//!
//! The honest neighbour of [`Stub`](crate::Stub), which lies. What is judged is what arrived here, not what the gateway
//! says that it sent.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
        sign::CertifiedKey,
    },
};

use crate::ca::Issued;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A running upstream. It ends when it is dropped, with its connections.
pub struct Recorder {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its host, by header or by HTTP/2's authority.
    pub host: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What followed the body.
    pub trailers: HeaderMap,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The number of its connection, from 1.
    pub connection: usize,
    /// The client's certificates, as DER.
    pub certificates: Vec<Vec<u8>>,
    /// The server name that its connection was made for.
    pub sni: Option<String>,
}

/// What a handshake told of the client.
#[derive(Clone, Default)]
struct Shown {
    certificates: Vec<Vec<u8>>,
    sni: Option<String>,
}

/// A certificate for each server name; the first for those that nobody knows.
#[derive(Debug)]
struct ByName(Vec<(String, Arc<CertifiedKey>)>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = self.0.iter().find(|(name, _)| hello.server_name() == Some(name));
        known.or(self.0.first()).map(|(_, key)| Arc::clone(key))
    }
}

/// What is answered.
#[derive(Debug, Default)]
pub struct Reply {
    /// The status; 0 breaks the connection instead.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// What follows the body, in HTTP/2.
    pub trailers: Vec<(String, String)>,
    /// How long to wait before the head.
    pub delay: Duration,
    /// Pieces of the body that a test sends when it wants to, in place of `body`.
    pub pieces: Option<mpsc::UnboundedReceiver<Bytes>>,
}

impl Clone for Reply {
    /// Without the pieces: those are for one request.
    fn clone(&self) -> Self {
        Self {
            status: self.status,
            headers: self.headers.clone(),
            body: self.body.clone(),
            trailers: self.trailers.clone(),
            delay: self.delay,
            pieces: None,
        }
    }
}

impl Reply {
    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }
}

struct State {
    seen: Mutex<Vec<Seen>>,
    reply: Mutex<Reply>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Whether bodies are counted only, not kept.
    counts: Mutex<Option<u64>>,
}

impl Recorder {
    /// One that answers 200 and `hello`.
    pub async fn start() -> Self {
        Self::on("127.0.0.1:0", None).await
    }

    /// The same in TLS, with this certificate; clients must show one of this authority's, if there is one.
    pub async fn tls(shown: &Issued, clients: Option<&str>) -> Self {
        Self::on("127.0.0.1:0", Some(server(shown, clients))).await
    }

    /// The same with a certificate for each server name; other names are shown the first.
    ///
    /// # Panics
    /// When a certificate cannot be used.
    pub async fn by_name(names: &[(&str, &Issued)]) -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = |issued: &Issued| {
            let (chain, key) = pair(issued);
            CertifiedKey::from_der(chain, key, &provider).expect("a usable certificate")
        };
        let by_name = names.iter().map(|(name, issued)| ((*name).to_owned(), Arc::new(certified(issued))));
        let resolver = Arc::new(ByName(by_name.collect()));
        let config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
        Self::on("127.0.0.1:0", Some(both_versions(config))).await
    }

    /// On an address of choice.
    ///
    /// # Panics
    /// When it is taken.
    pub async fn on(address: &str, config: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().expect("a bound port");
        let state = Arc::new(State {
            seen: Mutex::default(),
            reply: Mutex::new(Reply::new(200, "hello")),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            counts: Mutex::default(),
        });
        let acceptor = config.map(|config| TlsAcceptor::from(Arc::new(config)));
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port, of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What is answered from now on.
    pub fn answers(&self, reply: Reply) {
        *lock(&self.state.reply) = reply;
    }

    /// What has arrived since this was last asked.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.state.seen))
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many requests began to arrive.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// From now on bodies are counted instead of kept; how many bytes came since.
    pub fn count_bodies(&self) -> u64 {
        lock(&self.state.counts).replace(0).unwrap_or(0)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn server(shown: &Issued, clients: Option<&str>) -> ServerConfig {
    let (chain, key) = pair(shown);
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let authority =
                CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate as PEM");
            roots.add(authority).expect("an authority");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    both_versions(builder.with_single_cert(chain, key).expect("a usable certificate"))
}

fn both_versions(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn pair(shown: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(shown.chain.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates as PEM");
    (chain, PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).expect("a key as PEM"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let state = Arc::clone(&state);
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let Some(acceptor) = acceptor else {
                return serve(stream, state, number, Shown::default()).await;
            };
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let session = stream.get_ref().1;
            let certificates = session.peer_certificates().unwrap_or_default();
            let certificates = certificates.iter().map(|certificate| certificate.to_vec()).collect();
            let shown = Shown { certificates, sni: session.server_name().map(str::to_owned) };
            serve(stream, state, number, shown).await;
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: Arc<State>,
    number: usize,
    shown: Shown,
) {
    let service = service_fn(move |request| record(request, Arc::clone(&state), number, shown.clone()));
    let server = auto::Builder::new(TokioExecutor::new());
    server.serve_connection_with_upgrades(TokioIo::new(stream), service).await.ok();
}

async fn record(
    mut request: Request<Incoming>,
    state: Arc<State>,
    connection: usize,
    shown: Shown,
) -> Result<Response<Body>, std::io::Error> {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let upgrade =
        request.headers().contains_key(http::header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (parts, mut body) = request.into_parts();
    let counting = lock(&state.counts).is_some();
    let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(std::io::Error::other)?;
        match frame.into_data() {
            Ok(data) if counting => {
                if let Some(count) = lock(&state.counts).as_mut() {
                    *count += data.len() as u64;
                }
            }
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let host = parts.uri.authority().map(ToString::to_string);
    let host = host.or_else(|| header("host").map(str::to_owned)).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    lock(&state.seen).push(Seen {
        method: parts.method.to_string(),
        target,
        host,
        headers: parts.headers,
        body: bytes.into(),
        trailers,
        version: format!("{:?}", parts.version),
        connection,
        certificates: shown.certificates,
        sni: shown.sni,
    });
    let reply = {
        let mut reply = lock(&state.reply);
        let pieces = reply.pieces.take();
        Reply { pieces, ..reply.clone() }
    };
    sleep(reply.delay).await;
    if reply.status == 0 {
        return Err(std::io::Error::other("told to break the connection"));
    }
    if let (101, Some(upgrade)) = (reply.status, upgrade) {
        tokio::spawn(echo(upgrade));
    }
    Ok(response(reply))
}

/// After an upgrade, what comes goes back.
async fn echo(upgrade: hyper::upgrade::OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
    tokio::io::copy(&mut from, &mut to).await.ok();
}

fn response(reply: Reply) -> Response<Body> {
    let trailers: HeaderMap = pairs(&reply.trailers).collect();
    let body = match (reply.pieces, trailers.is_empty()) {
        (Some(pieces), _) => {
            let frames = stream::unfold(pieces, |mut pieces| async {
                let piece = pieces.recv().await?;
                Some((Ok(Frame::data(piece)), pieces))
            });
            StreamBody::new(frames).boxed_unsync()
        }
        (None, true) => Full::new(reply.body).map_err(|never| match never {}).boxed_unsync(),
        (None, false) => {
            let data = stream::iter([Ok(Frame::data(reply.body))]);
            StreamBody::new(data.chain(stream::iter([Ok(Frame::trailers(trailers))]))).boxed_unsync()
        }
    };
    let mut response = Response::builder().status(reply.status).body(body).expect("a status");
    for (name, value) in pairs(&reply.headers) {
        response.headers_mut().append(name, value);
    }
    response
}

fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    pairs.iter().map(|(name, value)| {
        let name = HeaderName::try_from(name.as_str()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let value = HeaderValue::try_from(value.as_str()).unwrap_or_else(|error| panic!("{value}: {error}"));
        (name, value)
    })
}
