//! Several nodes, and a Redis between them.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::super::{SCHEMA, make};
use crate::plugin::Plugin;
use crate::redis::Redis;
use crate::redis::tests::Server;
use crate::testing::{access, check, told};
use crate::view::Request;
use postern_secrets::clock::Clock;

use super::*;

/// A node of its own: nothing but Redis is shared with another.
fn node(redis: Json, more: Json) -> Box<dyn Plugin> {
    let mut config = json!({"policy": "redis", "minute": 10, "limit_by": "ip", "redis": redis});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    crate::testing::make_in(&SCHEMA.config, make, &config, &Arc::default(), &Clock::at(1_700_000_000))
}

/// The answer to a request, and what is left.
async fn ask(plugin: &dyn Plugin) -> (Option<u16>, Option<String>) {
    let mut request = Request::for_test();
    let answer = told(access(plugin, &mut request).await);
    let left = request.response_headers.iter().find(|(name, _)| name == "ratelimit-remaining");
    (answer.map(|(status, _)| status.as_u16()), left.map(|(_, value)| value.to_str().unwrap().to_owned()))
}

fn left(number: u32) -> (Option<u16>, Option<String>) {
    (None, Some(number.to_string()))
}

#[tokio::test]
async fn nodes_share_a_limit() {
    let server = Server::start(&[]).await;
    let redis = json!({"host": "127.0.0.1", "port": server.port, "database": 1});
    let (one, other) = (node(redis.clone(), json!({})), node(redis, json!({})));
    for number in 0..5 {
        assert_eq!(ask(&*one).await, left(9 - 2 * number));
        assert_eq!(ask(&*other).await, left(8 - 2 * number));
    }
    for plugin in [&one, &other] {
        assert_eq!(ask(&**plugin).await, (Some(429), Some("0".to_owned())));
    }
}

#[tokio::test]
async fn a_request_too_many_counts_for_no_limit() {
    let server = Server::start(&[]).await;
    let redis = json!({"host": "127.0.0.1", "port": server.port});
    let plugin = node(redis, json!({"minute": 2, "hour": 10}));
    for _ in 0..5 {
        let _ = ask(&*plugin).await;
    }
    let mut request = Request::for_test();
    let _ = access(&*plugin, &mut request).await;
    let hour = request.response_headers.iter().find(|(name, _)| name == "x-ratelimit-remaining-hour");
    assert_eq!(hour.unwrap().1, "8", "only two of six were counted");
}

#[tokio::test]
async fn many_at_once_are_counted_one_by_one() {
    let server = Server::start(&[]).await;
    let redis = json!({"host": "127.0.0.1", "port": server.port});
    let (one, other) = (node(redis.clone(), json!({})), node(redis, json!({})));
    let asked = (0..100).map(|number| ask(if number % 2 == 0 { &*one } else { &*other }));
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(answers.iter().filter(|(status, _)| status.is_none()).count(), 10);
}

#[tokio::test]
async fn without_its_redis_it_is_open_or_closed() {
    let away = json!({"host": "127.0.0.1", "port": 1, "timeout": 200});
    let open = node(away.clone(), json!({}));
    assert_eq!(ask(&*open).await, (None, None));
    let closed = node(away, json!({"fault_tolerant": false}));
    let answer = told(access(&*closed, &mut Request::for_test()).await);
    assert_eq!(answer, Some((StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred".to_owned())));
}

#[tokio::test]
async fn a_wrong_password_is_a_redis_that_is_away() {
    let server = Server::start(&["requirepass right".to_owned()]).await;
    let redis = |password: &str| json!({"host": "127.0.0.1", "port": server.port, "password": password});
    assert_eq!(ask(&*node(redis("right"), json!({}))).await, left(9));
    assert_eq!(ask(&*node(redis("wrong"), json!({"fault_tolerant": false}))).await.0, Some(500));
}

#[tokio::test]
async fn counts_may_be_exchanged_now_and_then() {
    let server = Server::start(&[]).await;
    let redis = json!({"host": "127.0.0.1", "port": server.port});
    let lazy = || node(redis.clone(), json!({"sync_rate": 0.05}));
    let (one, other) = (lazy(), lazy());
    for number in 0..4 {
        assert_eq!(ask(&*one).await, left(9 - number));
        assert_eq!(ask(&*other).await, left(9 - number), "it knows its own only");
    }
    // Four of each: after an exchange both know of eight.
    for _ in 0..200 {
        sleep(Duration::from_millis(20)).await;
        let (mut sums, plugins) = (Vec::new(), [&one, &other]);
        for plugin in plugins {
            let mut request = Request::for_test();
            request.client.ip = [192, 0, 2, 77].into();
            let _ = access(&**plugin, &mut request).await;
            sums.push(request.response_headers.len());
        }
        let seen = server_count(&server).await;
        if seen == Some(8) {
            break;
        }
    }
    assert_eq!(server_count(&server).await, Some(8));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(ask(&*one).await, left(1));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(ask(&*other).await, left(0));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(ask(&*one).await.0, Some(429));
}

/// What all nodes have counted for the address of tests.
async fn server_count(server: &Server) -> Option<i64> {
    let redis = Arc::<Redis>::default();
    crate::testing::reach(&redis, crate::redis::tests::settings(server.port));
    let limit = Counted { period: Period::Minute, window: Period::Minute.window(1_700_000_000), passes: 10 };
    let key = keys(Uuid::from_u128(99), &[192, 0, 2, 1], &[limit]).remove(0);
    match redis.ask(key.as_bytes(), &[b"GET", key.as_bytes()]).await {
        Ok(Reply::Text(text)) => std::str::from_utf8(&text).ok()?.parse().ok(),
        _ => None,
    }
}

#[test]
fn what_is_refused() {
    let config = |more: Json| {
        let mut config = json!({"minute": 1, "redis": {"host": "a"}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    for (more, message) in [
        (json!({"policy": "cluster"}), "counts in the database are not supported"),
        (json!({"policy": "local", "sync_rate": 1}), "sync_rate can only be used with the redis policy"),
        (json!({"policy": "redis", "sync_rate": 0.01}), "must be -1, or 0.02 or more"),
    ] {
        let said = check(&SCHEMA.config, &config(more)).unwrap_err();
        assert!(said.contains(message), "{said}");
    }
    let nowhere = json!({"minute": 1, "policy": "redis", "redis": {}});
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let said = runtime.block_on(async { crate::testing::refusal(&SCHEMA.config, make, &nowhere) });
    assert!(said.unwrap().contains("host: required field missing"));
}
