//! All entities of a configuration, checked and typed: what takes effect.
//!
//! Owns: the entry that every entity shares, the lists (`snapshot/list.rs`), the list of lists, and what is known of rows
//! that cannot take effect (`snapshot/broken.rs`). Must not know: how they were checked, what is made of them. An entity with references is typed once these are resolved, by [`Entry::fill`], which checks the field
//! rules again on what came out of the vault.

mod broken;
mod list;

use std::sync::Arc;

use postern_secrets::{Secret, Template};
use uuid::Uuid;

pub use broken::{Broken, Part, Remains};
pub use list::{Changed, List};

use crate::entity::{
    AclGroup, BasicauthCredential, CaCertificate, Certificate, Consumer, ConsumerGroup, HmacauthCredential,
    JwtSecret, Key, KeySet, KeyauthCredential, Plugin, Route, Service, Sni, Target, Upstream, VaultEntity,
};
use crate::value::Record;
use crate::violation::Position;

/// One entity.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// As written, or the one that always follows from what tells it from others.
    pub id: Uuid,
    /// Its path and place in the file, for people: `services[0]`, 12:5.
    pub path: String,
    /// Where it begins.
    pub position: Position,
    /// Every field with its default; references are still text.
    pub record: Record,
    /// The typed entity, where no field holds a reference.
    pub value: Option<T>,
    /// How a record without references is checked and typed.
    pub read: fn(&Record) -> Result<T, String>,
}

impl<T: Clone> Entry<T> {
    /// The texts with references, in the order in which [`Entry::fill`] takes their values.
    pub fn templates(&self) -> Vec<&Template> {
        self.record.templates()
    }

    /// The entity with its references resolved.
    ///
    /// # Errors
    /// What is wrong with a resolved value, by the field's own rules; it names the field, never the value.
    pub fn fill(&self, texts: &[Secret]) -> Result<T, String> {
        match &self.value {
            Some(value) => Ok(value.clone()),
            None => (self.read)(&self.record.filled(texts)),
        }
    }
}

/// All entities, each list in the order of the file, or of identifiers where they are kept in a store. A clone shares its
/// lists with the original.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names of the lists are the names of the entities")]
pub struct Snapshot {
    pub vaults: Vec<VaultEntity>,
    pub services: List<Service>,
    pub routes: List<Route>,
    pub consumers: List<Consumer>,
    pub consumer_groups: List<ConsumerGroup>,
    /// Who belongs to which group: consumer, group.
    pub group_members: Vec<(Uuid, Uuid)>,
    pub keyauth_credentials: List<KeyauthCredential>,
    pub basicauth_credentials: List<BasicauthCredential>,
    pub hmacauth_credentials: List<HmacauthCredential>,
    pub jwt_secrets: List<JwtSecret>,
    pub acls: List<AclGroup>,
    pub plugins: List<Plugin>,
    pub upstreams: List<Upstream>,
    pub targets: List<Target>,
    pub certificates: List<Certificate>,
    pub snis: List<Sni>,
    pub ca_certificates: List<CaCertificate>,
    pub key_sets: List<KeySet>,
    pub keys: List<Key>,
    /// Rows of a store that are in none of the lists, because something is wrong with them, in the order of kinds and
    /// identifiers. A document has none: it takes effect whole.
    pub broken: Arc<[Arc<Broken>]>,
}
