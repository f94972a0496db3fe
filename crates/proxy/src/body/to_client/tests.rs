//! Bodies to clients: filters, trailers, ends.

use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::task::LocalSet;

use super::*;
use crate::body::double::answered;
use crate::upstream::Local;

async fn upstream(response: &'static str, trailers: bool) -> FromUpstream {
    FromUpstream { incoming: answered(response).await, lease: None, trailers, http2: false }
}

/// Writes each piece twice, and a mark at the end.
struct Twice {
    mark: &'static str,
    keeps_length: bool,
}

impl BodyFilter for Twice {
    fn chunk(&mut self, piece: Bytes) -> Bytes {
        [&piece[..], &piece[..]].concat().into()
    }

    fn end(&mut self) -> Bytes {
        Bytes::from_static(self.mark.as_bytes())
    }

    fn keeps_length(&self) -> bool {
        self.keeps_length
    }
}

fn twice(mark: &'static str) -> Box<dyn BodyFilter> {
    Box::new(Twice { mark, keeps_length: false })
}

/// Holds everything back until the end.
#[derive(Default)]
struct Whole(Vec<u8>);

impl BodyFilter for Whole {
    fn chunk(&mut self, piece: Bytes) -> Bytes {
        self.0.extend_from_slice(&piece);
        Bytes::new()
    }

    fn end(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
const TRAILERS: &str =
    "HTTP/1.1 200 OK\r\ntrailer: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: 1\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello";

#[tokio::test]
async fn a_body_comes_to_its_end() {
    type Filters = fn() -> Vec<Box<dyn BodyFilter>>;
    let cases: [(&str, Filters, &str); 9] = [
        (PLAIN, Vec::new, "hello"),
        (CHUNKS, Vec::new, "hello"),
        (EMPTY, Vec::new, ""),
        (PLAIN, || vec![twice("!")], "hellohello!"),
        (CHUNKS, || vec![Box::<Whole>::default()], "hello"),
        (CHUNKS, || vec![Box::<Whole>::default(), twice("!")], "hellohello!"),
        (EMPTY, || vec![twice("!")], "!"),
        // What a filter still has at the end passes those behind it.
        (PLAIN, || vec![twice("!"), twice("?")], "hellohellohellohello!!?"),
        (TRAILERS, || vec![twice("!")], "hellohello!"),
    ];
    for (response, filters, expected) in cases {
        let (body, filters) = (upstream(response, false).await, filters());
        let kind = if filters.is_empty() { Kind::Upstream(body) } else { Kind::Filtered(body, filters) };
        let body = ToClient { kind, sent: 0, finish: None, room: None };
        let got = body.collect().await.unwrap().to_bytes();
        assert_eq!(got, expected, "{response:?}");
    }
}

#[tokio::test]
async fn trailers_cross_where_they_may() {
    for trailers in [true, false] {
        let body = ToClient {
            kind: Kind::Upstream(upstream(TRAILERS, trailers).await),
            sent: 0,
            finish: None,
            room: None,
        };
        let collected = body.collect().await.unwrap();
        let got = collected.trailers().and_then(|trailers| trailers.get("x")).cloned();
        assert_eq!(got.is_some(), trailers);
        assert_eq!(collected.to_bytes(), "hello");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_one() {
    let filtered = Kind::Filtered(upstream(BROKEN, false).await, vec![twice("!")]);
    for kind in [Kind::Upstream(upstream(BROKEN, false).await), filtered] {
        let body = ToClient { kind, sent: 0, finish: None, room: None };
        assert!(matches!(body.collect().await, Err(BodyError::Upstream(_))));
    }
}

#[tokio::test]
async fn answers_of_our_own() {
    assert!(ToClient::empty(None).is_end_stream());
    assert!(ToClient::whole(Bytes::new(), None).is_end_stream());
    let body = ToClient::whole(Bytes::from_static(b"hello"), None);
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    let mut filters = vec![twice("!"), twice("?")];
    assert_eq!(filtered(Bytes::from_static(b"a"), &mut filters), "aaaa!!?");
}

/// A frame of HTTP/2 on stream 1, or on none.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What an HTTP/2 upstream sends after the head of its response, and the body, if that is a whole one.
#[tokio::test]
async fn a_reset_before_the_end_is_no_end() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const NO_ERROR: &[u8] = &[0, 0, 0, 0];
    const CANCEL: &[u8] = &[0, 0, 0, 8];
    // `:status: 200`, from the static table; as trailers, `x: 1`.
    const STATUS: &[u8] = &[0x88];
    const TRAILER: &[u8] = &[0x00, 1, b'x', 1, b'1'];
    let run = async {
        for (sent, expected) in [
            (vec![frame(DATA, 1, 1, b"hello")], Some("hello")),
            (vec![frame(DATA, 1, 1, b"hello"), frame(RESET, 0, 1, NO_ERROR)], Some("hello")),
            (vec![frame(DATA, 0, 1, b"hello"), frame(HEADERS, 5, 1, TRAILER)], Some("hello")),
            (vec![frame(DATA, 0, 1, b"hello"), frame(DATA, 1, 1, b"")], Some("hello")),
            (vec![frame(DATA, 0, 1, b"hello"), frame(RESET, 0, 1, NO_ERROR)], None),
            (vec![frame(RESET, 0, 1, NO_ERROR)], None),
            (vec![frame(DATA, 0, 1, b"hello"), frame(RESET, 0, 1, CANCEL)], None),
        ] {
            let (client, mut server) = duplex(64 * 1024);
            let case = format!("{sent:?}");
            let (mut send, connection) = http2::handshake(Local, TokioIo::new(client)).await.unwrap();
            tokio::task::spawn_local(connection);
            let request = http::Request::get("http://a/").body(Empty::<Bytes>::new()).unwrap();
            let upstream = async {
                server.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
                let mut preface = [0; 24];
                server.read_exact(&mut preface).await.unwrap();
                loop {
                    let mut head = [0; 9];
                    server.read_exact(&mut head).await.unwrap();
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                    let mut payload = vec![0; usize::try_from(length).unwrap()];
                    server.read_exact(&mut payload).await.unwrap();
                    if head[3] == HEADERS {
                        break;
                    }
                }
                server.write_all(&frame(HEADERS, 4, 1, STATUS)).await.unwrap();
                server
            };
            let (response, mut server) = tokio::join!(send.send_request(request), upstream);
            server.write_all(&sent.concat()).await.unwrap();
            let incoming = response.unwrap().into_body();
            let kind = Kind::Upstream(FromUpstream { incoming, lease: None, trailers: true, http2: true });
            let body = ToClient { kind, sent: 0, finish: None, room: None };
            let got = body.collect().await.ok().map(http_body_util::Collected::to_bytes);
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{case}");
        }
    };
    LocalSet::new().run_until(run).await;
}
