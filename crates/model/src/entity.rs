//! The entities of a configuration, one file each: their fields, and the way from a [`Node`] to a checked value.
//!
//! Owns: what every entity has in common (identifiers, tags, timestamps, `_comment`). Must not know: where documents
//! come from, other entities of the same document.

pub mod certificate;
pub mod consumer;
mod fields;
mod id;
pub mod key;
pub mod plugin;
pub mod route;
pub mod service;
pub mod upstream;
pub mod vault;

use serde::Deserialize;
use uuid::Uuid;

pub use certificate::{CaCertificate, Certificate, Sni};
pub use consumer::{AclGroup, BasicauthCredential, Consumer, ConsumerGroup, KeyauthCredential};
pub(crate) use fields::Fields;
pub use key::{Key, KeySet};
pub use plugin::Plugin;
pub use route::Route;
pub use service::{Protocol, Service};
pub use upstream::{Target, Upstream};
pub use vault::VaultEntity;

#[cfg(doc)]
use crate::document::Node;

/// Another entity, by its identifier: on the wire `{"id": "..."}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Foreign {
    /// The identifier.
    pub id: Uuid,
}
