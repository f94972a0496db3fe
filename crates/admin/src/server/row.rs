//! A checked entity → a row of the store.
//!
//! Owns: which of its values are unique, to what it refers and what then becomes of it, in the store's words. Must not
//! know: where the entity came from. Whoever fills a store from a document uses it too.

use postern_config::store::{Key, OnDelete, Reference, Row};
use postern_model::Kind;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The row of an entity. Its body is what [`Kind::check`] made, with identifiers wherever it refers to others.
pub fn row(kind: Kind, id: Uuid, body: Map<String, Value>) -> Row {
    let keys = kind.keys(&body).into_iter().map(|found| key(found.fields, &found.values)).collect();
    let reference = |(refers, id): (postern_model::kind::Refers, Uuid)| Reference {
        field: refers.field.to_owned(),
        kind: refers.to.to_owned(),
        id,
        on_delete: if refers.holds { OnDelete::Restrict } else { OnDelete::Cascade },
    };
    let mut references: Vec<Reference> = kind.references(&body).into_iter().map(reference).collect();
    references.dedup();
    let tags = body.get("tags").and_then(Value::as_array).into_iter().flatten();
    let tags = tags.filter_map(|tag| tag.as_str().map(ToOwned::to_owned)).collect();
    Row { kind: kind.collection().to_owned(), id, keys, references, tags, body }
}

/// What no two rows share, as the store has it: a text, or several as JSON.
pub(crate) fn key(fields: &[&str], values: &[Value]) -> Key {
    let value = match values {
        [Value::String(text)] => text.clone(),
        [other] => other.to_string(),
        several => Value::from(several.to_vec()).to_string(),
    };
    Key { field: fields.join(","), value }
}
