//! A checked entity → a row.
//!
//! Owns: which of its values are unique, to what it refers and what then becomes of it, in the store's words. Must not
//! know: where the entity came from.

use std::collections::BTreeMap;

use postern_model::Kind;
use postern_model::kind::{Refers, compared};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{Key, OnDelete, Reference, Row};

impl Row {
    /// The row of an entity. Its body is what [`Kind::check`] made, with identifiers wherever it refers to others.
    pub fn of(kind: Kind, id: Uuid, body: Map<String, Json>) -> Self {
        let keys = kind
            .keys(&body)
            .into_iter()
            .map(|found| Key::of(kind.collection(), found.fields, &found.values))
            .collect();
        let reference = |(refers, id): (Refers, Uuid)| Reference {
            field: refers.field.to_owned(),
            kind: refers.to.to_owned(),
            id,
            on_delete: if refers.holds { OnDelete::Restrict } else { OnDelete::Cascade },
        };
        let mut references: Vec<Reference> = kind.references(&body).into_iter().map(reference).collect();
        references.dedup();
        let tags = body.get("tags").and_then(Json::as_array).into_iter().flatten();
        let tags = tags.filter_map(|tag| tag.as_str().map(ToOwned::to_owned)).collect();
        Self { kind: kind.collection().to_owned(), id, keys, references, tags, body }
    }

    /// What stands in its body, as far as its keys, references and tags tell.
    pub fn rest(&self) -> Map<String, Json> {
        let mut body = Map::from_iter([("id".to_owned(), Json::from(self.id.to_string()))]);
        for key in &self.keys {
            match key.field.contains(',') {
                false => _ = body.insert(key.field.clone(), Json::from(key.value.as_str())),
                true => {
                    let values: Vec<Json> = serde_json::from_str(&key.value).unwrap_or_default();
                    let parts = key.field.split(',').map(ToOwned::to_owned).zip(values);
                    body.extend(parts.filter(|(_, value)| !value.is_null()));
                }
            }
        }
        let mut referring: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
        for reference in &self.references {
            referring.entry(&reference.field).or_default().push(Json::from(reference.id.to_string()));
        }
        for (field, ids) in referring {
            let one = match <[Json; 1]>::try_from(ids) {
                Ok([id]) => Json::Object(Map::from_iter([("id".to_owned(), id)])),
                Err(ids) => Json::Array(ids),
            };
            body.insert(field.to_owned(), one);
        }
        if !self.tags.is_empty() {
            body.insert("tags".to_owned(), self.tags.clone().into());
        }
        body
    }
}

impl Key {
    /// What no two rows of a kind share, as the store has it: a text, or several as JSON.
    pub fn of(kind: &str, fields: &[&str], values: &[Json]) -> Self {
        let value = match values {
            [Json::String(text)] => compared(kind, text).into_owned(),
            [other] => other.to_string(),
            several => Json::from(several.to_vec()).to_string(),
        };
        Self { field: fields.join(","), value }
    }
}
