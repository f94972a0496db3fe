//! The service entity: where requests go, how long that may take, and whom to trust there.

use serde::Deserialize;
use uuid::Uuid;

use super::Foreign;
use crate::value::Text;

/// A checked service.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Service {
    pub name: Option<Text>,
    pub enabled: bool,
    /// How often another target is tried after the first.
    pub retries: u32,
    pub protocol: Protocol,
    /// A name, an address, or the name of an upstream.
    pub host: Text,
    pub port: u16,
    /// Put in front of the request's path.
    pub path: Option<Text>,
    /// Milliseconds, as the next two.
    pub connect_timeout: u64,
    pub write_timeout: u64,
    pub read_timeout: u64,
    pub client_certificate: Option<Foreign>,
    pub tls_verify: Option<bool>,
    pub tls_verify_depth: Option<u8>,
    pub ca_certificates: Option<Vec<Uuid>>,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the protocols' names")]
pub enum Protocol {
    Http,
    Https,
    Grpc,
    Grpcs,
    Ws,
    Wss,
    Tcp,
    Tls,
    #[serde(rename = "tls_passthrough")]
    TlsPassthrough,
    Udp,
}

impl Protocol {
    /// Whether it runs inside TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs | Self::Wss | Self::Tls)
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::TlsPassthrough => "tls_passthrough",
            Self::Udp => "udp",
        }
    }
}
