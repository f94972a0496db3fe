//! A checked entity → a row of the store, in the words that this crate is used to.
//!
//! Owns: nothing of its own; [`Row::of`] does it. Whoever fills a store from a document uses it too.

use postern_config::store::{Key, Row};
use postern_model::Kind;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The row of an entity. Its body is what [`Kind::check`] made, with identifiers wherever it refers to others.
pub fn row(kind: Kind, id: Uuid, body: Map<String, Value>) -> Row {
    Row::of(kind, id, body)
}

/// What no two rows share, as the store has it.
pub(crate) fn key(kind: &str, fields: &[&str], values: &[Value]) -> Key {
    Key::of(kind, fields, values)
}
