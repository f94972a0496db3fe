//! A service, ready to be asked: where its peers are, how they are spoken to, and for how long.
//!
//! Owns: what follows from a service entity and its upstream. Must not know: requests.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use postern_model::entity;
use postern_model::entity::Protocol;
use postern_plugins::logging::secret_values::SecretValues;
use rustls::ClientConfig;

use crate::balance::Balancer;
use crate::framing;
use crate::timed::Limits;

/// What requests need of a service.
pub(crate) struct Service {
    pub(crate) balancer: Arc<Balancer>,
    pub(crate) protocol: Protocol,
    pub(crate) path: Option<postern_model::Text>,
    pub(crate) retries: u32,
    pub(crate) connect: Duration,
    pub(crate) limits: Limits,
    pub(crate) tls: Option<(Arc<ClientConfig>, u64)>,
    /// What upstreams are told in `Host`, unless the route keeps the client's or the target has a name of its own.
    pub(crate) host: Option<HeaderValue>,
    /// What of it came from a vault; `None` for most.
    pub(crate) values: Option<Arc<SecretValues>>,
}

impl Service {
    /// From the entity and what it refers to.
    pub(crate) fn new(
        service: &entity::Service,
        balancer: Arc<Balancer>,
        upstream_host: Option<&str>,
        tls: Option<(Arc<ClientConfig>, u64)>,
    ) -> Self {
        let host = match (upstream_host, balancer.is_upstream()) {
            (Some(host), _) => Some(framing::value(host)),
            (None, true) => None,
            (None, false) => Some(framing::value(&authority(&service.host, service.port, service.protocol))),
        };
        Self {
            balancer,
            protocol: service.protocol,
            path: service.path.clone(),
            retries: service.retries,
            connect: Duration::from_millis(service.connect_timeout),
            limits: Limits::of_upstream(
                Duration::from_millis(service.read_timeout),
                Duration::from_millis(service.write_timeout),
            ),
            tls,
            host,
            values: None,
        }
    }

    /// With what of it came from a vault.
    pub(crate) fn with_values(self, values: Option<Arc<SecretValues>>) -> Self {
        Self { values, ..self }
    }

    /// Whether peers are spoken to in HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Grpc | Protocol::Grpcs)
    }
}

/// `host`, and `:port` where it is not the protocol's own.
pub(crate) fn authority(host: &str, port: u16, protocol: Protocol) -> String {
    let own = if protocol.is_tls() { 443 } else { 80 };
    match port == own {
        true => host.to_owned(),
        false => format!("{host}:{port}"),
    }
}
