//! Addresses and ports of connections.
//!
//! Owns: what `sources` and `destinations` mean. Must not know: which of both it is.

use std::net::SocketAddr;

use cidr::IpInet;
use postern_model::entity::route::Endpoint;

/// An address or range, a port, or both.
#[derive(Debug)]
pub(crate) struct Net {
    range: Option<IpInet>,
    port: Option<u16>,
}

/// The reasons begin with the place in the list: `[0].ip: ...`.
pub(crate) fn compile(endpoints: Option<&[Endpoint]>) -> Result<Vec<Net>, String> {
    let endpoints = endpoints.unwrap_or_default().iter().enumerate();
    let nets = endpoints.map(|(number, Endpoint { ip, port })| {
        let range = ip.as_ref().map(|ip| ip.parse::<IpInet>()).transpose();
        let range =
            range.map_err(|_| format!("[{number}].ip: neither an address nor a range in CIDR notation"))?;
        match (range, *port) {
            (None, None) => Err(format!("[{number}]: set `ip`, `port` or both")),
            (range, port) => Ok(Net { range, port }),
        }
    });
    nets.collect()
}

/// Whether an end of the connection is one of these; anything is, if there are none.
pub(crate) fn hold(nets: &[Net], end: Option<SocketAddr>) -> bool {
    nets.is_empty() || end.is_some_and(|end| nets.iter().any(|net| net.matches(end)))
}

impl Net {
    fn matches(&self, end: SocketAddr) -> bool {
        // A listener on [::] shows IPv4 clients as ::ffff:192.0.2.1.
        let ip = end.ip().to_canonical();
        self.port.is_none_or(|port| port == end.port()) && self.range.is_none_or(|range| range.contains(&ip))
    }
}
