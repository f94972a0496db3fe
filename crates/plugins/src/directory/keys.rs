//! Credentials of `key-auth`, found by the key.
//!
//! Owns: the index. It is by a keyed hash, so that nobody who does not know its key can tell from timing how far a
//! guess agrees with an entry, nor make entries collide; what is found is compared in constant time. Must not know:
//! requests.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderValue;
use postern_model::Text;
use postern_model::entity::KeyauthCredential;
use smallvec::SmallVec;
use uuid::Uuid;

use super::shards::Shards;
use super::{Consumer, Consumers, uuid_value};
use crate::keyed::AsItIs;

/// A key, and whose it is.
#[derive(Clone, Debug)]
pub struct KeyCredential {
    /// The identifier.
    pub id: Uuid,
    /// Whose it is.
    pub consumer: Arc<Consumer>,
    /// `X-Credential-Identifier`.
    pub identifier: HeaderValue,
    /// From when on it is not valid, in seconds since 1970.
    pub ends_at: Option<u64>,
    key: Text,
}

impl KeyCredential {
    /// Whether it is not valid any longer at this time, in seconds since 1970.
    pub fn has_ended(&self, now: u64) -> bool {
        self.ends_at.is_some_and(|end| now >= end)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    hasher: RandomState,
    by_hash: Shards<u64, SmallVec<[KeyCredential; 1]>, BuildHasherDefault<AsItIs>>,
}

impl Keys {
    /// None yet, of about so many.
    pub(super) fn sized(len: usize) -> Self {
        Self { hasher: RandomState::new(), by_hash: Shards::sized(len) }
    }

    pub(super) fn add(
        &mut self,
        credentials: Vec<(Uuid, KeyauthCredential)>,
        consumers: &Consumers,
        loaded_at: u64,
    ) {
        for (id, KeyauthCredential { consumer, key, ttl }) in credentials {
            let Some(consumer) = consumers.get(&consumer.id) else { continue };
            let hash = self.hasher.hash_one(key.as_str());
            let credential = KeyCredential {
                id,
                consumer: Arc::clone(consumer),
                identifier: uuid_value(id),
                ends_at: ttl.map(|ttl| loaded_at.saturating_add(ttl)),
                key,
            };
            match self.by_hash.get_mut(&hash) {
                Some(others) => others.push(credential),
                None => self.by_hash.insert(hash, SmallVec::from_buf([credential])),
            }
        }
    }

    pub(super) fn remove(&mut self, id: Uuid, key: &str) {
        let hash = self.hasher.hash_one(key);
        let Some(found) = self.by_hash.get_mut(&hash) else { return };
        found.retain(|credential| credential.id != id);
        if found.is_empty() {
            self.by_hash.remove(&hash);
        }
    }

    pub(super) fn is_outgrown(&self) -> bool {
        self.by_hash.is_outgrown()
    }

    pub(super) fn find(&self, key: &str) -> Option<&KeyCredential> {
        let candidates = self.by_hash.get(&self.hasher.hash_one(key))?;
        candidates
            .iter()
            .find(|candidate| verify_slices_are_equal(candidate.key.as_bytes(), key.as_bytes()).is_ok())
    }
}
