//! The vault's fault switches and counters.

use super::Tutorial;
use super::client::send;
use postern_devstack::PathClass;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn fails_as_often_as_it_was_told() {
    let Tutorial { stack, root } = &Tutorial::start().await;
    stack.vault.fail_next(2, 500, r#"{"errors":["internal error"]}"#);
    for _ in 0..2 {
        assert_eq!(root.get("secret/data/password").await, (500, json!({"errors": ["internal error"]})));
    }
    assert_eq!(root.get("secret/data/password").await.0, 200);
    stack.vault.fail_next_in(PathClass::Login, 1, 503, "busy");
    assert_eq!(root.get("secret/data/password").await.0, 200, "only logins fail");
    assert_eq!(root.call("POST", "auth/jwt/login", json!({})).await.0, 503);
    assert_eq!(root.call("POST", "auth/jwt/login", json!({})).await.0, 400);
}

#[tokio::test]
async fn answers_nonsense_of_each_kind() {
    let Tutorial { stack, root } = &Tutorial::start().await;
    let url = format!("{}/v1/secret/data/password", stack.vault.url());
    stack.vault.answer_garbage(true);
    let (status, text) = send("GET", &url, &[], String::new()).await.expect("an answer");
    assert!(status == 200 && serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
    stack.vault.answer_garbage(false);
    stack.vault.answer_huge(3_000_000);
    let (status, text) = send("GET", &url, &[], String::new()).await.expect("an answer");
    assert_eq!((status, text.len()), (200, 3_000_000));
    stack.vault.answer_huge(0);
    stack.vault.answer_nothing(true);
    let silence = timeout(Duration::from_millis(200), send("GET", &url, &[], String::new())).await;
    assert!(silence.is_err(), "{silence:?}");
    stack.vault.answer_nothing(false);
    assert_eq!(root.get("secret/data/password").await.0, 200);
}

#[tokio::test]
async fn is_as_slow_as_it_was_told() {
    let Tutorial { stack, root } = &Tutorial::start().await;
    stack.vault.delay(Duration::from_millis(150));
    let start = Instant::now();
    assert_eq!(root.get("secret/data/password").await.0, 200);
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn counts_requests_refused_ones_included() {
    let tutorial = Tutorial::start().await;
    let vault = &tutorial.stack.vault;
    let before = (vault.logins(), vault.reads());
    let reader = tutorial.log_in("demo").await;
    reader.get("secret/data/password").await;
    reader.get("secret/data/none").await;
    vault.fail_next(1, 500, "");
    reader.get("secret/data/password").await;
    reader.get("auth/token/lookup-self").await;
    tutorial.root.refused("POST", "auth/jwt/login", json!({})).await;
    assert_eq!((vault.logins(), vault.reads()), (before.0 + 2, before.1 + 3));
    assert_eq!(vault.count("GET", PathClass::Token), 1);
}
