//! All entities of a configuration, checked and typed: what takes effect.
//!
//! Owns: the entry that every entity shares, and the list of lists. Must not know: how they were checked, what is made
//! of them. An entity with references is typed once these are resolved, by [`Entry::fill`], which checks the field
//! rules again on what came out of the vault.

use postern_secrets::{Secret, Template};
use uuid::Uuid;

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

/// All entities, each list in the order of the file.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names of the lists are the names of the entities")]
pub struct Snapshot {
    pub vaults: Vec<VaultEntity>,
    pub services: Vec<Entry<Service>>,
    pub routes: Vec<Entry<Route>>,
    pub consumers: Vec<Entry<Consumer>>,
    pub consumer_groups: Vec<Entry<ConsumerGroup>>,
    /// Who belongs to which group: consumer, group.
    pub group_members: Vec<(Uuid, Uuid)>,
    pub keyauth_credentials: Vec<Entry<KeyauthCredential>>,
    pub basicauth_credentials: Vec<Entry<BasicauthCredential>>,
    pub hmacauth_credentials: Vec<Entry<HmacauthCredential>>,
    pub jwt_secrets: Vec<Entry<JwtSecret>>,
    pub acls: Vec<Entry<AclGroup>>,
    pub plugins: Vec<Entry<Plugin>>,
    pub upstreams: Vec<Entry<Upstream>>,
    pub targets: Vec<Entry<Target>>,
    pub certificates: Vec<Entry<Certificate>>,
    pub snis: Vec<Entry<Sni>>,
    pub ca_certificates: Vec<Entry<CaCertificate>>,
    pub key_sets: Vec<Entry<KeySet>>,
    pub keys: Vec<Entry<Key>>,
}
