//! What stands between the engine and a server: it hands requests on, counts them, and does to them what a server
//! cannot be told to do.
//!
//! Owns: the faults of the way. Must not know: which requests there are, or what they mean; [`http`] knows where one
//! ends. It ends when it is dropped.

mod http;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_conformance::ca::Issued;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is handed on.
    Through,
    /// It is handed on after a while.
    Slow(Duration),
    /// It is answered with this status, and a `Retry-After` of so many seconds.
    Status(u16, Option<u64>),
    /// The connection is reset.
    Reset,
    /// An answer comes, one byte a second.
    Drip,
    /// An answer comes that makes no sense; another kind of it each time.
    Garbage,
    /// No connection is accepted: nobody listens.
    Closed,
}

/// How the engine's side of a connection is spoken.
#[derive(Clone)]
pub(crate) enum Face {
    /// Plain HTTP.
    Plain,
    /// TLS that ends here.
    Tls(TlsAcceptor),
    /// TLS that ends at the server, which asks for a client certificate; only a fault ends it here.
    Sealed(TlsAcceptor),
}

/// A running proxy.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    target: u16,
    face: Mutex<Face>,
    way: watch::Sender<Way>,
    requests: AtomicU64,
    connections: AtomicU64,
    arrivals: Mutex<Vec<Instant>>,
    credentials: Mutex<BTreeSet<String>>,
}

/// Answers that no vault gives.
const NONSENSE: [&[u8]; 5] = [
    b"\x00\x01\x02 this is not HTTP at all \xff\xfe\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 17\r\n\r\n<html>hi!</html>\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"data\":null}",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{\"data\": {\"data\": {\"k0\": \"half",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 54\r\n\r\n{\"data\":{\"data\":{\"k0\":[]},\"metadata\":{\"version\":\"1\"}}}",
];

impl Proxy {
    /// Starts one in front of a port of 127.0.0.1.
    pub(crate) async fn to(target: u16, face: Face) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound port");
        let shared = Arc::new(Shared {
            target,
            face: Mutex::new(face),
            way: watch::Sender::new(Way::Through),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            arrivals: Mutex::default(),
            credentials: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task: Mutex::new(Some(task)) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What happens to requests from now on; connections that are open stay so, as far as the way allows.
    pub(crate) async fn set(&self, way: Way) {
        self.shared.way.send_replace(way.clone());
        let running = lock(&self.task).take();
        if way == Way::Closed {
            if let Some(task) = running {
                task.abort();
                // The port is free when the task is gone.
                let _ = task.await;
            }
            return;
        }
        let task = match running {
            Some(task) => task,
            None => {
                let listener = TcpListener::bind(self.address).await.expect("the port is still ours");
                tokio::spawn(accept(listener, Arc::clone(&self.shared)))
            }
        };
        *lock(&self.task) = Some(task);
    }

    /// Shows another certificate from now on, on new connections only: the old ones are closed.
    pub(crate) async fn show(&self, face: Face) {
        *lock(&self.shared.face) = face;
        self.set(Way::Closed).await;
        self.set(Way::Through).await;
    }

    /// How many requests came, whatever became of them. What cannot be read here counts as one a connection.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// When each request came that could be read here.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        lock(&self.shared.arrivals).clone()
    }

    /// Every token, JWT and secret id that came by.
    pub(crate) fn credentials(&self) -> BTreeSet<String> {
        lock(&self.shared.credentials).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// A TLS server that shows this chain.
pub(crate) fn acceptor(shown: &Issued) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(shown.chain.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates as PEM");
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).expect("a key as PEM");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.expect("a usable certificate")))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the listener: they are tasks of this set.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&shared);
                connections.spawn(async move { serve(stream, &shared).await });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) {
    let face = lock(&shared.face).clone();
    match face {
        Face::Plain => exchange(stream, shared).await,
        Face::Tls(acceptor) => exchange_over_tls(acceptor, stream, shared).await,
        Face::Sealed(acceptor) => {
            let mut changes = shared.way.subscribe();
            let way = changes.borrow_and_update().clone();
            if way != Way::Through {
                // What is spoken here in place of the server ends with the fault.
                tokio::select! {
                    () = exchange_over_tls(acceptor, stream, shared) => {}
                    _ = changes.changed() => {}
                }
                return;
            }
            let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.target)).await else {
                shared.requests.fetch_add(1, Ordering::Relaxed);
                return reset(&stream);
            };
            tokio::select! {
                _ = copy_bidirectional(&mut stream, &mut server) => {}
                _ = changes.changed() => reset(&stream),
            }
        }
    }
}

async fn exchange_over_tls(acceptor: TlsAcceptor, stream: TcpStream, shared: &Shared) {
    match acceptor.accept(stream).await {
        Ok(stream) => exchange(stream, shared).await,
        // A client that does not trust the certificate leaves here.
        Err(_) => {
            shared.requests.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Something that can be reset.
trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

fn reset(stream: &TcpStream) {
    // A connection that lingers for no time is reset when it is dropped.
    let _ = stream.set_zero_linger();
}

/// One connection of the engine: requests one after the other.
async fn exchange(mut client: impl Stream, shared: &Shared) {
    let mut server: Option<TcpStream> = None;
    let mut pending = Vec::new();
    loop {
        let Some(request) = http::request(&mut client, &mut pending).await else { return };
        let number = shared.requests.fetch_add(1, Ordering::Relaxed);
        lock(&shared.arrivals).push(Instant::now());
        lock(&shared.credentials).extend(http::credentials(&request));
        let way = shared.way.borrow().clone();
        let written = match way {
            Way::Slow(pause) => {
                sleep(pause).await;
                match hand_on(&request, &mut server, shared.target).await {
                    Some(answer) => client.write_all(&answer).await,
                    None => return reset(client.tcp()),
                }
            }
            Way::Through => match hand_on(&request, &mut server, shared.target).await {
                Some(answer) => client.write_all(&answer).await,
                None => return reset(client.tcp()),
            },
            Way::Status(status, retry_after) => client.write_all(&http::answer(status, retry_after)).await,
            Way::Reset | Way::Closed => return reset(client.tcp()),
            Way::Garbage => {
                let nonsense = NONSENSE[usize::try_from(number).unwrap_or(0) % NONSENSE.len()];
                let _ = client.write_all(nonsense).await;
                let _ = client.shutdown().await;
                return;
            }
            Way::Drip => return drip(client).await,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn hand_on(request: &[u8], server: &mut Option<TcpStream>, target: u16) -> Option<Vec<u8>> {
    let kept = server.take();
    let was_kept = kept.is_some();
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.ok()?,
    };
    let answer = match stream.write_all(request).await {
        Ok(()) => http::response(&mut stream).await,
        Err(_) => None,
    };
    match answer {
        Some(answer) => {
            *server = Some(stream);
            Some(answer)
        }
        // The server closed it meanwhile, as it may.
        None if was_kept => {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.ok()?;
            stream.write_all(request).await.ok()?;
            let answer = http::response(&mut stream).await?;
            *server = Some(stream);
            Some(answer)
        }
        None => None,
    }
}

async fn drip(mut client: impl Stream) {
    for byte in http::answer(200, None) {
        if client.write_all(&[byte]).await.is_err() || client.flush().await.is_err() {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
