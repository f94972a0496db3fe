//! Requests on a few connections while something changes, and what they carried.
//!
//! Owns: the load and its count. Must not know: what changes, and why.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

pub(super) const CONNECTIONS: usize = 4;
/// Between two requests of a connection: this is to show something, not to measure how much goes through.
const PAUSE: Duration = Duration::from_millis(2);
/// For so long before the change, and again after the first new value. No multiple of the vault's `ttl`, so that the
/// change is not made just before a read that is due.
const AROUND: Duration = Duration::from_millis(1400);
/// The new value has to come within this time.
const NEW_WITHIN: Duration = Duration::from_secs(20);
/// A request that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LARGEST_ECHO: usize = 1 << 20;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Requests that reached the upstream with the old value.
    pub(super) old: usize,
    /// Requests that reached the upstream with the new value.
    pub(super) new: usize,
    /// Why all others failed.
    pub(super) failed: Vec<String>,
    /// From the end of the change to the end of the first request with the new value.
    pub(super) took: Option<Duration>,
    /// How long all of it lasted.
    pub(super) lasted: Duration,
}

impl Seen {
    /// Every request.
    pub(super) fn all(&self) -> usize {
        self.old + self.new + self.failed.len()
    }
}

/// A connection to a gateway with an echo service behind it.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    address: SocketAddr,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, address })
    }

    /// What the upstream says that reached it.
    pub(super) async fn get(&mut self, path: &str) -> Result<Value> {
        let request = Request::get(path).header("host", self.address.to_string()).body(Empty::new())?;
        let exchange = async {
            self.sender.ready().await?;
            let reply = self.sender.send_request(request).await?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), LARGEST_ECHO).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the response broke off: {error}"))?.to_bytes();
            ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
            Ok(serde_json::from_slice(&body)?)
        };
        timeout(ANSWER_WITHIN, exchange).await.context("no answer in time")?
    }
}

/// Sends requests, does `change` in their midst, and goes on until the header has had its new value for a while.
pub(super) async fn during(
    address: SocketAddr,
    header: &str,
    [old, new]: [&str; 2],
    change: impl Future<Output = Result<()>>,
) -> Result<Seen> {
    let began = Instant::now();
    let seen = RefCell::new(Seen::default());
    let (stop, stopped) = watch::channel(false);
    let (first, mut first_seen) = watch::channel(None);
    let note = |echo: Result<Value>| {
        let mut seen = seen.borrow_mut();
        match echo.as_ref().map(|echo| echo["headers"][header].as_str()) {
            Ok(Some(value)) if value == old => seen.old += 1,
            Ok(Some(value)) if value == new => {
                seen.new += 1;
                first.send_if_modified(|first| first.is_none() && first.replace(Instant::now()).is_none());
            }
            Ok(Some(_)) => seen.failed.push(format!("{header} has neither value")),
            Ok(None) => seen.failed.push(format!("there is no {header}")),
            Err(error) => seen.failed.push(format!("{error:#}")),
        }
    };
    let load = join_all((0..CONNECTIONS).map(async |_| requests(address, &stopped, &note).await));
    let script = async {
        sleep(AROUND).await;
        let changed = change.await;
        let done = Instant::now();
        let first = timeout(NEW_WITHIN, first_seen.wait_for(Option::is_some)).await;
        let first = first.ok().and_then(Result::ok).and_then(|first| *first);
        sleep(AROUND).await;
        stop.send_replace(true);
        changed.map(|()| first.map(|first| first.saturating_duration_since(done)))
    };
    let (_, took) = tokio::join!(load, script);
    let took = took?;
    Ok(Seen { took, lasted: began.elapsed(), ..seen.take() })
}

/// One after the other on one connection, until told to stop or one fails.
async fn requests(address: SocketAddr, stopped: &watch::Receiver<bool>, note: &impl Fn(Result<Value>)) {
    let mut connection = match Connection::open(address).await {
        Ok(connection) => connection,
        Err(error) => return note(Err(error)),
    };
    while !*stopped.borrow() {
        let echo = connection.get("/hello").await;
        let failed = echo.is_err();
        note(echo);
        if failed {
            // What follows on a connection that broke would only say so again.
            match Connection::open(address).await {
                Ok(new) => connection = new,
                Err(error) => return note(Err(error)),
            }
        }
        sleep(PAUSE).await;
    }
}
