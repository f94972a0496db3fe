//! WebSocket: after the upstream agreed to switch, bytes pass both ways until one side ends.
//!
//! Owns: the agreement and the copying. Must not know: frames. Bytes that a client sends before the upstream has agreed
//! wait in its connection: they are never taken for the upstream's protocol if it does not agree.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use postern_plugins::view::{self, Source};

use crate::body::ToClient;
use crate::exchange::Exchange;
use crate::forwarded;
use crate::framing;
use crate::phases::Reply;

/// Whether an upstream agreed to what was asked.
pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Passes the agreement on, and from then on all bytes. The request ends when the tunnel does.
pub(crate) fn open(
    mut exchange: Box<Exchange>,
    client: OnUpgrade,
    mut response: Response<Incoming>,
) -> Reply {
    let upstream = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    framing::strip_hop_by_hop(&mut parts.headers);
    let mut head = view::Response { status: parts.status, headers: parts.headers, source: Source::Upstream };
    forwarded::answer(&exchange, &mut head);
    exchange.running.response(&mut exchange.view, &mut head);
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let id = exchange.view.id;
    let finish = exchange.finish(StatusCode::SWITCHING_PROTOCOLS, Source::Upstream);
    tokio::task::spawn_local(async move {
        let (client, upstream) = match tokio::try_join!(client, upstream) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(request_id = %id, %error, "a tunnel did not open");
                return finish.run(0, false);
            }
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let sent = match tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
            Ok((_, sent)) => sent,
            Err(_) => 0,
        };
        finish.run(sent, true);
    });
    let mut reply = Response::new(ToClient::empty(None));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *reply.headers_mut() = head.headers;
    reply
}
