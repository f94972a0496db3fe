//! One request → one answer.
//!
//! Owns: the order of things for every request: guard, path, method, body, answer, headers, audit log; and which file
//! serves which endpoint. Must not know: what is in an answer.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::Instant;

use super::call::{Answered, Call};
use super::decode::Unreadable;
use super::error::Refusal;
use super::route::{Peer, Serves};
use super::{
    Admin, audit, config, crud, events, groups, openapi, root, schemas, secrets, tags, upstream_health,
};

/// The longest body of an entity.
const ENTITY_BYTES: usize = 4 * 1024 * 1024;
/// The longest body that holds a whole configuration; documents are bounded by the model.
const CONFIG_BYTES: usize = 64 * 1024 * 1024;
/// Until a body must be there.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Serves a request.
pub(crate) async fn serve(State(admin): State<Admin>, request: Request) -> Response {
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    let mut log = audit::Entry::new(&parts);
    let answered = answer(&admin, &parts, body, &mut log).await;
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    finish(&admin, &parts, &mut response, start);
    log.write(&admin.0.guard.options.audit, response.status(), start.elapsed());
    response
}

async fn answer(admin: &Admin, parts: &Parts, body: Body, log: &mut audit::Entry) -> Answered {
    let peer = parts.extensions.get::<Peer>();
    if let Some(preflight) = admin.0.guard.preflight(parts) {
        return Ok(preflight);
    }
    let who = admin.0.guard.admit(parts, peer)?;
    log.who(&who);
    let (segments, prefix) = segments(parts.uri.path()).ok_or(Refusal::NotFound)?;
    let found = admin.endpoints().iter().find_map(|endpoint| Some((endpoint, endpoint.fits(&segments)?)));
    let Some((endpoint, parameters)) = found else { return Err(Refusal::NotFound) };
    log.path(endpoint, &parameters);
    let allowed = endpoint.serves.methods();
    if !allowed.contains(&parts.method.as_str()) {
        return Err(Refusal::Method(allowed));
    }
    if parts.method == Method::OPTIONS {
        return Ok(options(allowed));
    }
    let _place =
        admin.0.requests.try_acquire().map_err(|_| Refusal::Busy(StatusCode::SERVICE_UNAVAILABLE, 1))?;
    let limit = if endpoint.serves == Serves::Config { CONFIG_BYTES } else { ENTITY_BYTES };
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    let query = parts.uri.query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let body = match method {
        Method::GET => Bytes::new(),
        _ => read(&parts.headers, body, limit).await?,
    };
    let call = Call { admin, method, parameters, query, headers: &parts.headers, body, who, prefix };
    endpoint_answer(&call, endpoint.serves).await
}

async fn endpoint_answer(call: &Call<'_>, serves: Serves) -> Answered {
    match serves {
        Serves::Entity(kind) if kind.collection() == "consumer_groups" && call.method == Method::GET => {
            groups::one(call).await
        }
        Serves::Collection(_)
        | Serves::Entity(_)
        | Serves::Nested(..)
        | Serves::NestedEntity(..)
        | Serves::Foreign(..) => crud::serve(call, serves).await,
        Serves::AllTargets => upstream_health::all_targets(call).await,
        Serves::Health => upstream_health::health(call).await,
        Serves::TargetHealth(is_well) => upstream_health::switch(call, is_well, false).await,
        Serves::AddressHealth(is_well) => upstream_health::switch(call, is_well, true).await,
        Serves::Members => groups::members(call).await,
        Serves::Member => groups::member(call, false).await,
        Serves::GroupsOfConsumer => groups::of_consumer(call).await,
        Serves::GroupOfConsumer => groups::member(call, true).await,
        Serves::Root => root::root(call).await,
        Serves::Status => root::status(call).await,
        Serves::Endpoints => root::endpoints(call),
        Serves::EnabledPlugins => root::enabled_plugins(call),
        Serves::Workspaces | Serves::Workspace => root::workspaces(call, serves),
        Serves::Tags | Serves::TagsOf => tags::tags(call, serves == Serves::TagsOf).await,
        Serves::Schema => schemas::entity(call),
        Serves::PluginSchema => schemas::plugin(call),
        Serves::VaultSchema => schemas::vault(call),
        Serves::Validate => schemas::validate(call).await,
        Serves::Config => config::config(call).await,
        Serves::Export => config::export(call).await,
        Serves::OpenApi => openapi::document(call),
        Serves::VaultStatus => secrets::vault_status(call).await,
        Serves::VaultRefresh => secrets::vault_refresh(call).await,
        Serves::Secrets => secrets::list(call).await,
        Serves::SecretsRefresh => secrets::refresh(call).await,
        Serves::Events => events::events(call),
        Serves::Audit => audit::history(call).await,
    }
}

/// The decoded segments of a path, without the workspace that there is. `None` where it is none of ours in any case.
fn segments(path: &str) -> Option<(Vec<String>, &'static str)> {
    const LONGEST: usize = 16;
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some((Vec::new(), ""));
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        let segment = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
        if segment.is_empty() || segment.contains('\0') || segments.len() >= LONGEST {
            return None;
        }
        segments.push(segment.into_owned());
    }
    if segments.first().is_some_and(|first| first == "default") {
        segments.remove(0);
        match segments.as_slice() {
            [] => return None,
            [root] if root == "kong" => segments.clear(),
            _ => {}
        }
        return Some((segments, "/default"));
    }
    Some((segments, ""))
}

fn options(allowed: &[&str]) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(value) = HeaderValue::try_from(allowed.join(", ")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > limit as u64) {
        return Err(Unreadable::TooLarge.into());
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unreadable::TooLarge.into()),
        Ok(Err(_)) => Err(Refusal::Bad("the body broke off".to_owned())),
        Err(_) => Err(Refusal::Bad("the body took too long".to_owned())),
    }
}

/// What every answer has. No browser may guess its type, frame it or keep it.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

fn finish(admin: &Admin, parts: &Parts, response: &mut Response, start: Instant) {
    admin.0.guard.share(parts, response);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    // Kong's own name would promise more than is there; and decK takes what holds "ai-gateway" for another product.
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("postern/", env!("CARGO_PKG_VERSION"))));
    let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    headers.insert(HeaderName::from_static("x-kong-admin-latency"), milliseconds.into());
    if parts.method == Method::HEAD {
        let body = std::mem::take(response.body_mut());
        if let Some(length) = http_body::Body::size_hint(&body).exact() {
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
    }
}
