//! The request as a peer gets it.
//!
//! Owns: its target, its `Host`, and how its body is framed. Must not know: connections.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper::body::Body as _;
use postern_plugins::view;

use crate::balance::Picked;
use crate::body::ToUpstream;
use crate::exchange::Exchange;
use crate::framing::{self, Speaks};
use crate::live::{self, Service};
use crate::names;

/// What a request to a peer is made of, besides its body.
pub(super) struct Parts<'a> {
    /// As plugins left it.
    view: &'a view::Request,
    /// The target as the client sent it.
    asked: &'a Uri,
    /// What is said in `Host`, where it is not what the request has there already.
    host: Option<HeaderValue>,
    /// Its identifier, where the peer is told.
    id: Option<&'a HeaderValue>,
    http2: bool,
    tls: bool,
    websocket: bool,
}

impl<'a> Parts<'a> {
    /// A request as this peer of a service gets it.
    pub(super) fn new(
        exchange: &'a Exchange,
        service: &Service,
        picked: &Picked,
        keeps_host: bool,
        speaks: Speaks,
    ) -> Self {
        let host = match (keeps_host, &service.host) {
            (true, _) => None,
            (false, Some(host)) => Some(host.clone()),
            (false, None) => {
                Some(framing::value(&live::authority(&picked.name, picked.port(), service.protocol)))
            }
        };
        Self {
            view: &exchange.view,
            asked: &exchange.target,
            host,
            id: exchange.worker.options.headers.upstream_request_id.then_some(&exchange.id),
            http2: service.is_http2(),
            tls: service.tls.is_some(),
            websocket: speaks.websocket,
        }
    }

    /// The request with this body.
    ///
    /// # Errors
    /// The status for the client.
    pub(super) fn with(self, body: ToUpstream) -> Result<Request<ToUpstream>, StatusCode> {
        let Self { view, asked, .. } = self;
        let target = match (asked.path_and_query(), &view.query) {
            // What nobody changed need not be written again.
            (Some(same), query) if same.path() == view.path && same.query() == query.as_deref() => {
                same.clone()
            }
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
        if let Some(host) = self.host {
            headers.insert(header::HOST, host);
        }
        if let Some(id) = self.id {
            headers.insert(names::REQUEST_ID, id.clone());
        }
        let mut uri = Uri::from(target);
        if self.http2 {
            uri = absolute(uri, &mut headers, self.tls)?;
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        } else if self.websocket {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if body.size_hint().exact().is_none() && !self.http2 {
            // Else hyper sends no body with a GET or a HEAD, whatever there is of it.
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = view.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The longest path with its query that a request can have.
const LONGEST_TARGET: usize = 65_534;

fn target_of(text: Bytes) -> Result<PathAndQuery, StatusCode> {
    if text.len() > LONGEST_TARGET {
        return Err(StatusCode::URI_TOO_LONG);
    }
    PathAndQuery::from_maybe_shared(text).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// HTTP/2 names the host in the target.
fn absolute(uri: Uri, headers: &mut HeaderMap, tls: bool) -> Result<Uri, StatusCode> {
    let mut parts = uri.into_parts();
    let host = headers.remove(header::HOST).ok_or(StatusCode::BAD_GATEWAY)?;
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| StatusCode::BAD_GATEWAY)?);
    Uri::from_parts(parts).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests;
