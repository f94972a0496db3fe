//! Keys for signatures, and sets of them.

use serde::Deserialize;

use super::Foreign;
use crate::value::Text;

/// Several keys.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct KeySet {
    pub name: Option<Text>,
}

/// A key, as JWK or as PEM.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Key {
    pub set: Option<Foreign>,
    pub name: Option<Text>,
    pub kid: Text,
    /// JSON, as text.
    pub jwk: Option<Text>,
    pub pem: Option<Pem>,
}

/// A pair of keys.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names")]
pub struct Pem {
    pub private_key: Option<Text>,
    pub public_key: Option<Text>,
}
