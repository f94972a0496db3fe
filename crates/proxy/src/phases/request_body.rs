//! The body of a request, as far as it is read before the upstream is asked.
//!
//! Owns: when all of it is read, and what is sent on. Must not know: how it is read.

use http::{StatusCode, Version};
use hyper::body::Body as _;
use postern_plugins::view;

use crate::body::{Collected, FromClient, ToUpstream};
use crate::exchange::Exchange;

/// For plugins that want all of a body.
pub(super) async fn read_body(
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
pub(super) async fn buffered(
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

#[cfg(test)]
mod tests;
