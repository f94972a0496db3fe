//! What stands behind a gateway in tests and demos: an HTTP service that says what reached it.
//!
//! Owns: its pages and how many requests it got. Must not know: gateways. A header that a gateway filled with a secret is
//! shown as it came, which is what it is for: like all of the dev stack it is for development only.

use crate::wire::{self, LOOPBACK, PortChoice, Request, Response, Server, Service, StartError};
use serde_json::{Map, Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The port of the upstream unless told otherwise.
pub const DEFAULT_PORT: u16 = 8400;
/// No answer is held back longer, in milliseconds.
const SLOWEST: u64 = 60_000;

/// How to start an [`Upstream`]. The default: port 8400 or a free one.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// The address to listen on; only loopback addresses are accepted.
    pub bind: IpAddr,
    /// The port to listen on.
    pub port: PortChoice,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self { bind: LOOPBACK, port: PortChoice::Preferred(DEFAULT_PORT) }
    }
}

/// A running echo service. Stops when it is dropped.
///
/// | path | answer |
/// | --- | --- |
/// | `/slow?ms=N` | the echo, after so many milliseconds, a minute at most |
/// | `/status/N` | status N, with the echo where the status may have a body |
/// | `/flaky` | the echo and 503 by turns, 503 first |
/// | any other | the echo: method, path, query, headers and body as JSON |
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    port_was_taken: bool,
    echo: Arc<Echo>,
    server: Server,
}

#[derive(Debug, Default)]
struct Echo {
    requests: AtomicU64,
    flaky: AtomicU64,
}

impl Upstream {
    /// Binds, and answers.
    ///
    /// # Errors
    /// When the address is not a loopback one or the port cannot be had.
    pub async fn start(options: UpstreamOptions) -> Result<Self, StartError> {
        let bound = wire::bind(options.bind, options.port).await?;
        let (address, port_was_taken) = (bound.address, bound.port_was_taken);
        let echo = Arc::<Echo>::default();
        let server = Server::start(bound, Arc::clone(&echo));
        tracing::info!(%address, "upstream for development is up");
        Ok(Self { address, port_was_taken, echo, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address as a URL, without a slash at its end: `http://127.0.0.1:8400`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The preferred port was taken, and another one was chosen.
    pub fn port_was_taken(&self) -> bool {
        self.port_was_taken
    }

    /// How many requests it got.
    pub fn requests(&self) -> u64 {
        self.echo.requests.load(Ordering::Relaxed)
    }

    /// Stops, and returns when the port is free again.
    pub async fn shutdown(self) {
        self.server.stop().await;
    }
}

impl Service for Echo {
    async fn answer(self: Arc<Self>, request: Request) -> Option<Response> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let status = match request.path.as_str() {
            "/slow" => {
                let wait = request.query("ms").and_then(|ms| ms.parse().ok()).unwrap_or(1000_u64);
                tokio::time::sleep(Duration::from_millis(wait.min(SLOWEST))).await;
                200
            }
            "/flaky" if self.flaky.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => 503,
            path => path.strip_prefix("/status/").and_then(final_status).unwrap_or(200),
        };
        if matches!(status, 204 | 304) {
            return Some(Response::empty(status));
        }
        Some(Response::json(status, &echo(&request)))
    }
}

/// Statuses below 200 only announce another.
fn final_status(text: &str) -> Option<u16> {
    text.parse().ok().filter(|status| (200..=599).contains(status))
}

fn echo(request: &Request) -> Value {
    let query = request.query.iter().map(|(name, value)| (name.clone(), value.clone()));
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let body = request.body.as_ref().map(|body| String::from_utf8_lossy(body));
    json!({
        "method": request.method.as_str(),
        "path": request.path,
        "query": by_name(query),
        "headers": by_name(headers),
        "body": body.filter(|body| !body.is_empty()),
    })
}

/// The value of each name; a list where there are several.
fn by_name(pairs: impl Iterator<Item = (String, String)>) -> Value {
    let mut all = Map::new();
    for (name, value) in pairs {
        match all.get_mut(&name) {
            None => drop(all.insert(name, Value::String(value))),
            Some(Value::Array(values)) => values.push(Value::String(value)),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    Value::Object(all)
}
