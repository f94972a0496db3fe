//! All that is to be known of a kind of entity, and the table of all kinds.
//!
//! Owns: the table, in the order in which decK writes them, so that each kind comes after those that it refers to; and the
//! fields that all have. Must not know: documents, HTTP. Whoever handles all kinds alike reads it: documents, the editor's
//! schema, [`crate::Kind`] for all outside this crate. Typed lists follow from [`crate::each_list`].

use serde::de::DeserializeOwned;

use super::{certificate, consumer, elsewhere, key, plugin, route, service, upstream, vault};
use crate::decode::verify::verify;
use crate::document::{FormatVersion, Node};
use crate::field::{Field, Rule, Schema, TEXT, Type};
use crate::value::Record;
use crate::violation::Report;

/// A kind of entity: a row of the table.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The name of its lists in files, of its rows and of its schema: `jwt_secrets`.
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

    /// The path of all of them in the Admin API: `jwts`; none where there is no such list.
    pub(crate) path: Option<&'static str>,
    /// Its name below an entity that it refers to: `jwt`.
    pub(crate) nested: &'static str,
    /// The field whose value may stand in a path instead of the identifier.
    pub(crate) path_key: Option<&'static str>,
    /// The field that names the entity below which clients write it, where they do.
    pub(crate) owner: Option<&'static str>,
    /// Fields that the gateway generates where the client gives none.
    pub(crate) generated: &'static [&'static str],
    /// Fields that are kept as hashes: what is read is not what was written.
    pub(crate) hashed: &'static [&'static str],
    /// Fields that follow from others.
    pub(crate) derived: &'static [&'static str],

    /// What decK calls one of them: `jwt-auth`.
    pub(crate) deck_name: &'static str,
    /// The sets of fields by which decK knows one again, where they are not those that are unique.
    pub(crate) known_by: &'static [&'static [&'static str]],
    /// Fields that refer to entities inside which it cannot stand in a file of decK's.
    pub(crate) beside: &'static [&'static str],
    /// Whether it stands inside others only in files of decK's.
    pub(crate) inside_only: bool,
    /// Fields besides those that are secret which may hold credentials, with dots on the way to those inside.
    pub(crate) masked: &'static [&'static str],
    /// Statuses of the list by which a gateway says that it knows no such kind.
    pub(crate) absent: &'static [u16],
    /// Whether gateways check one by `/schemas/.../validate`.
    pub(crate) is_validated: bool,
    /// Whether this gateway has such entities, too. Others are known because other gateways have them.
    pub(crate) is_served: bool,
}

/// What was written, at which path, in a file of which version → the same in other words, or none where they are right.
pub(super) type Rewrite = fn(&Node, Option<FormatVersion>, &str, &mut Report) -> Option<Node>;

/// A kind of entity about which there is nothing special to say.
const PLAIN: Definition = Definition {
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
    path: None,
    nested: "",
    path_key: None,
    owner: None,
    generated: &[],
    hashed: &[],
    derived: &[],
    deck_name: "",
    known_by: &[],
    beside: &[],
    inside_only: false,
    masked: &[],
    absent: &[],
    is_validated: true,
    is_served: true,
};

/// A list that gateways may lack.
pub(super) const MAY_LACK: &[u16] = &[404];
/// One that they may also not show to everybody.
pub(super) const MAY_HIDE: &[u16] = &[403, 404];

impl Definition {
    /// A kind whose lists have the same name in files and everywhere in the Admin API.
    pub(super) const fn top(deck_name: &'static str, collection: &'static str, schema: Schema) -> Self {
        Self { collection, schema, path: Some(collection), nested: collection, deck_name, ..PLAIN }
    }

    /// A credential: a list of all of them, and one below each consumer.
    pub(super) const fn of_consumer(
        deck_name: &'static str,
        collection: &'static str,
        schema: Schema,
        path: &'static str,
        nested: &'static str,
    ) -> Self {
        Self {
            path: Some(path),
            nested,
            owner: Some("consumer"),
            inside_only: true,
            absent: MAY_LACK,
            ..Self::top(deck_name, collection, schema)
        }
    }

    /// A kind without a list of its own.
    pub(super) const fn inside(deck_name: &'static str, collection: &'static str, schema: Schema) -> Self {
        Self { path: None, inside_only: true, ..Self::top(deck_name, collection, schema) }
    }
}

/// The table: every kind, in decK's order, each after those that it refers to.
pub(crate) static TABLE: &[&Definition] = &[
    &certificate::CERTIFICATES,
    &certificate::CA_CERTIFICATES,
    &consumer::CONSUMERS,
    &vault::VAULTS,
    &elsewhere::PARTIALS,
    &key::KEY_SETS,
    &consumer::CONSUMER_GROUPS,
    &certificate::SNIS,
    &service::SERVICES,
    &upstream::UPSTREAMS,
    &key::KEYS,
    &consumer::KEYAUTH_CREDENTIALS,
    &consumer::HMACAUTH_CREDENTIALS,
    &consumer::JWT_SECRETS,
    &consumer::BASICAUTH_CREDENTIALS,
    &elsewhere::OAUTH2_CREDENTIALS,
    &consumer::ACLS,
    &elsewhere::MTLS_AUTH_CREDENTIALS,
    &route::ROUTES,
    &upstream::TARGETS,
    &consumer::MEMBERSHIPS,
    &plugin::PLUGINS,
    &elsewhere::FILTER_CHAINS,
];

/// Every kind that this gateway has.
pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    TABLE.iter().copied().filter(|definition| definition.is_served)
}

/// One of those by the name of its lists.
pub(crate) fn definition(collection: &str) -> Option<&'static Definition> {
    definitions().find(|definition| definition.collection == collection)
}

/// An entity that has a list in a [`crate::Snapshot`].
pub(crate) trait Typed: Sized {
    /// Checks a record without references, and gives it its type.
    fn read(record: &Record) -> Result<Self, String>;
}

impl<T: DeserializeOwned> Typed for T {
    fn read(record: &Record) -> Result<Self, String> {
        verify(record)?;
        record.read()
    }
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
