//! Keys for signatures, and sets of them.

use serde::Deserialize;

use super::definition::{CREATED_AT, Definition, ID, MAY_HIDE, TAGS, UPDATED_AT};
use super::{Foreign, rule};
use crate::field::{Check, Field, Rule, Schema};
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

/// Sets of keys.
pub(crate) static KEY_SETS: Definition = Definition {
    endpoint_key: Some("name"),
    path: Some("key-sets"),
    nested: "key-sets",
    path_key: Some("name"),
    absent: MAY_HIDE,
    is_validated: false,
    ..Definition::top("key-set", "key_sets", KEY_SET)
};

/// Keys.
pub(crate) static KEYS: Definition = Definition {
    endpoint_key: Some("name"),
    cache_key: &["kid", "set"],
    path_key: Some("name"),
    known_by: &[&["name"]],
    masked: &["pem"],
    absent: MAY_HIDE,
    is_validated: false,
    ..Definition::top("key", "keys", KEY)
};

/// The fields of a set of keys.
pub const KEY_SET: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::string("name")
            .unique()
            .rules(&[Rule::Custom(rule::name)])
            .doc("The name, by which keys refer to it."),
        TAGS,
    ],
    checks: &[],
};

/// The fields and checks of a key.
pub const KEY: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::foreign("set", "key_sets").doc("The set that it belongs to."),
        Field::string("name")
            .unique()
            .rules(&[Rule::Custom(rule::name)])
            .doc("The name, by which others refer to it."),
        Field::string("kid")
            .required()
            .rules(&[Rule::LengthMin(1)])
            .doc("The identifier that tokens name it by."),
        Field::string("jwk")
            .secret()
            .rules(&[Rule::Custom(rule::jwk)])
            .doc("The key as JSON, written as a string."),
        Field::record("pem", PEM).doc("The key as PEM."),
        TAGS,
    ],
    checks: &[Check::OnlyOneOf(&["jwk", "pem"])],
};

const PEM: &[Field] = &[
    Field::string("private_key").secret().rules(&[Rule::Custom(rule::private_key)]).doc("The private half."),
    Field::string("public_key").rules(&[Rule::Custom(rule::public_key)]).doc("The public half."),
];
