//! Who has to wait, and for how long; in memory, and between two nodes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use postern_model::entity::{self, BasicauthCredential, Foreign};
use serde_json::{Value as Json, json};

use super::super::{SCHEMA, make};
use super::*;
use crate::directory::{Directory, Source};
use crate::plugin::Plugin;
use crate::redis::tests::Server;
use crate::state::State;
use crate::testing::{access, check, make_in};

const NOW: u64 = 1_700_000_000;

fn directory() -> Arc<Directory> {
    let consumer = entity::Consumer { username: Some("ann".into()), custom_id: None, tags: None };
    let credential = BasicauthCredential {
        consumer: Foreign { id: Uuid::from_u128(1) },
        username: "ann".into(),
        password: "right".into(),
    };
    Arc::new(Directory::new(Source {
        consumers: vec![(Uuid::from_u128(1), consumer)],
        basicauth_credentials: vec![(Uuid::from_u128(41), credential)],
        ..Source::default()
    }))
}

fn plugin(protection: &Json, state: &Arc<State>, clock: &Clock) -> Box<dyn Plugin> {
    make_in(&SCHEMA.config, make, &json!({"brute_force_protection": protection}), state, clock)
}

/// Status, and seconds to wait.
async fn attempt(plugin: &dyn Plugin, pair: &str) -> (u16, Option<String>) {
    let mut request =
        Request::for_test().with("authorization", &format!("Basic {}", BASE64_STANDARD.encode(pair)));
    request.directory = directory();
    let answer = access(plugin, &mut request).await;
    answer.map_or((200, None), |answer| {
        let wait = answer.headers.get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        (answer.status.as_u16(), wait)
    })
}

fn wait(seconds: u32) -> (u16, Option<String>) {
    (429, Some(seconds.to_string()))
}

#[tokio::test]
async fn the_third_wrong_password_is_one_too_many_and_each_doubles_the_wait() {
    let (state, clock) = (Arc::default(), Clock::at(NOW));
    let plugin = plugin(&json!({"strategy": "memory"}), &state, &clock);
    // A name that is nobody's is treated as any other.
    for name in ["ann", "nobody"] {
        clock.set(NOW);
        let (wrong, right) = (format!("{name}:wrong"), format!("{name}:right"));
        assert_eq!(attempt(&*plugin, &wrong).await, (401, None));
        assert_eq!(attempt(&*plugin, &wrong).await, (401, None));
        assert_eq!(attempt(&*plugin, &wrong).await, wait(8));
        // Neither right nor wrong ones are looked at now, nor do they make it longer.
        clock.set(NOW + 3);
        assert_eq!(attempt(&*plugin, &right).await, wait(5));
        assert_eq!(attempt(&*plugin, &wrong).await, wait(5));
        clock.set(NOW + 8);
        assert_eq!(attempt(&*plugin, &wrong).await, wait(16));
        clock.set(NOW + 24);
        assert_eq!(attempt(&*plugin, &right).await.0, if name == "ann" { 200 } else { 429 });
    }
    // The others are not concerned, and a right one took nothing back.
    clock.set(NOW + 24);
    assert_eq!(attempt(&*plugin, "ben:wrong").await, (401, None));
    assert_eq!(attempt(&*plugin, "ann:wrong").await, wait(32));
    // After an hour without any, all begins anew.
    clock.set(NOW + 24 + 32 + HOUR);
    assert_eq!(attempt(&*plugin, "ann:wrong").await, (401, None));
}

#[test]
fn a_wait_is_an_hour_at_most() {
    assert_eq!([1, 2, 3, 4, 11, 12, 13, u32::MAX].map(wait_after), [0, 0, 8, 16, 2048, 3600, 3600, 3600]);
}

#[test]
fn memory_is_bounded_and_those_who_wait_go_last() {
    let memory = Memory::default();
    for _ in 0..3 {
        memory.failed("ann", NOW);
    }
    for number in 0..KNOWN + 10 {
        memory.failed(&number.to_string(), NOW);
    }
    assert!(memory.known.read().unwrap().len() <= KNOWN);
    assert_eq!(memory.wait("ann", NOW), 8);
    for number in 0..KNOWN + 10 {
        for _ in 0..3 {
            memory.failed(&number.to_string(), NOW);
        }
    }
    assert!(memory.known.read().unwrap().len() <= KNOWN);
}

#[tokio::test]
async fn nodes_count_together() {
    let server = Server::start(&[]).await;
    let protection = json!({"strategy": "redis", "redis": {"host": "127.0.0.1", "port": server.port}});
    let nodes = [(); 2].map(|()| plugin(&protection, &Arc::default(), &Clock::at(NOW)));
    assert_eq!(attempt(&*nodes[0], "ann:wrong").await, (401, None));
    assert_eq!(attempt(&*nodes[1], "ann:wrong").await, (401, None));
    assert_eq!(attempt(&*nodes[1], "ann:right").await, (200, None));
    assert_eq!(attempt(&*nodes[0], "ann:wrong").await, wait(8));
    for node in &nodes {
        let (status, wait) = attempt(&**node, "ann:right").await;
        let wait: u32 = wait.unwrap().parse().unwrap();
        assert!(status == 429 && (1..=8).contains(&wait), "{status} {wait}");
    }
}

#[tokio::test]
async fn without_its_redis_nobody_comes_in() {
    let protection = json!({"strategy": "redis", "redis": {"host": "127.0.0.1", "port": 1, "timeout": 200}});
    let plugin = plugin(&protection, &Arc::default(), &Clock::at(NOW));
    assert_eq!(attempt(&*plugin, "ann:right").await.0, StatusCode::INTERNAL_SERVER_ERROR.as_u16());
}

#[test]
fn counts_in_a_database_are_refused() {
    let config = json!({"brute_force_protection": {"strategy": "cluster"}});
    assert!(check(&SCHEMA.config, &config).unwrap_err().contains("use redis or memory"));
}
