//! The life of a request, from top to bottom.
//!
//! Owns: the order of the phases, and which failure leads to which answer. Must not know: how a phase is done; each is
//! one call into the file on the right of the table in ARCHITECTURE: framing, plugins, router, balance, upstream, respond.

mod answer;
mod begin;
mod request_body;
mod route;

use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use postern_plugins::plan::{Verdict, run_rewrite};
use postern_plugins::plugin::Answer;
use postern_plugins::view::{self, Source};

use crate::body::ToClient;
use crate::listen::Connected;
use crate::upstream;
use crate::worker::Worker;
pub(crate) use answer::gateway;
use answer::{deliver, early, no_body, reply, verdict};
use begin::{Begun, begin};
use request_body::{buffered, read_body};
use route::{find, head_for_upstream, refuse_protocol, service};

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
    if let Some(answer) = refuse_protocol(&exchange.view, exchange.trusted, route, &found, speaks) {
        return early(exchange, unrouted, answer, Source::Gateway);
    }
    exchange.view.route = Some(Arc::clone(&route.info));
    exchange.view.service = route.service.as_ref().map(|service| Arc::clone(&service.info));
    let service = match service(&exchange, route) {
        Ok(service) => service,
        Err(unavailable) => return early(exchange, &route.plan, *unavailable, Source::Gateway),
    };
    if let Some(values) = service.as_ref().and_then(|service| service.values.as_ref()) {
        values.mark(&mut exchange.view);
    }
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
    let (answered, cookie) =
        match upstream::ask(&mut exchange, route, &service, body, kept_host, speaks).await {
            Ok(answered) => answered,
            Err(answer) if answer.status == StatusCode::PAYLOAD_TOO_LARGE => {
                return no_body(exchange, answer.status);
            }
            Err(answer) => return reply(exchange, answer, Source::Gateway),
        };

    // response
    deliver(exchange, answered, cookie, upgrade.filter(|_| speaks.websocket))
}
