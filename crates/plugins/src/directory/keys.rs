//! Credentials of `key-auth`, found by the key.
//!
//! Owns: the index. It is by a keyed hash, so that nobody who does not know its key can tell from timing how far a
//! guess agrees with an entry, nor make entries collide; what is found is compared in constant time. Must not know:
//! requests.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderValue;
use postern_model::Text;
use postern_model::entity::KeyauthCredential;
use smallvec::SmallVec;
use uuid::Uuid;

use super::{Consumer, uuid_value};
use crate::keyed::AsItIs;

/// A key, and whose it is.
#[derive(Debug)]
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

#[derive(Debug, Default)]
pub(super) struct Keys {
    hasher: RandomState,
    by_hash: HashMap<u64, SmallVec<[KeyCredential; 1]>, BuildHasherDefault<AsItIs>>,
}

impl Keys {
    pub(super) fn new(
        credentials: Vec<(Uuid, KeyauthCredential)>,
        consumers: &HashMap<Uuid, Arc<Consumer>>,
        loaded_at: u64,
    ) -> Self {
        let mut keys = Self::default();
        for (id, KeyauthCredential { consumer, key, ttl }) in credentials {
            let Some(consumer) = consumers.get(&consumer.id) else { continue };
            let hash = keys.hasher.hash_one(key.as_str());
            keys.by_hash.entry(hash).or_default().push(KeyCredential {
                id,
                consumer: Arc::clone(consumer),
                identifier: uuid_value(id),
                ends_at: ttl.map(|ttl| loaded_at.saturating_add(ttl)),
                key,
            });
        }
        keys
    }

    pub(super) fn find(&self, key: &str) -> Option<&KeyCredential> {
        let candidates = self.by_hash.get(&self.hasher.hash_one(key))?;
        candidates
            .iter()
            .find(|candidate| verify_slices_are_equal(candidate.key.as_bytes(), key.as_bytes()).is_ok())
    }
}
