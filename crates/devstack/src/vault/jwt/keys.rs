//! Public keys: fetched from where the configuration says, and fetched again when a token names an unknown one.
//!
//! Owns signatures. What a token with a good signature says is judged elsewhere.

use super::config::Source;
use crate::fetch::{self, FetchError};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// An unknown key id leads to a fetch at most this many times in [`REFETCH_WINDOW`], so that a stream of forged
/// tokens is not passed on to the identity provider.
const REFETCH_LIMIT: usize = 20;
const REFETCH_WINDOW: Duration = Duration::from_secs(10);

/// As lenient as Go's: the bits of the last letter that stand for nothing may be anything.
const BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// In the order in which Vault lists them.
pub(super) const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"];

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("JWKS from {url}: {cause}")]
    Jwks { url: String, cause: FetchError },
    #[error("JWKS from {url}: not a key set")]
    NotAKeySet { url: String },
    #[error("discovery from {url}: {cause}")]
    Discovery { url: String, cause: FetchError },
    #[error(
        "discovery from {url}: issuer did not match the returned issuer, expected \"{url}\" got \"{issuer}\""
    )]
    Issuer { url: String, issuer: String },
    #[error("a public key is not PEM, or of no known kind")]
    Pem,
}

impl KeysError {
    /// As Vault puts it, which says less.
    pub(super) fn to_vault(&self) -> String {
        match self {
            Self::Jwks { cause: FetchError::Trust(_), .. } => "error checking jwks_ca_pem".to_owned(),
            Self::Jwks { .. } | Self::NotAKeySet { .. } => "error checking jwks URL".to_owned(),
            Self::Discovery { cause, .. } => format!("error checking oidc discovery URL: {cause}"),
            Self::Issuer { url, issuer } => format!(
                "error checking oidc discovery URL: issuer did not match the returned issuer, expected \"{url}\" got \
                 \"{issuer}\""
            ),
            Self::Pem => "error parsing public key: data does not contain any valid public keys".to_owned(),
        }
    }
}

/// A public key.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    /// `None`: the token says, within the key's family.
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

/// The keys at hand.
#[derive(Clone, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    refetches: VecDeque<Instant>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl KeySet {
    pub(super) fn new(keys: Vec<Key>) -> Self {
        Self { keys, refetches: VecDeque::new() }
    }

    /// After a fetch for an unknown key.
    pub(super) fn replace(&mut self, keys: Vec<Key>) {
        self.keys = keys;
    }

    pub(super) fn knows(&self, key_id: Option<&str>) -> bool {
        key_id.is_none() || self.keys.iter().any(|key| key.id.is_none() || key.id.as_deref() == key_id)
    }

    /// May the keys be fetched once more? Counts it, if so.
    pub(super) fn may_refetch(&mut self) -> bool {
        let now = Instant::now();
        while self.refetches.front().is_some_and(|then| now.duration_since(*then) > REFETCH_WINDOW) {
            self.refetches.pop_front();
        }
        let may = self.refetches.len() < REFETCH_LIMIT;
        if may {
            self.refetches.push_back(now);
        }
        may
    }

    /// Is the signature that of one of these keys?
    pub(super) fn verify(&self, token: &Unverified<'_>) -> bool {
        let fits = |key: &&Key| {
            let same_id = token.key_id.is_none() || key.id.is_none() || key.id == token.key_id;
            same_id && key.algorithm.is_none_or(|algorithm| algorithm.to_string() == token.algorithm_name)
        };
        let signed = |key: &Key| {
            crypto::verify(token.signature, token.message.as_bytes(), &key.key, token.algorithm)
                .unwrap_or(false)
        };
        self.keys.iter().filter(fits).any(signed)
    }
}

/// A token, taken apart.
pub(super) struct Unverified<'a> {
    message: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    pub(super) algorithm_name: String,
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart, or says what is wrong with it as go-oidc does.
    pub(super) fn parse(token: &'a str) -> Result<Self, String> {
        let malformed = |what: String| format!("oidc: malformed jwt: {what}");
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(malformed("go-jose/go-jose: compact JWS format must have three parts".to_owned()));
        };
        let json = |part: &str| -> Result<Map<String, Value>, String> {
            let bytes = BASE64.decode(part).map_err(|error| match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
                    malformed(format!("illegal base64 data at input byte {at}"))
                }
                _ => malformed("illegal base64 data at input byte 0".to_owned()),
            })?;
            if bytes.is_empty() {
                return Ok(Map::new());
            }
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))
        };
        let (header_members, claims) = (json(header)?, json(claims)?);
        let text = |name: &str| header_members.get(name).and_then(Value::as_str).map(str::to_owned);
        let algorithm_name = text("alg").unwrap_or_default();
        let known = ALGORITHMS.contains(&algorithm_name.as_str());
        let Some(algorithm) = algorithm_name.parse().ok().filter(|_| known) else {
            let list = ALGORITHMS.map(|name| format!("\"{name}\"")).join(" ");
            return Err(malformed(format!(
                "unexpected signature algorithm \"{algorithm_name}\"; expected [{list}]"
            )));
        };
        let message = &token[..token.len() - signature.len() - 1];
        Ok(Self { message, signature, algorithm, algorithm_name, key_id: text("kid"), claims })
    }
}

/// Gets the keys from their source.
pub(super) async fn fetch(source: &Source) -> Result<Vec<Key>, KeysError> {
    match source {
        Source::Jwks { url, ca_pem } => jwks(url, ca_pem).await,
        Source::Discovery { url, ca_pem } => {
            let failed = |cause| KeysError::Discovery { url: url.clone(), cause };
            let address = format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'));
            let document = fetch::json(&address, ca_pem).await.map_err(failed)?;
            let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
            let issuer = text("issuer");
            if issuer != *url {
                return Err(KeysError::Issuer { url: url.clone(), issuer });
            }
            jwks(&text("jwks_uri"), ca_pem).await
        }
        Source::Pem(pems) => pems.iter().map(|pem| from_pem(pem.as_bytes()).ok_or(KeysError::Pem)).collect(),
    }
}

async fn jwks(url: &str, ca_pem: &str) -> Result<Vec<Key>, KeysError> {
    let failed = |cause| KeysError::Jwks { url: url.to_owned(), cause };
    let document = fetch::json(url, ca_pem).await.map_err(failed)?;
    let set: JwkSet =
        serde_json::from_value(document).map_err(|_| KeysError::NotAKeySet { url: url.to_owned() })?;
    // A key of a kind that is not known here may be meant for someone else.
    Ok(set.keys.iter().filter_map(from_jwk).collect())
}

fn from_jwk(jwk: &Jwk) -> Option<Key> {
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm: jwk.common.key_algorithm, key })
}

fn from_pem(pem: &[u8]) -> Option<Key> {
    let rsa = DecodingKey::from_rsa_pem(pem);
    let key =
        rsa.or_else(|_| DecodingKey::from_ec_pem(pem)).or_else(|_| DecodingKey::from_ed_pem(pem)).ok()?;
    Some(Key { id: None, algorithm: None, key })
}
