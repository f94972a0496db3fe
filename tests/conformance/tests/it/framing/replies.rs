//! Upstreams that answer nonsense: the client gets one whole answer, an answer that is visibly cut off, or 502; and what
//! is left in a connection is never given to the next client.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::upstream::{self, Step, Upstream, send};
use super::{gateway, gateway_with, wire};

/// What the client gets.
#[derive(Debug)]
enum Expect {
    /// An answer that is complete.
    Whole(u16, &'static str),
    /// The head of an answer, and a body that breaks off.
    Broken,
    /// The gateway's own words.
    Refused,
}
use Expect::{Broken, Refused, Whole};

const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nEVIL";

fn ok(fields: &str, body: &str) -> Vec<Step> {
    vec![send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}"))]
}

fn then(mut steps: Vec<Step>, last: Step) -> Vec<Step> {
    steps.push(last);
    steps
}

#[rustfmt::skip]
fn lengths() -> Vec<(&'static str, Vec<Step>, Expect)> {
    vec![
        ("a length", ok("Content-Length: 5", "hello"), Whole(200, "hello")),
        ("chunks", ok("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"), Whole(200, "hello")),
        ("no length", then(ok("X: 1", "hello"), Step::Close), Whole(200, "hello")),
        ("less than its length", then(ok("Content-Length: 10", "hello"), Step::Close), Broken),
        ("more than its length", ok("Content-Length: 5", &format!("hello{EVIL}")), Whole(200, "hello")),
        ("nonsense behind its length", ok("Content-Length: 5", "hello nonsense"), Whole(200, "hello")),
        ("more behind its chunks", ok("Transfer-Encoding: chunked", &format!("5\r\nhello\r\n0\r\n\r\n{EVIL}")), Whole(200, "hello")),
        ("two lengths", ok("Content-Length: 5\r\nContent-Length: 6", "hello"), Refused),
        ("the same length twice", ok("Content-Length: 5\r\nContent-Length: 5", "hello"), Refused),
        ("a list of lengths", ok("Content-Length: 5, 5", "hello"), Refused),
        ("a length with a plus", ok("Content-Length: +5", "hello"), Refused),
        ("a length with a minus", ok("Content-Length: -5", "hello"), Refused),
        ("a length in hexadecimal", ok("Content-Length: 0x5", "hello"), Refused),
        ("an empty length", ok("Content-Length:", "hello"), Refused),
        ("a length and chunks", ok("Content-Length: 3\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("gzip, chunked", ok("Transfer-Encoding: gzip, chunked", "5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("identity", then(ok("Transfer-Encoding: identity", "hello"), Step::Close), Refused),
        ("xchunked", then(ok("Transfer-Encoding: xchunked", "hello"), Step::Close), Refused),
        ("chunked twice", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("chunks in HTTP/1.0", vec![send("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")], Refused),
        ("chunks without an end", then(ok("Transfer-Encoding: chunked", "5\r\nhello\r\n"), Step::Close), Broken),
        ("half a chunk", then(ok("Transfer-Encoding: chunked", "5\r\nhel"), Step::Close), Broken),
        ("a size that is none", ok("Transfer-Encoding: chunked", "5\r\nhello\r\nzz\r\n"), Broken),
        ("a size that overflows", ok("Transfer-Encoding: chunked", "5\r\nhello\r\n10000000000000000\r\n"), Broken),
        ("trailers", ok("Transfer-Encoding: chunked\r\nTrailer: Content-Length", "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"), Whole(200, "hello")),
        ("a hidden answer in trailers", ok("Transfer-Encoding: chunked", &format!("5\r\nhello\r\n0\r\n\n{EVIL}\r\n\r\n")), Whole(200, "hello")),
        ("204 with a body", vec![send(format!("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello{EVIL}"))], Whole(204, "")),
        ("304 with a body", vec![send(format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello{EVIL}"))], Whole(304, "")),
    ]
}

#[rustfmt::skip]
fn heads() -> Vec<(&'static str, Vec<Step>, Expect)> {
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    vec![
        ("nothing", vec![Step::Close], Refused),
        ("half a head", vec![send("HTTP/1.1 200 OK\r\nContent-"), Step::Close], Refused),
        ("nonsense", vec![send("nonsense\r\n\r\n"), Step::Close], Refused),
        ("another protocol", vec![send("SSH-2.0-OpenSSH_9.9\r\n"), Step::Close], Refused),
        ("a body alone", vec![send("hello"), Step::Close], Refused),
        ("a status that is no number", vec![send("HTTP/1.1 abc OK\r\n\r\n"), Step::Close], Refused),
        ("a status of two digits", vec![send("HTTP/1.1 20 OK\r\n\r\n"), Step::Close], Refused),
        ("a status of four digits", vec![send("HTTP/1.1 2000 OK\r\n\r\n"), Step::Close], Refused),
        ("a status below 100", vec![send("HTTP/1.1 099 OK\r\n\r\n"), Step::Close], Refused),
        ("a version that is not spoken", vec![send("HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")], Refused),
        ("101 that nobody asked for", vec![send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")], Refused),
        ("100 and 103 before an answer", vec![send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")], Whole(200, "hello")),
        ("100 without end", vec![Step::Endless("HTTP/1.1 100 Continue\r\n\r\n".repeat(500).into_bytes())], Refused),
        ("103 without end", vec![Step::Endless(format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", fields(20)).repeat(20).into_bytes())], Refused),
        ("a head without end", vec![send("HTTP/1.1 200 OK\r\n"), Step::Endless(b"X-Filler: 0123456789\r\n".repeat(100))], Refused),
        ("a value without end", vec![send("HTTP/1.1 200 OK\r\nX: "), Step::Endless(vec![b'x'; 64 * 1024])], Refused),
        ("1000 fields", vec![send(format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", fields(1000)))], Refused),
        ("a folded value", ok("X: a\r\n b\r\nContent-Length: 5", "hello"), Refused),
        ("a NUL", ok("X: a\0b\r\nContent-Length: 5", "hello"), Refused),
        ("a bare CR", ok("X: a\rContent-Length: 3\r\nContent-Length: 5", "hello"), Refused),
        ("a blank before the colon", ok("Content-Length : 5", "hello"), Refused),
        ("bare line ends", vec![send("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello")], Whole(200, "hello")),
    ]
}

async fn judge(cases: Vec<(&'static str, Vec<Step>, Expect)>) {
    let script = Arc::<Mutex<Vec<Step>>>::default();
    let next = Arc::clone(&script);
    let upstream = Upstream::new(move |request| match request.line.ends_with("/case") {
        true => next.lock().expect("a script").clone(),
        false => vec![send(upstream::honest(request))],
    })
    .await;
    let gateway = gateway_with(&upstream, "  read_timeout: 20000", &[]).await;
    let mut wrong = Vec::new();
    for (name, steps, expect) in &cases {
        *script.lock().expect("a script") = steps.clone();
        let got = ask(&gateway, "/open/case").await;
        let as_expected = match expect {
            Whole(status, body) => {
                got.len() == 1 && got[0].status == *status && got[0].text() == *body && got[0].complete
            }
            Broken => got.len() == 1 && got[0].status == 200 && !got[0].complete,
            Refused => got.len() == 1 && got[0].status == 502 && got[0].complete,
        };
        if !as_expected {
            wrong.push(format!("{name}: expected {expect:?}, the client got {got:?}"));
        }
        if got.iter().any(|reply| reply.status == 204 && reply.field("content-length").is_some()) {
            wrong.push(format!("{name}: a length where there is no body"));
        }
        let asked = upstream.take();
        if asked.len() != 1 {
            wrong.push(format!("{name}: asked {} times", asked.len()));
        }
        let victim = ask(&gateway, "/open/victim").await;
        if victim.len() != 1 || victim[0].text() != "for /open/victim" {
            wrong.push(format!("{name}: the next client got {victim:?}"));
        }
        upstream.take();
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

async fn ask(gateway: &postern_conformance::Gateway, target: &str) -> Vec<wire::Reply> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wire::replies(&wire::exchange(gateway.http, request.as_bytes()).await)
}

#[tokio::test]
async fn a_body_has_one_end() {
    judge(lengths()).await;
}

#[tokio::test]
async fn a_head_is_one_or_502() {
    judge(heads()).await;
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let upstream =
        Upstream::new(|_| vec![send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello{EVIL}"))])
            .await;
    let gateway = gateway(&upstream, &[]).await;
    for _ in 0..3 {
        let request = "HEAD /open HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = wire::exchange(gateway.http, request.as_bytes()).await;
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(text.starts_with("http/1.1 200") && text.contains("content-length: 5\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n") && !text.contains("evil") && !text.contains("hello"), "{text}");
    }
}

/// The connection is idle, and the upstream speaks first: what it says answers nobody.
#[tokio::test]
async fn an_answer_before_its_request_is_nobodys() {
    let upstream = Upstream::new(|request| match request.line.ends_with("/first") {
        true => vec![send(upstream::honest(request)), Step::Pause(Duration::from_millis(200)), send(EVIL)],
        false => vec![send(upstream::honest(request))],
    })
    .await;
    let gateway = gateway(&upstream, &[]).await;
    assert_eq!(ask(&gateway, "/open/first").await[0].text(), "for /open/first");
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/open/victim").await[0].text(), "for /open/victim");
    }
}
