//! Who is told that they may, and that nobody else is.

use serde_json::{Value as Json, json};

use super::*;
use crate::testing::{access, check};
use crate::view::Source;

fn plugin(config: &Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, config)
}

/// What a response says to a page of this origin.
fn told(config: &Json, origin: Option<&'static str>) -> HeaderMap {
    let mut request = Request::for_test();
    if let Some(origin) = origin {
        request.headers.insert(ORIGIN, HeaderValue::from_static(origin));
    }
    let mut response =
        Response { status: StatusCode::OK, headers: HeaderMap::new(), source: Source::Upstream };
    response
        .headers
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://upstream.example"));
    plugin(config).response(&request, &mut response);
    response.headers
}

fn allowed(config: &Json, origin: &'static str) -> Option<String> {
    let headers = told(config, Some(origin));
    headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap().to_owned())
}

#[test]
fn who_may() {
    let these = |origins: &[&str]| json!({ "origins": origins });
    for (config, origin, may) in [
        (these(&["https://a.example", "https://b.example"]), "https://b.example", true),
        (these(&["https://a.example", "https://b.example"]), "https://b.example:443", true),
        (these(&["https://a.example", "https://b.example"]), "http://b.example", false),
        (these(&["https://a.example", "https://b.example"]), "https://b.example.evil", false),
        (these(&["https://a.example", "https://b.example"]), "null", false),
        (these(&["a.example", "b.example"]), "http://a.example:8080", true),
        (these(&["a.example", "b.example"]), "https://xa.example", false),
        (these(&[r"https://.*\.a\.example"]), "https://x.a.example", true),
        (these(&[r"https://.*\.a\.example"]), "https://x.a.example.evil", false),
        (these(&[r"https://.*\.a\.example"]), "evil://https://x.a.example", false),
        (these(&[r"(x|y)\.example"]), "https://y.example", true),
        (these(&[r"(x|y)\.example"]), "https://xx.example", false),
        (these(&["null", "https://a.example"]), "null", true),
    ] {
        assert_eq!(allowed(&config, origin).as_deref(), may.then_some(origin), "{config} {origin}");
        assert_eq!(told(&config, Some(origin))[VARY], "Origin");
    }
    let one = these(&["https://a.example"]);
    assert_eq!(allowed(&one, "https://evil.example").unwrap(), "https://a.example");
}

#[test]
fn everybody_and_credentials() {
    assert_eq!(allowed(&json!({}), "https://x.example").unwrap(), "*");
    assert!(!told(&json!({}), Some("https://x.example")).contains_key(VARY));
    let config = json!({"credentials": true, "origins": ["*"], "exposed_headers": ["x-a", "x-b"]});
    let headers = told(&config, Some("https://x.example"));
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://x.example");
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "x-a,x-b");
    assert_eq!(headers[VARY], "Origin");
    let sandboxed = told(&config, Some("null"));
    assert!(!sandboxed.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    assert!(!sandboxed.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    let others = json!({"credentials": true, "origins": ["https://a.example", "https://b.example"]});
    assert!(!told(&others, Some("https://evil.example")).contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
}

#[test]
fn requests_of_no_page() {
    assert_eq!(told(&json!({"allow_origin_absent": false}), None)[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let headers = told(&json!({"origins": ["https://a.example", "b.example"]}), None);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://upstream.example", "left alone");
    assert_eq!(headers[VARY], "Origin", "caches keep it apart");
}

#[tokio::test]
async fn preflights() {
    let preflight = || {
        let mut request = Request::for_test();
        request.method = Method::OPTIONS;
        for (name, value) in [
            (ORIGIN, "https://x.example"),
            (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
            (ACCESS_CONTROL_REQUEST_HEADERS, "x-asked"),
            (REQUEST_PRIVATE_NETWORK, "true"),
        ] {
            request.headers.insert(name, HeaderValue::from_static(value));
        }
        request
    };
    let answer = access(&*plugin(&json!({})), &mut preflight()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_HEADERS], "x-asked");
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_METHODS], METHODS.join(","));
    assert!(
        !answer.headers.contains_key(ALLOW_PRIVATE_NETWORK)
            && !answer.headers.contains_key(ACCESS_CONTROL_MAX_AGE)
    );

    let config =
        json!({"headers": ["x-a", "x-b"], "methods": ["GET"], "max_age": 60, "private_network": true});
    let answer = access(&*plugin(&config), &mut preflight()).await.unwrap();
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_HEADERS], "x-a,x-b");
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_METHODS], "GET");
    assert_eq!(answer.headers[ACCESS_CONTROL_MAX_AGE], "60");
    assert_eq!(answer.headers[ALLOW_PRIVATE_NETWORK], "true");

    assert!(access(&*plugin(&json!({"preflight_continue": true})), &mut preflight()).await.is_none());
    let mut plain = preflight();
    plain.headers.remove(ACCESS_CONTROL_REQUEST_METHOD);
    assert!(
        access(&*plugin(&json!({})), &mut plain).await.is_none(),
        "only OPTIONS of a page is a preflight"
    );
}

#[test]
fn what_is_no_origin() {
    let said = check(&SCHEMA.config, &json!({"origins": ["https://(a"]})).unwrap_err();
    assert_eq!(said, "'https://(a' is not a valid regex");
    assert!(check(&SCHEMA.config, &json!({"origins": ["*", "https://a.example"]})).is_ok());
}
