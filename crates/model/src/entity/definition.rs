//! All that is to be known of a kind of entity, and the list of all kinds.
//!
//! Owns: the list, in an order in which each kind refers to earlier ones only, and the fields that all have. Must not
//! know: documents. Vaults are not in it: what they take is for `postern_secrets` to say.

use serde::de::DeserializeOwned;

use super::{certificate, consumer, key, plugin, route, service, upstream};
use crate::decode::verify::verify;
use crate::document::{FormatVersion, Node};
use crate::field::{Field, Rule, Schema, TEXT, Type};
use crate::value::Record;
use crate::violation::Report;

/// A kind of entity.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The name of its lists, of its table and of its part of the Admin API.
    pub(crate) collection: &'static str,
    /// Its fields.
    pub(crate) schema: Schema,
    /// The field by which others may refer to it instead of its id.
    pub(crate) endpoint_key: Option<&'static str>,
    /// The fields that together tell it from all others, where that takes more than one.
    pub(crate) cache_key: &'static [&'static str],
    /// Where neither of the two is there: fields from which an identifier is made. Never credentials.
    pub(crate) identity: &'static [&'static str],
    /// Fields that keep what they refer to from being deleted; by all others it goes with what they refer to.
    pub(crate) holds: &'static [&'static str],
    /// Its key in `_info.defaults`.
    pub(crate) defaults: Option<&'static str>,
    /// Fields that stand for others.
    pub(crate) shorthands: &'static [Field],
    /// Rewrites what was written before it is read: shorthands, older formats.
    pub(crate) rewrite: Option<Rewrite>,
    /// Puts the last hand to a record: what follows from other fields.
    pub(crate) settle: Option<fn(&mut Record)>,
}

/// What was written, at which path, in a file of which version → the same in other words, or none where they are right.
pub(super) type Rewrite = fn(&Node, Option<FormatVersion>, &str, &mut Report) -> Option<Node>;

/// A kind of entity about which there is nothing special to say.
pub(super) const PLAIN: Definition = Definition {
    collection: "",
    schema: Schema { fields: &[], checks: &[] },
    endpoint_key: None,
    cache_key: &[],
    identity: &[],
    holds: &[],
    defaults: None,
    shorthands: &[],
    rewrite: None,
    settle: None,
};

/// Who belongs to which group.
pub(crate) static MEMBERSHIPS: Definition = Definition {
    collection: "consumer_group_consumers",
    schema: Schema { fields: consumer::MEMBERSHIP_FIELDS, checks: &[] },
    cache_key: &["consumer_group", "consumer"],
    ..PLAIN
};

/// Every kind, each after those that it refers to.
pub(crate) static DEFINITIONS: &[&Definition] = &[
    &certificate::CA_CERTIFICATES,
    &certificate::CERTIFICATES,
    &certificate::SNIS,
    &key::KEY_SETS,
    &key::KEYS,
    &consumer::CONSUMERS,
    &consumer::CONSUMER_GROUPS,
    &MEMBERSHIPS,
    &consumer::KEYAUTH_CREDENTIALS,
    &consumer::BASICAUTH_CREDENTIALS,
    &consumer::HMACAUTH_CREDENTIALS,
    &consumer::JWT_SECRETS,
    &consumer::ACLS,
    &upstream::UPSTREAMS,
    &upstream::TARGETS,
    &service::SERVICES,
    &route::ROUTES,
    &plugin::PLUGINS,
];

/// A kind by the name of its lists.
pub(crate) fn definition(collection: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().copied().find(|definition| definition.collection == collection)
}

/// Checks a record without references, and gives it its type.
pub(crate) fn read<T: DeserializeOwned>(record: &Record) -> Result<T, String> {
    verify(record)?;
    record.read()
}

/// The identifier.
pub(super) const ID: Field = Field::string("id")
    .rules(&[Rule::Uuid])
    .auto()
    .doc("The identifier, a UUID; it follows from the name if left out.");
/// When it came to be.
pub(super) const CREATED_AT: Field =
    Field::integer("created_at").auto().doc("When it was created, in seconds.");
/// When it was changed.
pub(super) const UPDATED_AT: Field =
    Field::integer("updated_at").auto().doc("When it was changed, in seconds.");
/// Words for people and tools.
pub(super) const TAGS: Field =
    Field::set("tags", &TAG).doc("Words by which people and tools group entities.");

const TAG: Field = Field::new("", Type::String).rules(&[Rule::Custom(super::rule::tag)]);

/// The same as [`TEXT`] but a UUID.
pub(super) const UUID: Field = TEXT.rules(&[Rule::Uuid]);
