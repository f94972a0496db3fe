//! Consumers, their groups, and the credentials by which they are known.

use serde::Deserialize;

use super::Foreign;
use crate::value::Text;

/// Somebody who sends requests.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Consumer {
    pub username: Option<Text>,
    pub custom_id: Option<Text>,
    pub tags: Option<Vec<Text>>,
}

/// Several consumers.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct ConsumerGroup {
    pub name: Text,
}

/// A key, for `key-auth`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct KeyauthCredential {
    pub consumer: Foreign,
    pub key: Text,
    /// Seconds for which it is valid, from its creation.
    pub ttl: Option<u64>,
}

/// A name and a password, for `basic-auth`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct BasicauthCredential {
    pub consumer: Foreign,
    pub username: Text,
    pub password: Text,
}

/// A group in the sense of the plugin `acl`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct AclGroup {
    pub consumer: Foreign,
    pub group: Text,
}
