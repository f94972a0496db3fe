//! HTTP/2: an answer to a request whose body nobody reads reaches the client, whole and before anything is reset.
//!
//! Many clients take a reset for a failure while they still send, also one with NO_ERROR behind a complete answer.

use std::collections::HashMap;

use postern_conformance::ask::Way;
use postern_conformance::{Gateway, Postern, Recorder};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RESET, SETTINGS, fields, frame, status,
};
use super::wire;

const WINDOW: u8 = 8;
const STREAM: u32 = 1;
const PIECE: usize = 16 * 1024;
/// More than the gateway reads of what nobody wants.
const TOO_MUCH: usize = 40 * 1024 * 1024;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A client that sends one request, and sees each frame that comes.
struct Client {
    io: Box<dyn Io>,
    /// What may still be sent, for the stream and for the connection (0).
    room: HashMap<u32, i64>,
    status: Option<u16>,
    body: Vec<u8>,
    complete: bool,
    /// The code of a reset, and whether the answer was complete before.
    reset: Option<(u32, bool)>,
    pongs: usize,
}

impl Client {
    async fn open(gateway: &Gateway, tls: bool) -> Self {
        let io: Box<dyn Io> = match tls {
            true => Box::new(Way::https2(gateway.https, "localhost").secure().await.expect("a handshake")),
            false => Box::new(wire::connect(gateway.h2c).await),
        };
        let room = HashMap::from([(0, 65_535), (STREAM, 65_535)]);
        let mut client =
            Self { io, room, status: None, body: Vec::new(), complete: false, reset: None, pongs: 0 };
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        timeout(wire::LIMIT, self.io.write_all(bytes))
            .await
            .expect("in time")
            .expect("a gateway that listens");
        self.io.flush().await.expect("a gateway that listens");
    }

    /// One frame that the gateway sends.
    async fn see(&mut self) {
        let read = async {
            let mut head = [0; 9];
            self.io.read_exact(&mut head).await?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.io.read_exact(&mut payload).await?;
            Ok::<_, std::io::Error>((head, payload))
        };
        let (head, payload) =
            timeout(wire::LIMIT, read).await.expect("a frame").expect("a connection that lives");
        let [.., a, b, c, d] = head;
        let stream = u32::from_be_bytes([a, b, c, d]);
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
        match head[3] {
            HEADERS => self.status = Some(status(&payload)),
            DATA => self.body.extend_from_slice(&payload),
            RESET => self.reset = Some((number(0), self.complete)),
            WINDOW => *self.room.entry(stream).or_default() += i64::from(number(0)),
            PING => self.pongs += 1,
            SETTINGS if head[4] == 0 => {
                for at in (0..payload.len()).step_by(6) {
                    if payload[at..at + 2] == [0, 4] {
                        *self.room.entry(STREAM).or_default() += i64::from(number(at + 2)) - 65_535;
                    }
                }
                self.send(&frame(SETTINGS, 1, 0, &[])).await;
            }
            _ => {}
        }
        self.complete |= matches!(head[3], HEADERS | DATA) && head[4] & END_STREAM != 0;
    }

    async fn ask(&mut self, path: &str, length: Option<usize>) {
        let length = length.map(|length| length.to_string());
        let mut request =
            vec![(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path)];
        request.extend(length.as_deref().map(|length| ("content-length", length)));
        self.send(&frame(HEADERS, END_HEADERS, STREAM, &fields(&request))).await;
    }

    /// Sends a body as far as the gateway takes it; stops where the stream is reset.
    async fn give(&mut self, length: usize) {
        let mut left = length;
        while left > 0 && self.reset.is_none() {
            let piece = left.min(PIECE);
            let least = i64::try_from(piece).expect("a short piece");
            if self.room[&0] < least || self.room[&STREAM] < least {
                self.see().await;
                continue;
            }
            left -= piece;
            self.room.values_mut().for_each(|room| *room -= least);
            let flags = if left == 0 { END_STREAM } else { 0 };
            self.send(&frame(DATA, flags, STREAM, &vec![b'x'; piece])).await;
        }
    }

    async fn answer(&mut self) {
        while !self.complete && self.reset.is_none() {
            self.see().await;
        }
    }

    /// Sees all that the gateway has to say to what it has read.
    async fn settle(&mut self) {
        self.send(&frame(PING, 0, 0, &[0; 8])).await;
        while self.pongs == 0 {
            self.see().await;
        }
    }
}

/// A gateway with an answer of its own for each path. An upstream is there, but never asked.
async fn gateway(upstream: &Recorder) -> Gateway {
    let yaml = format!(
        "_format_version: '3.0'
services:
- name: behind
  url: http://127.0.0.1:{}
  routes:
  - {{name: key, paths: [/401], plugins: [{{name: key-auth}}]}}
  - {{name: end, paths: [/403], plugins: [{{name: request-termination, config: {{status_code: 403}}}}]}}
  - {{name: small, paths: [/413], plugins: [{{name: request-size-limiting, config: {{allowed_payload_size: 1, size_unit: bytes}}}}]}}
  - {{name: often, paths: [/429], plugins: [{{name: rate-limiting, config: {{hour: 1, policy: local}}}}]}}
  - {{name: open, paths: [/first]}}
- name: nowhere
  url: http://127.0.0.1:1
  retries: 0
  routes:
  - {{name: nowhere, paths: [/502]}}
",
        upstream.port()
    );
    Postern::gateway(&yaml, &[("nginx_proxy_client_max_body_size", "60m")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_gateways_own_is_whole_before_anything_is_reset() {
    let upstream = Recorder::start().await;
    let gateway = gateway(&upstream).await;
    let often = Way::http(gateway.http).ask(postern_conformance::ask::get("a", "/429")).await;
    assert_eq!(often.expect("an answer").status, 200, "the only one");
    for tls in [false, true] {
        for (path, expected) in
            [("/404", 404), ("/401", 401), ("/403", 403), ("/413", 413), ("/429", 429), ("/502", 502)]
        {
            // How long the body is, and whether the client waits for the answer before it sends.
            for (length, waits) in [(3, false), (3, true), (1_000_000, false), (1_000_000, true)] {
                let case = format!("{path}, {length} bytes, waits: {waits}, TLS: {tls}");
                let mut client = Client::open(&gateway, tls).await;
                client.ask(path, Some(length)).await;
                // A peer that cannot be reached is found out while the body is on its way.
                if waits {
                    client.answer().await;
                }
                client.give(length).await;
                client.answer().await;
                client.settle().await;
                assert_eq!((client.status, client.complete), (Some(expected), true), "{case}");
                assert!(!client.body.is_empty(), "{case}");
                assert_eq!(client.reset, None, "{case}");
            }
        }
        // Larger than what is allowed at all, by its head or by what comes.
        for length in [Some(TOO_MUCH * 2), None] {
            let mut client = Client::open(&gateway, tls).await;
            client.ask("/404", length).await;
            client.answer().await;
            client.give(TOO_MUCH).await;
            let expected = if length.is_some() { 413 } else { 404 };
            assert_eq!((client.status, client.complete), (Some(expected), true), "{length:?}, TLS: {tls}");
            assert_eq!(
                client.reset,
                Some((0, true)),
                "NO_ERROR, and only after the answer: {length:?}, TLS: {tls}"
            );
        }
    }
    assert_eq!(upstream.take().len(), 1, "the one that was let in");
}
