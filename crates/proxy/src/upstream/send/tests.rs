//! Connections by name and settings, and what can come of a request on one.

use std::error::Error;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::LocalSet;

use super::super::connect::handshake;
use super::*;
use crate::timed::{Phase, Timed, Watch};

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 443);

fn reach(tls: Option<Tls<'_>>) -> Reach<'_> {
    Reach { address: ADDRESS, tls, http2: false, connect: Duration::ZERO, limits: Limits::default() }
}

fn config() -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let system = rustls::RootCertStore::empty();
    Ok(Arc::new(crate::tls::client(&crate::tls::ClientTls::default(), &system)?))
}

#[test]
fn a_connection_is_for_one_name_and_one_set_of_settings() {
    let (names, config) = (Names::default(), config().unwrap());
    let [a, same, b]: [Arc<str>; 3] = ["a.example", "a.example", "b.example"].map(Arc::from);
    let with = |number, name| reach(Some(Tls { config: &config, number, name })).key(&names);
    let plain = reach(None).key(&names);
    assert_eq!(plain, reach(None).key(&names));
    assert_eq!(with(7, &a), with(7, &a));
    assert_eq!(with(7, &a), with(7, &same), "a name is a name wherever it was read");
    assert_ne!(with(7, &a), with(7, &b), "another name");
    assert_ne!(with(7, &a), with(8, &a), "other settings");
    assert_ne!(with(7, &a), plain, "no TLS");
    let elsewhere = Reach { address: SocketAddr::new(ADDRESS.ip(), 444), ..reach(None) };
    assert_ne!(plain, elsewhere.key(&names));
}

async fn connection() -> (Connection, DuplexStream) {
    let (server, client) = duplex(64 * 1024);
    let timing = Watch::default().timing(Phase::Quiet, Limits::default());
    let send = handshake(TokioIo::new(Timed::new(client, Arc::clone(&timing)))).await.unwrap();
    (Connection { send, timing }, server)
}

fn request() -> Request<ToUpstream> {
    let body = ToUpstream::new(Some(Bytes::from_static(b"hello")), None, false);
    Request::builder().method("POST").uri("/").header("host", "a").body(body).unwrap()
}

/// What limits a head is its size.
#[tokio::test]
async fn a_response_with_many_lines() {
    let run = async {
        for lines in [0, 100, 150, 900] {
            let (connection, mut server) = connection().await;
            let lines_of: String = (0..lines).map(|line| format!("x-{line}: {line}\r\n")).collect();
            let peer = async {
                let mut buffer = [0; 1024];
                let mut read = Vec::new();
                while !read.ends_with(b"hello") {
                    let count = server.read(&mut buffer).await.unwrap();
                    read.extend_from_slice(&buffer[..count]);
                }
                let answer = format!("HTTP/1.1 200 OK\r\n{lines_of}content-length: 0\r\n\r\n");
                server.write_all(answer.as_bytes()).await.unwrap();
                server
            };
            let reach = reach(None);
            let key = reach.key(&Names::default());
            let (answered, _server) = tokio::join!(send_on(connection, key, &reach, request()), peer);
            let Ok(answered) = answered else { panic!("{lines} lines") };
            assert_eq!(answered.response.headers().len(), lines + 1);
        }
    };
    LocalSet::new().run_until(run).await;
}

/// What a peer answers, and what comes of it: a status, or a failure and whether the request is given back.
#[tokio::test]
async fn what_comes_of_a_request() {
    let run = async {
        let cases: [(Option<&str>, &str); 6] = [
            (Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"), "200"),
            (Some("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"), "404"),
            (Some("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "malformed"),
            (Some("HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nhi"), "malformed"),
            (Some("HTTP/1.1 200"), "broken"),
            (Some(""), "broken"),
        ];
        for (answer, expected) in cases {
            let (connection, mut server) = connection().await;
            let peer = async {
                let mut buffer = [0; 1024];
                let mut read = Vec::new();
                while !read.ends_with(b"hello") {
                    let count = server.read(&mut buffer).await.unwrap();
                    read.extend_from_slice(&buffer[..count]);
                }
                server.write_all(answer.unwrap_or_default().as_bytes()).await.unwrap();
                drop(server);
            };
            let key = reach(None).key(&Names::default());
            let plain = reach(None);
            let ((), sent) = tokio::join!(peer, send_on(connection, key, &plain, request()));
            let got = match sent {
                Ok(answered) => {
                    let status = answered.response.status().as_u16().to_string();
                    let leased = answered.lease.is_some();
                    answered.response.into_body().collect().await.unwrap();
                    assert!(leased, "it may be kept");
                    status
                }
                Err((failure, unsent)) => {
                    assert!(unsent.is_none(), "it was sent");
                    match failure {
                        Failure::Malformed(_) => "malformed".to_owned(),
                        Failure::Broken(_) => "broken".to_owned(),
                        other => format!("{other:?}"),
                    }
                }
            };
            assert_eq!(got, expected, "{answer:?}");
        }
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test]
async fn a_request_that_was_not_sent_is_given_back() {
    let run = async {
        let (connection, server) = connection().await;
        drop(server);
        let key = reach(None).key(&Names::default());
        let (failure, unsent) = send_on(connection, key, &reach(None), request()).await.err().unwrap();
        assert!(matches!(failure, Failure::Broken(_)), "{failure:?}");
        let body = unsent.expect("the request").into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello", "all of it");
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test]
async fn a_peer_that_takes_too_long() {
    let run = async {
        let (connection, _server) = connection().await;
        let timing = Arc::clone(&connection.timing);
        let key = reach(None).key(&Names::default());
        let (plain, watch) = (reach(None), async {
            while !timing.is_in(Phase::Body) {
                tokio::task::yield_now().await;
            }
            timing.expire();
        });
        let (sent, ()) = tokio::join!(send_on(connection, key, &plain, request()), watch);
        assert!(matches!(sent.err().unwrap().0, Failure::Timeout(None)));
    };
    LocalSet::new().run_until(run).await;
}
