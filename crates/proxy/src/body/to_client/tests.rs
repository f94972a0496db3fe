//! Bodies to clients: filters, trailers, ends.

use http_body_util::BodyExt as _;

use super::*;
use crate::body::double::answered;

async fn upstream(response: &'static str, trailers: bool) -> FromUpstream {
    FromUpstream { incoming: answered(response).await, lease: None, trailers }
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
