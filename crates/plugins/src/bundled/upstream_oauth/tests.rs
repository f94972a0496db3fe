//! An identity provider that counts, fails and rotates, and requests that need its tokens.

use base64::Engine as _;
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use super::*;
use crate::state::State;
use crate::testing::server::Server;
use crate::testing::{access, check};
use postern_secrets::clock::Clock;

fn config(server: &Server, more: Json) -> Json {
    let mut config = json!({
        "oauth": {
            "token_endpoint": format!("http://127.0.0.1:{}/token", server.port),
            "client_id": "gateway", "client_secret": "s3cr3t",
        },
    });
    for (record, fields) in more.as_object().unwrap() {
        let into = config.as_object_mut().unwrap().entry(record).or_insert_with(|| json!({}));
        into.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    }
    config
}

fn plugin(server: &Server, more: Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, &config(server, more))
}

fn issued(token: &str, life: u64) -> (u16, String) {
    (200, json!({"access_token": token, "expires_in": life, "token_type": "Bearer"}).to_string())
}

/// What the upstream gets in `Authorization`, or the status and body that the client gets.
async fn sent(plugin: &dyn Plugin) -> Result<String, (u16, String)> {
    let mut request = Request::for_test().with("authorization", "Bearer the-clients-own");
    match access(plugin, &mut request).await {
        None => Ok(request.header("authorization").unwrap_or("none").to_owned()),
        Some(answer) => {
            assert_eq!(request.header("authorization"), None, "the client's own is gone");
            let AnswerBody::Bytes(body) = answer.body else { panic!("{:?}", answer.body) };
            Err((answer.status.as_u16(), String::from_utf8(body.to_vec()).unwrap()))
        }
    }
}

#[tokio::test]
async fn one_token_for_all_requests() {
    let server = Server::saying([issued("one", 3600)]).await;
    let plugin = plugin(
        &server,
        json!({"oauth": {
            "audience": ["up"], "scopes": ["a", "b"],
            "token_headers": {"X-Tenant": "t1"}, "token_post_args": {"resource": "r"},
        }}),
    );
    let first = futures_util::future::join_all((0..50).map(|_| sent(&*plugin))).await;
    assert!(first.iter().all(|sent| *sent == Ok("Bearer one".to_owned())), "{first:?}");
    assert_eq!(sent(&*plugin).await, Ok("Bearer one".to_owned()));
    let (head, body) = server.requests(1).await.remove(0);
    assert!(head.starts_with("post /token ") && head.contains("x-tenant: t1"), "{head}");
    let body = String::from_utf8(body).unwrap();
    assert_eq!(
        body,
        "grant_type=client_credentials&audience=up&scope=a+b&resource=r&client_id=gateway&client_secret=s3cr3t"
    );
}

#[tokio::test]
async fn the_client_shows_who_it_is_as_configured() {
    let pair = base64::engine::general_purpose::STANDARD.encode("gateway:s3cr3t").to_ascii_lowercase();
    let basic = format!("authorization: basic {pair}");
    for (client, expected) in [
        (json!({"auth_method": "client_secret_basic"}), basic.as_str()),
        (
            json!({"auth_method": "none"}),
            "grant_type=password&username=me&password=pw&scope=openid&client_id=gateway",
        ),
        (
            json!({"auth_method": "client_secret_jwt", "client_secret_jwt_alg": "HS256"}),
            "client_assertion=eyJ",
        ),
    ] {
        let server = Server::saying([issued("t", 60)]).await;
        let oauth = json!({"grant_type": "password", "username": "me", "password": "pw"});
        let plugin = plugin(&server, json!({"client": client, "oauth": oauth}));
        assert_eq!(sent(&*plugin).await, Ok("Bearer t".to_owned()));
        let (head, body) = server.requests(1).await.remove(0);
        let request = format!("{head}\n{}", String::from_utf8(body).unwrap());
        assert!(request.contains(expected), "{expected} in {request}");
        assert!(!request.contains("client_secret=s3cr3t"), "{request}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_take_it_makes_the_next_request_get_another() {
    let server = Server::saying([issued("one", 3600), issued("two", 3600)]).await;
    let plugin = plugin(&server, json!({}));
    let mut request = Request::for_test();
    assert!(access(&*plugin, &mut request).await.is_none());
    let answer = |status: u16, source| Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        source,
    };
    // Neither another status nor an answer of the gateway's own says anything about the token.
    plugin.response(&request, &mut answer(403, view::Source::Upstream));
    plugin.response(&request, &mut answer(401, view::Source::Plugin));
    assert_eq!(sent(&*plugin).await, Ok("Bearer one".to_owned()));
    plugin.response(&request, &mut answer(401, view::Source::Upstream));
    assert_eq!(sent(&*plugin).await, Ok("Bearer two".to_owned()));
    // A late word about the old one does not cost the new one.
    plugin.response(&request, &mut answer(401, view::Source::Upstream));
    assert_eq!(sent(&*plugin).await, Ok("Bearer two".to_owned()));
    server.requests(2).await;
}

#[tokio::test]
async fn without_a_token_the_client_is_told_what_the_operator_wants() {
    let server = Server::saying([(
        401,
        json!({"error": "invalid_client", "error_description": "s3cr3t"}).to_string(),
    )])
    .await;
    let plugin = plugin(
        &server,
        json!({"behavior": {
            "idp_error_response_status_code": 503, "idp_error_response_content_type": "text/plain",
            "idp_error_response_message": "no token", "idp_error_response_body_template": "{{status}}: {{message}}",
        }}),
    );
    assert_eq!(sent(&*plugin).await, Err((503, "503: no token".to_owned())));
    // The provider is not asked again at once.
    assert_eq!(sent(&*plugin).await, Err((503, "503: no token".to_owned())));
    server.requests(1).await;
    let nowhere = Server::answering(&[]).await;
    let mut away = config(&nowhere, json!({}));
    away["oauth"]["token_endpoint"] = "http://127.0.0.1:1/".into();
    let away = crate::testing::make(&SCHEMA.config, make, &away);
    let expected = r#"{ "code": "502", "message": "Failed to authenticate request to upstream" }"#;
    assert_eq!(sent(&*away).await, Err((502, expected.to_owned())));
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_serves_until_then() {
    // Of 7 seconds the last 5 do not count, and in the last fifth of the rest it is renewed.
    let server = Server::saying([issued("one", 7), (500, String::new()), issued("two", 3600)]).await;
    let plugin = plugin(&server, json!({}));
    assert_eq!(sent(&*plugin).await, Ok("Bearer one".to_owned()));
    sleep(Duration::from_millis(1700)).await;
    // The provider fails now; the token is still good.
    assert_eq!(sent(&*plugin).await, Ok("Bearer one".to_owned()));
    server.requests(2).await;
    assert_eq!(sent(&*plugin).await, Ok("Bearer one".to_owned()));
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(sent(&*plugin).await, Ok("Bearer two".to_owned()));
    server.requests(3).await;
}

#[tokio::test]
async fn a_rotated_secret_costs_no_request_its_token() {
    let server = Server::saying([issued("one", 3600), issued("two", 3600), issued("three", 3600)]).await;
    let (state, clock) = (Arc::<State>::default(), Clock::at(0));
    let made =
        |more: Json| crate::testing::make_in(&SCHEMA.config, make, &config(&server, more), &state, &clock);
    let old = made(json!({}));
    assert_eq!(sent(&*old).await, Ok("Bearer one".to_owned()));
    // The same again, as when another part of the configuration changes.
    let same = made(json!({}));
    assert_eq!(sent(&*same).await, Ok("Bearer one".to_owned()));
    server.requests(1).await;
    let rotated = made(json!({"oauth": {"client_secret": "n3w"}}));
    assert!(matches!(sent(&*rotated).await.as_deref(), Ok("Bearer one" | "Bearer two")));
    let requests = server.requests(2).await;
    assert!(String::from_utf8_lossy(&requests[1].1).contains("client_secret=n3w"));
    for _ in 0..100 {
        if sent(&*rotated).await == Ok("Bearer two".to_owned()) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sent(&*rotated).await, Ok("Bearer two".to_owned()));
    // Another audience is another token: the old one is none.
    let other = made(json!({"oauth": {"client_secret": "n3w", "audience": ["other"]}}));
    assert_eq!(sent(&*other).await, Ok("Bearer three".to_owned()));
}

#[tokio::test]
async fn another_header_takes_it() {
    let server = Server::saying([issued("t", 60)]).await;
    let plugin = plugin(&server, json!({"behavior": {"upstream_access_token_header_name": "X-Token"}}));
    let mut request = Request::for_test().with("authorization", "Bearer mine").with("x-token", "forged");
    assert!(access(&*plugin, &mut request).await.is_none());
    assert_eq!(request.header("x-token"), Some("Bearer t"));
    assert_eq!(request.header("authorization"), Some("Bearer mine"));
    assert!(request.headers["x-token"].is_sensitive());
}

#[test]
fn what_is_refused() {
    let whole = json!({"oauth": {"token_endpoint": "https://idp.test/token", "client_id": "a", "client_secret": "b"}});
    assert_eq!(check(&SCHEMA.config, &whole), Ok(()));
    for (pointer, value, message) in [
        ("/oauth/client_id", Json::Null, "client_id: required field missing"),
        ("/oauth/client_secret", Json::Null, "client_secret: required field missing"),
        ("/oauth/token_endpoint", "idp".into(), "missing host in url"),
    ] {
        let mut config = whole.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        let said = check(&SCHEMA.config, &config).unwrap_err();
        assert!(said.contains(message), "{said}");
    }
    let mut password = whole.clone();
    password["oauth"]["grant_type"] = "password".into();
    assert!(check(&SCHEMA.config, &password).unwrap_err().contains("username: required field missing"));
}
