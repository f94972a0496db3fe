//! Browsers that come back, and those who try what is not theirs.

use postern_model::entity;
use serde_json::{Value as Json, json};

use super::*;
use crate::bundled::key_auth;
use crate::directory::{Directory, Source};
use crate::state::State;
use crate::testing::{access, check};
use crate::view;

const NOW: u64 = 1_700_000_000;

struct Stage {
    plugin: Box<dyn Plugin>,
    key_auth: Box<dyn Plugin>,
    clock: Clock,
    state: Arc<State>,
}

fn staged(config: Json) -> Stage {
    let (state, clock) = (Arc::<State>::default(), Clock::at(NOW));
    let plugin = made(config, &state, &clock);
    let key_auth = crate::testing::make(
        &key_auth::SCHEMA.config,
        key_auth::DEFINITION.make,
        &json!({"anonymous": "nobody"}),
    );
    Stage { plugin, key_auth, clock, state }
}

fn made(mut config: Json, state: &Arc<State>, clock: &Clock) -> Box<dyn Plugin> {
    config.as_object_mut().unwrap().entry("secret").or_insert("s3cr3t".into());
    crate::testing::make_in(&SCHEMA.config, make, &config, state, clock)
}

fn request() -> Request {
    let consumer = |id: u128, username: &str| {
        let username = Some(username.into());
        (Uuid::from_u128(id), entity::Consumer { username, custom_id: None, tags: None })
    };
    let key = entity::KeyauthCredential {
        key: "k3y".into(),
        consumer: entity::Foreign { id: Uuid::from_u128(1) },
        ttl: None,
    };
    let source = Source {
        consumers: vec![consumer(1, "ann"), consumer(2, "nobody")],
        keyauth_credentials: vec![(Uuid::from_u128(11), key)],
        loaded_at: NOW,
        ..Source::default()
    };
    let mut request = Request::for_test().with("user-agent", "browser");
    request.directory = Arc::new(Directory::new(source));
    request
}

/// Who it is for the upstream, and the cookies that are set: name and value, without attributes.
type Came = (String, Vec<(String, String)>);

impl Stage {
    async fn came(&self, mut request: Request) -> (Came, Request, Response) {
        for plugin in [&self.plugin, &self.key_auth] {
            assert!(access(&**plugin, &mut request).await.is_none());
        }
        let mut response =
            Response { status: StatusCode::OK, headers: HeaderMap::new(), source: view::Source::Upstream };
        self.plugin.response(&request, &mut response);
        let who = request.header("x-consumer-username").unwrap_or("-").to_owned();
        let set = response.headers.get_all(SET_COOKIE).iter().map(|value| {
            let (name, rest) = value.to_str().unwrap().split_once('=').unwrap();
            (name.to_owned(), rest.split(';').next().unwrap().to_owned())
        });
        ((who, set.collect()), request, response)
    }

    /// Logs in with a key; gives the cookies.
    async fn log_in(&self) -> String {
        let ((who, set), _, _) = self.came(request().with("apikey", "k3y")).await;
        assert_eq!(who, "ann");
        joined(&set)
    }

    /// Who comes with these cookies, and whether new ones are set.
    async fn back(&self, cookie: &str) -> (String, bool) {
        let ((who, set), _, _) = self.came(request().with("cookie", cookie)).await;
        (who, !set.is_empty())
    }
}

fn joined(set: &[(String, String)]) -> String {
    set.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

fn is(who: &str, set: bool) -> (String, bool) {
    (who.to_owned(), set)
}

#[tokio::test]
async fn a_cookie_is_as_good_as_the_key_that_it_was_got_with() {
    let stage = staged(
        json!({"response_headers": ["id", "subject", "timeout"], "request_headers": ["audience", "idling-timeout"]}),
    );
    // Neither cookie nor key: anonymous, and no session.
    let ((who, set), _, _) = stage.came(request()).await;
    assert_eq!((who.as_str(), set.len()), ("nobody", 0));

    let ((_, set), _, response) = stage.came(request().with("apikey", "k3y")).await;
    let written = response.headers[SET_COOKIE].to_str().unwrap();
    assert!(written.ends_with("; Path=/; SameSite=Strict; Secure; HttpOnly"), "{written}");
    assert_eq!(response.headers["session-subject"], Uuid::from_u128(1).to_string().as_str());
    assert_eq!(response.headers["session-timeout"], "900");

    let sent = format!("theme=dark; {}; a=1", joined(&set));
    let forged = request().with("cookie", &sent).with("session-audience", "admin").with("session-id", "1");
    let ((who, again), request, _) = stage.came(forged).await;
    assert_eq!((who.as_str(), again.len()), ("ann", 0));
    assert_eq!(request.credential, Some(Uuid::from_u128(11)));
    assert_eq!(request.header("cookie"), Some("theme=dark; a=1"), "the session is nobody else's business");
    assert_eq!(request.header("session-audience"), Some("default"));
    assert_eq!(request.header("session-idling-timeout"), Some("900"));
    assert_eq!(request.header("session-id"), None);
    assert_eq!(request.header("x-anonymous-consumer"), None);
}

#[tokio::test]
async fn a_session_ends_in_each_of_its_ways() {
    for (config, last, over) in [
        (json!({"idling_timeout": 100, "rolling_timeout": 0, "absolute_timeout": 0}), 99, 100),
        (json!({"idling_timeout": 0, "rolling_timeout": 100, "absolute_timeout": 0}), 99, 100),
        (json!({"idling_timeout": 0, "rolling_timeout": 0, "absolute_timeout": 100}), 99, 100),
    ] {
        let stage = staged(config.clone());
        let cookie = stage.log_in().await;
        stage.clock.set(NOW + last);
        assert_eq!(stage.back(&cookie).await.0, "ann", "{config}");
        stage.clock.set(NOW + over);
        assert_eq!(stage.back(&cookie).await, is("nobody", false), "{config}");
    }
    // Who keeps coming stays, until the absolute end.
    let stage = staged(json!({"idling_timeout": 100, "rolling_timeout": 200, "absolute_timeout": 500}));
    let mut cookie = stage.log_in().await;
    for seconds in (50..500).step_by(50) {
        stage.clock.set(NOW + seconds);
        let ((who, set), _, _) = stage.came(request().with("cookie", &cookie)).await;
        assert_eq!(who, "ann", "{seconds}");
        if !set.is_empty() {
            cookie = joined(&set);
        }
    }
    stage.clock.set(NOW + 500);
    assert_eq!(stage.back(&cookie).await, is("nobody", false));
}

#[tokio::test]
async fn what_is_not_this_session_is_none() {
    let stage = staged(json!({}));
    let cookie = stage.log_in().await;
    let (_, value) = cookie.split_once('=').unwrap();
    for wrong in [
        format!("session={value}A"),
        format!("session=A{value}"),
        format!("session={value}; session={value}"),
        format!("other={value}"),
        format!("remember={value}"),
        "session=admin".to_owned(),
        "session=".to_owned(),
        format!("session={}", "A".repeat(5000)),
    ] {
        assert_eq!(stage.back(&wrong).await, is("nobody", false), "{wrong}");
    }
    // Of another audience, name or plugin.
    for config in
        [json!({"audience": "other"}), json!({"cookie_name": "renamed"}), json!({"secret": "another"})]
    {
        let other = Stage {
            plugin: made(config.clone(), &Arc::default(), &stage.clock),
            key_auth: staged(json!({})).key_auth,
            clock: stage.clock.clone(),
            state: Arc::clone(&stage.state),
        };
        let sent =
            if config.get("cookie_name").is_some() { format!("renamed={value}") } else { cookie.clone() };
        assert_eq!(other.back(&sent).await, is("nobody", false), "{config}");
    }
    // A consumer that is gone.
    let mut gone = request().with("cookie", &cookie);
    gone.directory = Arc::default();
    assert!(access(&*stage.plugin, &mut gone).await.is_none());
    assert_eq!((gone.consumer, gone.credential), (None, None));
}

#[tokio::test]
async fn a_secret_that_rotates_ends_nobodys_session() {
    let stage = staged(json!({"secret": "one"}));
    let cookie = stage.log_in().await;
    let rotated = |secret: &str| Stage {
        plugin: made(json!({"secret": secret}), &stage.state, &stage.clock),
        key_auth: staged(json!({})).key_auth,
        clock: stage.clock.clone(),
        state: Arc::clone(&stage.state),
    };
    let two = rotated("two");
    assert_eq!(two.back(&cookie).await, is("ann", true), "it gets one of the new secret");
    let ((_, set), _, _) = two.came(request().with("cookie", &cookie)).await;
    let new = joined(&set);
    let three = rotated("three");
    assert_eq!(three.back(&cookie).await, is("nobody", false), "two secrets ago");
    assert_eq!(three.back(&new).await, is("ann", true));
}

#[tokio::test]
async fn a_session_may_be_bound_to_its_client() {
    let stage = staged(json!({"bind": ["ip", "scheme", "user-agent"]}));
    let cookie = stage.log_in().await;
    assert_eq!(stage.back(&cookie).await.0, "ann");
    let changes: [fn(&mut Request); 3] = [
        |request| request.client.ip = [192, 0, 2, 9].into(),
        |request| request.client.scheme = entity::Protocol::Https,
        |request| drop(request.headers.insert(USER_AGENT, HeaderValue::from_static("thief"))),
    ];
    for change in changes {
        let mut stolen = request().with("cookie", &cookie);
        change(&mut stolen);
        assert_eq!(stage.came(stolen).await.0.0, "nobody");
    }
}

#[tokio::test]
async fn a_second_cookie_may_stay() {
    let stage = staged(
        json!({"remember": true, "remember_rolling_timeout": 10_000, "remember_absolute_timeout": 20_000}),
    );
    let ((_, set), _, response) = stage.came(request().with("apikey", "k3y")).await;
    assert!(
        response
            .headers
            .get_all(SET_COOKIE)
            .iter()
            .any(|value| value.to_str().unwrap().ends_with("; Max-Age=10000"))
    );
    let stays = joined(&set[1..]);
    assert!(stays.starts_with("remember="));
    stage.clock.set(NOW + 9_999);
    let ((who, set), _, _) = stage.came(request().with("cookie", &stays)).await;
    assert_eq!((who.as_str(), set.len()), ("ann", 2), "a session of the browser begins anew");
    stage.clock.set(NOW + 19_999);
    assert_eq!(stage.back(&joined(&set[1..])).await.0, "nobody", "it was renewed at 9,999, for 10,000");
    // The two do not pass for each other.
    let (_, value) = stays.split_once('=').unwrap();
    stage.clock.set(NOW);
    assert_eq!(stage.back(&format!("session={value}")).await, is("nobody", false));
}

#[tokio::test]
async fn it_ends_when_that_is_asked_for() {
    let stage = staged(json!({"remember": true, "read_body_for_logout": true}));
    let cookie = stage.log_in().await;
    let asks = |method: Method, target: &str| {
        let mut request = request().with("cookie", &cookie).to(target);
        request.method = method;
        request
    };
    let mut post = asks(Method::POST, "/").with("content-type", "application/x-www-form-urlencoded");
    assert!(stage.plugin.wants_body(&post));
    post.body = Some("session_logout=1".into());
    for mut request in
        [asks(Method::DELETE, "/?session_logout"), asks(Method::POST, "/?session_logout=true"), post]
    {
        let answer = access(&*stage.plugin, &mut request).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK);
        let gone: Vec<_> =
            answer.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
        assert!(
            gone.len() == 2
                && gone.iter().all(|cookie| cookie.contains("=; ") && cookie.contains("Max-Age=0")),
            "{gone:?}"
        );
    }
    for mut request in [asks(Method::GET, "/?session_logout"), asks(Method::DELETE, "/?other")] {
        assert!(access(&*stage.plugin, &mut request).await.is_none());
    }
    // Without a session there is nothing to end.
    let mut nobody = asks(Method::DELETE, "/?session_logout");
    nobody.headers.remove("cookie");
    assert!(access(&*stage.plugin, &mut nobody).await.is_none());
}

#[test]
fn what_is_refused() {
    for config in [
        json!({"cookie_name": "a b"}),
        json!({"cookie_name": ""}),
        json!({"cookie_path": "/; Domain=evil"}),
        json!({"cookie_domain": "a\r\nset-cookie: b=c"}),
        json!({"remember_cookie_name": "a=b"}),
    ] {
        assert!(check(&SCHEMA.config, &config).is_err(), "{config}");
    }
}
