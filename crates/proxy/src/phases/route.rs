//! From a request to its route and service, and what follows from them for the upstream.
//!
//! Owns: what a route does not take, and why a service cannot be asked. Must not know: how routes are matched.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{StatusCode, Version};
use postern_plugins::plugin::Answer;
use postern_plugins::view;
use postern_router::{Facts, Match, upstream_path};
use uuid::Uuid;

use super::answer::gateway;
use crate::exchange::Exchange;
use crate::forwarded;
use crate::framing::{self, Speaks};
use crate::live::{Route, Service};
use crate::respond;

/// The route of a request.
pub(super) fn find(exchange: &Exchange) -> Option<Match> {
    let view = &exchange.view;
    let facts = Facts {
        method: &view.method,
        host: &view.client.host,
        port: view.client.port,
        path: &view.path,
        query: view.query.as_deref(),
        headers: &view.headers,
        scheme: view.client.scheme,
        sni: view.client.sni.as_deref(),
        source: Some(SocketAddr::new(view.client.ip, exchange.connection.peer.port())),
        destination: Some(exchange.connection.local),
    };
    exchange.live.router.find(&facts)
}

/// What a route does not take: plain text where it wants TLS, anything but gRPC where it wants that.
pub(super) fn refuse_protocol(
    view: &view::Request,
    trusted: bool,
    route: &Route,
    found: &Match,
    speaks: Speaks,
) -> Option<Answer> {
    if found.needs_https && !forwarded::says_https(trusted, &view.headers) {
        let status = StatusCode::from_u16(route.https_redirect).unwrap_or(StatusCode::UPGRADE_REQUIRED);
        if status == StatusCode::UPGRADE_REQUIRED {
            let answer = Answer::message(status, respond::message(status))
                .with_header(header::CONNECTION, HeaderValue::from_static("Upgrade"))
                .with_header(header::UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
            return Some(answer);
        }
        let query = view.query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
        let location = framing::value(&format!("https://{}{}{query}", view.client.host, view.path));
        return Some(Answer::message(status, "").with_header(header::LOCATION, location));
    }
    if route.grpc && !speaks.grpc {
        return Some(match view.client.version {
            Version::HTTP_2 => {
                Answer::message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Non-gRPC request matched gRPC route")
            }
            _ => Answer::message(StatusCode::UPGRADE_REQUIRED, "Please use HTTP2 protocol")
                .with_header(header::CONNECTION, HeaderValue::from_static("Upgrade"))
                .with_header(header::UPGRADE, HeaderValue::from_static("HTTP/2")),
        });
    }
    None
}

/// The service of a route, or why it cannot be asked. What is said to the client names no secret; what was found when
/// the configuration took effect is in the log. As in Kong, a route may have none: then a plugin has to answer.
pub(super) fn service(exchange: &Exchange, route: &Route) -> Result<Option<Arc<Service>>, Box<Answer>> {
    let Some(service) = &route.service else { return Ok(None) };
    let loaded = service.cell.load().filter(|_| service.enabled && service.broken.is_none());
    loaded.map(Some).ok_or_else(|| {
        if exchange.worker.tells(service.info.id) {
            let unresolved = "a reference in it has no usable value";
            let reason = if service.enabled {
                service.broken.as_deref().unwrap_or(unresolved)
            } else {
                "it is disabled"
            };
            tracing::warn!(
                request_id = %exchange.view.id,
                route = named(&route.info.name, route.info.id),
                service = named(&service.info.name, service.info.id),
                references = exchange.live.references(service.info.id),
                reason,
                "requests fail closed"
            );
        }
        Box::new(gateway(StatusCode::SERVICE_UNAVAILABLE))
    })
}

/// What people call an entity.
pub(super) fn named(name: &Option<String>, id: Uuid) -> String {
    name.clone().unwrap_or_else(|| id.to_string())
}

/// The path for the upstream and the headers that tell it about the client, before plugins may change them. Gives the
/// client's `Host`, to see later whether a plugin has set another.
pub(super) fn head_for_upstream(
    exchange: &mut Exchange,
    route: &Route,
    service: Option<&Service>,
    found: Match,
) -> Option<HeaderValue> {
    let view = &mut exchange.view;
    let path = service.and_then(|service| service.path.as_ref()).map(|path| path.as_str());
    let new = upstream_path(path, &view.path, found.path, route.strip_path, route.path_handling);
    forwarded::add(view, &exchange.connection, exchange.trusted, &found, route.strip_path);
    if new != view.path {
        view.set_path(new);
    }
    if !found.captures.is_empty() {
        view.captures = found
            .captures
            .iter()
            .flat_map(|(number, name, text)| {
                let named = name.map(|name| (name.to_owned(), text.to_owned()));
                std::iter::once((number.to_string(), text.to_owned())).chain(named)
            })
            .collect();
    }
    view.headers.get(header::HOST).cloned()
}

#[cfg(test)]
mod tests;
