//! What goes back: the upstream's response, or an answer of a plugin's or the gateway's own.
//!
//! Owns: that plugins see each response, and that the request ends when its last byte has gone. Must not know: why an
//! answer is given.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use postern_plugins::plan::{Plan, Running, Verdict};
use postern_plugins::plugin::Answer;
use postern_plugins::view::{self, Source};

use super::Reply;
use super::route::named;
use crate::body::{FromUpstream, ToClient, filtered};
use crate::exchange::Exchange;
use crate::forwarded;
use crate::framing;
use crate::options::ErrorType;
use crate::respond;
use crate::tunnel;
use crate::upstream::Answered;

/// The upstream's response on its way to the client.
pub(super) fn deliver(
    mut exchange: Box<Exchange>,
    answered: Answered,
    cookie: Option<HeaderValue>,
    upgrade: Option<OnUpgrade>,
) -> Reply {
    let Answered { mut response, lease } = answered;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match upgrade.filter(|_| tunnel::is_websocket(response.headers())) {
            Some(client) => tunnel::open(exchange, client, response),
            None => reply(exchange, gateway(StatusCode::BAD_GATEWAY), Source::Gateway),
        };
    }
    if let Err(reason) = framing::accept_response(response.status(), response.headers_mut()) {
        tracing::warn!(request_id = %exchange.view.id, reason, "an upstream's response was refused");
        return reply(exchange, gateway(StatusCode::BAD_GATEWAY), Source::Gateway);
    }
    let trailers = exchange.view.client.version == Version::HTTP_2;
    let (parts, incoming) = response.into_parts();
    let mut response =
        view::Response { status: parts.status, headers: parts.headers, source: Source::Upstream };
    if let Some(cookie) = cookie {
        response.headers.append(header::SET_COOKIE, cookie);
    }
    forwarded::answer(&exchange, &mut response);
    exchange.running.response(&mut exchange.view, &mut response);
    let filters = exchange.running.body_filters(&exchange.view, &response);
    if filters.iter().any(|filter| !filter.keeps_length()) {
        response.headers.remove(header::CONTENT_LENGTH);
    }
    remember(&mut exchange, &response);
    let status = response.status;
    let client = trailers.then(|| Arc::clone(&exchange.connection.timing));
    let finish = exchange.finish(status, Source::Upstream);
    let body = FromUpstream { incoming, lease, trailers };
    assemble(status, response.headers, ToClient::upstream(body, filters.into_vec(), finish, client))
}

/// An answer before `access`: no plugin was called, but some want to see the response and the log.
pub(super) fn early(mut exchange: Box<Exchange>, plan: &Plan, answer: Answer, source: Source) -> Reply {
    exchange.running = Running::without_access(plan, &mut exchange.view);
    reply(exchange, answer, source)
}

/// The answer where a request's body could not be had, or may not be. A plugin's limit is the plugin's word.
pub(super) fn no_body(exchange: Box<Exchange>, status: StatusCode) -> Reply {
    match is_plugins_limit(status, exchange.received.bytes.get(), exchange.view.body_limit) {
        true => reply(exchange, Answer::message(status, view::BODY_TOO_LARGE), Source::Plugin),
        false => reply(exchange, gateway(status), Source::Gateway),
    }
}

/// Whether it was a plugin that allowed no more of a body.
fn is_plugins_limit(status: StatusCode, received: u64, limit: Option<u64>) -> bool {
    status == StatusCode::PAYLOAD_TOO_LARGE && limit.is_some_and(|limit| received > limit)
}

/// The form of an answer for a client that does not say what it accepts. As in Kong, most are JSON whatever is set.
fn form(status: StatusCode, source: Source, set: ErrorType) -> ErrorType {
    match (source, status) {
        (Source::Plugin, _) | (_, StatusCode::NOT_FOUND | StatusCode::UPGRADE_REQUIRED) => ErrorType::Json,
        _ => set,
    }
}

/// An answer of the gateway's or a plugin's.
pub(super) fn reply(mut exchange: Box<Exchange>, answer: Answer, source: Source) -> Reply {
    let status = answer.status;
    let default = form(status, source, exchange.worker.options.error_default_type);
    let is_redirect = status.is_redirection();
    let (headers, mut body) = respond::render(answer, &exchange.view.headers, default, exchange.view.id);
    let mut response = view::Response { status, headers, source };
    if is_redirect && source == Source::Gateway {
        body = Bytes::new();
        response.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    }
    forwarded::answer(&exchange, &mut response);
    exchange.running.response(&mut exchange.view, &mut response);
    let mut filters = exchange.running.body_filters(&exchange.view, &response);
    if !filters.is_empty() {
        body = filtered(body, &mut filters);
        response.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    remember(&mut exchange, &response);
    let status = response.status;
    // A body that nobody has read must not be taken for the next request; hyper ends such a connection.
    let finish = exchange.finish(status, source);
    assemble(status, response.headers, ToClient::whole(body, Some(finish)))
}

/// Keeps of the response what logs tell of it.
fn remember(exchange: &mut Exchange, response: &view::Response) {
    if exchange.running.logs() {
        exchange.answered_with.clone_from(&response.headers);
    }
}

fn assemble(status: StatusCode, headers: HeaderMap, body: ToClient) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Kong's words for a status that the gateway gives.
pub(crate) fn gateway(status: StatusCode) -> Answer {
    Answer::message(status, respond::message(status))
}

/// What plugins said, as an answer where there is one.
pub(super) fn verdict(exchange: &Exchange, verdict: Verdict) -> Option<Answer> {
    match verdict {
        Verdict::Continue => None,
        Verdict::Answer(answer) => Some(*answer),
        Verdict::Unavailable { plugin, instance } => {
            if exchange.worker.tells(instance) {
                let route = exchange.view.route.as_ref().map(|route| named(&route.name, route.id));
                tracing::warn!(
                    request_id = %exchange.view.id,
                    route,
                    plugin,
                    plugin_id = %instance,
                    references = exchange.live.references(instance),
                    reason = "a reference in its configuration has no usable value",
                    "requests fail closed"
                );
            }
            Some(gateway(StatusCode::SERVICE_UNAVAILABLE))
        }
    }
}

#[cfg(test)]
mod tests;
