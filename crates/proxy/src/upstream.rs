//! A service is asked: a peer is chosen, a request sent, and the head of its response awaited.
//!
//! Owns: what is tried again, where and when, and what the client is told when nothing helps. Must not know: routes beyond
//! their name, plugins, how a peer is chosen. `request` makes what is sent, `send` puts it on a connection, `connect` makes
//! those.

mod connect;
mod request;
mod send;
#[cfg(test)]
mod tests;

use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode};
use postern_plugins::plugin::Answer;
use postern_plugins::view::Try;
use tokio::time::Instant;

use crate::balance::{self, HashInput, Key, Picked, Tried};
use crate::body::ToUpstream;
use crate::exchange::Exchange;
use crate::framing::Speaks;
use crate::health::Outcome;
use crate::live::{Route, Service};
use crate::phases::gateway;
pub(crate) use connect::Local;
use connect::NoConnection;
use request::Parts;
pub(crate) use send::Answered;
use send::{Reach, send};

/// Chooses a peer and asks it; another one where that fails and may be tried again.
pub(crate) async fn ask(
    exchange: &mut Exchange,
    route: &Route,
    service: &Service,
    body: ToUpstream,
    client_host: Option<HeaderValue>,
    speaks: Speaks,
) -> Result<(Answered, Option<HeaderValue>), Answer> {
    let key = key(exchange, service);
    let host_changed = exchange.view.headers.get(header::HOST) != client_host.as_ref();
    let keeps_host = host_changed || route.preserve_host && client_host.is_some();
    let (mut tried, mut body) = (Tried::default(), body);
    let most = service.retries.saturating_add(1);
    let logs = exchange.running.logs();
    let sent_host = exchange.view.headers.get(header::HOST).filter(|_| keeps_host && service.tls.is_some());
    let sent_name = sent_host.and_then(|host| host.to_str().ok());
    let sent_name = sent_name.map(|host| exchange.worker.pool.names.of_host(host));
    loop {
        let began = logs.then(Instant::now);
        let Some(picked) = service.balancer.pick(&key, &tried) else {
            let text = if service.balancer.is_upstream() { balance::NO_PEER } else { balance::NO_NAME };
            return Err(Answer::message(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        exchange.upstream.tries += 1;
        let may_again = exchange.upstream.tries < most;
        let again = if may_again { body.again() } else { None };
        let parts = Parts::new(exchange, service, &picked, keeps_host, speaks);
        let request = match parts.with(body) {
            Ok(request) => request,
            Err(status) => return Err(cannot_be_made(exchange, route, status)),
        };
        let asked = Instant::now();
        if let Some(began) = began {
            exchange.upstream.tried.push(Try {
                address: picked.address,
                started: began - exchange.times.started,
                took: asked - began,
                failure: None,
            });
        }
        exchange.times.left.get_or_insert(asked);
        let outcome =
            send(&exchange.worker, &Reach::new(service, &picked, sent_name.as_ref()), request).await;
        let thought = asked.elapsed();
        let failure = match outcome {
            Ok(answered) => {
                let status = answered.response.status();
                service.balancer.report(&picked, Outcome::Status(status.as_u16()), thought);
                exchange.times.answered = Some(asked + thought);
                exchange.upstream.status = Some(status);
                exchange.upstream.picked = Some(picked);
                return Ok((answered, key.set_cookie().cloned()));
            }
            Err(failure) => failure,
        };
        if exchange.received.too_large.get() {
            return Err(gateway(StatusCode::PAYLOAD_TOO_LARGE));
        }
        if exchange.received.failed.get() {
            return Err(gateway(StatusCode::BAD_REQUEST));
        }
        let (status, outcome) = (failure.status(), failure.outcome());
        // A client that chooses the name must not be able to take a peer down by one that its certificate lacks.
        let is_blameless = failure.is_of_handshake() && keeps_host && !host_changed;
        if !is_blameless {
            service.balancer.report(&picked, outcome, thought);
        }
        note(exchange, route, &picked, &failure);
        tried.add(&picked);
        let unsent = failure.unsent(is_idempotent(&exchange.view.method), again);
        body = unsent.filter(|_| may_again).ok_or_else(|| gateway(status))?;
    }
}

/// What the request is hashed by, where the service's upstream hashes.
fn key(exchange: &Exchange, service: &Service) -> Key {
    let view = &exchange.view;
    let capture =
        |name: &str| view.captures.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
    service.balancer.key(&HashInput {
        consumer: view.consumer.as_ref().map(|consumer| consumer.id).or(view.credential),
        ip: view.client.ip,
        headers: &view.headers,
        path: view.client_path(),
        query: view.query.as_deref(),
        capture: &capture,
    })
}

/// The answer where plugins left something that cannot be sent.
fn cannot_be_made(exchange: &Exchange, route: &Route, status: StatusCode) -> Answer {
    let reason = match status {
        StatusCode::URI_TOO_LONG => {
            "the path and the query are longer than 65534 bytes after plugins changed them"
        }
        StatusCode::BAD_GATEWAY => "the Host header is missing or has no host",
        _ => "the path or the query has characters that a request cannot have",
    };
    if exchange.worker.tells(route.info.id) {
        let request_id = &exchange.view.id;
        tracing::warn!(%request_id, route = %route.info.id, reason, "the request to the upstream cannot be made");
    }
    gateway(status)
}

/// Tells of a peer that was asked in vain.
fn note(exchange: &mut Exchange, route: &Route, picked: &Picked, failure: &Failure) {
    let status = failure.status();
    exchange.upstream.status = Some(status);
    if let Some(last) = exchange.upstream.tried.last_mut() {
        last.failure = Some(status);
    }
    tracing::warn!(
        request_id = %exchange.view.id,
        route = %route.info.id,
        peer = %picked.target,
        address = %picked.address,
        attempt = exchange.upstream.tries,
        reason = failure.reason(),
        "an upstream failed"
    );
}

/// Why there is no response.
#[derive(Debug)]
enum Failure {
    /// No connection; the request was not sent and is given back.
    Connect(Box<Request<ToUpstream>>, NoConnection),
    /// A connection, or a response, took too long. The request is given back where nothing of it was sent.
    Timeout(Option<Box<Request<ToUpstream>>>),
    /// The connection broke.
    Broken(String),
    /// What came was no HTTP.
    Malformed(String),
}

impl Failure {
    /// What the client is told.
    fn status(&self) -> StatusCode {
        match self {
            Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect(..) | Self::Broken(_) | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// What it says of the peer's health.
    fn outcome(&self) -> Outcome {
        match self {
            Self::Timeout(_) => Outcome::Timeout,
            Self::Connect(..) | Self::Broken(_) => Outcome::TcpFailure,
            Self::Malformed(_) => Outcome::Malformed,
        }
    }

    /// For the log.
    fn reason(&self) -> &str {
        match self {
            Self::Timeout(_) => "it took too long",
            Self::Connect(_, NoConnection { reason, .. })
            | Self::Broken(reason)
            | Self::Malformed(reason) => reason,
        }
    }

    /// Whether the peer was there, and TLS failed.
    fn is_of_handshake(&self) -> bool {
        matches!(self, Self::Connect(_, NoConnection { handshake: true, .. }))
    }

    /// What may be sent to another peer: a request of which nothing was sent, or, if that does no harm, a `copy` of one
    /// that may have arrived.
    fn unsent(self, idempotent: bool, copy: Option<ToUpstream>) -> Option<ToUpstream> {
        match self {
            Self::Connect(unsent, _) | Self::Timeout(Some(unsent)) => Some(unsent.into_body()),
            Self::Broken(_) | Self::Timeout(None) => copy.filter(|_| idempotent),
            Self::Malformed(_) => None,
        }
    }
}

/// Whether a request with this method may be sent twice, when nobody knows whether it arrived.
fn is_idempotent(method: &Method) -> bool {
    // nginx's list: what is not here is tried again.
    !matches!(method.as_str(), "POST" | "LOCK" | "PATCH")
}
