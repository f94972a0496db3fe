//! The status listener: `/status`, `/status/ready`, `/metrics`.
//!
//! Owns: these pages. Must not know: requests of users. It never shows a value of a secret, only how references stand.

mod metrics;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use postern_admin::server::{Bounds, Listening, bind, serve_pages};
use postern_config::apply::Apply;
use postern_proxy::options::Listener;
use postern_secrets::rotate::ReferenceState;
use rustls::ServerConfig;
use serde_json::json;

use crate::broken;
use crate::own_tls;
use crate::report::Failure;
use crate::serve::Serve;

/// How many connections there may be. Leaked connections lock nobody out: the longest idle one is closed for a new one.
const CONNECTIONS: Bounds = Bounds { all: 256, strangers: 256, peer: 128 };

/// The listener, until it is dropped.
pub(crate) struct Status {
    listening: Listening,
    ending: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Context {
    apply: Arc<Apply<Serve>>,
    ending: Arc<AtomicBool>,
}

/// Starts to listen.
pub(crate) async fn start(
    listeners: &[Listener],
    certificate: Option<&(PathBuf, PathBuf)>,
    apply: Arc<Apply<Serve>>,
) -> Result<Status> {
    let tls = tls(listeners, certificate)?;
    let ending = Arc::new(AtomicBool::new(false));
    let context = Context { apply, ending: Arc::clone(&ending) };
    let pages = Router::new()
        .route("/status", get(status))
        .route("/status/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(context);
    let mut sockets = Vec::new();
    for listener in listeners {
        let socket = bind(listener.address).map_err(|error| {
            let reason = postern_secrets::io_reason(&error);
            Failure::new(
                format!("cannot listen on {}: {reason}", listener.address),
                "status_listen says where",
            )
        })?;
        sockets.push((socket, tls.clone().filter(|_| listener.tls)));
    }
    let listening = serve_pages("the status listener", sockets, &pages, CONNECTIONS)?;
    Ok(Status { listening, ending })
}

/// How TLS is spoken, where a listener speaks it.
///
/// # Errors
/// The certificate cannot be used.
pub(crate) fn tls(
    listeners: &[Listener],
    certificate: Option<&(PathBuf, PathBuf)>,
) -> Result<Option<Arc<ServerConfig>>, Failure> {
    if !listeners.iter().any(|listener| listener.tls) {
        return Ok(None);
    }
    Ok(Some(Arc::new(own_tls::server("status_ssl", certificate, None)?)))
}

impl Status {
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        self.listening.addresses()
    }

    /// From now on `/status/ready` says no, so that load balancers look elsewhere.
    pub(crate) fn not_ready(&self) {
        self.ending.store(true, Ordering::Release);
    }
}

async fn status(State(context): State<Context>) -> Response {
    let state = context.apply.state();
    let Some(current) = state.current else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let broken = broken::of(&current);
    let proxy = context.apply.effect().proxy();
    let (mut accepted, mut closed, mut requests) = (0, 0, 0);
    for counts in proxy.iter().flat_map(|proxy| proxy.counts()) {
        let (a, c, _) = counts.connections();
        (accepted, closed) = (accepted + a, closed + c);
        requests += counts.lines().iter().map(|(_, count)| count.requests).sum::<u64>();
    }
    let secrets = context.apply.effect().engine().status();
    let count =
        |state: ReferenceState| secrets.references.iter().filter(|status| status.state == state).count();
    let refused =
        state.refused.map(|violations| violations.iter().map(ToString::to_string).collect::<Vec<_>>());
    Json(json!({
        "configuration_hash": current.hash,
        "configuration": {
            "number": current.number,
            "age_seconds": current.since.elapsed().as_secs(),
            "refused": refused,
            "broken": broken::shown(broken),
            "broken_count": broken.len(),
        },
        "server": {
            "connections_accepted": accepted,
            "connections_handled": accepted,
            "connections_active": accepted.saturating_sub(closed),
            "total_requests": requests,
        },
        "secrets": {
            "references": secrets.references.len(),
            "fresh": count(ReferenceState::Fresh),
            "stale": count(ReferenceState::Stale),
            "unresolved": count(ReferenceState::Unresolved),
            "invalid": count(ReferenceState::Invalid),
        },
    }))
    .into_response()
}

async fn ready(State(context): State<Context>) -> Response {
    let is_ready = context.apply.state().current.is_some()
        && context.apply.effect().proxy().is_some()
        && !context.ending.load(Ordering::Acquire);
    match is_ready {
        true => Json(json!({"message": "ready"})).into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"message": "not ready"}))).into_response(),
    }
}

async fn metrics(State(context): State<Context>) -> Response {
    let text = metrics::text(&context.apply);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
