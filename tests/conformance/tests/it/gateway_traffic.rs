//! Traffic that is more than a request and its answer: tunnels, gRPC, HTTP/2, kept connections, streams, large bodies,
//! changes and restarts while requests run.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use postern_conformance::{
    Gateway, Postern, Recorder, Reply,
    ask::{Body, Got, PATIENCE, Way, becomes, get, request},
    ca::Ca,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

const MIB: usize = 1024 * 1024;

fn config(services: Value) -> String {
    json!({"_format_version": "3.0", "services": services}).to_string()
}

fn service(upstream: &Recorder) -> Value {
    json!([{
        "name": "s", "url": format!("http://127.0.0.1:{}", upstream.port()),
        "routes": [
            {"name": "r", "paths": ["/"]},
            {"name": "streaming", "paths": ["/streaming"], "request_buffering": false, "response_buffering": false},
        ],
    }])
}

async fn start(upstream: &Recorder) -> Gateway {
    Postern::gateway(&config(service(upstream)), &[]).await
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_passes_bytes_both_ways() {
    let upstream = Recorder::start().await;
    let secure = Recorder::tls(&Ca::new("a root").issue(&["127.0.0.1"]), None).await;
    for recorder in [&upstream, &secure] {
        let headers =
            pairs(&[("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", "x")]);
        recorder.answers(Reply { headers, ..Reply::new(101, "") });
    }
    let services = json!([
        {
            "name": "s", "url": format!("http://127.0.0.1:{}", upstream.port()),
            "routes": [{"name": "r", "paths": ["/plain"]}],
        },
        {
            "name": "t", "url": format!("https://127.0.0.1:{}", secure.port()),
            "routes": [{"name": "t", "paths": ["/secure"]}],
        },
    ]);
    let gateway = Postern::gateway(&config(services), &[]).await;
    for way in [Way::http(gateway.http), Way::https(gateway.https, "a.test")] {
        for path in ["/plain/x", "/secure/x"] {
            let headers = [
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-version", "13"),
            ];
            let mut connection = way.open().await.expect("a connection");
            let response =
                connection.send(request("GET", "a.test", path, &headers, "")).await.expect("an answer");
            assert_eq!(response.status(), 101, "{path}");
            assert_eq!(response.headers()["upgrade"], "websocket");
            assert_eq!(response.headers()["sec-websocket-accept"], "x");
            let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.expect("a tunnel"));
            for word in ["ping", "once more"] {
                tunnel.write_all(word.as_bytes()).await.expect("a written word");
                let mut back = vec![0; word.len()];
                timeout(PATIENCE, tunnel.read_exact(&mut back)).await.expect("in time").expect("an echo");
                assert_eq!(back, word.as_bytes());
            }
            // The end on one side is the end on the other.
            tunnel.shutdown().await.expect("an end");
            let mut rest = Vec::new();
            timeout(PATIENCE, tunnel.read_to_end(&mut rest)).await.expect("in time").ok();
            assert!(rest.is_empty());
        }
    }
    let seen = upstream.take().pop().expect("a request");
    assert_eq!((seen.target.as_str(), seen.version.as_str()), ("/x", "HTTP/1.1"));
    assert_eq!(seen.headers["upgrade"], "websocket");
    assert_eq!(seen.headers["sec-websocket-version"], "13");
    becomes("the tunnels are in the access log", async || {
        gateway.access_log().matches("\" 101 ").count() == 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_keeps_its_trailers() {
    let clear = Recorder::start().await;
    let secure = Recorder::tls(&Ca::new("a root").issue(&["127.0.0.1"]), None).await;
    let to = |name: &str, url: String| {
        json!({
            "name": name, "url": url,
            "routes": [{"name": name, "protocols": ["grpc", "grpcs"], "paths": [format!("/{name}.Service/")]}],
        })
    };
    let yaml = config(json!([
        to("clear", format!("grpc://127.0.0.1:{}", clear.port())),
        to("secure", format!("grpcs://127.0.0.1:{}", secure.port())),
    ]));
    let gateway = Postern::gateway(&yaml, &[]).await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let message: &[u8] = b"\0\0\0\0\x03abc";
    for (name, upstream) in [("clear", &clear), ("secure", &secure)] {
        upstream.answers(Reply {
            headers: pairs(&[("content-type", "application/grpc")]),
            trailers: pairs(&[("grpc-status", "0"), ("grpc-message", "fine")]),
            ..Reply::new(200, message)
        });
        for way in [Way::h2c(gateway.h2c), Way::https2(gateway.https, "a.test")] {
            let target = format!("/{name}.Service/Method");
            let got =
                way.ask(request("POST", "a.test", &target, &headers, message)).await.expect("an answer");
            assert_eq!((got.status, &got.body[..]), (200, message), "{target}");
            assert_eq!(got.trailers["grpc-status"], "0");
            assert_eq!(got.trailers["grpc-message"], "fine");
            let seen = upstream.take().pop().expect("a request");
            assert_eq!((seen.target.as_str(), seen.version.as_str()), (target.as_str(), "HTTP/2.0"));
            assert_eq!(
                (&seen.body[..], &seen.headers["te"]),
                (message, &"trailers".parse().expect("a value"))
            );
        }
    }
    let plain = || get("a.test", "/clear.Service/Method");
    let got = Way::h2c(gateway.h2c).ask(plain()).await.expect("an answer");
    assert_eq!(got.status, 415, "{}", got.text());
    assert!(got.text().contains("Non-gRPC request matched gRPC route"), "{}", got.text());
    let got = Way::http(gateway.http).ask(plain()).await.expect("an answer");
    assert_eq!((got.status, got.header("upgrade")), (426, Some("HTTP/2")), "{}", got.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_on_both_sides() {
    let upstream = Recorder::start().await;
    let gateway = start(&upstream).await;
    let mut one = Way::http(gateway.http).open().await.expect("a connection");
    let mut two = Way::h2c(gateway.h2c).open().await.expect("a connection");
    let mut three = Way::https(gateway.https, "a.test").open().await.expect("a connection");
    for _ in 0..10 {
        for connection in [&mut one, &mut two, &mut three] {
            assert_eq!(connection.ask(get("a.test", "/")).await.expect("an answer").status, 200);
        }
        let posted = request("POST", "a.test", "/streaming", &[], "some text");
        assert_eq!(one.ask(posted).await.expect("an answer").status, 200);
    }
    // It may happen that one is not yet back when the next is needed; never that each request has its own.
    assert!((1..=3).contains(&upstream.connections()), "{} connections", upstream.connections());
    assert_eq!(upstream.take().len(), 40);

    // An upstream that closes its connections costs no request.
    upstream.answers(Reply { headers: pairs(&[("connection", "close")]), ..Reply::new(200, "") });
    for _ in 0..5 {
        assert_eq!(one.ask(get("a.test", "/")).await.expect("an answer").status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_one_by_one() {
    let upstream = Recorder::start().await;
    let gateway = start(&upstream).await;
    for (way, path) in [
        (Way::http(gateway.http), "/streaming"),
        (Way::http(gateway.http), "/buffered"),
        (Way::https2(gateway.https, "a.test"), "/streaming"),
    ] {
        let (pieces, receiver) = mpsc::unbounded_channel();
        let headers = pairs(&[("content-type", "text/event-stream")]);
        upstream.answers(Reply { headers, pieces: Some(receiver), ..Reply::new(200, "") });
        let mut connection = way.open().await.expect("a connection");
        let response = connection.send(get("a.test", path)).await.expect("the head, before any event");
        let mut body = response.into_body();
        for number in 0..3 {
            let event = Bytes::from(format!("data: {number}\n\n"));
            pieces.send(event.clone()).expect("an upstream that listens");
            let frame = timeout(PATIENCE, body.frame()).await.expect("in time");
            assert_eq!(frame.expect("a frame").expect("data").into_data().expect("data"), event);
        }
        drop(pieces);
        let rest = timeout(PATIENCE, body.collect()).await.expect("in time").expect("an end");
        assert!(rest.to_bytes().is_empty(), "{path}");
    }
}

fn large(mebibytes: usize, path: &str) -> Request<Body> {
    let piece = Bytes::from(vec![b'x'; MIB]);
    let pieces = std::iter::repeat_n(piece, mebibytes).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let body = StreamBody::new(stream::iter(pieces)).boxed();
    Request::builder().method("POST").uri(path).header("host", "a.test").body(body).expect("a request")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_without_being_kept() {
    const SIZE: usize = 64;
    let upstream = Recorder::start().await;
    upstream.count_bodies();
    let gateway = start(&upstream).await;
    let before = gateway.memory();
    for way in [Way::http(gateway.http), Way::https2(gateway.https, "a.test")] {
        for path in ["/buffered", "/streaming"] {
            let got = way.ask(large(SIZE, path)).await.expect("an answer");
            assert_eq!((got.status, upstream.count_bodies()), (200, (SIZE * MIB) as u64), "{path}");
        }
    }
    upstream.answers(Reply::new(200, vec![b'x'; SIZE * MIB]));
    for way in [Way::http(gateway.http), Way::https2(gateway.https, "a.test")] {
        let mut connection = way.open().await.expect("a connection");
        let response = connection.send(get("a.test", "/streaming")).await.expect("an answer");
        // A client that does not read holds up the upstream, not the gateway's memory.
        sleep(Duration::from_millis(300)).await;
        let mut body = response.into_body();
        let mut count = 0;
        while let Some(frame) = timeout(PATIENCE, body.frame()).await.expect("in time") {
            count += frame.expect("a frame").into_data().map_or(0, |data| data.len());
        }
        assert_eq!(count, SIZE * MIB);
    }
    let grown = gateway.memory().saturating_sub(before) / 1024;
    assert!(grown < 40, "{grown} MiB more than before, for bodies of {SIZE} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_configuration_closes_no_connection() {
    let (upstream, other) = (Recorder::start().await, Recorder::start().await);
    let mut gateway = start(&upstream).await;
    let mut one = Way::http(gateway.http).open().await.expect("a connection");
    let mut two = Way::https2(gateway.https, "a.test").open().await.expect("a connection");
    for connection in [&mut one, &mut two] {
        assert_eq!(connection.ask(get("a.test", "/")).await.expect("an answer").status, 200);
    }
    upstream.answers(Reply { delay: Duration::from_millis(1500), ..Reply::new(200, "from before") });
    let address = gateway.http;
    let under_way = tokio::spawn(async move { Way::http(address).ask(get("a.test", "/")).await });
    becomes("the request is under way", async || upstream.requests() == 3).await;
    assert!(gateway.reload(&config(service(&other))).await, "{}", gateway.log());
    other.answers(Reply::new(200, "from after"));
    for connection in [&mut one, &mut two] {
        assert_eq!(
            connection.ask(get("a.test", "/")).await.expect("the same connection").text(),
            "from after"
        );
    }
    let got = under_way.await.expect("a task").expect("an answer");
    assert_eq!((got.status, got.text().as_str()), (200, "from before"));
    // One that is wrong changes nothing.
    assert!(!gateway.reload("_format_version: '3.0'\nservices: [{host: 7}]\n").await);
    assert_eq!(one.ask(get("a.test", "/")).await.expect("an answer").text(), "from after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_finished_when_it_ends() {
    let upstream = Recorder::start().await;
    let mut gateway = start(&upstream).await;
    upstream.answers(Reply { delay: Duration::from_millis(1500), ..Reply::new(200, "finished") });
    let asks: Vec<_> = [Way::http(gateway.http), Way::https2(gateway.https, "a.test")]
        .map(|way| tokio::spawn(async move { way.ask(get("a.test", "/")).await }))
        .into();
    becomes("the requests are under way", async || upstream.requests() == 2).await;
    gateway.signal("-TERM");
    for ask in asks {
        assert_eq!(ask.await.expect("a task").expect("an answer").text(), "finished");
    }
    gateway.ended().await;
    Way::http(gateway.http).ask(get("a.test", "/")).await.expect_err("nobody listens any longer");
}

fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

/// One request on a new connection; or what went wrong.
async fn once(address: SocketAddr) -> Result<Got, String> {
    let got = Way::http(address).ask(get("a.test", "/")).await?;
    if got.status == 200 { Ok(got) } else { Err(format!("{}: {}", got.status, got.text())) }
}

/// For how long a node that ends waits for the next request of a connection.
const GRACE: Duration = Duration::from_secs(1);

/// Requests on one connection, until its last answer says that it ends; or what went wrong.
async fn kept(address: SocketAddr, done: &AtomicBool, served: &AtomicUsize) -> Result<(), String> {
    let mut connection = Way::http(address).open().await?;
    let mut answered = Instant::now();
    while !done.load(Ordering::SeqCst) {
        let idle = answered.elapsed();
        let got = match connection.ask(get("a.test", "/")).await {
            Ok(got) => got,
            // Who was silent for long, on a busy machine, may find the connection closed and has to ask again.
            Err(_) if idle > GRACE / 2 => return Ok(()),
            Err(error) => return Err(error),
        };
        answered = Instant::now();
        served.fetch_add(1, Ordering::SeqCst);
        if got.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return Ok(());
        }
        // Between two requests it is idle: that is when one may be on its way while the other side closes.
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// On new connections, and on kept ones: these are told with an answer that it is the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_takes_over_under_load() {
    let upstream = Recorder::start().await;
    let yaml = config(service(&upstream));
    let listen = format!("127.0.0.1:{}, 127.0.0.1:{} http2, 127.0.0.1:{} ssl http2", free(), free(), free());
    let mut first = Postern::gateway(&yaml, &[("proxy_listen", &listen)]).await;
    let (address, done) = (first.http, Arc::new(AtomicBool::new(false)));
    let served = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..8)
        .map(|number| {
            let (done, served) = (Arc::clone(&done), Arc::clone(&served));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    match number % 2 {
                        0 => {
                            once(address).await?;
                            served.fetch_add(1, Ordering::SeqCst);
                        }
                        _ => kept(address, &done, &served).await?,
                    }
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    let more = async || {
        let before = served.load(Ordering::SeqCst);
        let alive = || load.iter().all(|task| !task.is_finished());
        becomes("the load goes on", async || !alive() || served.load(Ordering::SeqCst) > before + 20).await;
    };
    more().await;
    let second = Postern::gateway(&yaml, &[("proxy_listen", &listen)]).await;
    more().await;
    first.signal("-QUIT");
    first.ended().await;
    more().await;
    done.store(true, Ordering::SeqCst);
    for task in load {
        task.await
            .expect("a task")
            .unwrap_or_else(|lost| panic!("a request was lost: {lost}\n{}", second.log()));
    }
}
