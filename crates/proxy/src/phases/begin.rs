//! The beginning of a request: from its head to all that is known of it, or a refusal.
//!
//! Owns: what an [`Exchange`] begins with, and which answer a head gets that may not cross. Must not know: routes.

use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use postern_model::entity::Protocol;
use postern_plugins::plan::Running;
use postern_plugins::plugin::Answer;
use postern_plugins::view::{self, Client, RequestId, Source};
use tokio::time::Instant;

use super::Reply;
use super::answer::{early, gateway};
use crate::body::FromClient;
use crate::exchange::{Exchange, Times, Upstream};
use crate::framing::{self, Head, Speaks};
use crate::listen::Connected;
use crate::worker::Worker;

/// A request that may go on.
pub(super) struct Begun {
    pub(super) exchange: Box<Exchange>,
    pub(super) speaks: Speaks,
    pub(super) body: FromClient,
    /// The connection, once it is to speak something else.
    pub(super) upgrade: Option<OnUpgrade>,
}

/// From the connection and the head to an exchange; or the refusal of a head that may not cross.
pub(super) fn begin(
    worker: Rc<Worker>,
    connection: Rc<Connected>,
    mut request: Request<Incoming>,
) -> Result<Begun, Box<Reply>> {
    let started = Instant::now();
    let live = worker.live();
    let wants_upgrade = request.headers().contains_key(header::UPGRADE);
    let upgrade = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, incoming) = request.into_parts();
    let sender = framing::sender(connection.peer, &parts.headers, &worker.options.real_ip);
    let limit = worker.options.limits.body_size;
    let (head, refused) = check(&mut parts, incoming.size_hint().lower(), limit);
    let Head { path, query, host, port, speaks } = head;
    let view = view::Request::new(view::Head {
        method: parts.method,
        path,
        query,
        headers: parts.headers,
        client: Client {
            ip: sender.ip,
            peer: connection.peer.ip(),
            scheme: if connection.tls.is_some() { Protocol::Https } else { Protocol::Http },
            version: parts.version,
            host,
            port: port.unwrap_or(connection.local.port()),
            sni: connection.sni.clone(),
        },
        directory: Arc::clone(&live.directory),
        id: RequestId(fastrand::u128(..)),
    });
    let exchange = Box::new(Exchange {
        id: view.id.header(),
        times: Times { started, left: None, answered: None },
        target: parts.uri,
        received: Rc::default(),
        running: Running::default(),
        upstream: Upstream::default(),
        answered_with: HeaderMap::new(),
        trusted: sender.trusted,
        told: false,
        worker,
        live,
        connection,
        view,
    });
    let received = Rc::clone(&exchange.received);
    let timing = Arc::clone(&exchange.connection.timing);
    let body = FromClient::new(incoming, limit, timing, received, parts.version, &exchange.worker.unread);
    if let Some(answer) = refused {
        let live = Arc::clone(&exchange.live);
        return Err(Box::new(early(exchange, live.plans.unrouted(), answer, Source::Gateway)));
    }
    Ok(Begun { exchange, speaks, body, upgrade })
}

/// What a head says, and the answer if it may not cross. `length` is what is known of the body's.
fn check(parts: &mut Parts, length: u64, limit: u64) -> (Head, Option<Answer>) {
    match framing::accept(parts) {
        Ok(head) if limit > 0 && length > limit => (head, Some(gateway(StatusCode::PAYLOAD_TOO_LARGE))),
        Ok(head) => (head, None),
        // Who sent a head that two parsers may read in two ways has no second request.
        Err(status) if parts.version < Version::HTTP_2 => {
            let close = HeaderValue::from_static("close");
            (Head::default(), Some(gateway(status).with_header(header::CONNECTION, close)))
        }
        Err(status) => (Head::default(), Some(gateway(status))),
    }
}

#[cfg(test)]
mod tests;
