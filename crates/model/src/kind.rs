//! A kind of entity, for whoever handles all kinds alike: the Admin API, stores, tools.
//!
//! Owns: what may be asked of a kind from outside: names, fields, what is unique, what refers to what, and the way from
//! JSON to a checked entity. Must not know: HTTP, databases. The answers come from the same list that documents are
//! checked by (`entity/definition`), and for vaults from `postern_secrets`.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::check::{Single, single};
use crate::entity::{self, Definition, vault};
use crate::field::{Field, Plugins, Type};
use crate::violation::Violation;

/// A kind of entity: services, routes.
#[derive(Clone, Copy, Debug)]
pub struct Kind(Which);

#[derive(Clone, Copy, Debug)]
enum Which {
    Vault,
    Other(&'static Definition),
}

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
    /// Every kind, each after those that it refers to.
    pub fn all() -> Vec<Self> {
        let others = entity::DEFINITIONS.iter().map(|definition| Self(Which::Other(definition)));
        std::iter::once(Self(Which::Vault)).chain(others).collect()
    }

    /// The kind with lists of this name: `services`.
    pub fn named(collection: &str) -> Option<Self> {
        if collection == vault::COLLECTION {
            return Some(Self(Which::Vault));
        }
        entity::definition(collection).map(|definition| Self(Which::Other(definition)))
    }

    /// The name of its lists: `services`.
    pub fn collection(self) -> &'static str {
        match self.0 {
            Which::Vault => vault::COLLECTION,
            Which::Other(definition) => definition.collection,
        }
    }

    /// The field by which an entity may be named instead of by its identifier.
    pub fn endpoint_key(self) -> Option<&'static str> {
        match self.0 {
            Which::Vault => Some("prefix"),
            Which::Other(definition) => definition.endpoint_key,
        }
    }

    /// Its fields. A vault's are few, and said by [`crate::schema`] alone: none.
    pub fn fields(self) -> &'static [Field] {
        match self.0 {
            Which::Vault => &[],
            Which::Other(definition) => definition.schema.fields,
        }
    }

    /// Whether entities of this kind know when they were changed.
    pub fn has_updated_at(self) -> bool {
        match self.0 {
            Which::Vault => true,
            Which::Other(definition) => {
                definition.schema.fields.iter().any(|field| field.name == "updated_at")
            }
        }
    }

    /// The fields that refer to other entities.
    pub fn refers(self) -> Vec<Refers> {
        let Which::Other(definition) = self.0 else { return Vec::new() };
        let holds = |field: &Field| definition.holds.contains(&field.name);
        let refers = |field: &Field| match field.ty {
            Type::Foreign(to) => Some(Refers { field: field.name, to, holds: holds(field), many: false }),
            // The only list of its kind, and Kong's schema does not tell that it is one of references.
            Type::Array(_) if field.name == "ca_certificates" => {
                Some(Refers { field: field.name, to: "ca_certificates", holds: true, many: true })
            }
            _ => None,
        };
        definition.schema.fields.iter().filter_map(refers).collect()
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
        const PREFIX: &[&str] = &["prefix"];
        let value = |field: &&str| match body.get(*field) {
            Some(Json::Object(foreign)) => foreign.get("id").cloned().unwrap_or(Json::Null),
            Some(json) => json.clone(),
            None => Json::Null,
        };
        let key =
            |fields: &'static [&'static str]| Key { fields, values: fields.iter().map(value).collect() };
        let Which::Other(definition) = self.0 else { return vec![key(PREFIX)] };
        let single = definition.schema.fields.iter().filter(|field| field.unique);
        let single = single.map(|field| std::slice::from_ref(&field.name));
        let several = (definition.cache_key.len() > 1).then_some(definition.cache_key);
        let keys = single.chain(several).map(key);
        keys.filter(|key| key.fields.len() > 1 || !key.values[0].is_null()).collect()
    }

    /// Checks an entity that came as JSON, and fills in every default. Paths in violations begin at the entity:
    /// `config.minute`. What refers to other entities, and what is unique, is not looked at.
    ///
    /// # Errors
    /// Everything that is wrong with it, warnings included.
    pub fn check(self, json: &Map<String, Json>, plugins: &dyn Plugins) -> Result<Checked, Vec<Violation>> {
        match self.0 {
            Which::Vault => single(Single::Vault, json, plugins),
            Which::Other(definition) => single(Single::Other(definition), json, plugins),
        }
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.collection() == other.collection()
    }
}

impl Eq for Kind {}

#[cfg(test)]
mod tests;
