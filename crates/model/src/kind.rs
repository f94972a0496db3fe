//! A kind of entity, for whoever handles all kinds alike: the Admin API and its client, stores, tools.
//!
//! Owns: what may be asked of a kind from outside: names, fields, what is unique, what refers to what, and the way from
//! JSON to a checked entity; `wire` has what only the Admin API, its client and files ask. Must not know: HTTP, databases.
//! The answers come from the table that documents are checked by, too (`entity/definition`).

mod wire;

use std::borrow::Cow;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::check::single;
use crate::entity::{self, Definition, MEMBERSHIPS, vault};
use crate::field::{Field, Plugins, Type};
use crate::violation::Violation;

/// A kind of entity: services, routes.
#[derive(Clone, Copy, Debug)]
pub struct Kind(&'static Definition);

/// A field that refers to another entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refers {
    /// The field.
    pub field: &'static str,
    /// The kind of the other entity, by its collection.
    pub to: &'static str,
    /// Whether the other one may not be deleted while this one is there; else this one goes with it.
    pub holds: bool,
    /// Whether the field is a list of identifiers, not one `{"id": ...}`.
    pub many: bool,
    /// Whether it may stand inside the other one in a file of decK's.
    pub nests: bool,
}

/// What no two entities of a kind may share.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The fields, which count together.
    pub fields: &'static [&'static str],
    /// Their values in an entity; of another entity, its identifier.
    pub values: Vec<Json>,
}

/// A checked entity, as JSON.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Every field, with its default or null; references are still text. Other entities are `{"id": ...}`, or whatever
    /// the body said instead of it: `{"name": ...}`, or a text, which is a name or an identifier.
    pub body: Map<String, Json>,
    /// What is probably not as meant.
    pub warnings: Vec<Violation>,
}

impl Kind {
    /// Every kind that this gateway has, in the order in which decK writes them: each after those that it refers to.
    pub fn all() -> Vec<Self> {
        entity::definitions().map(Self).collect()
    }

    /// The same, with those that only other gateways have.
    pub fn known() -> impl Iterator<Item = Self> {
        entity::TABLE.iter().copied().map(Self)
    }

    /// The kind with lists of this name: `services`.
    pub fn named(collection: &str) -> Option<Self> {
        entity::definition(collection).map(Self)
    }

    /// The name of its lists: `services`.
    pub fn collection(self) -> &'static str {
        self.0.collection
    }

    /// The field by which an entity may be named instead of by its identifier.
    pub fn endpoint_key(self) -> Option<&'static str> {
        self.0.endpoint_key
    }

    /// Its fields. What the `config` of a plugin or a vault takes depends on which one it is.
    pub fn fields(self) -> &'static [Field] {
        self.0.schema.fields
    }

    /// Whether entities of this kind know when they were changed.
    pub fn has_updated_at(self) -> bool {
        self.field("updated_at").is_some()
    }

    /// Whether it is a vault, whose `config` is described by its kind of vault.
    pub fn is_vault(self) -> bool {
        self.0.collection == vault::COLLECTION
    }

    /// Whether it is a plugin, whose `config` is described by the plugin.
    pub fn is_plugin(self) -> bool {
        self.0.collection == "plugins"
    }

    /// Whether it says that a consumer belongs to a group.
    pub fn is_membership(self) -> bool {
        self.0.collection == MEMBERSHIPS.collection
    }

    /// The fields that refer to other entities.
    pub fn refers(self) -> Vec<Refers> {
        self.0.schema.fields.iter().filter_map(|field| self.refers_by(field)).collect()
    }

    fn refers_by(self, field: &Field) -> Option<Refers> {
        let (to, many) = match field.ty {
            Type::Foreign(to) => (to, false),
            // The only list of its kind, and Kong's schema does not tell that it is one of references.
            Type::Array(_) if field.name == "ca_certificates" => ("ca_certificates", true),
            _ => return None,
        };
        Some(Refers {
            field: field.name,
            to,
            holds: self.0.holds.contains(&field.name),
            many,
            nests: !many && !self.0.beside.contains(&field.name),
        })
    }

    fn field(self, name: &str) -> Option<&'static Field> {
        self.0.schema.fields.iter().find(|field| field.name == name)
    }

    /// To which entities one with this body refers.
    pub fn references(self, body: &Map<String, Json>) -> Vec<(Refers, Uuid)> {
        let id = |json: &Json| Uuid::try_parse(json.as_str()?).ok();
        let ids = |refers: Refers| -> Vec<Uuid> {
            match body.get(refers.field) {
                Some(Json::Array(items)) if refers.many => items.iter().filter_map(id).collect(),
                Some(foreign) if !refers.many => foreign.get("id").and_then(id).into_iter().collect(),
                _ => Vec::new(),
            }
        };
        self.refers()
            .into_iter()
            .flat_map(|refers| ids(refers).into_iter().map(move |id| (refers, id)))
            .collect()
    }

    /// What no other entity of the kind may share with one that has this body. A null is shared by as many as like,
    /// except among several fields.
    pub fn keys(self, body: &Map<String, Json>) -> Vec<Key> {
        let value = |field: &&str| match body.get(*field) {
            Some(Json::Object(foreign)) => foreign.get("id").cloned().unwrap_or(Json::Null),
            Some(json) => json.clone(),
            None => Json::Null,
        };
        let key =
            |fields: &'static [&'static str]| Key { fields, values: fields.iter().map(value).collect() };
        let several = (self.0.cache_key.len() > 1).then_some(self.0.cache_key);
        let keys = self.unique().chain(several).map(key);
        keys.filter(|key| key.fields.len() > 1 || !key.values[0].is_null()).collect()
    }

    /// The fields that no two entities may have in common, each by itself.
    fn unique(self) -> impl Iterator<Item = &'static [&'static str]> {
        let unique = self.0.schema.fields.iter().filter(|field| field.unique);
        unique.map(|field| std::slice::from_ref(&field.name))
    }

    /// Checks an entity that came as JSON, and fills in every default. Paths in violations begin at the entity:
    /// `config.minute`. What refers to other entities, and what is unique, is not looked at.
    ///
    /// # Errors
    /// Everything that is wrong with it, warnings included.
    pub fn check(self, json: &Map<String, Json>, plugins: &dyn Plugins) -> Result<Checked, Vec<Violation>> {
        single(self.0, json, plugins)
    }
}

/// A value of a field that no two entities may share, as it is compared: a server name is the same one in capitals, and with
/// the dot of the root.
pub fn compared<'t>(kind: &str, value: &'t str) -> Cow<'t, str> {
    match kind {
        "snis" => Cow::Owned(value.strip_suffix('.').unwrap_or(value).to_ascii_lowercase()),
        _ => Cow::Borrowed(value),
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Kind {}

#[cfg(test)]
mod accepted;
#[cfg(test)]
mod tests;
