//! The service entity: where requests go, how long that may take, and whom to trust there.

use serde::Deserialize;
use uuid::Uuid;

use super::definition::{CREATED_AT, Definition, ID, TAGS, UPDATED_AT, UUID};
use super::{Foreign, rule};
use crate::decode::merge::edited;
use crate::document::{Entry, FormatVersion, Key, Node};
use crate::field::{Check, Field, Rule, Schema};
use crate::value::{Record, Text, Value};
use crate::violation::{Report, Violation};

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

    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Http,
        Self::Https,
        Self::Grpc,
        Self::Grpcs,
        Self::Ws,
        Self::Wss,
        Self::Tcp,
        Self::Tls,
        Self::TlsPassthrough,
        Self::Udp,
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
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

/// Services.
pub(crate) static SERVICES: Definition = Definition {
    endpoint_key: Some("name"),
    holds: &["client_certificate", "ca_certificates"],
    identity: &["protocol", "host", "port", "path"],
    defaults: Some("service"),
    shorthands: &[Field::string("url").doc("Short for protocol, host, port and path.")],
    rewrite: Some(rewrite),
    path_key: Some("name"),
    beside: &["client_certificate"],
    ..Definition::top("service", "services", SCHEMA)
};

/// The fields and checks of a service. `url` is short for `protocol`, `host`, `port` and `path`.
pub const SCHEMA: Schema = Schema { fields: FIELDS, checks: &[Check::Custom(tls_fields)] };

/// Every protocol that Kong knows.
pub(super) const PROTOCOLS: &[&str] =
    &["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp", "ws", "wss"];

/// From 1 ms to what fits 31 bits.
const TIMEOUT: &[Rule] = &[Rule::Between(1.0, 2_147_483_646.0)];

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name")
        .unique()
        .rules(&[Rule::Custom(rule::name)])
        .doc("The name, by which others refer to it."),
    Field::integer("retries")
        .default_int(5)
        .rules(&[Rule::Between(0.0, 32767.0)])
        .doc("How often another try is made when the upstream cannot be reached."),
    Field::string("protocol")
        .required()
        .default_text("http")
        .rules(&[Rule::OneOf(PROTOCOLS), Rule::Custom(rule::protocol)])
        .doc("What is spoken with the upstream."),
    Field::string("host")
        .required()
        .rules(&[Rule::Custom(rule::host)])
        .doc("A name, an address, or the name of an upstream."),
    Field::integer("port")
        .required()
        .default_int(80)
        .rules(&[Rule::Between(0.0, 65535.0)])
        .doc("The upstream's port."),
    Field::string("path").rules(&[Rule::Custom(rule::fixed_path)]).doc("Put in front of the request's path."),
    Field::integer("connect_timeout")
        .default_int(60000)
        .rules(TIMEOUT)
        .doc("Milliseconds until a connection to the upstream must stand."),
    Field::integer("write_timeout")
        .default_int(60000)
        .rules(TIMEOUT)
        .doc("Milliseconds between two writes to the upstream."),
    Field::integer("read_timeout")
        .default_int(60000)
        .rules(TIMEOUT)
        .doc("Milliseconds between two reads from the upstream."),
    TAGS,
    Field::foreign("client_certificate", "certificates")
        .doc("The certificate that is shown to the upstream."),
    Field::boolean("tls_verify")
        .doc("Whether the upstream's certificate is checked; null: as the settings say."),
    Field::integer("tls_verify_depth")
        .rules(&[Rule::Between(0.0, 64.0)])
        .doc("How many certificates may stand between the upstream's and a trusted one."),
    Field::array("ca_certificates", &UUID)
        .doc("The authorities that are trusted for the upstream, by their id."),
    Field::boolean("enabled").required().default_bool(true).doc("Whether its routes are served."),
];

/// What is about TLS needs a protocol in TLS.
fn tls_fields(service: &Record) -> Result<(), (&'static str, String)> {
    let protocol = service.text("protocol").unwrap_or_default();
    if matches!(protocol, "https" | "tls" | "grpcs" | "wss") {
        return Ok(());
    }
    let fields = ["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"];
    match fields
        .into_iter()
        .find(|field| service.get(field).is_some_and(|value| *value != Value::List(Vec::new())))
    {
        Some(field) => {
            Err((field, "value must be null, for only the protocols https, grpcs and wss use TLS".to_owned()))
        }
        None => Ok(()),
    }
}

/// Spells `url` out. What it says counts, whatever stands beside it in the fields that it is short for, as in Kong.
fn rewrite(node: &Node, _: Option<FormatVersion>, path: &str, report: &mut Report) -> Option<Node> {
    let url = &node.entry("url")?.value;
    if url.is_null() {
        return Some(edited(node, &["url"], Vec::new()));
    }
    let mut wrong = |message: String| {
        let hint = "say it with protocol, host, port and path";
        report.push(Violation::error(format!("{path}.url"), Some(url.position()), message).with_hint(hint));
        // The host is not missed as well.
        let host = Entry { key: Key::made("host", url.position()), value: url.text_at("unknown".to_owned()) };
        Some(edited(node, &["url"], if node.get("host").is_none() { vec![host] } else { Vec::new() }))
    };
    let Some(text) = url.as_str() else {
        return wrong(format!("expected a string, got {}", url.type_name()));
    };
    if postern_secrets::Template::has_reference(text) {
        return wrong("must not be a reference to a secret".to_owned());
    }
    let Some(parts) = parts(text) else {
        return wrong("invalid url: expected protocol://host[:port][/path]".to_owned());
    };
    let value = |name: &str, value: Node| Entry { key: Key::made(name, url.position()), value };
    let mut entries = vec![
        value("protocol", url.text_at(parts.protocol.to_owned())),
        value("host", url.text_at(parts.host.to_owned())),
        value("port", url.number_at(parts.port)),
    ];
    let mut replaced = vec!["url", "protocol", "host", "port"];
    // A url without a path says nothing of the path.
    if let Some(path) = parts.path {
        entries.push(value("path", url.text_at(path.to_owned())));
        replaced.push("path");
    }
    Some(edited(node, &replaced, entries))
}

struct Parts<'a> {
    protocol: &'a str,
    host: &'a str,
    port: u64,
    path: Option<&'a str>,
}

/// The parts of a URL. The authority ends where path, query or fragment begin; a service has neither of the last two, so
/// that they are dropped, as Kong does. A user, which it cannot have either, is refused: it would be a password in vain.
fn parts(url: &str) -> Option<Parts<'_>> {
    let (protocol, rest) = url.split_once("://")?;
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let (authority, path) = match rest.find('/') {
        Some(start) => (&rest[..start], Some(&rest[start..])),
        None => (rest, None),
    };
    if authority.contains('@') {
        return None;
    }
    let (host, port) =
        match authority.rsplit_once(':').filter(|(host, _)| !host.starts_with('[') || host.ends_with(']')) {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
    let port = match port {
        Some(port) => port.parse::<u16>().ok()?.into(),
        None if matches!(protocol, "https" | "grpcs" | "wss" | "tls") => 443,
        None => 80,
    };
    (!host.is_empty()).then_some(Parts { protocol, host, port, path })
}
