//! Every phase of a connection has a limit, for clients and for upstreams, and every message has one for its size.
//!
//! The settings are short and the tests patient: what is asserted is that a wait ends, long before its default would
//! end it, and never that it ends soon.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::upstream::{Step, Upstream, send};
use super::{gateway, gateway_with, wire};

/// Half of nginx's default of 60 seconds.
const PATIENCE: Duration = Duration::from_secs(30);

const SHORT: &[(&str, &str)] = &[
    ("nginx_proxy_client_header_timeout", "500ms"),
    ("nginx_proxy_client_body_timeout", "500ms"),
    ("nginx_proxy_send_timeout", "1s"),
    ("nginx_proxy_keepalive_timeout", "500ms"),
];

/// Until the gateway has ended the connection; what it said before.
async fn ended(name: &str, stream: &mut TcpStream) -> String {
    let said = timeout(PATIENCE, wire::to_end(stream)).await;
    String::from_utf8_lossy(&said.unwrap_or_else(|_| panic!("{name}: waits for ever"))).into_owned()
}

#[tokio::test]
async fn no_client_is_waited_for_without_end() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, SHORT).await;
    let good = "GET /open HTTP/1.1\r\nHost: a\r\n\r\n";
    let hello = "\x16\x03\x01\x02\0\x01\0\x01";
    // Who, where, what it sends before it falls silent, and how the only answer begins.
    let cases = [
        ("a client that says nothing", gateway.http, "", ""),
        ("half a line", gateway.http, "GET /op", ""),
        ("half a head", gateway.http, "GET /open HTTP/1.1\r\nHo", ""),
        ("a client that is done", gateway.http, good, "HTTP/1.1 200"),
        ("half a second head", gateway.http, &format!("{good}GET /"), "HTTP/1.1 200"),
        (
            "half a length",
            gateway.http,
            "POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel",
            "HTTP/1.1 4",
        ),
        (
            "half a chunk",
            gateway.http,
            "POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel",
            "HTTP/1.1 4",
        ),
        (
            "half a length, not buffered",
            gateway.http,
            "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel",
            "HTTP/1.1 4",
        ),
        ("no handshake", gateway.https, "", ""),
        ("half a handshake", gateway.https, hello, ""),
        ("no preface", gateway.h2c, "", ""),
        ("half a preface", gateway.h2c, "PRI * HTT", ""),
        ("a preface and nothing else", gateway.h2c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
    ];
    for (name, address, said, answer) in cases {
        let mut stream = wire::connect(address).await;
        stream.write_all(said.as_bytes()).await.expect("a gateway that listens");
        let got = ended(name, &mut stream).await;
        // Whether a client that took too long is told so is the gateway's choice; it is never told that all is well.
        match answer {
            "" => assert!(!got.contains("HTTP/1.1 2"), "{name}: {got}"),
            "HTTP/1.1 4" => assert!(got.is_empty() || got.starts_with(answer), "{name}: {got}"),
            answer => assert!(got.starts_with(answer) && got.matches(answer).count() == 1, "{name}: {got}"),
        }
    }
    assert!(upstream.take().iter().all(|heard| !heard.complete || heard.line == "GET /open"));
}

/// A byte now and then keeps a body alive, but no head.
#[tokio::test]
async fn a_head_that_trickles_ends() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, SHORT).await;
    let mut stream = wire::connect(gateway.http).await;
    stream.write_all(b"GET /open HTTP/1.1\r\nX: ").await.expect("a gateway that listens");
    let begun = Instant::now();
    while stream.write_all(b"x").await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "a head may trickle for ever");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_ends() {
    let upstream = Upstream::new(|_| {
        vec![
            send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"),
            Step::Endless(vec![b'x'; 64 * 1024]),
        ]
    })
    .await;
    let gateway = gateway(&upstream, SHORT).await;
    let mut stream = wire::connect(gateway.http).await;
    stream.write_all(b"GET /open HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("a gateway that listens");
    let begun = Instant::now();
    while !gateway.access_log().contains("GET /open") {
        assert!(begun.elapsed() < PATIENCE, "the request goes on for ever");
        assert!(gateway.memory() < 256 * 1024, "what nobody reads is kept: {} KiB", gateway.memory());
        sleep(Duration::from_millis(50)).await;
    }
}

const LIMITS: &str = "  connect_timeout: 500\n  read_timeout: 500\n  write_timeout: 500";

async fn get(address: std::net::SocketAddr) -> Vec<wire::Reply> {
    let request = "GET /open HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    wire::replies(&timeout(PATIENCE, wire::exchange(address, request.as_bytes())).await.expect("an answer"))
}

#[tokio::test]
async fn no_upstream_is_waited_for_without_end() {
    let half_a_head = vec![send("HTTP/1.1 200 OK\r\nContent-"), Step::Stall];
    let half_a_length = vec![send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"), Step::Stall];
    let half_a_chunk =
        vec![send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel"), Step::Stall];
    let cases = [
        ("an upstream that says nothing", vec![Step::Stall], 504),
        ("half a head", half_a_head, 504),
        ("half a length", half_a_length, 200),
        ("half a chunk", half_a_chunk, 200),
    ];
    for (name, steps, status) in cases {
        let upstream = Upstream::new(move |_| steps.clone()).await;
        let gateway = gateway_with(&upstream, LIMITS, &[]).await;
        let got = get(gateway.http).await;
        assert_eq!(got.iter().map(|reply| reply.status).collect::<Vec<_>>(), [status], "{name}: {got:?}");
        assert_eq!(got[0].complete, status != 200, "{name}: {got:?}");
    }
}

/// A listener with a queue that is full: who connects gets no answer at all.
#[tokio::test]
async fn no_connection_is_waited_for_without_end() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free loopback port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("a bound port");
    let mut queue = Vec::new();
    while let Ok(connected) = timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
        queue.push(connected.expect("a connection that waits in the queue"));
        assert!(queue.len() < 100, "the queue has no end");
    }
    let yaml = format!(
        "_format_version: '3.0'\nservices:\n- name: behind\n  url: http://{address}\n  retries: 0\n{LIMITS}\n  routes:\n  \
         - {{name: open, paths: [/open]}}\n"
    );
    let gateway = postern_conformance::Postern::gateway(&yaml, &[]).await;
    assert_eq!(get(gateway.http).await[0].status, 504);
}

#[tokio::test]
async fn heads_have_a_size() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, &[]).await;
    let long = "x".repeat(40_000);
    let many: String = (0..2000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let cases = [
        ("a long value", format!("GET /open HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), &[431][..]),
        ("a long name", format!("GET /open HTTP/1.1\r\nHost: a\r\n{long}: 1\r\n\r\n"), &[431]),
        ("a long target", format!("GET /open?{long} HTTP/1.1\r\nHost: a\r\n\r\n"), &[414, 431]),
        ("a long method", format!("{long} /open HTTP/1.1\r\nHost: a\r\n\r\n"), &[400, 431]),
        ("many fields", format!("GET /open HTTP/1.1\r\nHost: a\r\n{many}\r\n"), &[431]),
        ("no end", format!("GET /open HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(10_000_000)), &[431]),
    ];
    for (name, request, statuses) in cases {
        let got = wire::replies(&wire::exchange(gateway.http, request.as_bytes()).await);
        // What was not read makes the kernel reset the connection, and the answer may be lost with it.
        assert!(got.len() <= 1, "{name}: {got:?}");
        assert!(got.iter().all(|reply| statuses.contains(&reply.status)), "{name}: {got:?}");
        assert!(name == "no end" || !got.is_empty(), "{name}: no answer");
    }
    assert_eq!(upstream.take(), []);
    assert!(gateway.memory() < 256 * 1024, "{} KiB", gateway.memory());
}

#[tokio::test]
async fn bodies_have_a_size() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, &[("nginx_proxy_client_max_body_size", "1k")]).await;
    // A body that is a request, many times over: it must not be taken for one.
    let body = "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for path in ["/open", "/stream"] {
        for rest in [&length, &chunks] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{rest}GET /open/end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            );
            let got = wire::replies(&wire::exchange(gateway.http, request.as_bytes()).await);
            let statuses: Vec<_> = got.iter().map(|reply| reply.status).collect();
            // Whether the connection goes on is the gateway's choice.
            assert!(statuses == [413] || statuses == [413, 200], "{path} {statuses:?}");
            for heard in upstream.take() {
                assert!(!heard.complete || heard.line == "GET /open/end", "{path}: {heard:?}");
            }
        }
    }
    let fits = format!(
        "POST /open HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1024\r\n\r\n{}",
        &body[..1024]
    );
    assert_eq!(wire::replies(&wire::exchange(gateway.http, fits.as_bytes()).await)[0].status, 200);
    let more = format!(
        "POST /open HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1025\r\n\r\n{}",
        &body[..1025]
    );
    assert_eq!(wire::replies(&wire::exchange(gateway.http, more.as_bytes()).await)[0].status, 413);
}

#[tokio::test]
async fn a_plugin_may_limit_bodies_that_do_not_say_their_length() {
    let upstream = Upstream::honest().await;
    let plugin =
        "  plugins: [{name: request-size-limiting, config: {allowed_payload_size: 1, size_unit: kilobytes}}]";
    let gateway = gateway_with(&upstream, plugin, &[]).await;
    for path in ["/open", "/stream"] {
        for (size, status) in [(1024, 200), (1025, 413), (200_000, 413)] {
            let body = "x".repeat(size);
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                 200\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                &body[..512],
                size - 512,
                &body[512..]
            );
            let got = wire::replies(&wire::exchange(gateway.http, request.as_bytes()).await);
            assert_eq!(got[0].status, status, "{path} {size}");
            let told = got[0].text().contains("\"message\":\"Request size limit exceeded\"");
            assert_eq!(told, status == 413, "{path} {size}");
            let whole = upstream.take().iter().filter(|heard| heard.complete).count();
            assert_eq!(whole, usize::from(status == 200), "{path} {size}");
        }
    }
}
