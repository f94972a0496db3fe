//! The identity provider: the ways to ask for a token, what stands in it, and how it refuses.

use super::client::{ask_for_token, send};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use postern_devstack::{Idp, IdpFault, IdpOptions, PortChoice};
use serde_json::{Value, json};
use std::time::Duration;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn idp() -> Idp {
    let options = IdpOptions {
        port: PortChoice::Free,
        client_id: Some("my id+%".to_owned()),
        client_secret: Some("s:e/c r&t=ü".to_owned()),
        ..IdpOptions::default()
    };
    Idp::start(options).await.expect("a free port")
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn claims(reply: &Value) -> Value {
    let token = reply["access_token"].as_str().unwrap_or_else(|| panic!("no token: {reply}"));
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn gives_a_token_by_form_json_and_basic() {
    let idp = idp().await;
    let (id, secret) = (idp.client_id().to_owned(), idp.client_secret().to_owned());
    let grant = ("grant_type", "client_credentials");
    let audience = ("audience", "https://api/");
    let post =
        form(&[grant, audience, ("client_id", &id), ("client_secret", &secret), ("scope", "read write")]);
    let json = json!({
        "grant_type": "client_credentials", "audience": "https://api/", "client_id": id, "client_secret": secret,
        "scope": "read write",
    });
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(&id), encoded(&secret))));
    let by_basic = form(&[grant, audience, ("scope", "read write")]);
    let answers = [
        ask_for_token(&idp, &[FORM], post).await,
        ask_for_token(&idp, &[JSON], json.to_string()).await,
        ask_for_token(&idp, &[FORM, ("authorization", &basic)], by_basic).await,
    ];
    for (status, reply) in answers {
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply["token_type"], "Bearer");
        assert_eq!(reply["expires_in"], 86_400);
        assert_eq!(reply["scope"], "read write");
        let claims = claims(&reply);
        assert_eq!(claims["iss"], idp.url());
        assert_eq!(claims["sub"], "my id+%@clients");
        assert_eq!(claims["aud"], "https://api/");
        assert_eq!(claims["azp"], "my id+%");
        assert_eq!(claims["gty"], "client-credentials");
        let life = claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat");
        assert_eq!(life, 86_400);
    }
    assert_eq!(idp.requests_to_token_endpoint(), 3);
}

#[tokio::test]
async fn the_token_is_for_the_audiences_that_were_asked_for() {
    let idp = idp().await;
    let client = [
        ("grant_type", "client_credentials"),
        ("client_id", idp.client_id()),
        ("client_secret", idp.client_secret()),
    ];
    let ask = async |audiences: &[(&str, &str)]| {
        ask_for_token(&idp, &[FORM], form(&[&client[..], audiences].concat())).await
    };
    let (_, two) = ask(&[("audience", "a"), ("audience", "b")]).await;
    assert_eq!(claims(&two)["aud"], json!(["a", "b"]));
    assert!(two.get("scope").is_none());
    let (status, none) = ask(&[]).await;
    assert_eq!((status, &none["error"]), (403, &json!("access_denied")));
    let options = IdpOptions {
        port: PortChoice::Free,
        default_audience: Some("mine".to_owned()),
        ..IdpOptions::default()
    };
    let other = Idp::start(options).await.expect("a free port");
    assert_eq!(other.audience(), "mine");
    let body = form(&[client[0], ("client_id", other.client_id()), ("client_secret", other.client_secret())]);
    assert_eq!(claims(&ask_for_token(&other, &[FORM], body).await.1)["aud"], "mine");
}

#[tokio::test]
async fn refuses_in_the_words_of_auth0_and_never_repeats_the_secret() {
    let idp = idp().await;
    let (id, secret) = (idp.client_id(), idp.client_secret());
    let grant = ("grant_type", "client_credentials");
    let audience = ("audience", "a");
    let good = [("client_id", id), ("client_secret", secret)];
    let wrong = [("client_id", id), ("client_secret", "canary")];
    let stranger = [("client_id", "stranger"), ("client_secret", secret)];
    let basic = format!("Basic {}", STANDARD.encode("a:canary"));
    let table: &[(String, Option<&str>, u16, &str)] = &[
        (form(&[&[grant, audience][..], &wrong].concat()), None, 401, "access_denied"),
        (form(&[&[grant, audience][..], &stranger].concat()), None, 401, "access_denied"),
        (form(&[grant, audience]), None, 401, "access_denied"),
        (form(&[grant, audience]), Some(&basic), 401, "access_denied"),
        (form(&[grant, audience]), Some("Bearer canary"), 401, "access_denied"),
        (form(&[&[grant, audience][..], &good].concat()), Some(&basic), 400, "invalid_request"),
        (form(&good), None, 400, "invalid_request"),
        (form(&[&[grant, grant][..], &good].concat()), None, 400, "invalid_request"),
        (form(&[&[("grant_type", "password")][..], &good].concat()), None, 403, "unauthorized_client"),
        (form(&[&[("grant_type", "magic")][..], &good].concat()), None, 400, "unsupported_grant_type"),
    ];
    for (body, authorization, status, error) in table {
        let mut headers = vec![FORM];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let (got, reply) = ask_for_token(&idp, &headers, body.clone()).await;
        assert_eq!((got, &reply["error"]), (*status, &json!(error)), "{body}: {reply}");
        assert!(reply["error_description"].is_string() && !reply.to_string().contains("canary"), "{reply}");
    }
    let (status, reply) = ask_for_token(&idp, &[JSON], "[1".to_owned()).await;
    assert_eq!((status, &reply["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn publishes_the_current_and_the_previous_key() {
    let idp = idp().await;
    let keys = async || {
        let (_, text) = send("GET", &idp.jwks_url(), &[], String::new()).await.expect("an answer");
        let set: Value = serde_json::from_str(&text).expect("JSON");
        set["keys"].as_array().expect("keys").iter().map(|key| key["kid"].to_string()).collect::<Vec<_>>()
    };
    let first = keys().await;
    idp.rotate_keys().await.expect("a key");
    let second = keys().await;
    assert_eq!((first.len(), second.len()), (1, 2));
    assert_eq!(second[1], first[0]);
    idp.rotate_keys().await.expect("a key");
    let third = keys().await;
    assert_eq!((third.len(), &third[1]), (2, &second[0]));
    let discovery = format!("{}.well-known/openid-configuration", idp.url());
    let (_, text) = send("GET", &discovery, &[], String::new()).await.expect("an answer");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["issuer"], idp.url());
    assert_eq!(document["jwks_uri"], idp.jwks_url());
    assert_eq!(document["token_endpoint"], idp.token_endpoint());
}

#[tokio::test]
async fn breaks_as_told() {
    let idp = idp().await;
    let body = form(&[
        ("grant_type", "client_credentials"),
        ("audience", "a"),
        ("client_id", idp.client_id()),
        ("client_secret", idp.client_secret()),
    ]);
    let ask = async || ask_for_token(&idp, &[FORM], body.clone()).await;
    idp.fault(Some(IdpFault::RefuseClient));
    assert_eq!(ask().await, (401, json!({"error": "access_denied", "error_description": "Unauthorized"})));
    idp.fault(Some(IdpFault::Html));
    let (status, page) = ask().await;
    assert!(status == 200 && page.as_str().is_some_and(|page| page.starts_with("<!DOCTYPE html>")), "{page}");
    idp.fault(Some(IdpFault::NoAccessToken));
    let (status, reply) = ask().await;
    assert!(status == 200 && reply.get("access_token").is_none(), "{reply}");
    idp.fault(Some(IdpFault::ServerError));
    assert_eq!(ask().await.0, 500);
    idp.fault(None);
    idp.delay(Duration::from_millis(150));
    let start = tokio::time::Instant::now();
    assert_eq!(ask().await.0, 200);
    assert!(start.elapsed() >= Duration::from_millis(150));
}
