//! What is sent to a peer.

use postern_plugins::view::Request as View;

use super::*;
use crate::body::ToUpstream;

fn body(text: &'static str) -> ToUpstream {
    ToUpstream::new(Some(Bytes::from_static(text.as_bytes())), None, false)
}

fn parts<'a>(view: &'a View, asked: &'a Uri) -> Parts<'a> {
    Parts { view, asked, host: None, id: None, http2: false, tls: false, websocket: false }
}

#[test]
fn the_target_is_what_plugins_left_of_it() {
    // As the client sent it, path and query now, what is sent.
    let cases = [
        ("/a?b=1", "/a", Some("b=1"), "/a?b=1"),
        ("http://host/a?b=1", "/a", Some("b=1"), "/a?b=1"),
        ("/a?b=1", "/a", None, "/a"),
        ("/a?b=1", "/c", Some("b=1"), "/c?b=1"),
        ("/a", "/a", Some("b=2"), "/a?b=2"),
        ("/a?", "/a", Some(""), "/a?"),
        ("/%7Ea", "/~a", None, "/~a"),
    ];
    for (asked, path, query, expected) in cases {
        let (asked, mut view) = (asked.parse().unwrap(), View::for_test());
        view.path = path.to_owned();
        view.query = query.map(str::to_owned);
        let request = parts(&view, &asked).with(body("")).unwrap();
        assert_eq!(request.uri().to_string(), expected, "{asked}");
        // HTTP/2 names the host, too.
        view.headers.insert(header::HOST, HeaderValue::from_static("up:81"));
        for (tls, scheme) in [(false, "http"), (true, "https")] {
            let request = Parts { http2: true, tls, ..parts(&view, &asked) }.with(body("")).unwrap();
            assert_eq!(request.uri().to_string(), format!("{scheme}://up:81{expected}"));
            assert_eq!(request.headers().get(header::HOST), None, "it is told once");
            assert_eq!(request.headers()[header::TE], "trailers");
        }
    }
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let (asked, mut view) = (Uri::from_static("/"), View::for_test());
    let http2 = Parts { http2: true, ..parts(&view, &asked) };
    assert_eq!(http2.with(body("")).unwrap_err(), StatusCode::BAD_GATEWAY, "no host");
    view.query = Some("x".repeat(LONGEST_TARGET - 2));
    parts(&view, &asked).with(body("")).unwrap();
    view.query = Some("x".repeat(900_000));
    assert_eq!(parts(&view, &asked).with(body("")).unwrap_err(), StatusCode::URI_TOO_LONG);
    view.query = None;
    view.path = "/a b".to_owned();
    let request = parts(&view, &asked).with(body(""));
    assert_eq!(request.unwrap_err(), StatusCode::INTERNAL_SERVER_ERROR, "a blank in the path");
}

#[test]
fn a_body_has_one_length() {
    // Method, what the client said of the length, body; what is said of it by us. hyper says the rest by the body.
    let cases = [
        (Method::GET, None, "", None),
        (Method::GET, Some("0"), "", Some("0")),
        (Method::DELETE, None, "", None),
        (Method::POST, None, "", Some("0")),
        (Method::PUT, Some("0"), "", Some("0")),
        (Method::PATCH, None, "", Some("0")),
        // A plugin has taken the body away, or put one in its place.
        (Method::GET, Some("5"), "", Some("0")),
        (Method::POST, Some("5"), "longer", None),
        (Method::POST, None, "hello", None),
    ];
    for (method, said, text, expected) in cases {
        let (asked, mut view) = (Uri::from_static("/"), View::for_test());
        view.method = method.clone();
        if let Some(said) = said {
            view.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static(said));
        }
        let request = parts(&view, &asked).with(body(text)).unwrap();
        let length = request.headers().get(header::CONTENT_LENGTH).map(|length| length.to_str().unwrap());
        assert_eq!(length, expected, "{method} {said:?} {text:?}");
        assert_eq!(request.headers().get(header::TRANSFER_ENCODING), None);
        assert_eq!(request.method(), method);
    }
}

#[test]
fn what_is_told_besides() {
    let (asked, id) = (Uri::from_static("/"), HeaderValue::from_static("1"));
    let view = View::for_test().with("host", "client").with("x-kong-request-id", "forged").with("x", "1");
    let request = parts(&view, &asked).with(body("")).unwrap();
    assert_eq!(request.headers()[header::HOST], "client");
    let host = Some(HeaderValue::from_static("peer"));
    let told = Parts { host, id: Some(&id), websocket: true, ..parts(&view, &asked) };
    let request = told.with(body("")).unwrap();
    for (name, expected) in [
        ("host", "peer"),
        ("x-kong-request-id", "1"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("x", "1"),
    ] {
        let values: Vec<_> = request.headers().get_all(name).iter().collect();
        assert_eq!(values, [expected], "{name}");
    }
}
