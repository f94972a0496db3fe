//! Target and service → a sent request and the head of its response.
//!
//! Owns: connections to peers (new or kept), TLS to them, what is tried again and when, and the limits on time. Must not
//! know: routes, plugins, how a peer is chosen.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use postern_secrets::io_reason;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::body::ToUpstream;
use crate::pool::{Connection, Key};
use crate::timed::{Limits, Phase, Timed};
use crate::worker::Worker;

/// How to reach a peer.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// Where.
    pub(crate) address: SocketAddr,
    /// TLS, if it is spoken.
    pub(crate) tls: Option<Tls>,
    /// Whether HTTP/2 is spoken.
    pub(crate) http2: bool,
    /// How long a connection may take to be made, with TLS.
    pub(crate) connect: Duration,
    /// The limits for reading and writing.
    pub(crate) limits: Limits,
}

/// TLS to a peer.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ClientConfig>,
    /// Differs for all that may not share connections.
    pub(crate) number: u64,
    pub(crate) name: ServerName<'static>,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection; the request was not sent and is given back.
    Connect(Box<Request<ToUpstream>>, String),
    /// A connection, or a response, took too long. The request is given back where nothing of it was sent.
    Timeout(Option<Box<Request<ToUpstream>>>),
    /// The connection broke.
    Broken(String),
    /// What came was no HTTP.
    Malformed(String),
}

impl Failure {
    /// What the client is told.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect(..) | Self::Broken(_) | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

/// Whether a request with this method may be sent twice, when nobody knows whether it arrived.
pub(crate) fn is_idempotent(method: &http::Method) -> bool {
    // nginx's list: what is not here is tried again.
    !matches!(method.as_str(), "POST" | "LOCK" | "PATCH")
}

/// The head of a response, and the connection it came on, which is kept when the body has ended.
pub(crate) struct Answered {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Option<(Key, Connection)>,
}

/// Sends a request to a peer and waits for the head of the response.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    reach: &Reach,
    request: Request<ToUpstream>,
) -> Result<Answered, Failure> {
    let key = Key { address: reach.address, tls: tls_number(reach) };
    if reach.http2 {
        return Box::pin(send_http2(worker, reach, key, request)).await;
    }
    let mut request = request;
    // A kept connection may have been closed by the peer just now: then another one, at last a new one.
    while let Some(connection) = worker.pool.take(key) {
        match send_on(connection, key, reach, request).await {
            Ok(answered) => return Ok(answered),
            Err((_, Some(unsent))) => request = *unsent,
            Err((failure, None)) => return Err(failure),
        }
    }
    let connection = match timeout(reach.connect, Box::pin(connect(worker, reach))).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(reason)) => return Err(Failure::Connect(Box::new(request), reason)),
        Err(_) => return Err(Failure::Timeout(Some(Box::new(request)))),
    };
    send_on(connection, key, reach, request).await.map_err(|(failure, unsent)| match unsent {
        Some(unsent) => Failure::Connect(unsent, "the connection was closed at once".to_owned()),
        None => failure,
    })
}

fn tls_number(reach: &Reach) -> u64 {
    // HTTP/2 and HTTP/1 never share a connection.
    reach.tls.as_ref().map_or(0, |tls| tls.number) << 1 | u64::from(reach.http2)
}

async fn send_on(
    mut connection: Connection,
    key: Key,
    reach: &Reach,
    mut request: Request<ToUpstream>,
) -> Result<Answered, (Failure, Option<Box<Request<ToUpstream>>>)> {
    // Its last response may just have ended.
    if connection.send.ready().await.is_err() {
        return Err((Failure::Broken("closed".to_owned()), Some(Box::new(request))));
    }
    let timing = Arc::clone(&connection.timing);
    timing.limit(reach.limits);
    request.body_mut().on(Arc::clone(&timing));
    timing.ask();
    let sent = connection.send.try_send_request(request).await;
    timing.answered();
    match sent {
        Ok(response) => Ok(Answered { response, lease: Some((key, connection)) }),
        Err(mut error) => {
            let unsent = error.take_message().map(Box::new);
            let failure = match timing.has_expired() {
                true => Failure::Timeout(None),
                false if error.error().is_parse() => Failure::Malformed(reason(error.error())),
                false => Failure::Broken(reason(error.error())),
            };
            Err((failure, unsent))
        }
    }
}

async fn send_http2(
    worker: &Rc<Worker>,
    reach: &Reach,
    key: Key,
    mut request: Request<ToUpstream>,
) -> Result<Answered, Failure> {
    *request.version_mut() = Version::HTTP_2;
    let mut send = match worker.pool.shared(key) {
        Some(send) => send,
        None => match timeout(reach.connect, connect_http2(worker, reach)).await {
            Ok(Ok(send)) => {
                worker.pool.share(key, send.clone());
                send
            }
            Ok(Err(reason)) => return Err(Failure::Connect(Box::new(request), reason)),
            Err(_) => return Err(Failure::Timeout(Some(Box::new(request)))),
        },
    };
    if send.ready().await.is_err() {
        return Err(Failure::Connect(Box::new(request), "the connection is closed".to_owned()));
    }
    let answer = send.try_send_request(request);
    match reach.limits.between_reads() {
        None => answer.await,
        Some(limit) => match timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => return Err(Failure::Timeout(None)),
        },
    }
    .map(|response| Answered { response, lease: None })
    .map_err(|mut error| match error.take_message() {
        Some(unsent) => Failure::Connect(Box::new(unsent), reason(error.error())),
        None => Failure::Broken(reason(error.error())),
    })
}

fn reason(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn connect(worker: &Rc<Worker>, reach: &Reach) -> Result<Connection, String> {
    let timing = worker.watch.timing(Phase::Quiet, reach.limits);
    let stream = tcp(reach).await?;
    let send = match &reach.tls {
        None => handshake(TokioIo::new(Timed::new(stream, Arc::clone(&timing)))).await?,
        Some(tls) => {
            let stream = secure(tls, stream).await?;
            handshake(TokioIo::new(Timed::new(stream, Arc::clone(&timing)))).await?
        }
    };
    Ok(Connection { send, timing })
}

async fn handshake<T>(io: T) -> Result<http1::SendRequest<ToUpstream>, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (send, connection) = http1::Builder::new()
        .preserve_header_case(false)
        // A head goes out in one piece, and most requests are nothing else.
        .writev(false)
        .handshake(io)
        .await
        .map_err(|error| reason(&error))?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = reason(&error), "a connection to an upstream ended");
        }
    });
    Ok(send)
}

async fn connect_http2(worker: &Rc<Worker>, reach: &Reach) -> Result<http2::SendRequest<ToUpstream>, String> {
    // Streams have limits of their own; the connection may be silent.
    let write = Limits::of_upstream(Duration::ZERO, Duration::from_secs(60));
    let timing = worker.watch.timing(Phase::Quiet, write);
    let stream = tcp(reach).await?;
    match &reach.tls {
        None => handshake_http2(TokioIo::new(Timed::new(stream, timing))).await,
        Some(tls) => handshake_http2(TokioIo::new(Timed::new(secure(tls, stream).await?, timing))).await,
    }
}

async fn handshake_http2<T>(io: T) -> Result<http2::SendRequest<ToUpstream>, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (send, connection) = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(60))
        .handshake(io)
        .await
        .map_err(|error| reason(&error))?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = reason(&error), "a connection to an upstream ended");
        }
    });
    Ok(send)
}

async fn tcp(reach: &Reach) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(reach.address).await.map_err(|error| io_reason(&error))?;
    // Heads and bodies are written in one go; waiting for more to send only costs time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn secure(tls: &Tls, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    connector.connect(tls.name.clone(), stream).await.map_err(|error| format!("TLS: {error}"))
}

/// Tasks stay on their worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
