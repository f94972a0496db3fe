//! Bodies of clients: limits, breaks, and what nobody reads of them.

use std::cell::Cell;

use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::duplex;
use tokio::task::LocalSet;

use super::*;
use crate::body::double::incoming;
use crate::timed::{Limits, Watch};
use crate::upstream::Local;

fn from_client(incoming: Incoming, limit: u64, received: &Rc<Received>) -> FromClient {
    let timing = Watch::default().timing(Phase::Quiet, Limits::default());
    FromClient::new(incoming, limit, timing, Rc::clone(received), Version::HTTP_11, &Rc::default())
}

const HELLO: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
const CHUNKS: &str =
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
const SHORT: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nhello";

#[tokio::test]
async fn a_body_is_collected_within_its_limits() {
    let run = async {
        // The request, the gateway's limit, a plugin's, what is kept in memory; what comes of it.
        let cases = [
            (HELLO, 0, u64::MAX, 5, "whole: hello"),
            (HELLO, 5, u64::MAX, 5, "whole: hello"),
            (CHUNKS, 0, u64::MAX, 100, "whole: hello"),
            (HELLO, 4, u64::MAX, 100, "413"),
            (CHUNKS, 4, u64::MAX, 100, "413"),
            (CHUNKS, 100, 4, 100, "413"),
            (CHUNKS, 4, 100, 100, "413"),
            (HELLO, 0, u64::MAX, 4, "more: hello"),
            (SHORT, 0, u64::MAX, 100, "400"),
        ];
        for (request, limit, plugins, most, expected) in cases {
            let received = Rc::new(Received::default());
            let mut body = from_client(incoming(request).await, limit, &received);
            body.limit_to(plugins);
            let got = match body.collect(most).await {
                Ok(Collected::Whole(whole)) => format!("whole: {}", std::str::from_utf8(&whole).unwrap()),
                Ok(Collected::More(first, _)) => format!("more: {}", std::str::from_utf8(&first).unwrap()),
                Err(error) => error.status().as_u16().to_string(),
            };
            assert_eq!(got, expected, "{request:?} {limit} {plugins} {most}");
            assert_eq!(received.too_large.get(), expected == "413");
            assert_eq!(received.failed.get(), expected == "400");
            assert!(received.bytes.get() > 0, "{request:?}");
        }
    };
    LocalSet::new().run_until(run).await;
}

/// Pieces of 16 KiB, and how many of them were taken.
struct Pieces {
    left: usize,
    given: Rc<Cell<usize>>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.given.set(self.given.get() + 1);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 16 * 1024])))))
    }
}

/// With HTTP/2, a body that is let go before its end is read on, and the client gets the whole answer and no reset.
#[tokio::test]
async fn what_nobody_reads_of_http_2_is_read_on() {
    let run = async {
        for pieces in [0, 1, 200] {
            let (client, server) = duplex(16 * 1024);
            let unread = Rc::new(Unread::default());
            tokio::task::spawn_local(Rc::clone(&unread).run());
            let service = service_fn(move |request: http::Request<Incoming>| {
                let timing = Watch::default().timing(Phase::Quiet, Limits::default());
                let (received, version) = (Rc::default(), Version::HTTP_2);
                drop(FromClient::new(request.into_body(), 0, timing, received, version, &unread));
                std::future::ready(Ok::<_, std::io::Error>(http::Response::new(Full::new(
                    Bytes::from_static(b"answer"),
                ))))
            });
            let mut builder = hyper::server::conn::http2::Builder::new(Local);
            tokio::task::spawn_local(
                builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(server), service),
            );
            let (mut send, connection) = http2::handshake(Local, TokioIo::new(client)).await.unwrap();
            tokio::task::spawn_local(connection);
            let given = Rc::new(Cell::new(0));
            let body = Pieces { left: pieces, given: Rc::clone(&given) };
            let request = http::Request::builder().uri("http://a/").body(body).unwrap();
            let answer = send.send_request(request).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "answer", "{pieces}");
            // The client lets its body go when it has sent all of it, or when it is told to stop.
            while Rc::strong_count(&given) > 1 {
                tokio::task::yield_now().await;
            }
            assert_eq!(given.get(), pieces, "all of it was taken");
        }
    };
    LocalSet::new().run_until(run).await;
}
