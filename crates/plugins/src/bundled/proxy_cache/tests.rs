//! Exchanges with an upstream, as the proxy plays them.

use http::header::{CACHE_CONTROL, LOCATION};
use serde_json::{Value as Json, json};

use super::*;
use crate::directory::Consumer;
use crate::state::State;
use crate::testing::access;

const NOW: u64 = 1_700_000_000;

struct Cache {
    plugin: Box<dyn Plugin>,
    clock: Clock,
    state: Arc<State>,
}

/// What a client gets: status of the cache, status, body.
type Got = (String, u16, String);

fn made(more: Json) -> Cache {
    let (state, clock) = (Arc::<State>::default(), Clock::at(NOW));
    let plugin = remade(&more, &state, &clock);
    Cache { plugin, clock, state }
}

fn remade(more: &Json, state: &Arc<State>, clock: &Clock) -> Box<dyn Plugin> {
    let mut config = json!({"strategy": "memory"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    crate::testing::make_in(&SCHEMA.config, make, &config, state, clock)
}

fn upstream(body: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let mut all = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        all.insert(name, HeaderValue::from_str(value).unwrap());
    }
    (StatusCode::OK, all, body.to_owned())
}

impl Cache {
    /// A request, and what the upstream would say; the body comes in two pieces.
    async fn ask(&self, mut request: Request, answer: (StatusCode, HeaderMap, String)) -> (Got, HeaderMap) {
        let said = |headers: &HeaderMap| {
            headers.get(CACHE_STATUS).map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        if let Some(answer) = access(&*self.plugin, &mut request).await {
            let body = match answer.body {
                AnswerBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                AnswerBody::Message(message) => message,
                AnswerBody::Empty => String::new(),
            };
            return ((said(&answer.headers), answer.status.as_u16(), body), answer.headers);
        }
        let (status, headers, body) = answer;
        let mut response = Response { status, headers, source: Source::Upstream };
        self.plugin.response(&request, &mut response);
        if let Some(mut filter) = self.plugin.body_filter(&request, &response) {
            let (first, second) = body.split_at(body.len() / 2);
            for piece in [first, second] {
                assert_eq!(filter.chunk(Bytes::copy_from_slice(piece.as_bytes())), piece);
            }
            assert!(filter.end().is_empty());
        }
        ((said(&response.headers), response.status.as_u16(), body), response.headers)
    }

    /// The same where only the status of the cache matters.
    async fn status(&self, request: Request, answer: (StatusCode, HeaderMap, String)) -> String {
        self.ask(request, answer).await.0.0
    }
}

fn with_method(method: Method) -> Request {
    let mut request = Request::for_test();
    request.method = method;
    request
}

fn got(cache: &str, status: u16, body: &str) -> Got {
    (cache.to_owned(), status, body.to_owned())
}

#[tokio::test]
async fn a_response_is_served_again_until_its_time_is_over() {
    let cache = made(json!({"cache_ttl": 10}));
    let etag = [("etag", "\"1\""), ("x-kong-upstream-latency", "5")];
    let (first, headers) = cache.ask(Request::for_test(), upstream("one", &etag)).await;
    assert_eq!(first, got("Miss", 200, "one"));
    assert_eq!(headers[CACHE_KEY].len(), 64);
    cache.clock.set(NOW + 9);
    let (second, again) = cache.ask(Request::for_test(), upstream("two", &[])).await;
    assert_eq!(second, got("Hit", 200, "one"));
    assert_eq!(
        (&again[AGE], &again["etag"], &again[CACHE_KEY]),
        (&HeaderValue::from(9), &headers["etag"], &headers[CACHE_KEY])
    );
    assert!(!again.contains_key("x-kong-upstream-latency"));
    cache.clock.set(NOW + 10);
    assert_eq!(cache.ask(Request::for_test(), upstream("two", &[])).await.0, got("Miss", 200, "two"));
    assert_eq!(cache.ask(Request::for_test(), upstream("three", &[])).await.0, got("Hit", 200, "two"));
    // Another configuration finds it again.
    let shorter = Cache {
        plugin: remade(&json!({"cache_ttl": 1}), &cache.state, &cache.clock),
        clock: cache.clock.clone(),
        state: Arc::clone(&cache.state),
    };
    assert_eq!(shorter.status(Request::for_test(), upstream("", &[])).await, "Hit");
    cache.clock.set(NOW + 11);
    assert_eq!(shorter.status(Request::for_test(), upstream("", &[])).await, "Refresh");
}

#[tokio::test]
async fn what_is_kept_is_configured() {
    let status = |code: u16, (_, headers, body): (StatusCode, HeaderMap, String)| {
        (StatusCode::from_u16(code).unwrap(), headers, body)
    };
    let of_type = |kind: &str| upstream("x", &[("content-type", kind)]);
    let post = || with_method(Method::POST);
    let cases = [
        (json!({}), Request::for_test(), status(404, upstream("x", &[])), "Miss"),
        (json!({}), Request::for_test(), status(500, upstream("x", &[])), "Bypass"),
        (json!({"response_code": [500]}), Request::for_test(), status(500, upstream("x", &[])), "Miss"),
        (
            json!({"response_code": [206, 304]}),
            Request::for_test(),
            status(206, upstream("x", &[])),
            "Bypass",
        ),
        (json!({}), post(), upstream("x", &[]), "Bypass"),
        (json!({"request_method": ["POST"]}), post(), upstream("x", &[]), "Miss"),
        (json!({}), Request::for_test(), of_type("text/html"), "Bypass"),
        (json!({}), Request::for_test(), of_type("application/json; charset=utf-8"), "Bypass"),
        (
            json!({"content_type": ["application/json;charset=\"UTF-8\""]}),
            Request::for_test(),
            of_type("application/json; charset=utf-8"),
            "Miss",
        ),
        (json!({"content_type": ["text/*"]}), Request::for_test(), of_type("text/html"), "Miss"),
        (json!({}), Request::for_test(), upstream("x", &[("set-cookie", "sid=1")]), "Bypass"),
        (json!({}), Request::for_test(), upstream("x", &[("vary", "accept, *")]), "Bypass"),
        (json!({}), Request::for_test().with("range", "bytes=0-1"), upstream("x", &[]), "Bypass"),
        (json!({}), Request::for_test().with("authorization", "Bearer hers"), upstream("x", &[]), "Bypass"),
        (
            json!({"vary_headers": ["authorization"]}),
            Request::for_test().with("authorization", "a"),
            upstream("x", &[]),
            "Miss",
        ),
    ];
    for (number, (config, request, answer, expected)) in cases.into_iter().enumerate() {
        let cache = made(config);
        assert_eq!(cache.status(request, answer).await, expected, "case {number}");
    }
    let mut silent = Request::for_test();
    let cache =
        made(json!({"response_headers": {"X-Cache-Status": false, "X-Cache-Key": false, "age": false}}));
    for _ in 0..2 {
        let (_, headers) =
            cache.ask(std::mem::replace(&mut silent, Request::for_test()), upstream("x", &[])).await;
        assert!(
            !headers.contains_key(CACHE_STATUS)
                && !headers.contains_key(CACHE_KEY)
                && !headers.contains_key(AGE)
        );
    }
}

#[tokio::test]
async fn cache_control_counts_where_it_is_to() {
    let asks = |directives: &str| Request::for_test().with("cache-control", directives);
    let says = |directives: &str| upstream("x", &[("cache-control", directives)]);
    let on = json!({"cache_control": true, "cache_ttl": 100, "storage_ttl": 1000});
    for (request, answer, expected) in [
        (asks("no-store"), says(""), "Bypass"),
        (asks("no-cache"), says(""), "Bypass"),
        (Request::for_test(), says("no-store"), "Bypass"),
        (Request::for_test(), says("private"), "Bypass"),
        (Request::for_test(), says("max-age=0"), "Bypass"),
        (Request::for_test(), says("s-maxage=0, max-age=60"), "Bypass"),
        (Request::for_test(), upstream("x", &[("expires", "Thu, 01 Jan 1970 00:00:00 GMT")]), "Bypass"),
        (Request::for_test(), upstream("x", &[("expires", "0")]), "Bypass"),
        (Request::for_test(), says("max-age=60"), "Miss"),
    ] {
        assert_eq!(made(on.clone()).status(request, answer).await, expected);
    }
    // Without it, none of that counts.
    assert_eq!(made(json!({})).status(asks("no-store"), says("private, no-store")).await, "Miss");

    let cache = made(on);
    let missing = cache.ask(asks("only-if-cached"), says("")).await.0;
    assert_eq!(missing.1, 504);
    assert_eq!(cache.status(Request::for_test(), says("max-age=60")).await, "Miss");
    cache.clock.set(NOW + 30);
    // Those that are not served are fetched anew; the answer may not be kept, so that the entry stays as it is.
    for (directives, expected) in [
        ("max-age=30", "Hit"),
        ("max-age=29", "Bypass"),
        ("min-fresh=30", "Hit"),
        ("min-fresh=31", "Bypass"),
        ("only-if-cached", "Hit"),
    ] {
        assert_eq!(cache.status(asks(directives), says("no-store")).await, expected, "{directives}");
    }
    cache.clock.set(NOW + 70);
    for (directives, expected) in
        [("max-stale=10", "Hit"), ("max-stale", "Hit"), ("max-stale=9", "Bypass"), ("", "Bypass")]
    {
        assert_eq!(cache.status(asks(directives), says("no-store")).await, expected, "{directives}");
    }
    cache.clock.set(NOW + 1000);
    assert_eq!(cache.status(asks("max-stale"), says("")).await, "Miss", "it has been let go");
}

#[tokio::test]
async fn nobody_gets_what_was_made_for_somebody_else() {
    let cache = made(json!({}));
    let of = |id: u128| {
        let mut request = Request::for_test().with("authorization", "Basic x");
        request.consumer = Some(Arc::new(Consumer::new(Uuid::from_u128(id), None, None)));
        request.credential = Some(Uuid::from_u128(id + 100));
        request
    };
    assert_eq!(cache.ask(of(1), upstream("hers", &[])).await.0, got("Miss", 200, "hers"));
    assert_eq!(cache.ask(of(2), upstream("his", &[])).await.0, got("Miss", 200, "his"));
    assert_eq!(cache.ask(of(1), upstream("", &[])).await.0, got("Hit", 200, "hers"));
    assert_eq!(
        cache.ask(Request::for_test(), upstream("anybody's", &[])).await.0,
        got("Miss", 200, "anybody's")
    );
}

#[tokio::test]
async fn what_the_cache_does_not_know_cannot_poison_it() {
    // A header that the upstream reflects, and says so.
    let cache = made(json!({}));
    let evil = Request::for_test().with("x-forwarded-scheme", "evil");
    let vary = [("vary", "X-Forwarded-Scheme")];
    assert_eq!(cache.ask(evil, upstream("evil", &vary)).await.0, got("Miss", 200, "evil"));
    assert_eq!(cache.ask(Request::for_test(), upstream("good", &vary)).await.0, got("Refresh", 200, "good"));
    assert_eq!(cache.ask(Request::for_test(), upstream("", &vary)).await.0, got("Hit", 200, "good"));
    // One that the operator knows of.
    let keyed = made(json!({"vary_headers": ["X-Evil"]}));
    assert_eq!(keyed.status(Request::for_test().with("x-evil", "1"), upstream("evil", &[])).await, "Miss");
    assert_eq!(keyed.ask(Request::for_test(), upstream("good", &[])).await.0, got("Miss", 200, "good"));
    // A body that came with a GET, which the upstream may read.
    let mut fat = Request::for_test();
    fat.body = Some("lang=evil".into());
    assert!(cache.plugin.wants_body(&fat));
    assert_eq!(cache.status(fat, upstream("evil", &[])).await, "Bypass");
    // HEAD and GET apart.
    let head = || with_method(Method::HEAD);
    let length = [("content-length", "4")];
    assert_eq!(cache.status(head(), upstream("", &length)).await, "Miss");
    let (again, headers) = cache.ask(head(), upstream("", &[])).await;
    assert_eq!((again, &headers[CONTENT_LENGTH]), (got("Hit", 200, ""), &HeaderValue::from_static("4")));
    assert_eq!(cache.ask(Request::for_test(), upstream("", &[])).await.0, got("Hit", 200, "good"));
}

#[tokio::test]
async fn only_what_is_whole_is_kept() {
    let cache = made(json!({}));
    assert_eq!(cache.status(Request::for_test(), upstream("abc", &[("content-length", "4")])).await, "Miss");
    assert_eq!(cache.status(Request::for_test(), upstream("abc", &[("content-length", "3")])).await, "Miss");
    assert_eq!(cache.status(Request::for_test(), upstream("abc", &[])).await, "Hit");
    let large = "x".repeat(LARGEST + 1);
    let other = || Request::for_test().to("/large");
    assert_eq!(cache.status(other(), upstream(&large, &[])).await, "Miss");
    assert_eq!(cache.status(other(), upstream(&large, &[("location", "/")])).await, "Miss");
    // What a plugin or the gateway says is not the upstream's.
    let mut request = Request::for_test().to("/gone");
    assert!(access(&*cache.plugin, &mut request).await.is_none());
    let headers = HeaderMap::from_iter([
        (LOCATION, HeaderValue::from_static("/")),
        (CACHE_CONTROL, HeaderValue::from_static("public")),
    ]);
    let mut response = Response { status: StatusCode::OK, headers, source: Source::Plugin };
    cache.plugin.response(&request, &mut response);
    assert!(!response.headers.contains_key(CACHE_STATUS));
    assert!(cache.plugin.body_filter(&request, &response).is_none());
}
