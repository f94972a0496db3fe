//! Questions that go to DNS servers, through `hickory-resolver`.
//!
//! Owns: the servers, the hosts file, and what the library's errors mean. Must not know: the order of kinds, what is
//! kept and for how long ([`super`] does; the library's own cache is off, because its clock cannot be paused).

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

use super::{Ask, Asked, Data, DnsError, Kind, Records, Settings};

/// DNS servers and a hosts file.
pub struct System {
    resolver: TokioResolver,
    hosts: Hosts,
}

impl System {
    /// With the settings' servers, or else those of the system.
    ///
    /// # Errors
    /// [`DnsError::System`].
    pub fn new(settings: &Settings) -> Result<Self, DnsError> {
        Self::with(settings, &std::fs::read("/etc/resolv.conf").unwrap_or_default())
    }

    /// With this `resolv.conf`, of which `search` and `ndots` count beside the settings' servers, too.
    pub(super) fn with(settings: &Settings, resolv_conf: &[u8]) -> Result<Self, DnsError> {
        let system = |error: NetError| DnsError::System(error.to_string());
        let mut builder = if settings.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(system)?
        } else {
            let servers = settings.servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            let here = parsed(resolv_conf);
            let (domain, search, ndots) = here.map_or_else(Default::default, |(config, options)| {
                (config.domain().cloned(), config.search().to_vec(), Some(options.ndots))
            });
            let config = ResolverConfig::from_parts(domain, search, servers.collect());
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            if let Some(ndots) = ndots {
                builder.options_mut().ndots = ndots;
            }
            builder
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = settings.timeout;
        options.attempts = settings.attempts;
        options.use_hosts_file = ResolveHosts::Never;
        // The order that the operator wrote; the second server is for when the first is away.
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.num_concurrent_reqs = 1;
        let hosts =
            if settings.hosts_file { Hosts::from_system().unwrap_or_default() } else { Hosts::default() };
        Ok(Self { resolver: builder.build().map_err(system)?, hosts })
    }
}

/// What a `resolv.conf` says, also where it names no server.
#[cfg(not(target_vendor = "apple"))]
fn parsed(resolv_conf: &[u8]) -> Option<(ResolverConfig, ResolverOpts)> {
    // The library wants a server in it; it is not asked.
    let with_server = [resolv_conf, b"\nnameserver 127.0.0.1\n"].concat();
    hickory_resolver::system_conf::parse_resolv_conf(with_server).ok()
}

/// Here the library reads the system's own store instead.
#[cfg(target_vendor = "apple")]
fn parsed(_: &[u8]) -> Option<(ResolverConfig, ResolverOpts)> {
    hickory_resolver::system_conf::read_system_conf().ok()
}

impl Ask for System {
    fn known(&self, name: &str) -> Vec<IpAddr> {
        let Ok(name) = Name::from_ascii(name) else { return Vec::new() };
        // One family only: the other is the same machine again, and would get a second share of the traffic.
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind)))
            .map(|lookup| {
                lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
            })
            .find(|ips| !ips.is_empty())
            .unwrap_or_default()
    }

    fn ask<'a>(&'a self, name: &'a str, kind: Kind) -> Asked<'a> {
        Box::pin(async move {
            let lookup = self.resolver.lookup(name, kind.into()).await.map_err(failure)?;
            records(lookup.answers(), kind).ok_or(DnsError::Absent)
        })
    }
}

impl From<Kind> for RecordType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Srv => Self::SRV,
            Kind::A => Self::A,
            Kind::Aaaa => Self::AAAA,
        }
    }
}

/// Those of the kind that was asked for; the names on the way to them (CNAME) count for the TTL.
fn records(answers: &[Record], kind: Kind) -> Option<Records> {
    let data: Vec<_> = answers
        .iter()
        .filter_map(|record| match (&record.data, kind) {
            (RData::A(ip), Kind::A) => Some(Data::Address(ip.0.into())),
            (RData::AAAA(ip), Kind::Aaaa) => Some(Data::Address(ip.0.into())),
            (RData::SRV(srv), Kind::Srv) => Some(Data::Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        })
        .collect();
    let ttl = answers.iter().map(|record| record.ttl).min()?;
    (!data.is_empty()).then(|| Records { data, ttl: Duration::from_secs(ttl.into()) })
}

fn failure(error: NetError) -> DnsError {
    // "No records" also stands for SERVFAIL and the like; only a server that says so is believed.
    match &error {
        error if error.is_nx_domain() => DnsError::Absent,
        NetError::Dns(hickory_resolver::net::DnsError::NoRecordsFound(none))
            if none.response_code == hickory_resolver::proto::op::ResponseCode::NoError =>
        {
            DnsError::Absent
        }
        _ => DnsError::Unanswered(error.to_string()),
    }
}
