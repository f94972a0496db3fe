//! The beginning and the end of a connection.

use std::task::Poll;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::timed::Watch;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn the_preface_tells_which_http_it_is() {
    // What comes, whether the client ends after it, and whether it is HTTP/2.
    let cases: [(&[&[u8]], bool, bool); 7] = [
        (&[PREFACE], false, true),
        (&[PREFACE, b"\0\0\0\x04\0\0\0\0\0"], false, true),
        (&[b"PRI * HTTP/2.0\r\n", b"\r\nSM\r\n\r\n"], false, true),
        (&[b"GET / HTTP/1.1\r\n\r\n"], false, false),
        (&[b"PRI * HTTP/1.1\r\n\r\n"], false, false),
        (&[b"PUT / HTTP/1.1\r\n\r\n"], false, false),
        (&[], true, false),
    ];
    for (pieces, ends, expected) in cases {
        let (mut client, server) = pair().await;
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            if ends {
                client.shutdown().await.unwrap();
            }
        };
        let ((), is_http2) = tokio::join!(send, begins_http2(&server));
        assert_eq!(is_http2, expected, "{pieces:?}");
        // All of it is still there for whoever speaks.
        let sent: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut buffer = vec![0; sent];
        server.readable().await.unwrap();
        if sent > 0 {
            let mut server = server;
            server.read_exact(&mut buffer).await.unwrap();
            assert_eq!(buffer, pieces.concat());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_the_first_request_has_its_time() {
    const SECOND: Duration = Duration::from_secs(1);
    let watch = Watch::default();
    let timing = watch.timing(Phase::Opened, timed::Limits::default());
    assert_eq!(in_time(&timing, SECOND, async { 1 }).await, Some(1));
    assert_eq!(in_time(&timing, SECOND, std::future::pending::<()>()).await, None);
    // It makes room at once.
    let waits = in_time(&timing, SECOND, std::future::pending::<()>());
    tokio::pin!(waits);
    assert!(futures_util::poll!(&mut waits).is_pending());
    assert_eq!(watch.shed(1, 1), 1);
    assert_eq!(futures_util::poll!(&mut waits), Poll::Ready(None));
}

/// A connection is told once that it should end, also when it is told before it is looked at.
#[tokio::test]
async fn a_connection_is_told_once() {
    let watch = Watch::default();
    let timing = watch.timing(Phase::Idle, timed::Limits::default());
    let told = Cell::new(0);
    let connection = pin!(poll_fn(|_| if told.get() > 0 { Poll::Ready(told.get()) } else { Poll::Pending }));
    let mut drained = pin!(until_drained(connection, &timing, |_| told.set(told.get() + 1)));
    assert!(futures_util::poll!(&mut drained).is_pending());
    timing.end_soon();
    assert_eq!(futures_util::poll!(&mut drained), Poll::Ready(1));
}
