//! The life of a request, from top to bottom.
//!
//! Owns: the order of the phases, and which failure leads to which answer. Must not know: how a phase is done; each is
//! one call into the file on the right of the table in DESIGN: framing, plugins, router, balance, upstream, respond.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use postern_model::entity::Protocol;
use postern_plugins::plan::{Plan, Running, Verdict, run_rewrite};
use postern_plugins::plugin::Answer;
use postern_plugins::view::{self, Client, RequestId, Source, Try};
use postern_router::{Facts, Match, upstream_path};
use rustls::pki_types::ServerName;
use tokio::time::Instant;
use uuid::Uuid;

use crate::balance::{self, HashInput, Picked, Tried};
use crate::body::{Collected, FromClient, FromUpstream, ToClient, ToUpstream, filtered};
use crate::exchange::{Exchange, Times, Upstream};
use crate::forwarded;
use crate::framing::{self, Head, Speaks};
use crate::health::Outcome;
use crate::listen::Connected;
use crate::live::{Route, Service};
use crate::options::ErrorType;
use crate::respond;
use crate::tunnel;
use crate::upstream::{self, Answered, Failure, Reach, Tls};
use crate::worker::Worker;

/// What goes back to hyper.
pub(crate) type Reply = Response<ToClient>;

/// Serves one request.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connected>,
    request: Request<Incoming>,
) -> Reply {
    connection.timing.begin();
    let Begun { mut exchange, speaks, body, upgrade } = match begin(worker, connection, request) {
        Ok(begun) => begun,
        Err(refused) => return *refused,
    };
    let live = Arc::clone(&exchange.live);
    let unrouted = live.plans.unrouted();

    // rewrite
    let said = match unrouted.is_empty() {
        true => Verdict::Continue,
        false => run_rewrite(unrouted, &mut exchange.view).await,
    };
    if let Some(answer) = verdict(&exchange, said) {
        return early(exchange, unrouted, answer, Source::Plugin);
    }

    // route
    let Some(found) = find(&exchange) else {
        let answer = Answer::message(StatusCode::NOT_FOUND, "no Route matched with those values");
        return early(exchange, unrouted, answer, Source::Gateway);
    };
    let route = &live.routes[found.route];
    if let Some(answer) = refuse_protocol(&exchange, route, &found, speaks) {
        return early(exchange, unrouted, answer, Source::Gateway);
    }
    exchange.view.route = Some(Arc::clone(&route.info));
    exchange.view.service = route.service.as_ref().map(|service| Arc::clone(&service.info));
    let service = match service(&exchange, route) {
        Ok(service) => service,
        Err(unavailable) => return early(exchange, &route.plan, *unavailable, Source::Gateway),
    };
    let kept_host = head_for_upstream(&mut exchange, route, service.as_deref(), found);

    // access
    let mut body = Some(body);
    if !route.plan.is_empty() {
        let most = exchange.worker.options.limits.body_buffer;
        let read = async |request: &mut view::Request| read_body(request, &mut body, most).await;
        // In a box, as all that the plainest request has no need of: what a future holds is moved several times.
        let access = Box::pin(exchange.running.access(&route.plan, &mut exchange.view, read));
        match access.await {
            Ok(said) => {
                if let Some(answer) = verdict(&exchange, said) {
                    return reply(exchange, answer, Source::Plugin);
                }
            }
            Err(status) => return no_body(exchange, status),
        }
    }

    // balancer, upstream
    let Some(service) = service else {
        let answer = Answer::message(StatusCode::SERVICE_UNAVAILABLE, "no Service found with those values");
        return reply(exchange, answer, Source::Gateway);
    };
    let body = match buffered(&mut exchange, body, route.request_buffering).await {
        Ok(body) => body,
        Err(status) => return no_body(exchange, status),
    };
    let (answered, cookie) = match ask(&mut exchange, route, &service, body, kept_host, speaks).await {
        Ok(answered) => answered,
        Err(answer) if answer.status == StatusCode::PAYLOAD_TOO_LARGE => {
            return no_body(exchange, answer.status);
        }
        Err(answer) => return reply(exchange, answer, Source::Gateway),
    };

    // response
    deliver(exchange, answered, cookie, upgrade.filter(|_| speaks.websocket))
}

/// A request that may go on.
struct Begun {
    exchange: Box<Exchange>,
    speaks: Speaks,
    body: FromClient,
    /// The connection, once it is to speak something else.
    upgrade: Option<OnUpgrade>,
}

/// From the connection and the head to an exchange; or the refusal of a head that may not cross.
fn begin(
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
    let (Head { path, query, host, port, speaks }, refused) = match framing::accept(&mut parts) {
        Ok(head) if limit > 0 && incoming.size_hint().lower() > limit => {
            (head, Some(gateway(StatusCode::PAYLOAD_TOO_LARGE)))
        }
        Ok(head) => (head, None),
        // Who sent a head that two parsers may read in two ways has no second request.
        Err(status) if parts.version < Version::HTTP_2 => {
            let close = HeaderValue::from_static("close");
            (Head::default(), Some(gateway(status).with_header(header::CONNECTION, close)))
        }
        Err(status) => (Head::default(), Some(gateway(status))),
    };
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
    if let Some(answer) = refused {
        let live = Arc::clone(&exchange.live);
        return Err(Box::new(early(exchange, live.plans.unrouted(), answer, Source::Gateway)));
    }
    let received = Rc::clone(&exchange.received);
    let timing = Arc::clone(&exchange.connection.timing);
    let body = FromClient::new(incoming, limit, timing, received, parts.version);
    Ok(Begun { exchange, speaks, body, upgrade })
}

fn find(exchange: &Exchange) -> Option<Match> {
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
fn refuse_protocol(exchange: &Exchange, route: &Route, found: &Match, speaks: Speaks) -> Option<Answer> {
    let view = &exchange.view;
    if found.needs_https && !forwarded::says_https(exchange.trusted, &view.headers) {
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
fn service(exchange: &Exchange, route: &Route) -> Result<Option<Arc<Service>>, Box<Answer>> {
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
fn named(name: &Option<String>, id: Uuid) -> String {
    name.clone().unwrap_or_else(|| id.to_string())
}

/// The path for the upstream and the headers that tell it about the client, before plugins may change them. Gives the
/// client's `Host`, to see later whether a plugin has set another.
fn head_for_upstream(
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

/// For plugins that want all of a body.
async fn read_body(
    request: &mut view::Request,
    body: &mut Option<FromClient>,
    most: usize,
) -> Result<(), StatusCode> {
    let Some(mut streaming) = body.take() else { return Ok(()) };
    streaming.limit_to(request.body_limit.unwrap_or(u64::MAX));
    match streaming.collect(most).await {
        Ok(Collected::Whole(whole)) => {
            request.body = Some(whole);
            Ok(())
        }
        Ok(Collected::More(..)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(error) => Err(error.status()),
    }
}

/// What is sent to the upstream: what a plugin left, or the client's. With `request_buffering` a slow client does not
/// hold a connection to the upstream: as much as is kept in memory is read first.
async fn buffered(
    exchange: &mut Exchange,
    body: Option<FromClient>,
    buffering: bool,
) -> Result<ToUpstream, StatusCode> {
    if let Some(whole) = exchange.view.body.clone() {
        return Ok(ToUpstream::new(Some(whole), None, false));
    }
    let Some(mut body) = body.filter(|body| !body.is_end_stream()) else {
        return Ok(ToUpstream::new(None, None, false));
    };
    body.limit_to(exchange.view.body_limit.unwrap_or(u64::MAX));
    let is_http2 = exchange.view.client.version == Version::HTTP_2;
    if !buffering || is_http2 {
        return Ok(ToUpstream::new(None, Some(body), is_http2));
    }
    match Box::pin(body.collect(exchange.worker.options.limits.body_buffer)).await {
        Ok(Collected::Whole(whole)) => Ok(ToUpstream::new(Some(whole), None, false)),
        Ok(Collected::More(first, rest)) => Ok(ToUpstream::new(Some(first), Some(rest), false)),
        Err(error) => Err(error.status()),
    }
}

/// Chooses a peer and asks it; another one where that fails and may be tried again.
async fn ask(
    exchange: &mut Exchange,
    route: &Route,
    service: &Service,
    body: ToUpstream,
    client_host: Option<HeaderValue>,
    speaks: Speaks,
) -> Result<(Answered, Option<HeaderValue>), Answer> {
    let key = {
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
    };
    let host_changed = exchange.view.headers.get(header::HOST) != client_host.as_ref();
    let keeps_host = host_changed || route.preserve_host && client_host.is_some();
    let mut tried = Tried::default();
    let mut body = body;
    let most = service.retries.saturating_add(1);
    let logs = exchange.running.logs();
    loop {
        let began = logs.then(Instant::now);
        let Some(picked) = service.balancer.pick(&key, &tried) else {
            let text = if service.balancer.is_upstream() { balance::NO_PEER } else { balance::NO_NAME };
            return Err(Answer::message(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        exchange.upstream.tries += 1;
        let may_again = exchange.upstream.tries < most;
        let again = if may_again { body.again() } else { None };
        let request = match request(exchange, service, &picked, keeps_host, body, speaks) {
            Ok(request) => request,
            Err(status) => return Err(gateway(status)),
        };
        let reach = match reach(service, &picked) {
            Ok(reach) => reach,
            Err(status) => return Err(gateway(status)),
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
        let outcome = upstream::send(&exchange.worker, &reach, request).await;
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
        let status = failure.status();
        if let Some(last) = exchange.upstream.tried.last_mut() {
            last.failure = Some(status);
        }
        let (reported, reason) = match &failure {
            Failure::Timeout(_) => (Outcome::Timeout, "it took too long"),
            Failure::Connect(_, reason) => (Outcome::TcpFailure, reason.as_str()),
            Failure::Broken(reason) => (Outcome::TcpFailure, reason.as_str()),
            Failure::Malformed(reason) => (Outcome::Malformed, reason.as_str()),
        };
        service.balancer.report(&picked, reported, thought);
        tracing::warn!(
            request_id = %exchange.view.id,
            route = %route.info.id,
            peer = %picked.target,
            address = %picked.address,
            attempt = exchange.upstream.tries,
            reason,
            "an upstream failed"
        );
        exchange.upstream.status = Some(status);
        tried.add(&picked);
        let idempotent = upstream::is_idempotent(&exchange.view.method);
        body = match failure {
            // Nothing was sent: any request may be tried again.
            Failure::Connect(unsent, _) | Failure::Timeout(Some(unsent)) if may_again => unsent.into_body(),
            Failure::Broken(_) | Failure::Timeout(None) if may_again && idempotent => match again {
                Some(body) => body,
                None => return Err(gateway(status)),
            },
            _ => return Err(gateway(status)),
        };
    }
}

fn reach(service: &Service, picked: &Picked) -> Result<Reach, StatusCode> {
    let tls = match &service.tls {
        None => None,
        Some((config, number)) => {
            let name = ServerName::try_from(picked.name.to_string()).map_err(|_| StatusCode::BAD_GATEWAY)?;
            Some(Tls { config: Arc::clone(config), number: *number, name })
        }
    };
    Ok(Reach {
        address: picked.address,
        tls,
        http2: service.is_http2(),
        connect: service.connect,
        limits: service.limits,
    })
}

/// The request as this peer gets it.
fn request(
    exchange: &Exchange,
    service: &Service,
    picked: &Picked,
    keeps_host: bool,
    body: ToUpstream,
    speaks: Speaks,
) -> Result<Request<ToUpstream>, StatusCode> {
    let view = &exchange.view;
    let asked = &exchange.target;
    let target = match (asked.path_and_query(), &view.query) {
        // What nobody changed need not be written again.
        (Some(same), query) if same.path() == view.path && same.query() == query.as_deref() => same.clone(),
        (_, None) => target_of(Bytes::copy_from_slice(view.path.as_bytes()))?,
        (_, Some(query)) => target_of([view.path.as_str(), "?", query].concat().into())?,
    };
    let mut headers = view.headers.clone();
    // hyper says how long the body is, by the body; but not of an empty one, whose length servers may insist on.
    let was_given = headers.remove(header::CONTENT_LENGTH).is_some();
    let has_meaning = matches!(view.method, Method::POST | Method::PUT | Method::PATCH);
    if body.is_end_stream() && (was_given || has_meaning) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    }
    let host = match (keeps_host, &service.host) {
        (true, _) => None,
        (false, Some(host)) => Some(host.clone()),
        (false, None) => {
            Some(framing::value(&crate::live::authority(&picked.name, picked.port(), service.protocol)))
        }
    };
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    if exchange.worker.options.headers.upstream_request_id {
        headers.insert(crate::names::REQUEST_ID, exchange.id.clone());
    }
    let mut uri = Uri::from(target);
    if service.is_http2() {
        uri = absolute(uri, &mut headers, service)?;
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    } else if speaks.websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    if body.size_hint().exact().is_none() && !service.is_http2() {
        // Else hyper sends no body with a GET or a HEAD, whatever there is of it.
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = view.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

fn target_of(text: Bytes) -> Result<PathAndQuery, StatusCode> {
    PathAndQuery::from_maybe_shared(text).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// HTTP/2 names the host in the target.
fn absolute(uri: Uri, headers: &mut HeaderMap, service: &Service) -> Result<Uri, StatusCode> {
    let mut parts = uri.into_parts();
    let host = headers.remove(header::HOST).ok_or(StatusCode::BAD_GATEWAY)?;
    parts.scheme = Some(if service.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| StatusCode::BAD_GATEWAY)?);
    Uri::from_parts(parts).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// The upstream's response on its way to the client.
fn deliver(
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
fn early(mut exchange: Box<Exchange>, plan: &Plan, answer: Answer, source: Source) -> Reply {
    exchange.running = Running::without_access(plan, &exchange.view);
    reply(exchange, answer, source)
}

/// The answer where a request's body could not be had, or may not be. A plugin's limit is the plugin's word.
fn no_body(exchange: Box<Exchange>, status: StatusCode) -> Reply {
    let received = exchange.received.bytes.get();
    let is_plugins = status == StatusCode::PAYLOAD_TOO_LARGE
        && exchange.view.body_limit.is_some_and(|limit| received > limit);
    match is_plugins {
        true => reply(exchange, Answer::message(status, view::BODY_TOO_LARGE), Source::Plugin),
        false => reply(exchange, gateway(status), Source::Gateway),
    }
}

/// An answer of the gateway's or a plugin's.
fn reply(mut exchange: Box<Exchange>, answer: Answer, source: Source) -> Reply {
    let status = answer.status;
    let default = match source {
        Source::Plugin => ErrorType::Json,
        _ if status.as_u16() == 404 || status.as_u16() == 426 => ErrorType::Json,
        _ => exchange.worker.options.error_default_type,
    };
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
fn gateway(status: StatusCode) -> Answer {
    Answer::message(status, respond::message(status))
}

/// What plugins said, as an answer where there is one.
fn verdict(exchange: &Exchange, verdict: Verdict) -> Option<Answer> {
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
