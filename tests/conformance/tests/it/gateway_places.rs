//! A listener whose places are all taken: connections that wait for a request make room, those with one under way do not.

use postern_conformance::{
    Gateway, Postern, Recorder, Reply,
    ask::{Connection, Got, Way, get},
};
use tokio::sync::mpsc;

const PLACES: usize = 6;

/// One worker with few places. Nothing ends by itself while a test runs.
async fn gateway(upstream: &Recorder) -> Gateway {
    let yaml = format!(
        "_format_version: '3.0'
services:
- name: s
  url: http://127.0.0.1:{}
  routes: [{{name: r, paths: [/]}}]
",
        upstream.port()
    );
    let settings = [
        ("nginx_events_worker_connections", PLACES.to_string()),
        ("nginx_proxy_keepalive_timeout", "1h".to_owned()),
        ("nginx_proxy_client_header_timeout", "1h".to_owned()),
    ];
    Postern::gateway(&yaml, &settings.each_ref().map(|(name, value)| (*name, value.as_str()))).await
}

fn ways(gateway: &Gateway) -> [Way; 4] {
    [
        Way::http(gateway.http),
        Way::h2c(gateway.h2c),
        Way::https(gateway.https, "localhost"),
        Way::https2(gateway.https, "localhost"),
    ]
}

async fn status(connection: &mut Connection) -> Option<u16> {
    connection.ask(get("a", "/")).await.ok().map(|got| got.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_idle_makes_room() {
    let upstream = Recorder::start().await;
    for number in 0..4 {
        let gateway = gateway(&upstream).await;
        let way = &ways(&gateway)[number];
        let mut kept = Vec::new();
        for _ in 0..4 * PLACES {
            let mut connection = way.open().await.unwrap_or_else(|error| panic!("{way:?}: {error}"));
            assert_eq!(status(&mut connection).await, Some(200), "{way:?}, number {}", kept.len());
            kept.push(connection);
        }
        let mut living = Vec::new();
        for connection in &mut kept {
            living.push(status(connection).await.is_some());
        }
        let last = living.len() - PLACES;
        assert!(living[..last].iter().all(|lives| !lives), "{way:?}: {living:?}");
        assert!(living[last..].iter().all(|lives| *lives), "{way:?}: {living:?}");
    }
}

/// Connections on which nothing was ever asked, and which are as far as they can be without that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_asks_makes_room() {
    let upstream = Recorder::start().await;
    let gateway = gateway(&upstream).await;
    for way in ways(&gateway) {
        let (mut silent, mut ready) = (Vec::new(), Vec::new());
        for _ in 0..2 * PLACES {
            silent.push(way.tcp().await.expect("a connection"));
        }
        for way in ways(&gateway) {
            let got = way.ask(get("a", "/")).await.unwrap_or_else(|error| panic!("{way:?}: {error}"));
            assert_eq!(got.status, 200, "{way:?}");
        }
        for _ in 0..2 * PLACES {
            ready.push(way.open().await.expect("a connection"));
        }
        for way in ways(&gateway) {
            let got = way.ask(get("a", "/")).await.unwrap_or_else(|error| panic!("{way:?}: {error}"));
            assert_eq!(got.status, 200, "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_stays() {
    let upstream = Recorder::start().await;
    for number in 0..4 {
        let gateway = gateway(&upstream).await;
        let way = &ways(&gateway)[number];
        let mut under_way = Vec::new();
        for _ in 0..PLACES {
            let (pieces, receiver) = mpsc::unbounded_channel();
            upstream.answers(Reply { pieces: Some(receiver), ..Reply::new(200, "") });
            let mut connection = way.open().await.expect("a connection");
            let response = connection.send(get("a", "/")).await.expect("a head");
            under_way.push((connection, response, pieces));
        }
        // All places are taken by requests: the next one waits until one of them has ended, and none is cut off.
        upstream.answers(Reply::new(200, "hello"));
        let next = tokio::spawn({
            let way = way.clone();
            async move { way.ask(get("a", "/next")).await }
        });
        for (_connection, response, pieces) in under_way {
            pieces.send("one".into()).expect("an upstream that listens");
            pieces.send("two".into()).expect("an upstream that listens");
            drop(pieces);
            let got = Got::read(response).await.unwrap_or_else(|error| panic!("{way:?}: {error}"));
            assert_eq!(got.text(), "onetwo", "{way:?}");
        }
        let next = next.await.expect("a task").unwrap_or_else(|error| panic!("{way:?}: {error}"));
        assert_eq!(next.text(), "hello", "{way:?}");
    }
}

/// Who leaves connections to the status page open does not keep out whoever asks next, such as a load balancer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scraper_that_leaks_connections_keeps_nobody_from_the_status_page() {
    /// More than there may be.
    const LEAKED: usize = 600;
    let upstream = Recorder::start().await;
    let gateway = gateway(&upstream).await;
    let way = Way::http(gateway.status);
    let mut leaked = Vec::new();
    for number in 0..LEAKED {
        let mut connection = way.open().await.unwrap_or_else(|error| panic!("{number}: {error}"));
        // Half of them never ask.
        if number % 2 == 0 {
            let got = connection
                .ask(get("a", "/metrics"))
                .await
                .unwrap_or_else(|error| panic!("{number}: {error}"));
            assert_eq!(got.status, 200, "{number}");
        }
        leaked.push(connection);
    }
    assert_eq!(way.ask(get("a", "/status/ready")).await.expect("an answer").status, 200);
    // The oldest have made room; the newest that ever asked is still there.
    assert!(leaked[0].ask(get("a", "/status/ready")).await.is_err(), "there is a bound");
    assert!(leaked[LEAKED - 2].ask(get("a", "/status/ready")).await.is_ok());
}
