//! Credentials of `jwt`: who signs tokens, and how a signature is verified.
//!
//! Owns: the keys, parsed once; the credential alone says by which algorithm they are used, so a token cannot choose one.
//! Must not know: what a token looks like, requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderValue;
use postern_model::entity::JwtSecret;
use tracing::warn;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Consumer, Consumers};

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How tokens are signed: the names of RFC 7518 and RFC 8037, without `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the RFCs")]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
    EdDsa,
}

/// All, with their names.
pub const ALGORITHMS: [(&str, Algorithm); 13] = [
    ("HS256", Algorithm::Hs256),
    ("HS384", Algorithm::Hs384),
    ("HS512", Algorithm::Hs512),
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("ES512", Algorithm::Es512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("EdDSA", Algorithm::EdDsa),
];

/// What an algorithm needs.
enum Means {
    Shared(hmac::Algorithm),
    Public(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    /// By its name, in the case of the RFC.
    pub fn named(name: &str) -> Option<Self> {
        ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    fn means(self) -> Means {
        match self {
            Self::Hs256 => Means::Shared(hmac::HMAC_SHA256),
            Self::Hs384 => Means::Shared(hmac::HMAC_SHA384),
            Self::Hs512 => Means::Shared(hmac::HMAC_SHA512),
            Self::Rs256 => Means::Public(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Means::Public(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Means::Public(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::Es256 => Means::Public(&signature::ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Means::Public(&signature::ECDSA_P384_SHA384_FIXED),
            Self::Es512 => Means::Public(&signature::ECDSA_P521_SHA512_FIXED),
            Self::Ps256 => Means::Public(&signature::RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Means::Public(&signature::RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Means::Public(&signature::RSA_PSS_2048_8192_SHA512),
            Self::EdDsa => Means::Public(&signature::ED25519),
        }
    }
}

/// Somebody who signs tokens, and whose they are.
pub struct Issuer {
    /// The identifier.
    pub id: Uuid,
    /// Whose it is.
    pub consumer: Arc<Consumer>,
    /// `X-Credential-Identifier`: the name in tokens, where it can stand in a header.
    pub identifier: Option<HeaderValue>,
    /// The one algorithm of its signatures.
    pub algorithm: Algorithm,
    key: Key,
}

enum Key {
    /// The secret as it is, and what it is as base64, where it is: which of them counts is said by the plugin.
    Shared {
        plain: Box<hmac::Key>,
        decoded: Option<Box<hmac::Key>>,
    },
    Public(Box<ParsedPublicKey>),
    /// None, or none that can be read; no signature fits.
    Unusable,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// There is no key to verify it by.
    NoKey,
    /// It is wrong.
    Wrong,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Issuer {
    /// Whether this is its signature of the message. `is_base64` says that a shared secret is written in base64.
    ///
    /// # Errors
    /// It is not, or nobody can tell.
    pub fn verify(&self, is_base64: bool, message: &[u8], signature: &[u8]) -> Result<(), Unverified> {
        let verified = match &self.key {
            // In constant time.
            Key::Shared { plain, .. } if !is_base64 => hmac::verify(plain, message, signature),
            Key::Shared { decoded: Some(key), .. } => hmac::verify(key, message, signature),
            Key::Public(key) => key.verify_sig(message, signature),
            Key::Shared { decoded: None, .. } | Key::Unusable => return Err(Unverified::NoKey),
        };
        verified.map_err(|_| Unverified::Wrong)
    }
}

/// All who sign tokens.
#[derive(Debug, Default)]
pub struct Issuers(HashMap<String, Issuer>);

impl Issuers {
    pub(super) fn new(credentials: Vec<(Uuid, JwtSecret)>, consumers: &Consumers) -> Self {
        let issuers = credentials.into_iter().filter_map(|(id, credential)| {
            let consumer = Arc::clone(consumers.get(&credential.consumer.id)?);
            // The model lets no other algorithm through.
            let algorithm = Algorithm::named(&credential.algorithm)?;
            let key = key(algorithm, &credential);
            if matches!(key, Key::Unusable) {
                warn!(credential = %id, "a JWT credential has no usable key for its algorithm: no token fits");
            }
            let name = credential.key.as_str().to_owned();
            let identifier = HeaderValue::from_bytes(name.as_bytes()).ok();
            Some((name, Issuer { id, consumer, identifier, algorithm, key }))
        });
        Self(issuers.collect())
    }

    /// By the name that tokens show.
    pub fn find(&self, name: &str) -> Option<&Issuer> {
        self.0.get(name)
    }
}

fn key(algorithm: Algorithm, credential: &JwtSecret) -> Key {
    let found = match algorithm.means() {
        Means::Shared(algorithm) => {
            credential.secret.as_deref().filter(|secret| !secret.is_empty()).map(|secret| {
                let decoded = decode(secret).filter(|decoded| !decoded.is_empty());
                Key::Shared {
                    plain: Box::new(hmac::Key::new(algorithm, secret.as_bytes())),
                    decoded: decoded.map(|decoded| Box::new(hmac::Key::new(algorithm, &decoded))),
                }
            })
        }
        Means::Public(algorithm) => credential
            .rsa_public_key
            .as_deref()
            .and_then(der)
            .and_then(|der| ParsedPublicKey::new(algorithm, &der).ok())
            .map(|key| Key::Public(Box::new(key))),
    };
    found.unwrap_or(Key::Unusable)
}

/// Base64 in either alphabet.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut standard = Zeroizing::new(Vec::with_capacity(text.len()));
    standard.extend(text.bytes().map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    }));
    BASE64.decode(&*standard).ok().map(Zeroizing::new)
}

/// What is in a PEM text of one block: `PUBLIC KEY` (SPKI) or `RSA PUBLIC KEY` (PKCS #1); both are read.
fn der(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let body: String = body.split_ascii_whitespace().collect();
    label.ends_with("PUBLIC KEY").then(|| BASE64.decode(body).ok()).flatten()
}
