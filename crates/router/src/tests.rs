//! What the router promises: Kong's rules as tables, and the index beside the slow matcher.

mod accepted;
mod agree;
#[cfg(feature = "expressions")]
mod expressions;
mod order;
mod paths;
mod rules;
mod speed;

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use postern_model::entity::{Protocol, Route};
use serde_json::{Value, json};

use crate::plain::Plain;
use crate::{Facts, Flavour, Match, Router};

/// A route from the fields that count; the others have Kong's defaults.
fn route(fields: &Value) -> Route {
    let mut all = json!({
        "protocols": ["http", "https"], "regex_priority": 0, "strip_path": true, "path_handling": "v0",
        "preserve_host": false, "https_redirect_status_code": 426, "request_buffering": true,
        "response_buffering": true,
    });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

/// A request; to be changed before it is asked for.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    host: String,
    port: u16,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    scheme: Protocol,
    sni: Option<String>,
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
}

/// `GET example.com:8443/a`, with `name: value` for each header, and what is changed in it.
fn asked(line: &str, headers: &[&str]) -> Asked {
    let (method, target) = line.split_once(' ').unwrap();
    let (authority, path) = target.split_at(target.find('/').unwrap());
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let (path, query) =
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.to_owned())));
    let mut map = HeaderMap::new();
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    Asked {
        method: method.parse().unwrap(),
        host: host.to_owned(),
        port: port.parse().unwrap(),
        path: crate::normalise(path).unwrap().into_owned(),
        query,
        headers: map,
        scheme: Protocol::Http,
        sni: None,
        source: None,
        destination: None,
    }
}

impl Asked {
    fn tls(mut self, sni: Option<&str>) -> Self {
        self.scheme = Protocol::Https;
        self.sni = sni.map(str::to_owned);
        self
    }

    fn from(mut self, source: &str) -> Self {
        self.source = Some(source.parse().unwrap());
        self
    }

    fn to(mut self, destination: &str) -> Self {
        self.destination = Some(destination.parse().unwrap());
        self
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            method: &self.method,
            host: &self.host,
            port: self.port,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            scheme: self.scheme,
            sni: self.sni.as_deref(),
            source: self.source,
            destination: self.destination,
        }
    }
}

fn router(routes: &[Route]) -> Router {
    Router::new(routes.iter().enumerate(), Flavour::TraditionalCompatible).unwrap()
}

fn find(routes: &[Value], asked: &Asked) -> Option<Match> {
    let routes: Vec<_> = routes.iter().map(route).collect();
    let found = router(&routes).find(&asked.facts());
    let slow = Plain::new(routes.iter().enumerate()).find(&asked.facts());
    assert_eq!(
        found.as_ref().map(|found| (found.route, found.path)),
        slow,
        "the slow matcher, for {asked:?}"
    );
    found
}
