//! Who may ask, over real connections.

use std::time::Duration;

use postern_admin::server::{
    AdminListener, AdminOptions, AdminToken, Bounds, StartError, TokenValue, start, start_within,
};
use postern_secrets::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server_double::{Api, about};

fn options(listen: &str, tokens: &[&str]) -> AdminOptions {
    AdminOptions {
        listeners: vec![AdminListener { address: listen.parse().unwrap(), tls: None }],
        tokens: tokens
            .iter()
            .map(|token| AdminToken { name: "t".to_owned(), value: TokenValue::Fixed(Secret::from(*token)) })
            .collect(),
        ..AdminOptions::default()
    }
}

async fn said(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    if !request.contains("HTTP/1.1") {
        // Or the server would wait for the rest of it.
        stream.shutdown().await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn nobody_listens_to_the_world_unasked() {
    for (listen, tokens, insecure, is_fine) in [
        ("127.0.0.1:0", &[][..], false, true),
        ("0.0.0.0:0", &[][..], false, false),
        ("0.0.0.0:0", &["t"][..], false, true),
        ("0.0.0.0:0", &[][..], true, true),
    ] {
        let api = Api::with(about(), AdminOptions { insecure, ..options(listen, tokens) }, None);
        let started = start(api.admin.clone()).await;
        assert_eq!(started.is_ok(), is_fine, "{listen} {tokens:?} {insecure}");
        if let Err(error) = started {
            assert!(matches!(error, StartError::Open(_)));
            assert!(error.hint().contains("token"));
        }
    }
}

/// Somebody who asks for much and reads nothing of it must not keep a task and its memory for ever.
#[tokio::test]
async fn who_does_not_read_is_let_go() {
    const REQUESTS: usize = 200;
    let api = Api::with(about(), options("127.0.0.1:0", &[]), None);
    let listening = start(api.admin.clone()).await.unwrap();
    let address = listening.addresses()[0];
    let get = |close: &str| format!("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n{close}\r\n");
    let one = said(address, &get("Connection: close\r\n")).await.len();
    assert!(one * REQUESTS > 16 << 20, "{one} bytes each do not fill what the kernel holds");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(get("").repeat(REQUESTS - 1).as_bytes()).await.unwrap();
    stream.write_all(get("Connection: close\r\n").as_bytes()).await.unwrap();
    // Until the kernel holds all that it may; then a minute passes, and some seconds.
    tokio::time::sleep(Duration::from_millis(500)).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(70)).await;
    tokio::time::resume();
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers).await;
    assert!(answers.len() < one * (REQUESTS - 1), "{} of {} bytes", answers.len(), one * REQUESTS);
    listening.end(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn over_a_connection() {
    let api = Api::with(about(), options("127.0.0.1:0", &["right"]), None);
    let listening = start(api.admin.clone()).await.unwrap();
    let address = listening.addresses()[0];
    let get = |headers: &str| format!("GET /services HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let cases = [
        ("Host: evil.example\r\nKong-Admin-Token: right\r\n", "200"),
        ("Host: localhost\r\nAdmin-Token: right\r\n", "200"),
        ("Host: localhost\r\nAdmin-Token: wrong\r\n", "401"),
        ("Host: localhost\r\n", "401"),
        ("Host: localhost\r\nOrigin: http://evil.example\r\nAdmin-Token: right\r\n", "403"),
    ];
    for (headers, status) in cases {
        let answer = said(address, &get(headers)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
        assert!(answer.contains("\"message\"") || status == "200");
    }
    for garbage in
        ["\r\n\r\n\r\n", "GET /\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n"]
    {
        let answer = said(address, garbage).await;
        assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    listening.end(Duration::from_secs(5)).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn pages_that_are_listed_may_read() {
    let origins = vec!["https://manager.example".to_owned()];
    let api = Api::with(about(), AdminOptions { origins, ..AdminOptions::default() }, None);
    let headers = [("origin", "https://manager.example"), ("access-control-request-method", "PUT")];
    let preflight = api.raw("OPTIONS", "/services", &headers, "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], "https://manager.example");
    let read = api.raw("GET", "/services", &headers[..1], "").await;
    assert_eq!(read.headers["access-control-allow-origin"], "https://manager.example");
    let foreign = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
    let refused = api.raw("OPTIONS", "/services", &foreign, "").await;
    assert!(refused.status == 403 && !refused.headers.contains_key("access-control-allow-origin"));
    assert_eq!(api.raw("GET", "/services", &[("host", "evil.example")], "").await.status, 403);
    // A form of somebody else's page needs no preflight.
    let form = [("origin", "null"), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(api.raw("POST", "/services", &form, "host=h").await.status, 403);
    assert_eq!(api.get("/services").await.body["data"], json!([]));
    assert_eq!(api.ask("GET", "/services", Value::Null).await.headers["cache-control"], "no-store");
}

/// A connection that is kept: a request on it, and the status of its answer; nothing if it has ended.
struct Kept(TcpStream);

impl Kept {
    async fn from(peer: [u8; 4], to: std::net::SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((peer, 0).into()).unwrap();
        Self(socket.connect(to).await.unwrap())
    }

    async fn ask(&mut self, token: &str) -> Option<u16> {
        let request = format!("GET /status HTTP/1.1\r\nHost: localhost\r\nAdmin-Token: {token}\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        let (head, body) = loop {
            if self.0.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
            let text = std::str::from_utf8(&answer).unwrap();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                break (head.to_ascii_lowercase(), body.len());
            }
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut rest = vec![0; length.parse::<usize>().unwrap() - body];
        self.0.read_exact(&mut rest).await.ok()?;
        head.split(' ').nth(1)?.parse().ok()
    }
}

/// More connections than there are places, none of which ends by itself; the next one is served at once all the same. No
/// clock is moved: what is not served at once waits for a minute, which fails the test.
#[tokio::test]
async fn idle_connections_make_room() {
    const SOON: Duration = Duration::from_secs(30);
    // From how many peers, how many connections of each, and what they show.
    let bounds = Bounds { all: 32, strangers: 24, peer: 16 };
    for (peers, each, token) in
        [(1, 40, "right"), (1, 40, "wrong"), (1, 40, ""), (4, 12, "right"), (4, 12, "wrong"), (4, 12, "")]
    {
        let api = Api::with(about(), options("127.0.0.1:0", &["right"]), None);
        let listening = start_within(api.admin.clone(), bounds).await.unwrap();
        let address = listening.addresses()[0];
        let mut owner = Kept::from([127, 0, 0, 9], address).await;
        assert_eq!(owner.ask("right").await, Some(200));
        let mut idle = Vec::new();
        for number in 0..peers * each {
            let mut kept = Kept::from([127, 0, 1, number % peers], address).await;
            if !token.is_empty() {
                let status = if token == "right" { 200 } else { 401 };
                assert_eq!(kept.ask(token).await, Some(status), "{number} of {peers} × {each}, {token:?}");
            }
            idle.push(kept);
        }
        let case = format!("{peers} × {each}, {token:?}");
        let mut next = Kept::from([127, 0, 0, 8], address).await;
        let next = tokio::time::timeout(SOON, next.ask("right")).await;
        assert_eq!(next, Ok(Some(200)), "{case}: another peer");
        let mut next = Kept::from([127, 0, 1, 0], address).await;
        let next = tokio::time::timeout(SOON, next.ask("right")).await;
        assert_eq!(next, Ok(Some(200)), "{case}: the same peer");
        // Where those that came later showed nothing, or came from one address, the owner's connection is still there.
        if token != "right" || peers == 1 {
            assert_eq!(owner.ask("right").await, Some(200), "{case}: the owner's");
        }
        let mut last = idle.pop().unwrap();
        assert_eq!(last.ask("right").await, Some(200), "{case}: the last one");
        assert_eq!(idle[0].ask("right").await, None, "{case}: the first one");
        drop(idle);
        listening.end(Duration::from_secs(5)).await;
    }
}

/// A page of another origin that an old browser sends a form from names itself by its address alone.
#[tokio::test]
async fn forms_of_other_pages() {
    let api = Api::new();
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (referer, status) in
        [("http://evil.example/a", 403), ("nonsense", 403), ("http://localhost:8001/manager", 201)]
    {
        let name = format!("username=u{status}&custom_id={}", referer.len());
        let answer = api.raw("POST", "/consumers", &[form, ("referer", referer)], name).await;
        assert_eq!(answer.status, status, "{referer}");
    }
    let read = api.raw("GET", "/consumers", &[("referer", "http://evil.example/a")], "").await;
    assert_eq!(read.status, 200, "a link may lead here");
}
