//! Credentials of `hmac-auth`: who signs requests, and how a signature is verified.
//!
//! Owns: the keys, made once, one an algorithm. Must not know: what of a request is signed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use http::HeaderValue;
use postern_model::entity::HmacauthCredential;
use uuid::Uuid;

use super::{Consumer, Consumers};

/// How requests are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// All, with the names that requests show.
pub const HASHES: [(&str, Hash); 4] = [
    ("hmac-sha1", Hash::Sha1),
    ("hmac-sha256", Hash::Sha256),
    ("hmac-sha384", Hash::Sha384),
    ("hmac-sha512", Hash::Sha512),
];

impl Hash {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        HASHES.iter().find(|(known, _)| *known == name).map(|(_, hash)| *hash)
    }

    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// Somebody who signs requests, and whose they are.
pub struct Signer {
    /// The identifier.
    pub id: Uuid,
    /// Whose it is.
    pub consumer: Arc<Consumer>,
    /// `X-Credential-Identifier`: the name, where it can stand in a header.
    pub identifier: Option<HeaderValue>,
    /// In the order of [`HASHES`].
    keys: [hmac::Key; 4],
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Whether this is its signature of the message; in constant time.
    pub fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let key = HASHES.iter().zip(&self.keys).find(|((_, known), _)| *known == hash);
        key.is_some_and(|(_, key)| hmac::verify(key, message, signature).is_ok())
    }
}

/// All who sign requests.
#[derive(Debug, Default)]
pub struct Signers(HashMap<String, Signer>);

impl Signers {
    pub(super) fn new(credentials: Vec<(Uuid, HmacauthCredential)>, consumers: &Consumers) -> Self {
        let signers =
            credentials.into_iter().filter_map(|(id, HmacauthCredential { consumer, username, secret })| {
                let consumer = Arc::clone(consumers.get(&consumer.id)?);
                let keys = HASHES.map(|(_, hash)| hmac::Key::new(hash.algorithm(), secret.as_bytes()));
                let name = username.as_str().to_owned();
                let identifier = HeaderValue::from_bytes(name.as_bytes()).ok();
                Some((name, Signer { id, consumer, identifier, keys }))
            });
        Self(signers.collect())
    }

    /// By the name that a request shows.
    pub fn find(&self, name: &str) -> Option<&Signer> {
        self.0.get(name)
    }
}
