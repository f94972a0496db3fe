//! What the data plane is told: listeners, limits, headers. Filled in from kong.conf by `gateway`.
//!
//! Owns: the shapes and nginx's defaults. Must not know: the names of settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postern_plugins::logging::redact::Redaction;

use http::HeaderName;

/// Everything.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen for traffic.
    pub listen: Vec<Listener>,
    /// How many threads serve; each has connections of its own.
    pub workers: usize,
    /// Which headers the gateway adds.
    pub headers: Headers,
    /// Who may say where a request came from.
    pub real_ip: RealIp,
    /// The limits for clients.
    pub limits: Limits,
    /// For upstream connections that are kept.
    pub upstream: UpstreamOptions,
    /// Where the access log goes; `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// What it does not show.
    pub redaction: Arc<Redaction>,
    /// The type of an error's body for clients that accept anything.
    pub error_default_type: ErrorType,
    /// The certificate for names that no entity knows, as PEM files of chain and key; one is made where there is none.
    pub default_certificate: Option<(PathBuf, PathBuf)>,
    /// How long connections may go on when the gateway ends.
    pub drain: Duration,
}

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Whether HTTP/2 is spoken: by ALPN with TLS, from the first byte without.
    pub http2: bool,
    /// Whether a listener on an IPv6 address takes IPv6 only.
    pub ipv6_only: bool,
}

/// Which headers the gateway adds; Kong's setting `headers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub struct Headers {
    /// `Server` on answers of its own.
    pub server: bool,
    /// `Via` on those of upstreams.
    pub via: bool,
    /// `X-Kong-Upstream-Latency`.
    pub upstream_latency: bool,
    /// `X-Kong-Proxy-Latency`.
    pub proxy_latency: bool,
    /// `X-Kong-Response-Latency` on answers of its own.
    pub response_latency: bool,
    /// `X-Kong-Upstream-Status`.
    pub upstream_status: bool,
    /// `X-Kong-Request-Id` to the client.
    pub request_id: bool,
    /// `X-Kong-Request-Id` to the upstream; Kong's setting `headers_upstream`.
    pub upstream_request_id: bool,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            server: true,
            via: true,
            upstream_latency: true,
            proxy_latency: true,
            response_latency: true,
            upstream_status: false,
            request_id: true,
            upstream_request_id: true,
        }
    }
}

/// Who may say where a request came from, and in which header.
#[derive(Clone, Debug)]
pub struct RealIp {
    /// Networks whose word counts.
    pub trusted: Vec<Network>,
    /// The header with the client's address.
    pub header: HeaderName,
    /// Whether trusted addresses in that header are skipped, from the right.
    pub recursive: bool,
}

/// An address with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Any address in it.
    pub address: IpAddr,
    /// How many bits count.
    pub bits: u8,
}

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let skip = width - u32::from(self.bits).min(width);
            skip >= 128 || (a ^ b) >> skip == 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                self.bits == 0 || same(a.to_bits().into(), b.to_bits().into(), 32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(drop)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(drop))?;
        (bits <= width).then_some(Self { address, bits }).ok_or(())
    }
}

impl Default for RealIp {
    fn default() -> Self {
        Self { trusted: Vec::new(), header: HeaderName::from_static("x-real-ip"), recursive: false }
    }
}

/// The limits for clients; the defaults are nginx's.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a whole head, and for a TLS handshake.
    pub head_timeout: Duration,
    /// Between two reads of a body.
    pub body_timeout: Duration,
    /// Between two writes.
    pub send_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// How many requests one connection may send.
    pub requests_per_connection: u32,
    /// Bytes of a head.
    pub head_size: usize,
    /// Bytes of a body; 0: any.
    pub body_size: u64,
    /// Bytes of a body that are kept in memory, for those who want all of it.
    pub body_buffer: usize,
    /// Streams of one HTTP/2 connection.
    pub streams: u32,
    /// Connections of one worker. When they run short, those that waited longest for a request make room.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        Self {
            head_timeout: 60 * SECOND,
            body_timeout: 60 * SECOND,
            send_timeout: 60 * SECOND,
            idle_timeout: 75 * SECOND,
            requests_per_connection: 10_000,
            head_size: 32 * 1024,
            body_size: 0,
            body_buffer: 8 * 1024 * 1024,
            streams: 128,
            connections: 16_384,
        }
    }
}

/// For upstream connections that are kept.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamOptions {
    /// How many idle ones a worker keeps to one peer.
    pub idle: usize,
    /// How long.
    pub idle_timeout: Duration,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self { idle: 512, idle_timeout: Duration::from_secs(60) }
    }
}

/// Where the access log goes, and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// A file, or `/dev/stdout`.
    pub path: PathBuf,
    /// One JSON object a line, instead of nginx's combined form with Kong's request id.
    pub json: bool,
}

/// The type of an error's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum ErrorType {
    Json,
    Html,
    Xml,
    Plain,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            workers: 1,
            headers: Headers::default(),
            real_ip: RealIp::default(),
            limits: Limits::default(),
            upstream: UpstreamOptions::default(),
            access_log: None,
            redaction: Arc::default(),
            error_default_type: ErrorType::Plain,
            default_certificate: None,
            drain: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("fd00::/8", "fd12::1", true),
        ];
        for (network, address, expected) in cases {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
        for bad in ["", "10.0.0.0/33", "x", "10.0.0.0/", "10.0.0.0/-1"] {
            bad.parse::<Network>().unwrap_err();
        }
    }
}
