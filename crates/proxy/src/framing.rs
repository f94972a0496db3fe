//! What may cross the gateway: the head of a request with one meaning for every parser, or a refusal.
//!
//! Owns: Host, target and hop-by-hop rules, and that no client speaks in the gateway's own name. Must not know: routes,
//! plugins. hyper has parsed the head and decided how long the body is; it refuses lengths that differ or are no
//! number. Where a length and an encoding are both there, it goes by the encoding, forgets the length before anybody
//! sees it, and ends the connection after the answer, as RFC 9112 (6.3) has it: so this file cannot refuse it. What is
//! sent on is framed anew, by the body that was read, and has one length and no second meaning.
//!
//! The order matters. What the gateway itself says of a consumer is removed first, then what `Connection` names, and
//! only then do plugins add theirs, so that a client can neither send such a header nor have ours removed.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::options::RealIp;

/// Header lines of one head, in either direction. What limits a head is its size; this is more lines than heads of the usual
/// size have, and as many as Kong can be set to read.
pub(crate) const FIELDS: usize = 1000;

/// A head that may cross.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The path, normalised: the same is matched and sent.
    pub(crate) path: String,
    /// The query without its `?`.
    pub(crate) query: Option<String>,
    /// The host that was asked for, in lower case and without its port; empty where HTTP/1.0 names none.
    pub(crate) host: String,
    /// The port that was asked for, where there is one.
    pub(crate) port: Option<u16>,
    /// What is to be spoken.
    pub(crate) speaks: Speaks,
}

/// What a client wants to speak besides plain HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Speaks {
    /// Whether it asks to switch to WebSocket.
    pub(crate) websocket: bool,
    /// Whether it speaks gRPC.
    pub(crate) grpc: bool,
}

/// Checks a head, and removes what is meant for the gateway only.
///
/// # Errors
/// The status of the refusal.
pub(crate) fn accept(parts: &mut Parts) -> Result<Head, StatusCode> {
    match parts.method {
        Method::CONNECT | Method::TRACE => return Err(StatusCode::METHOD_NOT_ALLOWED),
        _ => {}
    }
    one_encoding(&parts.headers)?;
    let (host, port) = authority(parts)?;
    let (path, query) = target(parts)?;
    let websocket = wants_websocket(parts);
    if websocket && has_body(&parts.headers) {
        // Where the body ends and the other protocol begins is more than two parsers agree on.
        return Err(StatusCode::BAD_REQUEST);
    }
    strip(&mut parts.headers);
    if parts.version < Version::HTTP_2 {
        // Nor do trailers of HTTP/1 cross.
        parts.headers.remove(header::TRAILER);
    } else {
        join_cookies(&mut parts.headers);
    }
    let grpc = parts.headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().starts_with(b"application/grpc") && parts.version == Version::HTTP_2
    });
    Ok(Head { path, query, host, port, speaks: Speaks { websocket, grpc } })
}

/// HTTP/2 may send a cookie a field; to all others they are one, joined by `; ` (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(_), Some(_)) = (cookies.next(), cookies.next()) else { return };
    let cookies: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        joined.set_sensitive(true);
        headers.insert(header::COOKIE, joined);
    }
}

/// `chunked`, once, or nothing. hyper takes whatever ends in `chunked`; but what stands before it would be lost on the
/// way, and parsers differ in what they take for it.
fn one_encoding(headers: &HeaderMap) -> Result<(), StatusCode> {
    match is_chunked_or_plain(headers) {
        true => Ok(()),
        false => Err(StatusCode::BAD_REQUEST),
    }
}

fn is_chunked_or_plain(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
    encodings.next().is_none_or(is_chunked) && encodings.next().is_none()
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// The one host of a request. A target in absolute form counts more than `Host` (RFC 9112, 3.2.2), and the two must
/// agree, or the next parser might choose the other.
fn authority(parts: &mut Parts) -> Result<(String, Option<u16>), StatusCode> {
    const REFUSED: StatusCode = StatusCode::BAD_REQUEST;
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let named = hosts.next();
    if hosts.next().is_some() {
        return Err(REFUSED);
    }
    let named = named.map(|host| parse_host(host.as_bytes())).transpose()?;
    let from_target =
        parts.uri.authority().map(|authority| parse_host(authority.as_str().as_bytes())).transpose()?;
    // HTTP/1.1 wants a Host whatever the target is (RFC 9112, 3.2).
    if named.is_none() && parts.version == Version::HTTP_11 {
        return Err(REFUSED);
    }
    if let (None, Some(authority)) = (&named, parts.uri.authority()) {
        // HTTP/2's authority is what Host is elsewhere: routes and upstreams look there.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| REFUSED)?;
        parts.headers.insert(header::HOST, host);
    }
    match (from_target, named) {
        (Some(target), Some(named)) if target != named => Err(REFUSED),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) if parts.version == Version::HTTP_10 => Ok((String::new(), None)),
        (None, None) => Err(REFUSED),
    }
}

/// A name or an address, and a port. No user, no escapes, no blanks: nothing that two parsers read in two ways.
fn parse_host(text: &[u8]) -> Result<(String, Option<u16>), StatusCode> {
    const REFUSED: StatusCode = StatusCode::BAD_REQUEST;
    let text = std::str::from_utf8(text).map_err(|_| REFUSED)?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(REFUSED)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| REFUSED)?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or(REFUSED)?),
            };
            (&text[..address.len() + 2], port)
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if host.is_empty() || host.len() > 255 || !host.bytes().all(is_name) {
                return Err(REFUSED);
            }
            (host, port)
        }
    };
    let port = match port {
        None | Some("") => None,
        // `+80` is a number to some parsers.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| REFUSED)?)
        }
        Some(_) => return Err(REFUSED),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// The path and the query.
fn target(parts: &Parts) -> Result<(String, Option<String>), StatusCode> {
    let path = parts.uri.path();
    if !path.starts_with('/') {
        return Err(StatusCode::BAD_REQUEST);
    }
    let path = postern_router::normalise(path).map_err(|_| StatusCode::BAD_REQUEST)?.into_owned();
    Ok((path, parts.uri.query().map(str::to_owned)))
}

fn wants_websocket(parts: &Parts) -> bool {
    let has = |name: HeaderName, token: &str| {
        let values = parts.headers.get_all(name);
        values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
    };
    // The common request has no Upgrade at all.
    parts.headers.contains_key(header::UPGRADE)
        && parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
}

/// Headers by which the gateway tells upstreams who a request is from. `_` counts as `-`, because what runs behind CGI
/// or WSGI cannot tell them apart.
fn is_identity(name: &str) -> bool {
    const NAMES: [&str; 3] = ["x-consumer-", "x-credential-", "x-anonymous-"];
    let begins = |with: &str| {
        let same = |(byte, expected): (u8, u8)| byte == expected || byte == b'_' && expected == b'-';
        name.len() >= with.len() && name.bytes().zip(with.bytes()).all(same)
    };
    name.starts_with('x') && NAMES.into_iter().any(begins)
}

/// Headers that are between two neighbours only.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// What `Connection` may not remove: the gateway or the next parser goes by it.
fn is_needed(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "transfer-encoding"
            | "x-real-ip"
            | "forwarded"
    ) || name.starts_with("x-forwarded-")
}

/// Removes what must not cross, in the order that the file's head explains.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let is_suspect =
        |name: &HeaderName| is_identity(name.as_str()) || *name == header::EXPECT || is_hop_by_hop(name);
    // Most heads hold nothing of it.
    if !headers.keys().any(is_suspect) {
        return;
    }
    let identity: Vec<_> = headers.keys().filter(|name| is_identity(name.as_str())).cloned().collect();
    identity.into_iter().for_each(|name| drop(headers.remove(name)));
    strip_hop_by_hop(headers);
    headers.remove(header::EXPECT);
}

/// Removes what is between two neighbours only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .filter(|name| !is_needed(name.as_str()))
            .collect();
        named.into_iter().for_each(|name| drop(headers.remove(name)));
    }
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
}

/// What is left of a response's head on its way to the client.
///
/// # Errors
/// Where two parsers could disagree about it.
pub(crate) fn accept_response(status: StatusCode, headers: &mut HeaderMap) -> Result<(), &'static str> {
    if status.is_informational() {
        return Err("an informational response that nobody asked for");
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        // `5, 5` is 5 to hyper, and would go to the client as it is.
        if !length.as_bytes().iter().all(u8::is_ascii_digit) {
            return Err("a Content-Length that is no number");
        }
        if lengths.next().is_some() {
            return Err("more than one Content-Length");
        }
        if headers.contains_key(header::TRANSFER_ENCODING) {
            return Err("both a Content-Length and a Transfer-Encoding");
        }
    }
    if !is_chunked_or_plain(headers) {
        return Err("a Transfer-Encoding other than chunked");
    }
    strip_hop_by_hop(headers);
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(())
}

/// Whether nobody can tell if more comes after this head: the answer to a HEAD that says nothing of a body. Servers that end
/// such answers by closing the connection do so some time later, so it is not used again.
pub(crate) fn ends_unclearly(method: &Method, status: StatusCode, headers: &HeaderMap) -> bool {
    *method == Method::HEAD
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING)
}

/// Removes from trailers, in either direction, what has a meaning only in a head: a parser that merges trailers into
/// the head must not learn of a length, a host, a credential or a name of ours there (RFC 9110, 6.5.1).
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    let forbidden = |name: &str| {
        is_identity(name)
            || is_needed(name)
            || HOP_BY_HOP.iter().any(|hop| hop == name)
            || matches!(
                name,
                "trailer"
                    | "expect"
                    | "authorization"
                    | "proxy-authorization"
                    | "cookie"
                    | "set-cookie"
                    | "content-range"
                    | "cache-control"
                    | "max-forwards"
                    | "range"
            )
    };
    let named: Vec<_> = trailers.keys().filter(|name| forbidden(name.as_str())).cloned().collect();
    named.into_iter().for_each(|name| drop(trailers.remove(name)));
}

/// Who sent a request: the address, and where a trusted neighbour says so the scheme, the host and the port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    /// The address.
    pub(crate) ip: IpAddr,
    /// Whether the neighbour's word counts.
    pub(crate) trusted: bool,
}

/// By the word of trusted neighbours, as nginx's realip module has it.
pub(crate) fn sender(peer: SocketAddr, headers: &HeaderMap, options: &RealIp) -> Sender {
    let ip = peer.ip().to_canonical();
    let is_trusted = |ip: IpAddr| options.trusted.iter().any(|network| network.contains(ip));
    if options.trusted.is_empty() || !is_trusted(ip) {
        return Sender { ip, trusted: false };
    }
    let values = headers.get_all(&options.header);
    let mut said =
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).rev();
    let mut known = ip;
    while let Some(address) = said.next().and_then(parse_address) {
        known = address;
        if !options.recursive || !is_trusted(address) {
            break;
        }
    }
    Sender { ip: known, trusted: true }
}

fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// A header's value that is surely one.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(version: Version, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().version(version).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn one_valid_host_or_400() {
        type Good = (&'static str, &'static [(&'static str, &'static str)], (&'static str, Option<u16>));
        let good: &[Good] = &[
            ("/", &[("host", "Example.COM")], ("example.com", None)),
            ("/", &[("host", "a.b:8080")], ("a.b", Some(8080))),
            ("/", &[("host", "a_b:")], ("a_b", None)),
            ("/", &[("host", "[::1]:80")], ("[::1]", Some(80))),
            ("http://a.b/x", &[("host", "a.b")], ("a.b", None)),
        ];
        for (target, headers, (host, port)) in good {
            let head = accept(&mut parts(Version::HTTP_11, target, headers)).unwrap();
            assert_eq!((head.host.as_str(), head.port), (*host, *port), "{target} {headers:?}");
        }
        let bad: &[(&str, &[(&str, &str)])] = &[
            ("/", &[]),
            ("/", &[("host", "")]),
            ("/", &[("host", "a"), ("host", "a")]),
            ("/", &[("host", "a b")]),
            ("/", &[("host", "a@b")]),
            ("/", &[("host", "a/b")]),
            ("/", &[("host", "a,b")]),
            ("/", &[("host", "a:+80")]),
            ("/", &[("host", "a:99999")]),
            ("/", &[("host", "[::1")]),
            ("/", &[("host", "[x]")]),
            ("/", &[("host", "%61")]),
            ("http://a.b/x", &[("host", "c.d")]),
            ("http://a.b/x", &[]),
        ];
        for (target, headers) in bad {
            let refused = accept(&mut parts(Version::HTTP_11, target, headers)).unwrap_err();
            assert_eq!(refused, StatusCode::BAD_REQUEST, "{target} {headers:?}");
        }
        assert_eq!(accept(&mut parts(Version::HTTP_10, "/", &[])).unwrap().host, "");
        let mut http2 = parts(Version::HTTP_2, "http://a.b:81/x", &[]);
        assert_eq!(accept(&mut http2).unwrap().host, "a.b");
        assert_eq!(http2.headers[header::HOST], "a.b:81");
    }

    #[test]
    fn cookies_of_http2_are_one_field() {
        let headers =
            [("host", "a"), ("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2; c=3"), ("cookie", "d=4")];
        for (version, expected) in
            [(Version::HTTP_2, &["a=1; b=2; c=3; d=4"][..]), (Version::HTTP_11, &["a=1", "b=2; c=3", "d=4"])]
        {
            let mut parts = parts(version, "http://a/", &headers);
            accept(&mut parts).unwrap();
            let cookies: Vec<_> = parts.headers.get_all(header::COOKIE).iter().collect();
            assert_eq!(cookies, expected, "{version:?}");
        }
    }

    #[test]
    fn one_encoding_or_400() {
        let cases: &[(&[&str], bool)] = &[
            (&[], true),
            (&["chunked"], true),
            (&["Chunked"], true),
            (&["chunked", "chunked"], false),
            (&["chunked, chunked"], false),
            (&["gzip, chunked"], false),
            (&["identity", "chunked"], false),
            (&["xchunked"], false),
            (&["chunked;q=1"], false),
        ];
        for (encodings, good) in cases {
            let mut headers = vec![("host", "a")];
            headers.extend(encodings.iter().map(|encoding| ("transfer-encoding", *encoding)));
            let accepted = accept(&mut parts(Version::HTTP_11, "/", &headers));
            assert_eq!(accepted.is_ok(), *good, "{encodings:?}");
            let mut response = parts(Version::HTTP_11, "/", &headers).headers;
            assert_eq!(accept_response(StatusCode::OK, &mut response).is_ok(), *good, "{encodings:?}");
        }
    }

    #[test]
    fn a_response_has_one_length() {
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[("content-length", "5")], true),
            (&[("content-length", "5"), ("content-length", "5")], false),
            (&[("content-length", "5, 5")], false),
            (&[("content-length", "+5")], false),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], false),
        ];
        for (headers, good) in cases {
            let mut headers = parts(Version::HTTP_11, "/", headers).headers;
            assert_eq!(accept_response(StatusCode::OK, &mut headers).is_ok(), *good, "{headers:?}");
        }
    }

    #[test]
    fn an_answer_to_head_says_how_long_it_would_be() {
        let (ok, none) = (StatusCode::OK, StatusCode::NO_CONTENT);
        for (method, status, headers, expected) in [
            (Method::HEAD, ok, &[][..], true),
            (Method::HEAD, ok, &[("content-length", "5")], false),
            (Method::HEAD, ok, &[("transfer-encoding", "chunked")], false),
            (Method::HEAD, none, &[], false),
            (Method::GET, ok, &[], false),
        ] {
            let parts = parts(Version::HTTP_11, "/", headers);
            assert_eq!(
                ends_unclearly(&method, status, &parts.headers),
                expected,
                "{method} {status} {headers:?}"
            );
        }
    }

    #[test]
    fn trailers_say_nothing_that_belongs_in_a_head() {
        let mut trailers = parts(
            Version::HTTP_11,
            "/",
            &[
                ("grpc-status", "0"),
                ("x-checksum", "1"),
                ("x-consumer-id", "1"),
                ("content-length", "5"),
                ("transfer-encoding", "chunked"),
                ("host", "a"),
                ("connection", "close"),
                ("authorization", "Basic"),
            ],
        )
        .headers;
        strip_trailers(&mut trailers);
        let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["grpc-status", "x-checksum"]);
    }

    fn stripped(headers: &[(&str, &str)]) -> Vec<String> {
        let mut parts = parts(Version::HTTP_11, "/", headers);
        strip(&mut parts.headers);
        let mut names: Vec<_> = parts.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn no_client_speaks_in_our_name() {
        let names = stripped(&[
            ("x-consumer-id", "1"),
            ("X-Consumer-Groups", "admins"),
            ("x-credential-identifier", "1"),
            ("x-anonymous-consumer", "true"),
            ("x_consumer_id", "1"),
            ("x-consumer_id", "1"),
            ("x-consume", "kept"),
            ("accept", "*/*"),
        ]);
        assert_eq!(names, ["accept", "x-consume"]);
    }

    #[test]
    fn connection_removes_what_it_names_but_nothing_that_is_needed() {
        let names = stripped(&[
            ("connection", "close, x-mine, Content-Length, host, x-forwarded-for, te"),
            ("connection", "x-other"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("te", "trailers"),
            ("keep-alive", "5"),
            ("content-length", "5"),
            ("x-forwarded-for", "1.1.1.1"),
            ("host", "a"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
        ]);
        assert_eq!(names, ["content-length", "host", "x-forwarded-for"]);
    }

    #[test]
    fn who_sent_it() {
        let options = |trusted: &[&str], header: &'static str, recursive| RealIp {
            trusted: trusted.iter().map(|network| network.parse().unwrap()).collect(),
            header: HeaderName::from_static(header),
            recursive,
        };
        let cases = [
            (options(&[], "x-real-ip", false), "x-real-ip", "9.9.9.9", "10.0.0.1"),
            (options(&["10.0.0.0/8"], "x-real-ip", false), "x-real-ip", "9.9.9.9", "9.9.9.9"),
            (options(&["11.0.0.0/8"], "x-real-ip", false), "x-real-ip", "9.9.9.9", "10.0.0.1"),
            (
                options(&["10.0.0.0/8"], "x-forwarded-for", false),
                "x-forwarded-for",
                "9.9.9.9, 10.0.0.2",
                "10.0.0.2",
            ),
            (
                options(&["10.0.0.0/8"], "x-forwarded-for", true),
                "x-forwarded-for",
                "8.8.8.8, 9.9.9.9, 10.0.0.2",
                "9.9.9.9",
            ),
            (options(&["10.0.0.0/8"], "x-forwarded-for", true), "x-forwarded-for", "nonsense", "10.0.0.1"),
            (options(&["10.0.0.0/8"], "x-forwarded-for", true), "x-forwarded-for", "[::1]:80", "::1"),
        ];
        for (options, name, value, expected) in cases {
            let parts = parts(Version::HTTP_11, "/", &[(name, value)]);
            let sender = sender("10.0.0.1:5".parse().unwrap(), &parts.headers, &options);
            assert_eq!(sender.ip.to_string(), expected, "{options:?} {value}");
        }
    }
}
