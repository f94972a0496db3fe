//! Consumers, their groups, and the credentials by which they are known.

use serde::Deserialize;

use super::definition::{CREATED_AT, Definition, ID, MAY_HIDE, TAGS, UPDATED_AT};
use super::{Foreign, rule};
use crate::field::{Check, Field, Rule, Schema};
use crate::value::{Record, Text};

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

/// A name and a key for signatures, for `hmac-auth`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct HmacauthCredential {
    pub consumer: Foreign,
    pub username: Text,
    pub secret: Text,
}

/// What tokens are checked by, for `jwt`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct JwtSecret {
    pub consumer: Foreign,
    pub key: Text,
    pub secret: Option<Text>,
    pub rsa_public_key: Option<Text>,
    pub algorithm: Text,
}

/// A group in the sense of the plugin `acl`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct AclGroup {
    pub consumer: Foreign,
    pub group: Text,
}

/// Consumers.
pub(crate) static CONSUMERS: Definition = Definition {
    endpoint_key: Some("username"),
    identity: &["custom_id"],
    path_key: Some("username"),
    ..Definition::top("consumer", "consumers", CONSUMER)
};

/// Groups of consumers.
pub(crate) static CONSUMER_GROUPS: Definition = Definition {
    endpoint_key: Some("name"),
    path_key: Some("name"),
    absent: MAY_HIDE,
    is_validated: false,
    ..Definition::top("consumer-group", "consumer_groups", CONSUMER_GROUP)
};

/// Who belongs to which group.
pub(crate) static MEMBERSHIPS: Definition = Definition {
    cache_key: &["consumer_group", "consumer"],
    is_validated: false,
    ..Definition::inside("consumer-group-consumer", "consumer_group_consumers", MEMBERSHIP)
};

/// Keys of consumers.
pub(crate) static KEYAUTH_CREDENTIALS: Definition = Definition {
    identity: &["consumer"],
    path_key: Some("key"),
    generated: &["key"],
    ..Definition::of_consumer("key-auth", "keyauth_credentials", KEYAUTH_CREDENTIAL, "key-auths", "key-auth")
};

/// Passwords of consumers.
pub(crate) static BASICAUTH_CREDENTIALS: Definition = Definition {
    cache_key: &["username"],
    path_key: Some("username"),
    hashed: &["password"],
    ..Definition::of_consumer(
        "basic-auth",
        "basicauth_credentials",
        BASICAUTH_CREDENTIAL,
        "basic-auths",
        "basic-auth",
    )
};

/// Keys for signatures.
pub(crate) static HMACAUTH_CREDENTIALS: Definition = Definition {
    cache_key: &["username"],
    path_key: Some("username"),
    generated: &["secret"],
    ..Definition::of_consumer(
        "hmac-auth",
        "hmacauth_credentials",
        HMACAUTH_CREDENTIAL,
        "hmac-auths",
        "hmac-auth",
    )
};

/// What tokens are checked by.
pub(crate) static JWT_SECRETS: Definition = Definition {
    cache_key: &["key"],
    path_key: Some("key"),
    generated: &["key", "secret"],
    ..Definition::of_consumer("jwt-auth", "jwt_secrets", JWT_SECRET, "jwts", "jwt")
};

/// Groups in the sense of the plugin `acl`.
pub(crate) static ACLS: Definition = Definition {
    cache_key: &["consumer", "group"],
    path_key: Some("group"),
    ..Definition::of_consumer("acl-group", "acls", ACL_GROUP, "acls", "acls")
};

/// The fields and checks of a consumer.
pub const CONSUMER: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::string("username").unique().rules(TEXT).doc("The name, by which others refer to it."),
        Field::string("custom_id").unique().rules(TEXT).doc("The name in somebody else's books."),
        TAGS,
    ],
    checks: &[Check::AtLeastOneOf(&["username", "custom_id"])],
};

/// The fields of a group of consumers.
pub const CONSUMER_GROUP: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::string("name").required().unique().rules(TEXT).doc("The name, by which others refer to it."),
        TAGS,
    ],
    checks: &[],
};

/// The fields of a key for `key-auth`.
pub const KEYAUTH_CREDENTIAL: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        CONSUMER_FIELD,
        Field::string("key").required().unique().secret().rules(TEXT).doc("What a request must show."),
        TAGS,
        Field::integer("ttl")
            .rules(&[Rule::Between(0.0, 100_000_000.0)])
            .doc("Seconds for which it is valid, from its creation."),
    ],
    checks: &[],
};

/// The fields of a password for `basic-auth`.
pub const BASICAUTH_CREDENTIAL: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        CONSUMER_FIELD,
        Field::string("username").required().unique().rules(TEXT).doc("The name that a request must show."),
        Field::string("password")
            .required()
            .secret()
            .rules(TEXT)
            .doc("The password that a request must show."),
        TAGS,
    ],
    checks: &[],
};

/// The fields of a key for `hmac-auth`.
pub const HMACAUTH_CREDENTIAL: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        CONSUMER_FIELD,
        Field::string("username").required().unique().rules(TEXT).doc("The name that a signature must show."),
        Field::string("secret").required().secret().rules(TEXT).doc("The key of its signatures."),
        TAGS,
    ],
    checks: &[],
};

/// The fields of what tokens are checked by, for `jwt`.
pub const JWT_SECRET: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        CONSUMER_FIELD,
        Field::string("key").required().unique().rules(TEXT).doc("The issuer that a token must name."),
        Field::string("secret").secret().rules(TEXT).doc("The key of signatures with a shared secret."),
        Field::string("rsa_public_key").doc("The public key of all other signatures, as PEM."),
        Field::string("algorithm")
            .required()
            .default_text("HS256")
            .rules(&[Rule::OneOf(JWT_ALGORITHMS)])
            .doc("The algorithm of its signatures."),
        TAGS,
    ],
    checks: &[Check::Custom(key_of_algorithm)],
};

/// The public key counts only where the algorithm has one: with a shared secret, anything may stand there, as in Kong.
fn key_of_algorithm(secret: &Record) -> Result<(), (&'static str, String)> {
    const FIELD: &str = "rsa_public_key";
    match secret.get(FIELD).filter(|_| !secret.text("algorithm").is_some_and(|name| name.starts_with("HS"))) {
        Some(key) => rule::public_key(key).map_err(|message| (FIELD, message)),
        None => Ok(()),
    }
}

/// Kong's list.
const JWT_ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384",
    "PS512", "EdDSA",
];

/// The fields of a group for `acl`.
pub const ACL_GROUP: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        CONSUMER_FIELD,
        Field::string("group").required().rules(TEXT).doc("The name of the group."),
        TAGS,
    ],
    checks: &[],
};

/// The fields of a membership.
pub const MEMBERSHIP: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        CONSUMER_FIELD,
        Field::foreign("consumer_group", "consumer_groups").required().doc("The group."),
        TAGS,
    ],
    checks: &[],
};

const CONSUMER_FIELD: Field = Field::foreign("consumer", "consumers").required().doc("Whose it is.");

const TEXT: &[Rule] = &[Rule::LengthMin(1)];
