//! What is counted, what is told, and what is withheld.

use http::HeaderMap;
use serde_json::{Value as Json, json};

use super::*;
use crate::directory::Consumer;
use crate::state::State;
use crate::testing::{access, check, make_in, told};

/// A Tuesday, at 22:13:20.
const NOW: u64 = 1_700_000_000;

struct Node {
    state: Arc<State>,
    clock: Clock,
}

impl Node {
    fn new() -> Self {
        Self { state: Arc::default(), clock: Clock::at(NOW) }
    }

    fn plugin(&self, config: &Json) -> Box<dyn Plugin> {
        make_in(&SCHEMA.config, make, config, &self.state, &self.clock)
    }
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    /// `name: value` of all headers of the response that are about limits.
    told: Vec<String>,
    body: &'static str,
}

fn got(status: u16, told: &[&str], body: &'static str) -> Got {
    Got { status, told: told.iter().map(|line| (*line).to_owned()).collect(), body }
}

fn response(source: Source, cost: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if !cost.is_empty() {
        headers.insert("x-kong-limit", HeaderValue::from_str(cost).unwrap());
    }
    Response { status: StatusCode::OK, headers, source }
}

fn finish(plugin: &dyn Plugin, request: &Request, mut response: Response) -> Got {
    plugin.response(request, &mut response);
    let filter = plugin.body_filter(request, &response);
    let body =
        filter.map_or("body", |mut filter| match filter.chunk(Bytes::from_static(b"body")).is_empty() {
            true => "",
            false => "changed",
        });
    assert_eq!(response.headers.contains_key(CONTENT_TYPE), !body.is_empty());
    let is_about = |name: &HeaderName| name.as_str().contains("limit");
    let told = response.headers.iter().filter(|(name, _)| is_about(name));
    let mut told: Vec<String> =
        told.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    told.sort();
    Got { status: response.status.as_u16(), told, body }
}

/// Sends a request to an upstream that says what it costs.
async fn send(plugin: &dyn Plugin, mut request: Request, cost: &str) -> Got {
    assert!(access(plugin, &mut request).await.is_none());
    finish(plugin, &request, response(Source::Upstream, cost))
}

#[tokio::test]
async fn upstreams_say_what_counts_and_clients_what_is_left() {
    let node = Node::new();
    let plugin =
        node.plugin(&json!({"limits": {"video": {"minute": 5, "hour": 20}, "image": {"second": 1.5}}}));
    let told = |image: u32, minute: u32, hour: u32| {
        let image = if image == 0 {
            "1.5"
        } else if image == 1 {
            "0.5"
        } else {
            "0"
        };
        [
            "x-ratelimit-limit-image-second: 1.5".to_owned(),
            "x-ratelimit-limit-video-hour: 20".to_owned(),
            "x-ratelimit-limit-video-minute: 5".to_owned(),
            format!("x-ratelimit-remaining-image-second: {image}"),
            format!("x-ratelimit-remaining-video-hour: {hour}"),
            format!("x-ratelimit-remaining-video-minute: {minute}"),
        ]
    };
    let got = |status, told: [String; 6], body| Got { status, told: told.to_vec(), body };
    for (cost, expected) in [
        ("", got(200, told(0, 5, 20), "body")),
        ("unknown=3, Video=1", got(200, told(0, 5, 20), "body")),
        ("video=2, image=1", got(200, told(1, 3, 18), "body")),
        // The last use may go beyond the limit.
        ("video=4", got(200, told(1, 0, 14), "body")),
        // What costs nothing of it passes.
        ("image=1", got(200, told(2, 0, 14), "body")),
        ("", got(200, told(2, 0, 14), "body")),
        ("video=1", got(429, told(2, 0, 14), "")),
        ("video=0", got(200, told(2, 0, 14), "body")),
    ] {
        assert_eq!(send(&*plugin, Request::for_test(), cost).await, expected, "{cost}");
    }
    node.clock.set(NOW + 1);
    // One of both is used up, so none of them counts.
    assert_eq!(send(&*plugin, Request::for_test(), "image=1, video=1").await, got(429, told(0, 0, 14), ""));
    node.clock.set(NOW + 40);
    assert_eq!(send(&*plugin, Request::for_test(), "video=1").await, got(200, told(0, 4, 13), "body"));
}

#[tokio::test]
async fn the_upstream_is_told_what_is_left() {
    let node = Node::new();
    let plugin = node.plugin(&json!({"limits": {"video": {"minute": 5, "hour": 20}, "image": {"hour": 3}}}));
    send(&*plugin, Request::for_test(), "video=2").await;
    // A client cannot say it instead.
    let mut request = Request::for_test()
        .with("x-ratelimit-remaining-video", "1000")
        .with("X-RateLimit-Remaining-video", "1");
    assert!(access(&*plugin, &mut request).await.is_none());
    let values: Vec<_> = request.headers.get_all("x-ratelimit-remaining-video").iter().collect();
    assert_eq!(values, ["3"]);
    assert_eq!(request.headers["x-ratelimit-remaining-image"], "3");
    // Beyond the limit it is nothing.
    send(&*plugin, Request::for_test(), "video=100").await;
    assert!(access(&*plugin, &mut request).await.is_none());
    assert_eq!(request.headers["x-ratelimit-remaining-video"], "0");
}

#[tokio::test]
async fn a_request_may_be_refused_before_it_is_sent() {
    let node = Node::new();
    let limits = json!({"video": {"minute": 5}, "image": {"minute": 2}});
    let blocks = node.plugin(&json!({"limits": limits, "block_on_first_violation": true}));
    for cost in ["image=1", "image=7, video=1"] {
        assert_eq!(send(&*blocks, Request::for_test(), cost).await.status, 200);
    }
    let mut request = Request::for_test();
    let answer = access(&*blocks, &mut request).await;
    let refused = (StatusCode::TOO_MANY_REQUESTS, "API rate limit exceeded for 'image'".to_owned());
    assert_eq!(told(answer), Some(refused));
    // The answer is left as it is.
    assert_eq!(finish(&*blocks, &request, response(Source::Plugin, "")), got(200, &[], "body"));
    node.clock.set(NOW + 40);
    assert_eq!(send(&*blocks, Request::for_test(), "image=1").await.status, 200);
    // Without it the upstream decides.
    let asks = node.plugin(&json!({"limits": limits}));
    for (cost, status) in [("image=2", 200), ("image=1", 429), ("", 200), ("video=1", 200)] {
        assert_eq!(send(&*asks, Request::for_test(), cost).await.status, status, "{cost}");
    }
}

#[tokio::test]
async fn clients_may_be_told_nothing() {
    let plugin =
        Node::new().plugin(&json!({"limits": {"video": {"minute": 1}}, "hide_client_headers": true}));
    assert_eq!(send(&*plugin, Request::for_test(), "video=1").await, got(200, &[], "body"));
    assert_eq!(send(&*plugin, Request::for_test(), "video=1").await, got(429, &[], ""));
}

#[tokio::test]
async fn only_an_upstream_says_what_it_costs() {
    let plugin = Node::new().plugin(&json!({"limits": {"video": {"minute": 1}}, "header_name": "X-Cost"}));
    for (source, header, left) in [
        (Source::Plugin, "x-cost", "1"),
        (Source::Gateway, "x-cost", "1"),
        (Source::Upstream, "x-kong-limit", "1"),
        (Source::Upstream, "x-cost", "0"),
    ] {
        let mut request = Request::for_test().with("x-cost", "video=1");
        assert!(access(&*plugin, &mut request).await.is_none());
        let mut response = response(source, "");
        response.headers.insert(HeaderName::from_static(header), HeaderValue::from_static("video=1"));
        plugin.response(&request, &mut response);
        assert_eq!(response.headers["x-ratelimit-remaining-video-minute"], left, "{source:?} {header}");
        assert!(!response.headers.contains_key("x-cost"));
    }
    // One that never came past `access`, as without a route.
    assert_eq!(finish(&*plugin, &Request::for_test(), response(Source::Upstream, "")), got(200, &[], "body"));
}

#[tokio::test]
async fn what_counts_together() {
    let consumer = |id: u128| Arc::new(Consumer::new(Uuid::from_u128(id), None, None));
    let from = |ip: &str, who: Option<u128>, credential: Option<u128>| {
        let mut request = Request::for_test();
        request.client.ip = ip.parse().unwrap();
        request.consumer = who.map(consumer);
        request.credential = credential.map(Uuid::from_u128);
        request
    };
    for (limit_by, second, is_same) in [
        ("consumer", from("192.0.2.2", Some(1), Some(6)), true),
        ("consumer", from("192.0.2.1", Some(2), Some(5)), false),
        ("consumer", from("192.0.2.1", None, None), false),
        ("credential", from("192.0.2.2", Some(2), Some(5)), true),
        ("credential", from("192.0.2.1", Some(1), Some(6)), false),
        ("ip", from("192.0.2.1", None, None), true),
        ("ip", from("192.0.2.2", Some(1), Some(5)), false),
    ] {
        let plugin = Node::new().plugin(&json!({"limits": {"video": {"hour": 1}}, "limit_by": limit_by}));
        assert_eq!(send(&*plugin, from("192.0.2.1", Some(1), Some(5)), "video=1").await.status, 200);
        let status = send(&*plugin, second, "video=1").await.status;
        assert_eq!(status, if is_same { 429 } else { 200 }, "{limit_by}");
    }
}

#[tokio::test]
async fn counts_survive_a_change_of_the_configuration() {
    let node = Node::new();
    let before = node.plugin(&json!({"limits": {"video": {"hour": 1}}}));
    assert_eq!(send(&*before, Request::for_test(), "video=1").await.status, 200);
    let after = node.plugin(&json!({"limits": {"other": {"hour": 1}, "video": {"hour": 1}}}));
    assert_eq!(send(&*after, Request::for_test(), "video=1").await.status, 429);
    assert_eq!(send(&*after, Request::for_test(), "other=1").await.status, 200);
}

#[test]
fn many_at_once_get_no_more() {
    let node = Node::new();
    let plugin = node.plugin(&json!({"limits": {"video": {"hour": 50}, "image": {"hour": 1000}}}));
    let mut request = Request::for_test();
    request.notes.insert(Passed { withheld: Arc::default(), read: None });
    let request = &request;
    let passed: usize = std::thread::scope(|scope| {
        let one = || {
            let mut response = response(Source::Upstream, "image=1, video=1");
            plugin.response(request, &mut response);
            response.status == StatusCode::OK
        };
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(move || (0..100).filter(|_| one()).count())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 50);
    // What was refused was taken back.
    let mut last = response(Source::Upstream, "");
    plugin.response(request, &mut last);
    assert_eq!(last.headers["x-ratelimit-remaining-image-hour"], "950");
}

#[test]
fn limits_make_sense() {
    for (config, complaint) in [
        (json!({"limits": {"video": {"second": 1, "minute": 2, "year": 2}}}), None),
        (
            json!({"limits": {"a": {"second": 1}, "video": {"second": 2, "minute": 1}}}),
            Some("limits: the limit for minute(1.0) cannot be lower than the limit for second(2.0)"),
        ),
        (
            json!({"limits": {"a": {"second": 1}, "video": {}}}),
            Some(
                "limits: video: at least one of these fields must be non-empty: second, minute, hour, day, month, year",
            ),
        ),
        (
            json!({"limits": {"a b": {"second": 1}}}),
            Some("bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"),
        ),
        (
            json!({"limits": {"a": {"second": 1}}, "header_name": "a b"}),
            Some("bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"),
        ),
    ] {
        assert_eq!(check(&SCHEMA.config, &config).err().as_deref(), complaint, "{config}");
    }
}
