//! New connections to peers.
//!
//! Owns: TCP, TLS and the handshakes of HTTP/1 and HTTP/2. Must not know: requests, the pool.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use postern_secrets::io_reason;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::send::{Reach, Tls};
use crate::body::ToUpstream;
use crate::framing;
use crate::pool::Connection;
use crate::timed::{Limits, Phase, Timed};
use crate::worker::Worker;

/// A connection for HTTP/1.
pub(super) async fn connect(worker: &Rc<Worker>, reach: &Reach<'_>) -> Result<Connection, NoConnection> {
    let timing = worker.watch.timing(Phase::Quiet, reach.limits);
    let stream = tcp(reach).await?;
    let send = match &reach.tls {
        None => handshake(TokioIo::new(Timed::new(stream, Arc::clone(&timing)))).await?,
        Some(tls) => {
            let stream = secure(tls, reach.address, stream).await?;
            handshake(TokioIo::new(Timed::new(stream, Arc::clone(&timing)))).await?
        }
    };
    Ok(Connection { send, timing })
}

/// A connection over bytes that may be those of TLS.
pub(super) async fn handshake<T>(io: T) -> Result<http1::SendRequest<ToUpstream>, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (send, connection) = http1::Builder::new()
        .preserve_header_case(false)
        .max_headers(framing::FIELDS)
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

/// A connection for HTTP/2.
pub(super) async fn connect_http2(
    worker: &Rc<Worker>,
    reach: &Reach<'_>,
) -> Result<http2::SendRequest<ToUpstream>, NoConnection> {
    // Streams have limits of their own; the connection may be silent.
    let write = Limits::of_upstream(Duration::ZERO, Duration::from_secs(60));
    let timing = worker.watch.timing(Phase::Quiet, write);
    let stream = tcp(reach).await?;
    Ok(match &reach.tls {
        None => handshake_http2(TokioIo::new(Timed::new(stream, timing))).await?,
        Some(tls) => {
            let stream = secure(tls, reach.address, stream).await?;
            handshake_http2(TokioIo::new(Timed::new(stream, timing))).await?
        }
    })
}

async fn handshake_http2<T>(io: T) -> Result<http2::SendRequest<ToUpstream>, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (send, connection) = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_header_list_size(64 * 1024)
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

async fn tcp(reach: &Reach<'_>) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(reach.address).await.map_err(|error| io_reason(&error))?;
    // Heads and bodies are written in one go; waiting for more to send only costs time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn secure(
    tls: &Tls<'_>,
    address: SocketAddr,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, NoConnection> {
    // What cannot be in a certificate is not sent; who is there is then verified by the address.
    let name = ServerName::try_from(tls.name.to_string())
        .unwrap_or_else(|_| ServerName::IpAddress(address.ip().to_canonical().into()));
    let connector = TlsConnector::from(Arc::clone(tls.config));
    connector
        .connect(name, stream)
        .await
        .map_err(|error| NoConnection { reason: tls_reason(&error), handshake: true })
}

/// Why there is no TLS, with what the upstream would have to offer.
fn tls_reason(error: &std::io::Error) -> String {
    use rustls::{AlertDescription as Alert, Error, InvalidMessage, PeerIncompatible as Peer};
    let explained = match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(
            Error::PeerIncompatible(
                Peer::ServerDoesNotSupportTls12Or13 | Peer::ServerTlsVersionIsDisabledByOurConfig,
            )
            | Error::AlertReceived(Alert::ProtocolVersion)
            | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion),
        ) => "the upstream offers only TLS 1.1 or older; TLS 1.2 or 1.3 is needed",
        Some(Error::AlertReceived(Alert::HandshakeFailure | Alert::InsufficientSecurity)) => {
            "the upstream offers no cipher suite that can be used: TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM or \
             ChaCha20-Poly1305, is needed (no RSA key exchange, no CBC); or it wants a client certificate"
        }
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the upstream does not speak TLS on this port"
        }
        _ => return format!("TLS: {error}"),
    };
    format!("TLS: {explained} ({error})")
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct NoConnection {
    pub(super) reason: String,
    /// Whether a TLS handshake failed: the peer was there.
    pub(super) handshake: bool,
}

impl From<String> for NoConnection {
    fn from(reason: String) -> Self {
        Self { reason, handshake: false }
    }
}

/// Why hyper failed, with all causes.
pub(super) fn reason(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Tasks stay on their worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
