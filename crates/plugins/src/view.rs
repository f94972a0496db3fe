//! What a plugin may read and change of a request and its response.
//!
//! Owns: the shapes. Must not know: connections. `proxy` fills them in; a test makes its own with
//! [`Request::for_test`]. `args` reads and writes query strings and forms, `body` bodies with named parts.

pub mod args;
pub mod body;
pub mod cookies;
mod double;
mod entity;
pub mod json;
pub mod multipart;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Extensions, HeaderMap, Method, StatusCode, Uri, Version};
use postern_model::entity::Protocol;
use uuid::Uuid;

use crate::directory::{Consumer, Directory};
pub use entity::Entity;

/// A request on its way to the upstream. What stands here when the last plugin has run is what is sent.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path that the upstream gets, with percent escapes. Until a route has matched: the client's, normalised.
    pub path: String,
    /// The query without its `?`; `None` where there is no `?`.
    pub query: Option<String>,
    /// The headers, without those that are between two neighbours only.
    pub headers: HeaderMap,
    /// The body, where somebody wanted it ([`crate::plugin::Plugin::wants_body`]) or put one in its place; otherwise it
    /// streams past.
    pub body: Option<Bytes>,
    /// Who sent it, and how.
    pub client: Client,
    /// The route that matched; `None` in the phase `rewrite`.
    pub route: Option<Arc<RouteInfo>>,
    /// The service of that route.
    pub service: Option<Arc<ServiceInfo>>,
    /// The named and numbered groups of the route's regular expression.
    pub captures: Vec<(String, String)>,
    /// Who it is from, once an authentication plugin knows.
    pub consumer: Option<Arc<Consumer>>,
    /// By what that is known; the identifier of the credential. `None` for an anonymous consumer.
    pub credential: Option<Uuid>,
    /// Where to look consumers and credentials up.
    pub directory: Arc<Directory>,
    /// What plugins tell each other, and `$(shared.name)` in templates.
    pub shared: BTreeMap<String, String>,
    /// What a plugin found out in one phase and needs in a later one, by its type.
    pub notes: Extensions,
    /// The longest body that a plugin lets through, in bytes. One that is longer is cut off while it streams, and answered
    /// with 413 and [`BODY_TOO_LARGE`].
    pub body_limit: Option<u64>,
    /// Headers that the response gets, whoever makes it. [`crate::plan::Running::response`] sets them.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// 32 hexadecimal digits; in `X-Kong-Request-Id` and the log.
    pub id: RequestId,
    /// The client's path, normalised, once `path` is another one.
    client_path: Option<String>,
}

/// What the client is told of a body above [`Request::body_limit`], in Kong's words.
pub const BODY_TOO_LARGE: &str = "Request size limit exceeded";

/// What a request is made of before any plugin runs; the rest is added as it becomes known.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of `Request`")]
pub struct Head {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub client: Client,
    pub directory: Arc<Directory>,
    pub id: RequestId,
}

impl Request {
    /// A request as the client sent it.
    pub fn new(head: Head) -> Self {
        let Head { method, path, query, headers, client, directory, id } = head;
        Self {
            method,
            path,
            query,
            headers,
            body: None,
            client,
            route: None,
            service: None,
            captures: Vec::new(),
            consumer: None,
            credential: None,
            directory,
            shared: BTreeMap::new(),
            notes: Extensions::new(),
            body_limit: None,
            response_headers: Vec::new(),
            id,
            client_path: None,
        }
    }

    /// The path that the client asked for, normalised.
    pub fn client_path(&self) -> &str {
        self.client_path.as_deref().unwrap_or(&self.path)
    }

    /// Sends it to another path. The client's is kept beside it.
    pub fn set_path(&mut self, path: String) {
        let old = std::mem::replace(&mut self.path, path);
        self.client_path.get_or_insert(old);
    }

    /// Puts another body in place of the client's.
    pub fn set_body(&mut self, body: Bytes) {
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        self.body = Some(body);
    }

    /// The value of a header as text, where there is one and it is ASCII.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Identifies a request in logs and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub u128);

impl RequestId {
    /// As the value of a header.
    pub fn header(self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (place, byte) in text.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            place[0] = DIGITS[usize::from(byte >> 4)];
            place[1] = DIGITS[usize::from(byte & 15)];
        }
        // Hexadecimal digits are always allowed in a header.
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Who sent a request, and how.
#[derive(Clone, Debug)]
pub struct Client {
    /// The address, by the trusted proxies' word where there are some.
    pub ip: IpAddr,
    /// The address of the connection.
    pub peer: IpAddr,
    /// `http` or `https`; `grpc`, `ws` and the like are told by the route.
    pub scheme: Protocol,
    /// The version that the client speaks.
    pub version: Version,
    /// The host that was asked for: lower case, without a port.
    pub host: String,
    /// The port that was asked for.
    pub port: u16,
    /// The server name of the TLS handshake.
    pub sni: Option<Arc<str>>,
}

/// A route, as far as plugins and logs care.
#[derive(Debug, Default)]
pub struct RouteInfo {
    /// Its identifier.
    pub id: Uuid,
    /// Its name.
    pub name: Option<String>,
    /// All of it.
    pub entity: Entity,
}

/// A service, as far as plugins and logs care.
#[derive(Debug, Default)]
pub struct ServiceInfo {
    /// Its identifier.
    pub id: Uuid,
    /// Its name.
    pub name: Option<String>,
    /// All of it.
    pub entity: Entity,
}

/// The head of a response on its way to the client.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those that are between two neighbours only.
    pub headers: HeaderMap,
    /// Who made it.
    pub source: Source,
}

/// Who made a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The upstream.
    Upstream,
    /// A plugin.
    Plugin,
    /// The gateway itself: an error.
    Gateway,
}

/// What came of a request, for logs.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// The status that the client got.
    pub status: StatusCode,
    /// Who made the response.
    pub source: Source,
    /// From the first byte of the request to the last of the response.
    pub total: Duration,
    /// Of that, until the request was sent on.
    pub gateway: Duration,
    /// Of that, from there to the head of the response.
    pub upstream: Option<Duration>,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
    /// The target as the client sent it.
    pub target: &'a Uri,
    /// The headers that the client got.
    pub headers: &'a HeaderMap,
    /// The peers of the upstream that were tried, in this order.
    pub tries: &'a [Try],
    /// What the upstream said, or the status that stands for its failure.
    pub upstream_status: Option<StatusCode>,
    /// The TLS that the client speaks.
    pub tls: Option<TlsInfo>,
}

/// One attempt to reach a peer of the upstream.
#[derive(Clone, Debug)]
pub struct Try {
    /// The peer.
    pub address: SocketAddr,
    /// From the first byte of the request until the peer was chosen.
    pub started: Duration,
    /// How long the choice took.
    pub took: Duration,
    /// What stands for its failure: 502, 504. `None` where it answered.
    pub failure: Option<StatusCode>,
}

/// The TLS of a connection with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// As OpenSSL calls it: `TLSv1.3`.
    pub version: &'static str,
    /// As OpenSSL calls it: `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
}
