//! Several nodes, and a Redis between them.

use http::header::HeaderName;
use http::{HeaderMap, StatusCode};
use serde_json::{Value as Json, json};

use super::super::{SCHEMA, make};
use crate::plugin::Plugin;
use crate::redis::Redis;
use crate::redis::resp::Reply;
use crate::redis::tests::Server;
use crate::testing::{access, check, told};
use crate::view::{Response, Source};
use postern_secrets::clock::Clock;

use super::*;

/// A node of its own: nothing but Redis is shared with another.
fn node(redis: &Json, more: &Json) -> Box<dyn Plugin> {
    let mut config = json!({
        "policy": "redis", "limit_by": "ip", "redis": redis,
        "limits": {"video": {"minute": 5, "hour": 50}, "image": {"minute": 9}},
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    crate::testing::make_in(&SCHEMA.config, make, &config, &Arc::default(), &Clock::at(1_700_000_000))
}

/// What a response costs, and what of `video` is left a minute according to the upstream's request and the response.
async fn ask(plugin: &dyn Plugin, cost: &'static str) -> (u16, Option<String>, Option<String>) {
    let text =
        |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let mut request = Request::for_test();
    if let Some(answer) = access(plugin, &mut request).await {
        return (answer.status.as_u16(), None, None);
    }
    let mut response =
        Response { status: StatusCode::OK, headers: HeaderMap::new(), source: Source::Upstream };
    response.headers.insert(HeaderName::from_static("x-kong-limit"), cost.parse().unwrap());
    plugin.response(&request, &mut response);
    assert!(!response.headers.contains_key("x-kong-limit"), "nobody's business");
    let left = text(&response.headers, "x-ratelimit-remaining-video-minute");
    (response.status.as_u16(), text(&request.headers, "x-ratelimit-remaining-video"), left)
}

fn got(status: u16, before: &str, after: &str) -> (u16, Option<String>, Option<String>) {
    (status, Some(before.to_owned()), Some(after.to_owned()))
}

/// Waits until Redis holds this under some key with these words.
async fn until(server: &Server, words: &[&str], expected: &str) {
    let redis = Arc::<Redis>::default();
    crate::testing::reach(&redis, crate::redis::tests::settings(server.port));
    for _ in 0..500 {
        let Ok(Reply::Array(keys)) = redis.ask(b"", &[b"KEYS", b"*"]).await else { panic!("keys") };
        for key in keys {
            let Reply::Text(key) = key else { continue };
            let name = std::str::from_utf8(&key).unwrap();
            if words.iter().all(|word| name.contains(word))
                && let Ok(Reply::Text(value)) = redis.ask(b"", &[b"GET", &key]).await
                && value == expected.as_bytes()
            {
                let Ok(Reply::Integer(ends)) = redis.ask(b"", &[b"TTL", &key]).await else {
                    panic!("an end")
                };
                assert!(ends > 0, "it ends");
                return;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no {expected} under {words:?}");
}

#[tokio::test]
async fn nodes_share_what_was_used() {
    let server = Server::start(&[]).await;
    let redis = json!({"host": "127.0.0.1", "port": server.port, "database": 0});
    let (one, other) = (node(&redis, &json!({})), node(&redis, &json!({})));
    assert_eq!(ask(&*one, "video=2").await, got(200, "5", "3"));
    until(&server, &[":video:minute:1699999980"], "2").await;
    assert_eq!(ask(&*other, "video=3, image=1").await, got(200, "3", "0"));
    until(&server, &[":video:hour:"], "5").await;
    until(&server, &[":image:minute:"], "1").await;
    // Nothing left: what would use more of it is withheld, and counts for nothing.
    assert_eq!(ask(&*one, "video=1, image=1").await, got(429, "0", "0"));
    assert_eq!(ask(&*one, "image=1").await, got(200, "0", "0"));
    until(&server, &[":image:minute:"], "2").await;
    let strict = node(&redis, &json!({"block_on_first_violation": true}));
    assert_eq!(ask(&*strict, "image=1").await, (429, None, None));
}

#[tokio::test]
async fn without_its_redis_it_is_open_or_closed() {
    let away = json!({"host": "127.0.0.1", "port": 1, "timeout": 200});
    let open = node(&away, &json!({}));
    assert_eq!(ask(&*open, "video=99").await, (200, None, None));
    let closed = node(&away, &json!({"fault_tolerant": false}));
    let answer = told(access(&*closed, &mut Request::for_test()).await);
    assert_eq!(answer, Some((StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred".to_owned())));
}

#[test]
fn counts_in_a_database_are_refused() {
    let config = json!({"policy": "cluster", "limits": {"a": {"minute": 1}}, "redis": {"host": "a"}});
    assert!(check(&SCHEMA.config, &config).unwrap_err().contains("use redis or local"));
}
