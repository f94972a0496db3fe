//! One connection of a client, to its end.
//!
//! Owns: TLS in front, which version of HTTP is spoken, and when a connection ends. Must not know: requests; each goes to
//! [`crate::phases`].

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::accept::Place;
use super::{Connected, Texts};
use crate::framing;
use crate::options::{Limits, Listener};
use crate::phases;
use crate::timed::{self, Phase, Timed, Timing};
use crate::tls;
use crate::upstream::Local;
use crate::worker::Worker;

/// The preface of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How connections are spoken to.
pub(super) struct Speaker {
    http1: http1::Builder,
    http2: http2::Builder<Local>,
    plain: TlsAcceptor,
    both: TlsAcceptor,
    limits: timed::Limits,
    handshake: Duration,
}

impl Speaker {
    pub(super) fn new(limits: &Limits, certificates: &Arc<rustls::ServerConfig>) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .max_buf_size(limits.head_size.max(8192))
            .max_header_size(limits.head_size)
            .max_headers(framing::FIELDS);
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
pub(super) async fn connection(
    worker: &Rc<Worker>,
    speaker: &Speaker,
    listener: Listener,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) {
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().unwrap_or(listener.address);
    let timing = worker.watch.timing(Phase::Opened, speaker.limits);
    let connected = |tls, sni| {
        let timing = Arc::clone(&timing);
        let texts =
            Texts { peer: framing::value(&peer.ip().to_string()), port: HeaderValue::from(local.port()) };
        Rc::new(Connected { peer, local, tls, sni, timing, texts, requests: Cell::new(0), _place: place })
    };
    if !listener.tls {
        let is_http2 = listener.http2
            && in_time(&timing, speaker.handshake, begins_http2(&stream)).await.unwrap_or(false);
        let connected = connected(None, None);
        return speak(worker, speaker, connected, stream, is_http2).await;
    }
    let acceptor = if listener.http2 { &speaker.both } else { &speaker.plain };
    let stream = match in_time(&timing, speaker.handshake, acceptor.accept(stream)).await {
        Some(Ok(stream)) => stream,
        failed => {
            worker.observe.counts().handshakes_failed.fetch_add(1, Ordering::Relaxed);
            let reason = failed.map_or_else(
                || "it took too long, or had to make room".to_owned(),
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

/// What comes of something before the first request; nothing if it takes too long or has to make room for others.
async fn in_time<F: Future>(timing: &Timing, longest: Duration, before: F) -> Option<F::Output> {
    tokio::select! {
        outcome = timeout(longest, before) => outcome.ok(),
        () = poll_fn(|cx| timing.poll_expired(cx)) => None,
    }
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
    timing.enter(Phase::Opened);
    if is_http2 {
        timing.speaks_http2();
    }
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

#[cfg(test)]
mod tests;
