//! What is asked of the router and what it answers.
//!
//! Owns: the facts of a request, the match. Must not know: how one leads to the other (`router.rs`).

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::SocketAddr;

use http::{HeaderMap, Method};
use postern_model::entity::service::Protocol;

use crate::path::decoded;

/// What the router looks at. All of it is borrowed: routing by host, path and method allocates nothing.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host that was asked for: lower case, without port, IPv6 in brackets.
    pub host: &'a str,
    /// The port that was asked for: of the `Host` header, else that on which the request came in. It decides for
    /// hosts such as `example.com:8443`, and is `net.port` in expressions.
    pub port: u16,
    /// The path without query, as [`crate::normalise`] made it.
    pub path: &'a str,
    /// The query without `?`; for `http.queries.*`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// How the request came in: over TLS (`Https`) or not (`Http`). gRPC and WebSocket are those too, as in Kong.
    pub scheme: Protocol,
    /// The server name of the TLS handshake, lower case.
    pub sni: Option<&'a str>,
    /// Who sent it: the client, after trusted proxies were taken off.
    pub source: Option<SocketAddr>,
    /// Where it came in. Kong takes the port of `destinations` and `net.dst.port` from the `Host` header where that
    /// has one; here a client cannot choose it.
    pub destination: Option<SocketAddr>,
}

/// The route for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The number that the caller gave the route.
    pub route: usize,
    /// How many bytes of the path the route's path took; `None` if it has no path. Goes to [`crate::upstream_path`].
    pub path: Option<usize>,
    /// What the groups of the route's regular expression took.
    pub captures: Captures,
    /// The route speaks only TLS, and this request came without it: to be answered with the route's
    /// `https_redirect_status_code`. Where a trusted proxy says that TLS ended there, it is to be ignored.
    pub needs_https: bool,
}

/// What the groups of a regular expression took, unescaped as far as no reserved character comes up. Empty where the
/// expression has no groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures(Vec<Group>);

/// Name, and what it took.
pub(crate) type Group = (Option<Box<str>>, Option<Box<str>>);

impl Captures {
    pub(crate) fn new(groups: Vec<Group>) -> Self {
        Self(groups)
    }

    /// Whether there were no groups.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A group by number; 0 is all that matched.
    pub fn get(&self, group: usize) -> Option<&str> {
        self.0.get(group)?.1.as_deref()
    }

    /// A group by name.
    pub fn name(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.as_deref() == Some(name))?.1.as_deref()
    }

    /// Number, name and text of each group that took part, the whole match first.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Option<&str>, &str)> {
        let groups = self.0.iter().enumerate();
        groups.filter_map(|(number, (name, text))| Some((number, name.as_deref(), text.as_deref()?)))
    }
}

/// The facts, and what is worked out of them at most once.
pub(crate) struct Request<'a> {
    pub(crate) facts: &'a Facts<'a>,
    /// Without the root's dot: `example.com.` is `example.com`, or a dot would lead around a route.
    pub(crate) host: &'a str,
    pub(crate) sni: Option<&'a str>,
    decoded: OnceCell<Cow<'a, str>>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(facts: &'a Facts<'a>) -> Self {
        Self { facts, host: rootless(facts.host), sni: facts.sni.map(rootless), decoded: OnceCell::new() }
    }

    /// The path as regular expressions see it.
    pub(crate) fn decoded(&self) -> &str {
        self.decoded.get_or_init(|| decoded(self.facts.path))
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.facts.scheme.is_tls()
    }
}

/// A name without the dot of the root.
pub(crate) fn rootless(name: &str) -> &str {
    match name.strip_suffix('.') {
        Some(rest) if !rest.is_empty() => rest,
        _ => name,
    }
}
