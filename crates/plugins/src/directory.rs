//! Consumers and their credentials, indexed.
//!
//! Owns: finding a consumer by what a request shows. Must not know: where in a request that stands, where credentials
//! were configured. It is made whole when a configuration takes effect or a credential rotates, and swapped; looking
//! something up takes no lock and no memory. `keys` finds by key, `passwords` checks them.

mod keys;
mod passwords;

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;
use postern_model::entity;
use uuid::Uuid;

pub use keys::KeyCredential;
use keys::Keys;
pub use passwords::{Check, PasswordCredential, Passwords, Slow};

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

/// All consumers and credentials of a configuration.
#[derive(Debug, Default)]
pub struct Directory {
    consumers: HashMap<Uuid, Arc<Consumer>>,
    usernames: HashMap<String, Uuid>,
    custom_ids: HashMap<String, Uuid>,
    keys: Keys,
    passwords: Passwords,
}

impl Directory {
    /// Indexes what is given. A credential whose consumer is not there is left out.
    pub fn new(source: Source) -> Self {
        let consumers = consumers(&source);
        let usernames = names(&consumers, |consumer| consumer.username.as_ref());
        let custom_ids = names(&consumers, |consumer| consumer.custom_id.as_ref());
        let keys = Keys::new(source.keyauth_credentials, &consumers, source.loaded_at);
        let passwords = Passwords::new(source.basicauth_credentials, &consumers, source.passwords);
        Self { consumers, usernames, custom_ids, keys, passwords }
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
}

fn consumers(source: &Source) -> HashMap<Uuid, Arc<Consumer>> {
    let owned = |text: &Option<postern_model::Text>| text.as_ref().map(|text| text.as_str().to_owned());
    let mut consumers: HashMap<Uuid, Consumer> = source
        .consumers
        .iter()
        .map(|(id, entity)| (*id, Consumer::new(*id, owned(&entity.username), owned(&entity.custom_id))))
        .collect();
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
    consumers.into_iter().map(|(id, consumer)| (id, Arc::new(consumer))).collect()
}

fn names(
    consumers: &HashMap<Uuid, Arc<Consumer>>,
    name: fn(&Consumer) -> Option<&String>,
) -> HashMap<String, Uuid> {
    consumers.values().filter_map(|consumer| Some((name(consumer)?.clone(), consumer.id))).collect()
}

#[cfg(test)]
mod tests;
