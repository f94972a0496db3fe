//! The upstream: it says what reached it, late or with another status where that is asked for.

use super::client::send;
use postern_devstack::{PortChoice, Upstream, upstream::UpstreamOptions};
use std::time::Duration;
use tokio::time::Instant;

async fn start() -> Upstream {
    let options = UpstreamOptions { port: PortChoice::Free, ..UpstreamOptions::default() };
    Upstream::start(options).await.expect("a free port")
}

#[tokio::test]
async fn echoes_what_reached_it() {
    let upstream = start().await;
    let url = format!("{}/a/b?x=1&y=2&x=3", upstream.url());
    let headers = [("x-one", "1"), ("x-two", "a"), ("x-two", "b")];
    let (status, echo) = send("POST", &url, &headers, "hello".to_owned()).await.expect("an answer");
    assert_eq!(status, 200);
    let echo: serde_json::Value = serde_json::from_str(&echo).expect("JSON");
    let is = |pointer: &str, expected: serde_json::Value| {
        assert_eq!(echo.pointer(pointer), Some(&expected), "{pointer} of {echo}");
    };
    is("/method", "POST".into());
    is("/path", "/a/b".into());
    is("/query/x", serde_json::json!(["1", "3"]));
    is("/query/y", "2".into());
    is("/headers/x-one", "1".into());
    is("/headers/x-two", serde_json::json!(["a", "b"]));
    is("/body", "hello".into());
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn answers_late_or_otherwise_when_asked() {
    let upstream = start().await;
    let status = async |path: &str| {
        let url = format!("{}{path}", upstream.url());
        send("GET", &url, &[], String::new()).await.expect("an answer").0
    };
    for (path, expected) in [
        ("/status/418", 418),
        ("/status/204", 204),
        ("/status/304", 304),
        ("/status/100", 200),
        ("/status/x", 200),
        ("/flaky", 503),
        ("/flaky", 200),
        ("/flaky", 503),
    ] {
        assert_eq!(status(path).await, expected, "{path}");
    }
    let before = Instant::now();
    assert_eq!(status("/slow?ms=120").await, 200);
    assert!(before.elapsed() >= Duration::from_millis(120));
}
