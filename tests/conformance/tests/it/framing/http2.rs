//! HTTP/2 from clients that mean harm: what has no place in HTTP/1 does not get there, and floods cost the gateway
//! neither its memory nor its other clients.

use std::time::Duration;

use postern_conformance::Gateway;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::upstream::{Step, Upstream, send};
use super::{gateway, wire};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Each field as a literal, so that nothing is checked before it is sent.
pub(super) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

fn text(block: &mut Vec<u8>, text: &str) {
    // An integer with a prefix of seven bits.
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).expect("below 127"));
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128 + 128).expect("a byte"));
            rest /= 128;
        }
        block.push(u8::try_from(rest).expect("a byte"));
    }
    block.extend_from_slice(text.as_bytes());
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/open")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/open")];

async fn open(gateway: &Gateway) -> TcpStream {
    let mut stream = wire::connect(gateway.h2c).await;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("a gateway that listens");
    stream
}

/// What comes of the first stream.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Status(u16),
    Reset,
    /// The connection.
    Ended,
}

async fn outcome(stream: &mut TcpStream) -> Outcome {
    let read = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return Outcome::Ended;
            }
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return Outcome::Ended;
            }
            match head[3] {
                HEADERS => return Outcome::Status(status(&payload)),
                RESET => return Outcome::Reset,
                GO_AWAY => return Outcome::Ended,
                _ => {}
            }
        }
    };
    timeout(wire::LIMIT, read).await.expect("an outcome")
}

/// The status is the first field: one of seven by its number, or a literal whose digits are in Huffman's code.
pub(super) fn status(block: &[u8]) -> u16 {
    let block = &block[block.iter().position(|byte| byte & 0xe0 != 0x20).expect("a field")..];
    match block[0] {
        indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        _ if block[1] & 0x80 == 0 => {
            std::str::from_utf8(&block[2..5]).expect("digits").parse().expect("a status")
        }
        _ => {
            let bits = block[2..5].iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << 8;
            let (mut at, mut status) = (0, 0);
            for _ in 0..3 {
                let next = bits << at;
                // 0, 1, 2 have five bits, the others six.
                let (digit, length) = match next >> 27 {
                    digit @ 0..3 => (digit, 5),
                    _ => ((next >> 26) - 0x19 + 3, 6),
                };
                at += length;
                status = status * 10 + digit;
            }
            u16::try_from(status).expect("a status")
        }
    }
}

async fn victim(gateway: &Gateway) {
    let request = "GET /key HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let got = wire::replies(&wire::exchange(gateway.http, request.as_bytes()).await);
    assert_eq!(
        got.iter().map(|reply| reply.status).collect::<Vec<_>>(),
        [401],
        "another client is not served"
    );
}

#[tokio::test]
async fn what_is_no_request_in_http_1_is_refused() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, &[]).await;
    let with = |more: &[(&'static str, &'static str)]| [&GET[..], more].concat();
    let but = |name: &str, value: &'static str| {
        GET.map(|(known, old)| if known == name { (known, value) } else { (known, old) }).to_vec()
    };
    let without = |name: &str| GET.iter().copied().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let cases = [
        ("a line end in a value", with(&[("x", "a\r\nx-consumer-id: 1")])),
        ("a bare line end in a value", with(&[("x", "a\nb")])),
        ("a NUL in a value", with(&[("x", "a\0b")])),
        ("a request in a value", with(&[("x", "a\r\n\r\nGET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")])),
        ("a line end in a name", with(&[("x\r\ny", "a")])),
        ("a colon in a name", with(&[("x: a\r\ny", "a")])),
        ("a blank in a name", with(&[("content-length ", "5")])),
        ("a name in capitals", with(&[("X-Mine", "1")])),
        ("no name", with(&[("", "1")])),
        ("a request in the path", but(":path", "/open HTTP/1.1\r\nHost: a\r\n\r\nGET /open/smuggled")),
        ("a blank in the path", but(":path", "/open HTTP/1.1")),
        ("a path that is none", but(":path", "open")),
        ("an empty path", but(":path", "")),
        ("an absolute path", but(":path", "http://a/open")),
        ("a line end in the method", but(":method", "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET")),
        ("a blank in the method", but(":method", "GET /open/smuggled")),
        ("a line end in the authority", but(":authority", "a\r\nx: 1")),
        ("a user in the authority", but(":authority", "b@a")),
        ("a path in the authority", but(":authority", "a/open")),
        ("an empty authority", but(":authority", "")),
        ("a line end in the scheme", but(":scheme", "http\r\nx")),
        ("chunks", with(&[("transfer-encoding", "chunked")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "5")])),
        ("an upgrade", with(&[("upgrade", "websocket")])),
        ("te other than trailers", with(&[("te", "gzip")])),
        ("another host", with(&[("host", "b")])),
        ("two hosts", with(&[("host", "a"), ("host", "a")])),
        ("no path", without(":path")),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("two paths", with(&[(":path", "/key")])),
        ("an unknown pseudo-field", with(&[(":x", "1")])),
        ("a pseudo-field behind a field", [&[("x", "1")][..], &GET].concat()),
        ("a status", with(&[(":status", "200")])),
        ("a length and no body", with(&[("content-length", "5")])),
        ("a length that is none", with(&[("content-length", "+0")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "5")])),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "a:80")]),
        ("CONNECT for WebSocket", [&but(":method", "CONNECT")[..], &[(":protocol", "websocket")]].concat()),
    ];
    let mut wrong = Vec::new();
    for (name, request) in cases {
        let mut stream = open(&gateway).await;
        let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields(&request));
        stream.write_all(&head).await.expect("a gateway that listens");
        let got = outcome(&mut stream).await;
        if matches!(got, Outcome::Status(..400 | 500..)) {
            wrong.push(format!("{name}: {got:?}"));
        }
        let heard = upstream.take();
        if !heard.is_empty() {
            wrong.push(format!("{name}: the upstream got {heard:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    victim(&gateway).await;
}

#[tokio::test]
async fn what_crosses_to_http_1_has_one_meaning() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, &[]).await;
    let smuggled = "0\r\n\r\nGET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let trailers = [("x-mine", "1"), ("x-consumer-id", "1"), ("content-length", "50"), ("host", "b")];
    // Fields, data, whether there are trailers; what the upstream gets. `None`: nothing that is complete.
    let cases = [
        ("a GET", GET.to_vec(), None, false, Some(("GET /open", ""))),
        ("a body", POST.to_vec(), Some("hello"), false, Some(("POST /open", "hello"))),
        (
            "a body that looks like chunks",
            POST.to_vec(),
            Some(smuggled),
            false,
            Some(("POST /open", smuggled)),
        ),
        ("a GET with a body", GET.to_vec(), Some(smuggled), false, Some(("GET /open", smuggled))),
        (
            "a length",
            [&POST[..], &[("content-length", "5")]].concat(),
            Some("hello"),
            false,
            Some(("POST /open", "hello")),
        ),
        (
            "less than its length",
            [&POST[..], &[("content-length", "9")]].concat(),
            Some("hello"),
            false,
            None,
        ),
        (
            "more than its length",
            [&POST[..], &[("content-length", "1")]].concat(),
            Some("hello"),
            false,
            None,
        ),
        (
            "trailers",
            [&POST[..], &[("trailer", "x-mine, x-consumer-id, content-length, host")]].concat(),
            Some("hello"),
            true,
            Some(("POST /open", "hello|x-mine: 1")),
        ),
        ("trailers that nobody announced", POST.to_vec(), Some("hello"), true, Some(("POST /open", "hello"))),
        (
            "names of ours",
            [&GET[..], &[("x-consumer-id", "1")]].concat(),
            None,
            false,
            Some(("GET /open", "")),
        ),
    ];
    for (name, request, data, with_trailers, expected) in cases {
        let mut stream = open(&gateway).await;
        let flags = if data.is_none() { END_STREAM | END_HEADERS } else { END_HEADERS };
        let mut bytes = frame(HEADERS, flags, 1, &fields(&request));
        if let Some(data) = data {
            bytes.extend(frame(DATA, if with_trailers { 0 } else { END_STREAM }, 1, data.as_bytes()));
        }
        if with_trailers {
            bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields(&trailers)));
        }
        stream.write_all(&bytes).await.expect("a gateway that listens");
        let got = outcome(&mut stream).await;
        let heard = upstream.take();
        let came: Vec<_> = heard.iter().filter(|heard| heard.complete).collect();
        match expected {
            Some((line, body)) => {
                assert_eq!(got, Outcome::Status(200), "{name}: {heard:?}");
                let lines: Vec<_> =
                    came.iter().map(|heard| (heard.line.as_str(), heard.body.as_str())).collect();
                assert_eq!(lines, [(line, body)], "{name}");
                assert_eq!(wire::field(&came[0].head, "x-consumer-id"), None, "{name}");
            }
            None => {
                assert!(!matches!(got, Outcome::Status(..400)), "{name}: {got:?}");
                assert!(came.is_empty(), "{name}: {came:?}");
            }
        }
        victim(&gateway).await;
    }
}

/// How a flood ended.
#[derive(Debug, PartialEq, Eq)]
enum Flood {
    /// The gateway ended the connection.
    Ended,
    /// It stopped reading.
    Blocked,
    /// It took all of it.
    Taken,
}

/// Sends a piece again and again, without reading anything; all the while another client is served.
async fn flood(
    gateway: &Gateway,
    stream: &mut TcpStream,
    times: usize,
    piece: impl Fn(usize) -> Vec<u8>,
) -> Flood {
    let before = gateway.memory();
    let mut end = Flood::Taken;
    for time in 0..times {
        match timeout(Duration::from_secs(5), stream.write_all(&piece(time))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                end = Flood::Ended;
                break;
            }
            Err(_) => {
                end = Flood::Blocked;
                break;
            }
        }
        if time % (times / 10) == 0 {
            victim(gateway).await;
        }
    }
    victim(gateway).await;
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than before: {end:?}");
    end
}

#[tokio::test]
async fn floods_harm_nobody_else() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, &[]).await;
    let resets = |time: usize| {
        let streams = (0..100).map(|number| u32::try_from((time * 100 + number) * 2 + 1).expect("a stream"));
        let head = fields(&GET);
        let both = |stream| {
            let mut both = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head);
            both.extend(frame(RESET, 0, stream, &[0, 0, 0, 8]));
            both
        };
        streams.flat_map(both).collect::<Vec<u8>>()
    };
    let mut stream = open(&gateway).await;
    assert_eq!(flood(&gateway, &mut stream, 100, resets).await, Flood::Ended, "rapid resets");

    let mut stream = open(&gateway).await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, &fields(&GET))).await.expect("a gateway that listens");
    let more = frame(CONTINUATION, 0, 1, &fields(&[("x", &"x".repeat(16_000))]));
    assert_eq!(flood(&gateway, &mut stream, 10_000, |_| more.clone()).await, Flood::Ended, "continuations");

    let mut stream = open(&gateway).await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, &fields(&GET))).await.expect("a gateway that listens");
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(1000);
    assert_eq!(
        flood(&gateway, &mut stream, 1000, |_| empty.clone()).await,
        Flood::Ended,
        "empty continuations"
    );

    for (name, kind, payload) in [("pings", PING, &[0; 8][..]), ("settings", SETTINGS, &[])] {
        let many = frame(kind, 0, 0, payload).repeat(1000);
        let mut stream = open(&gateway).await;
        // Each wants an answer, and nobody reads them: more cannot be taken.
        assert_ne!(flood(&gateway, &mut stream, 2000, |_| many.clone()).await, Flood::Taken, "{name}");
    }
}

#[tokio::test]
async fn heads_have_a_size_when_they_are_unpacked() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, &[]).await;
    let before = gateway.memory();
    // 4,000 bytes that are kept, and then named again and again by one byte each.
    let mut bomb = fields(&GET);
    bomb.push(0x40);
    text(&mut bomb, "x");
    text(&mut bomb, &"x".repeat(4000));
    bomb.extend([0xbe; 10_000]);
    let value = "x".repeat(15_000);
    let list = fields(&[&GET[..], &[("x", &value)]].concat());
    let more = fields(&[("x", &value)]);
    for _ in 0..10 {
        let mut stream = open(&gateway).await;
        stream
            .write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb))
            .await
            .expect("a gateway that listens");
        assert!(!matches!(outcome(&mut stream).await, Outcome::Status(..400)), "an HPACK bomb");
        let mut stream = open(&gateway).await;
        let mut bytes = frame(HEADERS, END_STREAM, 1, &list);
        bytes.extend((0..4).flat_map(|_| frame(CONTINUATION, 0, 1, &more)));
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &more));
        let _ = stream.write_all(&bytes).await;
        assert!(!matches!(outcome(&mut stream).await, Outcome::Status(..400)), "a long list");
    }
    assert_eq!(upstream.take(), []);
    victim(&gateway).await;
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
}

#[tokio::test]
async fn a_client_that_opens_far_too_many_streams_ends() {
    let upstream = Upstream::new(|_| vec![Step::Stall]).await;
    let gateway = gateway(&upstream, &[]).await;
    let mut stream = open(&gateway).await;
    let many = |time: usize| {
        let streams = (0..100).map(|number| u32::try_from((time * 100 + number) * 2 + 1).expect("a stream"));
        streams
            .flat_map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields(&GET)))
            .collect::<Vec<u8>>()
    };
    assert_eq!(flood(&gateway, &mut stream, 100, many).await, Flood::Ended);
    assert!(upstream.take().len() <= 128);
}

/// With a window of nothing, no answer can be sent: whoever opens none is not waited for.
#[tokio::test]
async fn a_client_without_room_ends() {
    let upstream = Upstream::new(|_| {
        vec![
            send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"),
            Step::Endless(vec![b'x'; 64 * 1024]),
        ]
    })
    .await;
    for window in [0_u8, 100] {
        let gateway = gateway(&upstream, &[("nginx_proxy_send_timeout", "1s")]).await;
        let before = gateway.memory();
        let mut stream = wire::connect(gateway.h2c).await;
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window])].concat();
        for number in 0..148 {
            bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, number * 2 + 1, &fields(&GET)));
        }
        stream.write_all(&bytes).await.expect("a gateway that listens");
        // More streams than are allowed are refused, and those that are not come to their end.
        let begun = Instant::now();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(Ok(1..)) = timeout(wire::LIMIT, stream.read(&mut buffer)).await {
            // Signs of life do not help.
            let _ = stream.write_all(&frame(PING, 0, 0, &[0; 8])).await;
            assert!(begun.elapsed() < Duration::from_secs(30), "it is waited for without end");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it is waited for without end");
        let asked = upstream.take().len();
        assert!((1..=128).contains(&asked), "{asked} streams");
        victim(&gateway).await;
        let grown = gateway.memory().saturating_sub(before);
        assert!(grown < 128 * 1024, "{grown} KiB more than before");
    }
}
