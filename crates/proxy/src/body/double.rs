//! Bodies of messages that are written as bytes, for tests.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

/// The body of a request that consists of these bytes. The connection ends behind them.
pub(crate) async fn incoming(request: &'static str) -> Incoming {
    let (mut client, server) = duplex(64 * 1024);
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let found = Rc::new(RefCell::new(None));
    let service = {
        let found = Rc::clone(&found);
        service_fn(move |request: Request<Incoming>| {
            *found.borrow_mut() = Some(request.into_body());
            std::future::pending::<Result<Response<Full<Bytes>>, std::io::Error>>()
        })
    };
    let mut connection = server::conn::http1::Builder::new();
    let connection = connection.half_close(true).serve_connection(TokioIo::new(server), service);
    tokio::task::spawn_local(async move {
        let _client = client;
        let _ = connection.await;
    });
    loop {
        tokio::task::yield_now().await;
        if let Some(body) = found.borrow_mut().take() {
            return body;
        }
    }
}

/// The body of a response that consists of these bytes. The connection ends behind them.
pub(crate) async fn answered(response: &'static str) -> Incoming {
    let (mut server, client) = duplex(64 * 1024);
    let (mut send, connection) = http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    tokio::spawn(async move {
        server.read_u8().await.unwrap();
        server.write_all(response.as_bytes()).await.unwrap();
    });
    let request = Request::builder().header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    send.send_request(request).await.unwrap().into_body()
}
