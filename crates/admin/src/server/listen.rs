//! Connections to the Admin API.
//!
//! Owns: that it does not listen where anybody could reach it unasked, and limits of number and time. Must not know:
//! what is asked. It speaks HTTP/1.1 only, also in TLS.

use std::convert::Infallible;
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::route::Peer;
use super::{Admin, dispatch};

/// Connections at once, to all listeners.
const CONNECTIONS: usize = 1024;
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
        "the Admin API would be open to whoever reaches {0}: there is neither a token nor a client certificate"
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
            Self::Open(_) => "give it a token, verify client certificates, or listen on 127.0.0.1",
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
    places: Arc<Semaphore>,
}

/// Starts to listen where the options say.
///
/// # Errors
/// Nothing listens then.
pub async fn start(admin: Admin) -> Result<Listening, StartError> {
    let (end, ended) = watch::channel(false);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut sockets = Vec::new();
    let options = &admin.0.guard.options;
    for listener in &options.listeners {
        let address = listener.address;
        let is_known = !options.tokens.is_empty()
            || options.insecure
            || listener.tls.as_ref().is_some_and(|tls| tls.verifies_clients);
        if !is_known && !address.ip().to_canonical().is_loopback() {
            return Err(StartError::Open(address));
        }
        let failed = |source| StartError::Listen { address, source };
        let socket = bind(address).map_err(failed)?;
        sockets.push((socket.local_addr().map_err(failed)?, socket, listener.tls.clone()));
    }
    let mut listening = Listening { addresses: Vec::new(), end, tasks: Vec::new(), places };
    for (address, socket, tls) in sockets {
        listening.addresses.push(address);
        let acceptor = Acceptor { admin: admin.clone(), tls, ended: ended.clone() };
        listening.tasks.push(tokio::spawn(accept(socket, acceptor, Arc::clone(&listening.places))));
    }
    Ok(listening)
}

/// Beside a node that ends while this one starts, as the listeners of traffic do.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
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

    /// Takes no more requests, and waits for those under way, but not longer than this.
    pub async fn end(self, patience: Duration) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let _ = self.end.send(true);
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let _ = timeout(patience, self.places.acquire_many(all)).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let _ = self.end.send(true);
    }
}

#[derive(Clone)]
struct Acceptor {
    admin: Admin,
    tls: Option<AdminTls>,
    ended: watch::Receiver<bool>,
}

async fn accept(socket: TcpListener, acceptor: Acceptor, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, address)) => {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    acceptor.connection(stream, address).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Such as too many open files, which only time helps.
                tracing::warn!(%error, "the Admin API could not take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Acceptor {
    async fn connection(self, stream: TcpStream, address: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let peer = Peer { address: address.ip(), certificate: None };
            return self.serve(stream, peer).await;
        };
        let handshake = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
        let Ok(Ok(stream)) = timeout(TLS_TIME, handshake).await else { return };
        // Without `verifies_clients` a certificate may be one that nobody looked at.
        let certificates = stream.get_ref().1.peer_certificates().filter(|_| tls.verifies_clients);
        let certificate = certificates.and_then(|certificates| subject(certificates.first()?));
        self.serve(stream, Peer { address: address.ip(), certificate }).await;
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, stream: S, peer: Peer) {
        let admin = self.admin;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(READ_TIME));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (admin, peer) = (admin.clone(), peer.clone());
            async move {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer);
                Ok::<_, Infallible>(dispatch::serve(State(admin), request).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = self.ended.wait_for(|ended| *ended) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

fn subject(certificate: &rustls_pki_types::CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    // It is written into logs, in one line.
    Some(parsed.subject().to_string().chars().filter(|c| !c.is_control()).take(200).collect())
}
