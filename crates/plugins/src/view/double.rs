//! A request in memory and what came of it, for tests of plugins.
//!
//! Owns: what it looks like when a test says nothing else. Must not know: any test.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use postern_model::entity::Protocol;

use super::{Client, Head, Request, RequestId, Source, Summary};

impl Request {
    /// `GET / HTTP/1.1` for `example.com` from 192.0.2.1, without consumers. Every field is open to change.
    pub fn for_test() -> Self {
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        Self::new(Head {
            method: Method::GET,
            path: "/".to_owned(),
            query: None,
            headers: HeaderMap::new(),
            client: Client {
                ip,
                peer: ip,
                scheme: Protocol::Http,
                version: Version::HTTP_11,
                host: "example.com".to_owned(),
                port: 80,
                sni: None,
            },
            directory: Arc::default(),
            id: RequestId(1),
        })
    }

    /// The same for another target: a path, with `?` and a query or without.
    #[must_use]
    pub fn to(mut self, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        self.path = path.to_owned();
        self.query = query;
        self
    }

    /// The same with a header more. Panics on what cannot be a header.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "said above")]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a header's name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
        self
    }
}

impl Summary<'static> {
    /// 200 from the upstream within 3 ms, without bodies.
    pub fn for_test() -> Self {
        static TARGET: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("/"));
        static HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        Self {
            status: StatusCode::OK,
            source: Source::Upstream,
            total: Duration::from_millis(3),
            gateway: Duration::from_millis(1),
            upstream: Some(Duration::from_millis(1)),
            received: 0,
            sent: 0,
            target: &TARGET,
            headers: &HEADERS,
            tries: &[],
            upstream_status: Some(StatusCode::OK),
            tls: None,
        }
    }
}
