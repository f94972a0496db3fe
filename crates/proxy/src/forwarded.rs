//! What the gateway tells: upstreams about the client (`X-Forwarded-*`), clients about itself (`Via`, latencies).
//!
//! Owns: these headers and when they are set. Must not know: what plugins add.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use postern_plugins::view::{Request, Response, Source};
use postern_router::Match;

use crate::exchange::Exchange;
use crate::framing::value;
use crate::listen::Connected;
use crate::names;

/// What `Via` and `Server` say of us.
const PRODUCT: &str = concat!("postern/", env!("CARGO_PKG_VERSION"));
const VIA: HeaderValue = HeaderValue::from_static(concat!("1.1 postern/", env!("CARGO_PKG_VERSION")));
const VIA_2: HeaderValue = HeaderValue::from_static(concat!("2 postern/", env!("CARGO_PKG_VERSION")));

/// Whether a trusted neighbour says that the client came by TLS.
pub(crate) fn says_https(trusted: bool, headers: &HeaderMap) -> bool {
    trusted
        && headers
            .get(names::FORWARDED_PROTO)
            .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// Tells the upstream who the client is. What a neighbour says of it counts if the neighbour is trusted.
pub(crate) fn add(
    request: &mut Request,
    connection: &Connected,
    trusted: bool,
    found: &Match,
    strip_path: bool,
) {
    let client = &request.client;
    // Behind no proxy the address is the connection's, whose texts are made once.
    let ip =
        if client.ip == client.peer { connection.texts.peer.clone() } else { value(&client.ip.to_string()) };
    let headers = &mut request.headers;
    let chain = chain(headers, &connection.texts.peer).unwrap_or_else(|| ip.clone());
    let host = match headers.get(header::HOST) {
        Some(host) if host.as_bytes() == client.host.as_bytes() => host.clone(),
        _ => value(&client.host),
    };
    headers.insert(names::FORWARDED_FOR, chain);
    let mut tell = |name: HeaderName, own: HeaderValue| {
        if !(trusted && headers.contains_key(&name)) {
            headers.insert(name, own);
        }
    };
    tell(
        names::FORWARDED_PROTO,
        HeaderValue::from_static(if client.scheme.is_tls() { "https" } else { "http" }),
    );
    tell(names::FORWARDED_HOST, host);
    tell(names::FORWARDED_PORT, connection.texts.port.clone());
    tell(names::FORWARDED_PATH, value(&request.path));
    // The prefix that was cut off, as upstreams need it for links to themselves.
    // `/` is none, as in Kong.
    let prefix = found.path.filter(|length| strip_path && *length > 1).map(|length| &request.path[..length]);
    match prefix {
        Some(prefix) => tell(names::FORWARDED_PREFIX, value(prefix)),
        None if !trusted => drop(headers.remove(names::FORWARDED_PREFIX)),
        None => {}
    }
    headers.insert(names::REAL_IP, ip);
    headers.append(header::VIA, if client.version == http::Version::HTTP_2 { VIA_2 } else { VIA });
}

/// Everybody on the way, then our peer. Several lines are one list (RFC 9110, 5.3).
fn chain(headers: &HeaderMap, peer: &HeaderValue) -> Option<HeaderValue> {
    let mut said = headers.get_all(names::FORWARDED_FOR).iter();
    let mut chain = said.next()?.as_bytes().to_vec();
    for next in said.chain([peer]) {
        chain.extend_from_slice(b", ");
        chain.extend_from_slice(next.as_bytes());
    }
    HeaderValue::try_from(chain).ok()
}

/// Tells the client about the gateway, as far as the setting `headers` says so.
pub(crate) fn answer(exchange: &Exchange, response: &mut Response) {
    let wanted = exchange.worker.options.headers;
    let headers = &mut response.headers;
    if wanted.request_id {
        headers.insert(names::REQUEST_ID, exchange.id.clone());
    }
    if response.source == Source::Upstream {
        if wanted.via {
            headers.append(header::VIA, VIA);
        }
        if wanted.upstream_latency {
            let time = exchange.upstream_time().unwrap_or_default();
            headers.insert(names::UPSTREAM_LATENCY, milliseconds(time));
        }
        if wanted.proxy_latency {
            headers.insert(names::PROXY_LATENCY, milliseconds(exchange.gateway_time()));
        }
    } else {
        if wanted.server {
            headers.insert(header::SERVER, HeaderValue::from_static(PRODUCT));
        }
        if wanted.response_latency {
            headers.insert(names::RESPONSE_LATENCY, milliseconds(exchange.times.started.elapsed()));
        }
    }
    if wanted.upstream_status
        && let Some(status) = exchange.upstream.status
    {
        headers.insert(names::UPSTREAM_STATUS, HeaderValue::from(status.as_u16()));
    }
}

fn milliseconds(time: std::time::Duration) -> HeaderValue {
    const FEW: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match FEW.get(usize::try_from(milliseconds).unwrap_or(usize::MAX)) {
        Some(text) => HeaderValue::from_static(text),
        None => HeaderValue::from(milliseconds),
    }
}
