//! Heads of requests and responses: what crosses the gateway has one meaning.
//!
//! The input is a head as a client might write it: a line with method, target and perhaps `HTTP/1.0` or `HTTP/2`, and a
//! line for each header. What `http` itself refuses never gets as far as the gateway's own check.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Version};
use postern_proxy::fuzzing::{accept, accept_response, strip_trailers};

/// What is between two neighbours, or the gateway's own to say.
const NEVER: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "expect",
    "x-consumer-username",
    "x_consumer_username",
    "x-credential-identifier",
    "x-anonymous-consumer",
];

/// A head that is let through names one host and one path, and nothing that must not cross.
pub fn framing(data: &[u8]) {
    let Some(mut parts) = parts(data) else { return };
    let mut headers = parts.headers.clone();
    if let Ok(accepted) = accept(&mut parts) {
        assert!(accepted.path.starts_with('/'), "{:?}", accepted.path);
        let odd = ["//", "/./", "/../", "\\", "\0"].into_iter().find(|odd| accepted.path.contains(odd));
        assert_eq!(odd, None, "{:?}", accepted.path);
        let again = postern_router::normalise(&accepted.path).expect("what was accepted is acceptable");
        assert_eq!(again, accepted.path, "a path that is normalised twice is another one");
        let is_host =
            |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !b"/@?#,\\".contains(&byte);
        assert!(accepted.host.bytes().all(is_host), "{:?}", accepted.host);
        nothing_that_must_not_cross(&parts.headers);
        assert!(parts.headers.get_all("host").iter().count() <= 1);
    }
    let mut trailers = headers.clone();
    strip_trailers(&mut trailers);
    nothing_that_must_not_cross(&trailers);
    assert!(!trailers.contains_key("content-length") && !trailers.contains_key("host"));
    if accept_response(StatusCode::OK, &mut headers).is_ok() {
        let lengths: Vec<_> = headers.get_all("content-length").iter().collect();
        assert!(lengths.len() <= 1);
        assert!(lengths.iter().all(|length| length.as_bytes().iter().all(u8::is_ascii_digit)));
        assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("connection"));
    }
}

fn nothing_that_must_not_cross(headers: &HeaderMap) {
    let left = NEVER.iter().find(|name| headers.contains_key(**name));
    assert_eq!(left, None, "{headers:?}");
}

fn parts(data: &[u8]) -> Option<Parts> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let version = match words.next() {
        Some(b"HTTP/1.0") => Version::HTTP_10,
        Some(b"HTTP/2") => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut request = Request::builder().method(method).uri(target).version(version).body(()).ok()?;
    for line in lines.take(64) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    Some(request.into_parts().0)
}
