//! What lets a request through, what it is answered otherwise, and what the upstream sees.

use std::sync::Arc;

use postern_model::entity::{self, Foreign, KeyauthCredential};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::*;
use crate::directory::{Directory, Source};
use crate::testing::{access, check, told};

fn directory() -> Arc<Directory> {
    let consumer = |name: &str, custom: Option<&str>| entity::Consumer {
        username: Some(name.into()),
        custom_id: custom.map(Text::from),
        tags: None,
    };
    let key = |consumer, key: &str, ttl| KeyauthCredential {
        consumer: Foreign { id: Uuid::from_u128(consumer) },
        key: key.into(),
        ttl,
    };
    Arc::new(Directory::new(Source {
        consumers: vec![
            (Uuid::from_u128(1), consumer("ann", Some("c-1"))),
            (Uuid::from_u128(2), consumer("nobody", None)),
        ],
        keyauth_credentials: vec![
            (Uuid::from_u128(21), key(1, "k", None)),
            (Uuid::from_u128(22), key(1, "old", Some(60))),
        ],
        loaded_at: 1_700_000_000 - 60,
        ..Source::default()
    }))
}

fn request(target: &str) -> Request {
    let mut request = Request::for_test().to(target);
    request.directory = directory();
    request
}

fn plugin(config: Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, &config)
}

fn with_body(kind: &'static str, body: &str) -> Request {
    let mut request = request("/").with("content-type", kind);
    request.set_body(Bytes::from(body.to_owned()));
    request
}

const OK: Option<&str> = None;
const MISSING: Option<&str> = Some("No API key found in request");
const WRONG: Option<&str> = Some("Unauthorized");
const TWICE: Option<&str> = Some("Duplicate API key found");

#[tokio::test]
async fn what_lets_a_request_through() {
    let form = "application/x-www-form-urlencoded";
    for (config, request, expected) in [
        (json!({}), request("/").with("apikey", "k"), OK),
        (json!({}), request("/").with("APIKEY", "k"), OK),
        (json!({}), request("/?apikey=k"), OK),
        (json!({}), request("/?a=1&api%6bey=%6b"), OK),
        (json!({}), request("/"), MISSING),
        (json!({}), request("/").with("apikey", ""), MISSING),
        // The header comes first, also when it is empty.
        (json!({}), request("/?apikey=k").with("apikey", ""), MISSING),
        (json!({}), request("/?apikey=k").with("apikey", "x"), WRONG),
        (json!({}), request("/?apikey"), MISSING),
        (json!({}), request("/?APIKEY=k"), MISSING),
        (json!({}), request("/").with("apikey", "K"), WRONG),
        (json!({}), request("/").with("apikey", "old"), WRONG),
        (json!({}), request("/").with("apikey", "k").with("apikey", "k"), TWICE),
        (json!({}), request("/?apikey=k&apikey=x"), TWICE),
        (json!({"key_in_header": false}), request("/").with("apikey", "k"), MISSING),
        (json!({"key_in_query": false}), request("/?apikey=k"), MISSING),
        (json!({"key_names": ["x", "y"]}), request("/?y=k"), OK),
        (json!({"key_names": ["x", "y"]}), request("/?y=k&x=z"), WRONG),
        (json!({}), with_body(form, "apikey=k"), MISSING),
        (json!({"key_in_body": true}), with_body(form, "apikey=k"), OK),
        (json!({"key_in_body": true}), with_body("application/json", r#"{"apikey":"k"}"#), OK),
        (json!({"key_in_body": true}), with_body("application/json", r#"{"apikey":["k"]}"#), TWICE),
        (json!({"key_in_body": true}), with_body("application/json", r#"{"apikey":"k""#), MISSING),
        (json!({"key_in_body": true}), with_body("text/plain", "apikey=k"), MISSING),
    ] {
        let mut request = request;
        let shown = format!("{config} {} {:?} {:?}", request.path, request.query, request.headers);
        let answer = access(&*plugin(config), &mut request).await;
        if let Some(answer) = &answer {
            assert_eq!(answer.headers[WWW_AUTHENTICATE], "Key", "{shown}");
        }
        let told = told(answer).map(|(status, message)| {
            assert_eq!(status, 401);
            message
        });
        assert_eq!(told.as_deref(), expected, "{shown}");
        assert_eq!(request.consumer.is_some(), expected.is_none());
    }
}

#[tokio::test]
async fn the_upstream_is_told_who_it_is_and_nothing_that_the_client_claims() {
    let claims = |request: Request| {
        request
            .with("x-consumer-id", "forged")
            .with("x-consumer-custom-id", "forged")
            .with("x-consumer-username", "forged")
            .with("x-credential-identifier", "forged")
            .with("x-anonymous-consumer", "forged")
    };
    let mut known = claims(request("/").with("apikey", "k"));
    assert!(access(&*plugin(json!({})), &mut known).await.is_none());
    let (id, credential) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(21).to_string());
    assert_eq!(known.header("x-consumer-id"), Some(&*id));
    assert_eq!(known.header("x-consumer-custom-id"), Some("c-1"));
    assert_eq!(known.header("x-consumer-username"), Some("ann"));
    assert_eq!(known.header("x-credential-identifier"), Some(&*credential));
    assert_eq!(known.header("x-anonymous-consumer"), None);
    assert_eq!(known.credential, Some(Uuid::from_u128(21)));

    for name in ["nobody", "00000000-0000-0000-0000-000000000002"] {
        let mut unknown = claims(request("/").with("apikey", "x"));
        assert!(access(&*plugin(json!({"anonymous": name})), &mut unknown).await.is_none());
        assert_eq!(unknown.header("x-consumer-username"), Some("nobody"));
        assert_eq!(unknown.header("x-consumer-custom-id"), None);
        assert_eq!(unknown.header("x-credential-identifier"), None);
        assert_eq!(unknown.header("x-anonymous-consumer"), Some("true"));
        assert!(unknown.credential.is_none() && unknown.consumer.is_some());
    }
    let answer = access(&*plugin(json!({"anonymous": "who"})), &mut request("/")).await;
    let message = "anonymous consumer who is configured but doesn't exist".to_owned();
    assert_eq!(told(answer), Some((StatusCode::INTERNAL_SERVER_ERROR, message)));
}

#[tokio::test]
async fn another_credential_is_enough_only_with_anonymous() {
    for (config, through) in [(json!({"anonymous": "nobody"}), true), (json!({}), false)] {
        let mut request = request("/");
        request.credential = Some(Uuid::from_u128(7));
        assert_eq!(access(&*plugin(config), &mut request).await.is_none(), through);
        assert_eq!(request.credential, Some(Uuid::from_u128(7)));
    }
}

#[tokio::test]
async fn a_key_can_be_hidden() {
    let hide = plugin(json!({"hide_credentials": true, "key_in_body": true}));
    let mut request =
        with_body("application/json", r#"{"a":1,"apikey":"x"}"#).to("/?apikey=y&b=%7e").with("apikey", "k");
    assert!(hide.wants_body(&request));
    assert!(access(&*hide, &mut request).await.is_none());
    assert!(!request.headers.contains_key("apikey"));
    assert_eq!(request.query.as_deref(), Some("b=%7e"));
    assert_eq!(request.body.as_deref(), Some(br#"{"a":1}"#.as_slice()));
    assert_eq!(request.header("content-length"), Some("7"));

    let mut request = self::request("/?apikey=k");
    assert!(access(&*hide, &mut request).await.is_none());
    assert_eq!(request.query, None);

    let mut request = self::request("/?apikey=k");
    assert!(access(&*plugin(json!({})), &mut request).await.is_none());
    assert_eq!(request.query.as_deref(), Some("apikey=k"));
}

#[tokio::test]
async fn preflight_requests_may_go_without() {
    for (runs, through) in [(true, false), (false, true)] {
        let mut request = request("/");
        request.method = Method::OPTIONS;
        let plugin = plugin(json!({"run_on_preflight": runs, "realm": "here"}));
        let answer = access(&*plugin, &mut request).await;
        assert_eq!(answer.is_none(), through);
        assert!(answer.is_none_or(|answer| answer.headers[WWW_AUTHENTICATE] == "Key realm=\"here\""));
    }
}

#[test]
fn names_are_those_of_headers() {
    assert_eq!(check(&SCHEMA.config, &json!({"key_names": ["a-b_C"]})), Ok(()));
    let bad = check(&SCHEMA.config, &json!({"key_names": ["a b"]})).unwrap_err();
    assert_eq!(bad, "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'");
}
