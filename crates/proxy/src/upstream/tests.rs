//! What may be tried again.

use bytes::Bytes;

use super::*;

fn unsent() -> Box<Request<ToUpstream>> {
    Box::new(Request::new(ToUpstream::new(Some(Bytes::from_static(b"unsent")), None, false)))
}

/// How long the body is, to tell which one it is.
fn which(body: Option<ToUpstream>) -> Option<&'static str> {
    use hyper::body::Body as _;
    Some(match body?.size_hint().exact().unwrap() {
        6 => "unsent",
        4 => "copy",
        _ => "another",
    })
}

#[test]
fn what_comes_of_a_failure() {
    use StatusCode as Status;
    // The failure; what the client is told; what may be sent again of a request that does no harm twice, and of another.
    type Case = (fn() -> Failure, Status, &'static str, Option<&'static str>, Option<&'static str>);
    let cases: [Case; 5] = [
        (
            || Failure::Connect(unsent(), "why".to_owned().into()),
            Status::BAD_GATEWAY,
            "why",
            Some("unsent"),
            Some("unsent"),
        ),
        (
            || Failure::Timeout(Some(unsent())),
            Status::GATEWAY_TIMEOUT,
            "it took too long",
            Some("unsent"),
            Some("unsent"),
        ),
        (|| Failure::Timeout(None), Status::GATEWAY_TIMEOUT, "it took too long", Some("copy"), None),
        (|| Failure::Broken("why".to_owned()), Status::BAD_GATEWAY, "why", Some("copy"), None),
        (|| Failure::Malformed("why".to_owned()), Status::BAD_GATEWAY, "why", None, None),
    ];
    for (failure, status, reason, idempotent, other) in cases {
        let copy = || Some(ToUpstream::new(Some(Bytes::from_static(b"copy")), None, false));
        assert_eq!(failure().status(), status, "{:?}", failure());
        assert_eq!(failure().reason(), reason);
        assert_eq!(which(failure().unsent(true, copy())), idempotent, "{:?}", failure());
        assert_eq!(which(failure().unsent(false, copy())), other, "{:?}", failure());
        // What streams cannot be copied.
        let kept = matches!(failure(), Failure::Connect(..) | Failure::Timeout(Some(_)));
        assert_eq!(failure().unsent(true, None).is_some(), kept, "{:?}", failure());
    }
}

#[test]
fn what_may_be_sent_twice() {
    for (method, expected) in [
        ("GET", true),
        ("HEAD", true),
        ("PUT", true),
        ("DELETE", true),
        ("OPTIONS", true),
        ("PROPFIND", true),
        ("POST", false),
        ("PATCH", false),
        ("LOCK", false),
    ] {
        assert_eq!(is_idempotent(&method.parse().unwrap()), expected, "{method}");
    }
}
