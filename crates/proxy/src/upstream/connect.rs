//! New connections to peers.
//!
//! Owns: TCP, TLS and the handshakes of HTTP/1 and HTTP/2. Must not know: requests, the pool.

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
use crate::pool::Connection;
use crate::timed::{Limits, Phase, Timed};
use crate::worker::Worker;

/// A connection for HTTP/1.
pub(super) async fn connect(worker: &Rc<Worker>, reach: &Reach<'_>) -> Result<Connection, String> {
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

/// A connection over bytes that may be those of TLS.
pub(super) async fn handshake<T>(io: T) -> Result<http1::SendRequest<ToUpstream>, String>
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

/// A connection for HTTP/2.
pub(super) async fn connect_http2(
    worker: &Rc<Worker>,
    reach: &Reach<'_>,
) -> Result<http2::SendRequest<ToUpstream>, String> {
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

async fn tcp(reach: &Reach<'_>) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(reach.address).await.map_err(|error| io_reason(&error))?;
    // Heads and bodies are written in one go; waiting for more to send only costs time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn secure(tls: &Tls<'_>, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(tls.name.to_string())
        .map_err(|_| "TLS: the name of the peer is none that a certificate can have".to_owned())?;
    let connector = TlsConnector::from(Arc::clone(tls.config));
    connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))
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
