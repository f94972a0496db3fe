//! How many pass, for whom they count, and what responses say.

use serde_json::{Value as Json, json};

use super::*;
use crate::directory::Consumer;
use crate::state::State;
use crate::testing::{access, check, make_in, told};
use crate::view::ServiceInfo;

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

/// The status, and the headers that the response gets.
async fn send(plugin: &dyn Plugin, mut request: Request) -> (u16, Vec<(String, String)>) {
    let answer = access(plugin, &mut request).await;
    let header =
        |(name, value): (HeaderName, HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    (
        answer.map_or(200, |answer| answer.status.as_u16()),
        request.response_headers.into_iter().map(header).collect(),
    )
}

async fn statuses(plugin: &dyn Plugin, requests: impl IntoIterator<Item = Request>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(send(plugin, request).await.0);
    }
    statuses
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn responses_say_what_is_left() {
    let node = Node::new();
    let plugin = node.plugin(&json!({"minute": 2}));
    let with = |left: &str| {
        headers(&[
            ("x-ratelimit-limit-minute", "2"),
            ("x-ratelimit-remaining-minute", left),
            ("ratelimit-limit", "2"),
            ("ratelimit-remaining", left),
            ("ratelimit-reset", "40"),
        ])
    };
    assert_eq!(send(&*plugin, Request::for_test()).await, (200, with("1")));
    assert_eq!(send(&*plugin, Request::for_test()).await, (200, with("0")));
    let mut refused = with("0");
    refused.extend(headers(&[("retry-after", "40")]));
    assert_eq!(send(&*plugin, Request::for_test()).await, (429, refused.clone()));
    assert_eq!(send(&*plugin, Request::for_test()).await, (429, refused));
    let answer = access(&*plugin, &mut Request::for_test()).await;
    assert_eq!(told(answer).unwrap().1, "API rate limit exceeded");
    node.clock.set(NOW + 40);
    assert_eq!(send(&*plugin, Request::for_test()).await.0, 200);
}

#[tokio::test]
async fn the_tightest_limit_is_told_and_a_refused_request_counts_for_none() {
    let node = Node::new();
    let plugin = node.plugin(&json!({"second": 1, "hour": 3}));
    let (_, first) = send(&*plugin, Request::for_test()).await;
    assert_eq!(
        first,
        headers(&[
            ("x-ratelimit-limit-second", "1"),
            ("x-ratelimit-remaining-second", "0"),
            ("x-ratelimit-limit-hour", "3"),
            ("x-ratelimit-remaining-hour", "2"),
            ("ratelimit-limit", "1"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "1"),
        ])
    );
    // Refused by the second: the hour is as it was.
    for _ in 0..5 {
        let (status, refused) = send(&*plugin, Request::for_test()).await;
        assert_eq!(status, 429);
        assert!(refused.contains(&("x-ratelimit-remaining-hour".to_owned(), "2".to_owned())), "{refused:?}");
    }
    for second in 1..4 {
        node.clock.set(NOW + second);
        let (status, _) = send(&*plugin, Request::for_test()).await;
        assert_eq!(status, if second < 3 { 200 } else { 429 });
        if second == 3 {
            // Sent again, it is the hour again that refuses.
            let (_, told) = send(&*plugin, Request::for_test()).await;
            // Refused by the hour: the second was not used up by it.
            assert!(told.contains(&("x-ratelimit-remaining-second".to_owned(), "1".to_owned())), "{told:?}");
            assert!(told.contains(&("ratelimit-limit".to_owned(), "3".to_owned())), "{told:?}");
            assert!(told.contains(&("retry-after".to_owned(), "2797".to_owned())), "{told:?}");
        }
    }
}

#[tokio::test]
async fn requests_count_for_those_whom_the_configuration_says() {
    let base = Request::for_test;
    let ip = |last: u8| {
        let mut request = base();
        request.client.ip = [192, 0, 2, last].into();
        request
    };
    let consumer = |id: u128, group: u128, last: u8| {
        let mut request = ip(last);
        let mut consumer = Consumer::new(Uuid::from_u128(id), None, None);
        consumer.groups = vec![(Uuid::from_u128(group), "g".to_owned())];
        request.consumer = Some(Arc::new(consumer));
        request.credential = Some(Uuid::from_u128(id + 100));
        request
    };
    let service = |id: u128| {
        let mut request = ip(id as u8);
        request.service = Some(Arc::new(ServiceInfo { id: Uuid::from_u128(id), ..ServiceInfo::default() }));
        request
    };
    let routed = |last: u8| {
        let mut request = ip(last).to("/p");
        request.set_path("/elsewhere".to_owned());
        request
    };
    for (config, requests, expected) in [
        (json!({"limit_by": "ip"}), vec![ip(1), ip(2), ip(1)], [200, 200, 429]),
        (json!({"limit_by": "ip"}), vec![consumer(1, 1, 1), consumer(2, 1, 1), ip(2)], [200, 429, 200]),
        (json!({"limit_by": "consumer"}), vec![consumer(1, 1, 1), consumer(1, 1, 2), ip(1)], [200, 429, 200]),
        (json!({"limit_by": "consumer"}), vec![ip(1), ip(1), ip(2)], [200, 429, 200]),
        (json!({}), vec![consumer(1, 1, 1), consumer(2, 1, 1), consumer(1, 1, 1)], [200, 200, 429]),
        (
            json!({"limit_by": "credential"}),
            vec![consumer(1, 1, 1), consumer(1, 2, 2), ip(1)],
            [200, 429, 200],
        ),
        (
            json!({"limit_by": "consumer-group"}),
            vec![consumer(1, 1, 1), consumer(2, 1, 2), consumer(2, 2, 3)],
            [200, 429, 200],
        ),
        (json!({"limit_by": "service"}), vec![service(1), service(2), service(1)], [200, 200, 429]),
        (
            json!({"limit_by": "header", "header_name": "X-Key"}),
            vec![base().with("x-key", "a"), base().with("x-key", "b"), base().with("x-key", "a")],
            [200, 200, 429],
        ),
        (json!({"limit_by": "header", "header_name": "X-Key"}), vec![ip(1), ip(2), ip(1)], [200, 200, 429]),
        (
            json!({"limit_by": "path", "path": "/p"}),
            vec![ip(1).to("/p"), routed(2), ip(3).to("/q")],
            [200, 429, 200],
        ),
    ] {
        let mut config = config;
        config["day"] = 1.into();
        let plugin = Node::new().plugin(&config);
        assert_eq!(statuses(&*plugin, requests).await, expected, "{config}");
    }
}

#[tokio::test]
async fn what_a_client_sees_can_be_changed() {
    let plugin = Node::new().plugin(&json!({
        "year": 1, "hide_client_headers": true, "error_code": 503, "error_message": "slow down"
    }));
    assert_eq!(send(&*plugin, Request::for_test()).await, (200, vec![]));
    let mut request = Request::for_test();
    let answer = access(&*plugin, &mut request).await;
    assert_eq!(told(answer), Some((StatusCode::SERVICE_UNAVAILABLE, "slow down".to_owned())));
    assert!(request.response_headers.is_empty());
}

#[tokio::test]
async fn counts_outlive_a_change_of_the_configuration() {
    let node = Node::new();
    let old = node.plugin(&json!({"day": 2}));
    assert_eq!(statuses(&*old, [Request::for_test(), Request::for_test()]).await, [200, 200]);
    let new = node.plugin(&json!({"day": 3, "hour": 3}));
    drop(old);
    assert_eq!(statuses(&*new, [Request::for_test(), Request::for_test()]).await, [200, 429]);
}

#[tokio::test]
async fn limits_need_not_be_whole() {
    let plugin = Node::new().plugin(&json!({"day": 1.5}));
    let (status, told) = send(&*plugin, Request::for_test()).await;
    assert_eq!((status, &*told[0].1, &*told[1].1), (200, "1.5", "0.5"));
    assert_eq!(statuses(&*plugin, [Request::for_test(), Request::for_test()]).await, [200, 429]);
}

#[test]
fn numbers_are_written_as_people_do() {
    for number in [0, 1, 9, 10, 42, 99, 100, 999, 1000, 65_536, u64::MAX] {
        assert_eq!(whole(number), number.to_string());
    }
}

#[test]
fn configurations_that_cannot_be_meant_are_refused() {
    for (config, expected) in [
        (json!({"second": 5, "hour": 10}), None),
        (
            json!({}),
            Some("at least one of these fields must be non-empty: second, minute, hour, day, month, year"),
        ),
        (
            json!({"second": 5, "minute": 9, "hour": 4}),
            Some("hour: The limit for hour(4.0) cannot be lower than the limit for second(5.0)"),
        ),
        (json!({"second": 5, "limit_by": "header"}), Some("header_name: required field missing")),
        (json!({"second": 5, "limit_by": "path"}), Some("path: required field missing")),
        (json!({"second": 5, "path": "x"}), Some("should start with: /")),
        (json!({"second": 5, "path": "/a//b"}), Some("must not have empty segments")),
        (json!({"second": 5, "error_code": 99}), Some("expected a status from 200 to 599")),
        (
            json!({"second": 5, "sync_rate": 1}),
            Some("sync_rate: sync_rate can only be used with the redis policy"),
        ),
    ] {
        assert_eq!(check(&SCHEMA.config, &config).err().as_deref(), expected, "{config}");
    }
    let policy = FIELDS.iter().find(|field| field.name == "policy").unwrap();
    assert!(matches!(policy.default, postern_model::field::Default::Text("local")));
}
