//! HTTP on a loopback port: bind, accept, read a bounded request, answer, stop.
//!
//! Owns the listener and its connections; dropping [`Server`] ends them all. It must not know what the requests
//! mean: each goes as a [`Request`] to the [`Service`] that was given, and the [`Response`] goes back as it is.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The largest request body that is read, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// Which port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// This one, or a free one if it is taken.
    Preferred(u16),
    /// This one; starting fails if it is taken.
    Exact(u16),
    /// Any free one.
    Free,
}

/// Why a server of the dev stack did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is reachable from other machines. These servers hold secrets without protection.
    #[error("the dev stack listens on loopback addresses only, and {0} is not one; use 127.0.0.1")]
    NotLoopback(IpAddr),
    /// The port is taken, or the address does not exist on this machine.
    #[error("cannot listen on {address}; choose another port, or let the dev stack find a free one")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// An RSA key could not be generated.
    #[error("the identity provider's signing key could not be generated")]
    SigningKey,
}

/// A bound port that does not answer yet.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    /// The preferred port was taken, and another one was chosen.
    pub(crate) port_was_taken: bool,
}

/// Binds a loopback address.
pub(crate) async fn bind(ip: IpAddr, port: PortChoice) -> Result<Bound, StartError> {
    if !ip.is_loopback() {
        return Err(StartError::NotLoopback(ip));
    }
    let wish = match port {
        PortChoice::Preferred(port) | PortChoice::Exact(port) => port,
        PortChoice::Free => 0,
    };
    let (listener, port_was_taken) = match TcpListener::bind((ip, wish)).await {
        Ok(listener) => (listener, false),
        Err(error) if matches!(port, PortChoice::Preferred(_)) => {
            tracing::warn!(port = wish, %error, "port is taken, looking for a free one");
            (TcpListener::bind((ip, 0)).await.map_err(|cause| bind_error(ip, 0, cause))?, true)
        }
        Err(cause) => return Err(bind_error(ip, wish, cause)),
    };
    let address = listener.local_addr().map_err(|cause| bind_error(ip, wish, cause))?;
    Ok(Bound { listener, address, port_was_taken })
}

fn bind_error(ip: IpAddr, port: u16, cause: io::Error) -> StartError {
    StartError::Bind { address: SocketAddr::new(ip, port), cause }
}

/// The address everything listens on unless told otherwise.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A request, whole.
pub(crate) struct Request {
    pub(crate) method: http::Method,
    /// The path as sent, not decoded.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: http::HeaderMap,
    /// `None`: the body was larger than the limit, or broke off.
    pub(crate) body: Option<Bytes>,
}

impl Request {
    /// The header's value, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first query parameter of this name.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Payload,
}

/// What a response carries.
#[derive(Debug)]
pub(crate) enum Payload {
    Bytes(Bytes),
    /// This many bytes of `x`, produced while they are read.
    Endless(u64),
}

impl Response {
    /// A JSON document.
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::text(status, "application/json", format!("{value}\n"))
    }

    /// Any text.
    pub(crate) fn text(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: Payload::Bytes(body.into()) }
    }

    /// A status alone.
    pub(crate) fn empty(status: u16) -> Self {
        Self::text(status, "application/json", Bytes::new())
    }
}

/// Answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// `None` never answers: the connection stays open and silent.
    fn answer(self: Arc<Self>, request: Request) -> impl Future<Output = Option<Response>> + Send;
}

/// A listener with its connections. Dropping it ends them all, also those with a request under way.
#[derive(Debug)]
pub(crate) struct Server {
    accepting: JoinHandle<()>,
}

impl Server {
    /// Starts to answer.
    pub(crate) fn start(bound: Bound, service: Arc<impl Service>) -> Self {
        Self { accepting: tokio::spawn(accept(bound.listener, service)) }
    }

    /// Stops, and returns when the port is free again.
    pub(crate) async fn stop(mut self) {
        self.accepting.abort();
        // The only outcome is the cancellation just asked for.
        let _cancelled = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, service: Arc<impl Service>) {
    // Aborts its tasks when it is dropped, and it is dropped when this task is aborted.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, service.clone()))),
                Err(error) => tracing::debug!(%error, "a connection could not be accepted"),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(stream: TcpStream, service: Arc<impl Service>) {
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move {
            let request = read(request).await;
            match service.answer(request).await {
                Some(response) => Ok::<_, Infallible>(write(response)),
                None => std::future::pending().await,
            }
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn read(request: hyper::Request<Incoming>) -> Request {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT).collect().await.ok().map(|whole| whole.to_bytes());
    let query = head.uri.query().unwrap_or_default();
    Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: head.headers,
        body,
    }
}

fn write(response: Response) -> hyper::Response<PayloadBody> {
    let mut out = hyper::Response::new(PayloadBody(response.body));
    *out.status_mut() = http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::OK);
    let headers = out.headers_mut();
    headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(response.content_type));
    for (name, value) in response.headers {
        if let Ok(value) = http::HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    out
}

#[derive(Debug)]
struct PayloadBody(Payload);

impl Body for PayloadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static FILL: [u8; 64 * 1024] = [b'x'; 64 * 1024];
        let next = match &mut self.0 {
            Payload::Bytes(bytes) => std::mem::take(bytes),
            Payload::Endless(left) => {
                let chunk = usize::try_from(*left).unwrap_or(usize::MAX).min(FILL.len());
                *left -= chunk as u64;
                Bytes::from_static(&FILL[..chunk])
            }
        };
        Poll::Ready((!next.is_empty()).then_some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Payload::Bytes(bytes) if bytes.is_empty()) || matches!(self.0, Payload::Endless(0))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Payload::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Endless(left) => SizeHint::with_exact(*left),
        }
    }
}
