//! The entities of a configuration, one file each: their fields, and the way from a [`Node`] to a checked value.
//!
//! Owns: what every entity has in common (identifiers, tags, timestamps, `_comment`). Must not know: where documents
//! come from, other entities of the same document. `definition` lists all of them; `rule` holds what fields of several
//! entities must satisfy.

pub mod certificate;
pub mod consumer;
mod definition;
mod elsewhere;
mod fields;
pub(crate) mod id;

pub mod key;
pub mod plugin;
pub mod route;
mod rule;
pub mod service;
pub mod upstream;
pub mod vault;

use serde::Deserialize;
use uuid::Uuid;

pub use certificate::{CaCertificate, Certificate, Sni};
pub(crate) use consumer::MEMBERSHIPS;
pub use consumer::{
    AclGroup, BasicauthCredential, Consumer, ConsumerGroup, HmacauthCredential, JwtSecret, KeyauthCredential,
};
pub(crate) use definition::{Definition, TABLE, Typed, definition, definitions};
pub(crate) use fields::{Fields, quote_hint};
pub use key::{Key, KeySet};
pub use plugin::Plugin;
pub use route::Route;
pub use service::{Protocol, Service};
pub use upstream::{Target, Upstream};
pub use vault::VaultEntity;

#[cfg(doc)]
use crate::document::Node;
use crate::value::Value;

/// Another entity, by its identifier: on the wire `{"id": "..."}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Foreign {
    /// The identifier.
    pub id: Uuid,
}

impl Foreign {
    /// The identifier in a resolved field.
    pub fn of(value: &Value) -> Option<Uuid> {
        match value {
            Value::Record(record) => record.text("id").and_then(|id| Uuid::try_parse(id).ok()),
            _ => None,
        }
    }
}
