//! Consumers and their credentials, indexed.
//!
//! Owns: finding a consumer by what a request shows. Must not know: where in a request that stands, where credentials
//! were configured. It is made whole when a configuration takes effect or a credential rotates, or by a few changes from
//! the one before, with which it shares the rest (`shards`); then it is swapped. Looking something up takes no lock and no
//! memory. `keys` finds by key, `passwords` checks them, `issuers` verifies tokens, `signers` signatures of requests.

pub mod issuers;
mod keys;
mod passwords;
mod shards;
pub mod signers;

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;
use postern_model::entity;
use uuid::Uuid;

use issuers::Issuers;
pub use keys::KeyCredential;
use keys::Keys;
pub use passwords::{Check, PasswordCredential, Passwords, Slow};
use shards::Shards;
use signers::Signers;

/// All consumers, by identifier.
type Consumers = Shards<Uuid, Arc<Consumer>>;

/// Somebody who sends requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The identifier.
    pub id: Uuid,
    /// The name.
    pub username: Option<String>,
    /// The name in somebody else's books.
    pub custom_id: Option<String>,
    /// The groups that it belongs to, with their names, sorted by name.
    pub groups: Vec<(Uuid, String)>,
    /// The groups in the sense of the plugin `acl`, sorted.
    pub acls: Vec<String>,
    /// How it is told to upstreams: `X-Consumer-ID` and so on.
    pub headers: ConsumerHeaders,
}

/// The values of the headers by which an upstream learns who sent a request, made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeaders {
    /// `X-Consumer-ID`.
    pub id: HeaderValue,
    /// `X-Consumer-Username`; `None` where there is none, or where it cannot stand in a header.
    pub username: Option<HeaderValue>,
    /// `X-Consumer-Custom-ID`, likewise.
    pub custom_id: Option<HeaderValue>,
}

impl Consumer {
    /// A consumer without groups.
    pub fn new(id: Uuid, username: Option<String>, custom_id: Option<String>) -> Self {
        let value = |text: &Option<String>| {
            text.as_ref().and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok())
        };
        let headers =
            ConsumerHeaders { id: uuid_value(id), username: value(&username), custom_id: value(&custom_id) };
        Self { id, username, custom_id, groups: Vec::new(), acls: Vec::new(), headers }
    }
}

/// An identifier as the value of a header.
pub(crate) fn uuid_value(id: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    // Hexadecimal digits and dashes are always allowed in a header.
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// What a directory is made of: entities with their identifiers, references resolved.
#[derive(Debug, Default)]
pub struct Source {
    /// All consumers.
    pub consumers: Vec<(Uuid, entity::Consumer)>,
    /// All consumer groups.
    pub consumer_groups: Vec<(Uuid, entity::ConsumerGroup)>,
    /// Who belongs to which group: consumer, group.
    pub group_members: Vec<(Uuid, Uuid)>,
    /// Keys for `key-auth`.
    pub keyauth_credentials: Vec<(Uuid, entity::KeyauthCredential)>,
    /// Names and passwords for `basic-auth`.
    pub basicauth_credentials: Vec<(Uuid, entity::BasicauthCredential)>,
    /// Names and keys for `hmac-auth`.
    pub hmacauth_credentials: Vec<(Uuid, entity::HmacauthCredential)>,
    /// Names and keys for `jwt`.
    pub jwt_secrets: Vec<(Uuid, entity::JwtSecret)>,
    /// Groups for `acl`.
    pub acls: Vec<(Uuid, entity::AclGroup)>,
    /// When the configuration was read, in seconds since 1970: a credential's `ttl` counts from here.
    pub loaded_at: u64,
    /// How passwords are written.
    pub passwords: PasswordForm,
}

/// How passwords are written in a configuration. One that begins with `$argon2id$` is an Argon2 hash in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordForm {
    /// As they are.
    #[default]
    Plain,
    /// As Kong keeps them, SHA-1 of the password and the consumer's identifier in 40 hexadecimal digits: where the
    /// file says `_transform: false`.
    KongSha1,
}

/// What is different from a directory that is there.
#[derive(Debug, Default)]
pub struct Change {
    /// Consumers that are gone, and whatever they had.
    pub consumers_gone: Vec<Uuid>,
    /// Consumers that are new, in no group.
    pub consumers: Vec<(Uuid, entity::Consumer)>,
    /// Keys that are gone.
    pub keys_gone: Vec<(Uuid, entity::KeyauthCredential)>,
    /// Keys that are new.
    pub keys: Vec<(Uuid, entity::KeyauthCredential)>,
    /// When they were read, in seconds since 1970.
    pub loaded_at: u64,
}

/// All consumers and credentials of a configuration.
#[derive(Debug, Default)]
pub struct Directory {
    consumers: Consumers,
    usernames: Shards<String, Uuid>,
    custom_ids: Shards<String, Uuid>,
    keys: Keys,
    passwords: Arc<Passwords>,
    issuers: Arc<Issuers>,
    signers: Arc<Signers>,
}

impl Directory {
    /// Indexes what is given. A credential whose consumer is not there is left out.
    pub fn new(source: Source) -> Self {
        let found = consumers(&source);
        let mut directory = Self {
            consumers: Shards::sized(found.len()),
            usernames: Shards::sized(found.len()),
            custom_ids: Shards::sized(found.values().filter(|consumer| consumer.custom_id.is_some()).count()),
            keys: Keys::sized(source.keyauth_credentials.len()),
            passwords: Arc::default(),
            issuers: Arc::default(),
            signers: Arc::default(),
        };
        found.into_values().for_each(|consumer| directory.add(consumer));
        directory.keys.add(source.keyauth_credentials, &directory.consumers, source.loaded_at);
        let passwords = Passwords::new(source.basicauth_credentials, &directory.consumers, source.passwords);
        directory.passwords = Arc::new(passwords);
        directory.issuers = Arc::new(Issuers::new(source.jwt_secrets, &directory.consumers));
        directory.signers = Arc::new(Signers::new(source.hmacauth_credentials, &directory.consumers));
        directory
    }

    /// One with changes, which shares with this one what is the same. `None` where it is better made anew: it has grown too
    /// much, or a consumer is changed, whom credentials know as it was.
    pub fn with(&self, change: Change) -> Option<Self> {
        let mut changed = Self {
            consumers: self.consumers.clone(),
            usernames: self.usernames.clone(),
            custom_ids: self.custom_ids.clone(),
            keys: self.keys.clone(),
            passwords: Arc::clone(&self.passwords),
            issuers: Arc::clone(&self.issuers),
            signers: Arc::clone(&self.signers),
        };
        change.keys_gone.iter().for_each(|(id, credential)| changed.keys.remove(*id, &credential.key));
        change.consumers_gone.iter().for_each(|id| changed.remove(*id));
        for (id, consumer) in change.consumers {
            if changed.consumer(id).is_some() {
                return None;
            }
            changed.add(new_consumer(id, &consumer));
        }
        changed.keys.add(change.keys, &changed.consumers, change.loaded_at);
        let outgrown = changed.consumers.is_outgrown()
            || changed.usernames.is_outgrown()
            || changed.custom_ids.is_outgrown()
            || changed.keys.is_outgrown();
        (!outgrown).then_some(changed)
    }

    fn add(&mut self, consumer: Consumer) {
        if let Some(username) = &consumer.username {
            self.usernames.insert(username.clone(), consumer.id);
        }
        if let Some(custom_id) = &consumer.custom_id {
            self.custom_ids.insert(custom_id.clone(), consumer.id);
        }
        self.consumers.insert(consumer.id, Arc::new(consumer));
    }

    fn remove(&mut self, id: Uuid) {
        let Some(consumer) = self.consumers.get(&id).cloned() else { return };
        if let Some(username) = &consumer.username {
            self.usernames.remove(username);
        }
        if let Some(custom_id) = &consumer.custom_id {
            self.custom_ids.remove(custom_id);
        }
        self.consumers.remove(&id);
    }

    /// A consumer by its identifier.
    pub fn consumer(&self, id: Uuid) -> Option<&Arc<Consumer>> {
        self.consumers.get(&id)
    }

    /// A consumer by its name.
    pub fn by_username(&self, username: &str) -> Option<&Arc<Consumer>> {
        self.usernames.get(username).and_then(|id| self.consumer(*id))
    }

    /// A consumer by its name in somebody else's books.
    pub fn by_custom_id(&self, custom_id: &str) -> Option<&Arc<Consumer>> {
        self.custom_ids.get(custom_id).and_then(|id| self.consumer(*id))
    }

    /// A consumer by its identifier or, failing that, its name: what the field `anonymous` of plugins takes.
    pub fn by_id_or_username(&self, text: &str) -> Option<&Arc<Consumer>> {
        let by_id = Uuid::try_parse(text).ok().and_then(|id| self.consumer(id));
        by_id.or_else(|| self.by_username(text))
    }

    /// The credential with this key, also if it has ended ([`KeyCredential::has_ended`]).
    pub fn key(&self, key: &str) -> Option<&KeyCredential> {
        self.keys.find(key)
    }

    /// Names and passwords.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Who signs tokens.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Who signs requests.
    pub fn signers(&self) -> &Signers {
        &self.signers
    }
}

fn new_consumer(id: Uuid, entity: &entity::Consumer) -> Consumer {
    let owned = |text: &Option<postern_model::Text>| text.as_ref().map(|text| text.as_str().to_owned());
    Consumer::new(id, owned(&entity.username), owned(&entity.custom_id))
}

fn consumers(source: &Source) -> HashMap<Uuid, Consumer> {
    let mut consumers: HashMap<Uuid, Consumer> =
        source.consumers.iter().map(|(id, entity)| (*id, new_consumer(*id, entity))).collect();
    let groups: HashMap<Uuid, &str> =
        source.consumer_groups.iter().map(|(id, group)| (*id, group.name.as_str())).collect();
    for (consumer, group) in &source.group_members {
        if let (Some(consumer), Some(name)) = (consumers.get_mut(consumer), groups.get(group)) {
            consumer.groups.push((*group, (*name).to_owned()));
        }
    }
    for (_, acl) in &source.acls {
        if let Some(consumer) = consumers.get_mut(&acl.consumer.id) {
            consumer.acls.push(acl.group.as_str().to_owned());
        }
    }
    for consumer in consumers.values_mut() {
        consumer.groups.sort_by(|a, b| a.1.cmp(&b.1));
        consumer.groups.dedup();
        consumer.acls.sort();
        consumer.acls.dedup();
    }
    consumers
}

#[cfg(test)]
mod tests;
