//! What is always known of an entity, also while its references have no value.
//!
//! Owns: reading it once, from the record. Must not know: what is made of it.

use postern_model::entity::{self, Foreign, Protocol};
use postern_model::{Entry, Text, Value};
use postern_plugins::registry::Definition;
use uuid::Uuid;

/// A service. A field that holds a reference is as good as not given.
pub(super) struct ServiceHead<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) port: Option<u16>,
    pub(super) enabled: bool,
    /// Whether its peers are spoken to over TLS.
    pub(super) tls: bool,
    /// Whether that is HTTP/2.
    pub(super) http2: bool,
    pub(super) client_certificate: Option<Uuid>,
    pub(super) ca_certificates: Vec<Uuid>,
    pub(super) tls_verify: Option<bool>,
    pub(super) tls_verify_depth: Option<u8>,
}

impl<'a> ServiceHead<'a> {
    pub(super) fn of(entry: &'a Entry<entity::Service>) -> Self {
        let record = &entry.record;
        let protocol = record.text("protocol").unwrap_or_default();
        let integer = |field: &str| match record.get(field) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        };
        let id = |value: &Value| value.as_text().and_then(|text| Uuid::try_parse(text).ok());
        Self {
            name: record.text("name"),
            host: record.text("host"),
            port: integer("port").and_then(|port| u16::try_from(port).ok()),
            enabled: !matches!(record.get("enabled"), Some(Value::Boolean(false))),
            tls: matches!(protocol, "https" | "grpcs" | "wss"),
            http2: protocol == "grpcs",
            client_certificate: record.get("client_certificate").and_then(Foreign::of),
            ca_certificates: match record.get("ca_certificates") {
                Some(Value::List(ids)) => ids.iter().filter_map(id).collect(),
                _ => Vec::new(),
            },
            tls_verify: match record.get("tls_verify") {
                Some(Value::Boolean(verify)) => Some(*verify),
                _ => None,
            },
            tls_verify_depth: integer("tls_verify_depth").and_then(|depth| u8::try_from(depth).ok()),
        }
    }
}

/// A plugin, but for its configuration.
pub(super) fn plugin(entry: &Entry<entity::Plugin>, definition: &Definition) -> entity::Plugin {
    let record = &entry.record;
    let foreign = |field: &str| Foreign::of(record.get(field)?);
    let protocols = match record.get("protocols") {
        Some(Value::List(protocols)) => {
            protocols.iter().filter_map(|protocol| Protocol::named(protocol.as_text()?)).collect()
        }
        _ => Vec::new(),
    };
    entity::Plugin {
        name: Text::from(definition.schema.name),
        instance_name: None,
        service: foreign("service"),
        route: foreign("route"),
        consumer: foreign("consumer"),
        consumer_group: foreign("consumer_group"),
        protocols,
        enabled: !matches!(record.get("enabled"), Some(Value::Boolean(false))),
        config: postern_model::Record::default(),
    }
}
