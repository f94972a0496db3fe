//! Tokens and a server that knows them, or says what servers should not.

use serde_json::{Value as Json, json};

use super::*;
use crate::directory::{Directory, Source};
use crate::state::State;
use crate::testing::server::Server;
use crate::testing::{access, check, told};

const NOW: u64 = 1_700_000_000;

fn config(server: &Server, more: Json) -> Json {
    let mut config = json!({
        "introspection_url": format!("http://127.0.0.1:{}/introspect", server.port),
        "authorization_value": "Basic c2VjcmV0",
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

async fn server(replies: &[Json]) -> Server {
    Server::saying(replies.iter().map(|reply| (200, reply.to_string()))).await
}

fn plugin(server: &Server, more: Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, &config(server, more))
}

fn request(token: &str) -> Request {
    let consumer = |id: u128, username: &str, custom_id: Option<&str>| {
        let text = |text: &str| Text::from(text);
        let entity = postern_model::entity::Consumer {
            username: Some(text(username)),
            custom_id: custom_id.map(text),
            tags: None,
        };
        (Uuid::from_u128(id), entity)
    };
    let consumers = vec![consumer(1, "ann", Some("client-1")), consumer(2, "nobody", None)];
    let mut request = Request::for_test().with("authorization", &format!("Bearer {token}"));
    request.directory = Arc::new(Directory::new(Source { consumers, ..Source::default() }));
    request
}

/// Status, `error` and challenge of a refusal.
async fn refused(plugin: &dyn Plugin, request: &mut Request) -> (u16, String, String) {
    let answer = access(plugin, request).await.expect("a refusal");
    let AnswerBody::Bytes(body) = &answer.body else { panic!("{:?}", answer.body) };
    let body: Json = serde_json::from_slice(body).unwrap();
    let challenge = answer.headers[WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    (answer.status.as_u16(), body["error"].as_str().unwrap().to_owned(), challenge)
}

#[tokio::test]
async fn an_active_token_lets_in_and_the_upstream_learns_whose_it_is() {
    let reply = json!({
        "active": true, "username": "ann", "client_id": "client-1", "scope": "read write", "token_type": "Bearer",
        "exp": NOW + 60, "aud": ["a", "b"], "team": {"id": 1}, "nasty": "a\r\nx-admin: true", "secret": "untold",
    });
    let server = server(&[reply]).await;
    let plugin = plugin(
        &server,
        json!({
            "token_type_hint": "access_token", "custom_claims_forward": ["team", "nasty"],
            "custom_introspection_headers": {"X-Tenant": "t1"},
        }),
    );
    let mut request = request("t0k+en").with("x-credential-scope", "admin").with("x-credential-sub", "root");
    assert!(access(&*plugin, &mut request).await.is_none());
    let expected = [
        ("x-consumer-username", Some("ann")),
        ("x-credential-identifier", Some("ann")),
        ("x-credential-scope", Some("read write")),
        ("x-credential-client-id", Some("client-1")),
        ("x-credential-token-type", Some("Bearer")),
        ("x-credential-exp", Some("1700000060")),
        ("x-credential-aud", Some("a b")),
        ("x-credential-team", Some("{\"id\":1}")),
        // What the client said, what cannot stand in a header, what nobody asked for.
        ("x-credential-sub", None),
        ("x-credential-nasty", None),
        ("x-credential-secret", None),
        ("x-admin", None),
    ];
    for (name, value) in expected {
        assert_eq!(request.header(name), value, "{name}");
    }
    assert!(request.header("authorization").is_some());
    let (head, body) = server.requests(1).await.remove(0);
    assert!(
        head.starts_with("post /introspect ") && head.contains("authorization: basic c2vjcmv0"),
        "{head}"
    );
    assert!(head.contains("x-tenant: t1") && !head.contains("x-request-path"), "{head}");
    assert_eq!(String::from_utf8(body).unwrap(), "token=t0k%2Ben&token_type_hint=access_token");
}

#[tokio::test]
async fn an_answer_is_kept_for_its_token_alone_and_until_that_ends() {
    let reply = |scope: &str, exp: u64| json!({"active": true, "scope": scope, "exp": exp});
    let server = server(&[reply("a", NOW + 10), reply("b", NOW + 500), reply("c", NOW + 500)]).await;
    let (state, clock) = (Arc::<State>::default(), Clock::at(NOW));
    let plugin =
        crate::testing::make_in(&SCHEMA.config, make, &config(&server, json!({"ttl": 100})), &state, &clock);
    let scope = async |token: &str| {
        let mut request = request(token);
        assert_eq!(told(access(&*plugin, &mut request).await), None);
        request.header("x-credential-scope").unwrap().to_owned()
    };
    assert_eq!((scope("one").await, scope("one").await), ("a".to_owned(), "a".to_owned()));
    assert_eq!(scope("two").await, "b");
    clock.set(NOW + 9);
    assert_eq!(scope("one").await, "a");
    clock.set(NOW + 10);
    assert_eq!(scope("one").await, "c");
    server.requests(3).await;
    // Another configuration of the same plugin shares what it says of the same server.
    let again =
        crate::testing::make_in(&SCHEMA.config, make, &config(&server, json!({"ttl": 100})), &state, &clock);
    assert!(access(&*again, &mut request("two")).await.is_none());
    server.requests(3).await;
}

#[tokio::test]
async fn many_requests_with_a_token_are_one_question() {
    let server = server(&[json!({"active": true})]).await;
    let plugin = plugin(&server, json!({}));
    let mut requests: Vec<_> = (0..50).map(|_| request("same")).collect();
    let asked = requests.iter_mut().map(|request| access(&*plugin, request));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(Option::is_none));
    server.requests(1).await;
}

#[tokio::test]
async fn what_is_no_active_token_is_refused() {
    let challenge = "Bearer realm=\"service\" error=\"invalid_token\" \
                     error_description=\"The access token is invalid or has expired\"";
    for reply in [
        json!({"active": false}),
        json!({"active": "true"}),
        json!({"username": "ann"}),
        json!({"active": true, "exp": NOW}),
        json!({"active": true, "exp": "soon"}),
        json!({"active": true, "exp": {}}),
        json!({"active": true, "nbf": NOW + 1}),
    ] {
        let server = server(std::slice::from_ref(&reply)).await;
        let plugin = plugin(&server, json!({}));
        for _ in 0..2 {
            let (status, error, told) = refused(&*plugin, &mut request("t")).await;
            assert_eq!((status, error.as_str(), told.as_str()), (401, "invalid_token", challenge), "{reply}");
        }
        // It is not asked again and again.
        server.requests(1).await;
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_believed_closes() {
    for (status, body) in
        [(200, "<html>"), (200, "[true]"), (500, "{\"active\":true}"), (302, "{}"), (204, "")]
    {
        let server =
            Server::saying([(status, body.to_owned()), (200, json!({"active": true}).to_string())]).await;
        let plugin = plugin(&server, json!({}));
        let answer = told(access(&*plugin, &mut request("t")).await);
        assert_eq!(
            answer,
            Some((StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred".to_owned()))
        );
        // A failure is not kept.
        assert_eq!(told(access(&*plugin, &mut request("t")).await), None, "{status} {body}");
    }
}

#[tokio::test]
async fn where_a_token_may_stand() {
    let server = server(&[json!({"active": true}), json!({"active": true})]).await;
    let plugin = plugin(&server, json!({"hide_credentials": true}));
    let bare = || {
        let mut bare = request("");
        bare.headers.remove(AUTHORIZATION);
        bare
    };
    let no_token = (401, "invalid_request".to_owned(), "Bearer realm=\"service\"".to_owned());
    assert_eq!(refused(&*plugin, &mut bare()).await, no_token);
    assert_eq!(refused(&*plugin, &mut bare().with("authorization", "Basic YTpi")).await, no_token);
    assert_eq!(refused(&*plugin, &mut bare().to("/?access_token=")).await, no_token);

    let mut query = bare().to("/?a=1&access_token=t");
    assert!(access(&*plugin, &mut query).await.is_none());
    assert_eq!(query.query.as_deref(), Some("a=1"));
    let mut form = bare().with("content-type", "application/x-www-form-urlencoded");
    form.body = Some("access_token=t&b=2".into());
    assert!(plugin.wants_body(&form));
    assert!(access(&*plugin, &mut form).await.is_none());
    assert_eq!(form.body.as_deref(), Some(b"b=2".as_slice()));
    let mut header = request("t");
    assert!(access(&*plugin, &mut header).await.is_none());
    assert_eq!(header.header("authorization"), None);

    for mut twice in [
        request("t").to("/?access_token=t"),
        bare().to("/?access_token=t&access_token=t"),
        request("t").with("authorization", "Bearer t"),
    ] {
        let (status, error, _) = refused(&*plugin, &mut twice).await;
        assert_eq!((status, error.as_str()), (400, "invalid_request"));
    }
    let (status, _, _) = refused(&*plugin, &mut request(&"t".repeat(20_000))).await;
    assert_eq!(status, 401);
    server.requests(1).await;
}

#[tokio::test]
async fn the_server_may_be_told_what_is_asked_for() {
    let server = server(&[json!({"active": true}), json!({"active": false})]).await;
    let plugin = plugin(&server, json!({"introspect_request": true}));
    assert!(access(&*plugin, &mut request("t").to("/read")).await.is_none());
    assert!(access(&*plugin, &mut request("t").to("/read")).await.is_none());
    assert_eq!(refused(&*plugin, &mut request("t").to("/write")).await.0, 401);
    let heads: Vec<_> = server.requests(2).await.into_iter().map(|(head, _)| head).collect();
    assert!(
        heads[1].contains("x-request-path: /write") && heads[1].contains("x-request-http-method: get"),
        "{heads:?}"
    );
}

#[tokio::test]
async fn whose_it_is_and_who_else_may_come_in() {
    let server = server(&[json!({"active": true, "username": "client-1", "client_id": "client-1"})]).await;
    let by_client = plugin(&server, json!({"consumer_by": "client_id"}));
    let mut found = request("t");
    assert!(access(&*by_client, &mut found).await.is_none());
    assert_eq!(found.header("x-consumer-username"), Some("ann"));

    let stranger = server_of(json!({"active": true, "username": "stranger"})).await;
    let plugin_of_stranger = plugin(&stranger, json!({}));
    let mut unknown = request("t").with("x-consumer-username", "admin").with("x-consumer-id", "1");
    assert!(access(&*plugin_of_stranger, &mut unknown).await.is_none());
    assert_eq!((unknown.header("x-consumer-username"), unknown.header("x-consumer-id")), (None, None));
    assert!(unknown.consumer.is_none() && unknown.credential.is_some());

    let inactive = server_of(json!({"active": false})).await;
    let anonymous = plugin(&inactive, json!({"anonymous": "nobody"}));
    let mut let_in = request("t");
    assert!(access(&*anonymous, &mut let_in).await.is_none());
    assert_eq!(let_in.header("x-anonymous-consumer"), Some("true"));
    // Who was let in by another plugin is not asked again.
    let mut done = request("t");
    done.credential = Some(Uuid::from_u128(9));
    assert!(access(&*anonymous, &mut done).await.is_none());
    assert_eq!(done.header("x-anonymous-consumer"), None);

    let preflight = plugin(&inactive, json!({"run_on_preflight": false}));
    let mut options = request("t");
    options.method = Method::OPTIONS;
    assert!(access(&*preflight, &mut options).await.is_none());
    inactive.requests(1).await;
}

async fn server_of(reply: Json) -> Server {
    server(&[reply]).await
}

#[test]
fn what_is_refused_when_it_is_read() {
    for config in [
        json!({"introspection_url": "idp", "authorization_value": "a"}),
        json!({"introspection_url": "https://idp/", "authorization_value": "a", "custom_introspection_headers": {"a b": "c"}}),
    ] {
        assert!(check(&SCHEMA.config, &config).is_err(), "{config}");
    }
    let claims = json!({"introspection_url": "https://idp/", "authorization_value": "a", "custom_claims_forward": ["a b"]});
    let said = crate::testing::refusal(&SCHEMA.config, make, &claims).unwrap();
    assert!(said.contains("custom_claims_forward"), "{said}");
}
