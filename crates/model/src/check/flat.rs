//! A checked document → its entities one by one, as they are kept.
//!
//! Owns: that [`super::rows()`] makes the same of them. Must not know: where they go: into a store, or to a client that
//! asks for them.

use serde_json::{Map, Value as Json, json};

use super::Checked;
use crate::entity::{MEMBERSHIPS, definitions, id, vault};
use crate::snapshot::List;

/// An entity by its kind.
pub type Flat = (&'static str, Map<String, Json>);

impl Checked {
    /// Every entity with its kind, each after those that it refers to, as [`crate::Kind::check`] gives them: with every
    /// default, and with identifiers wherever they refer to each other.
    pub fn flat(&self) -> Vec<Flat> {
        definitions().flat_map(|definition| self.flat_of(definition.collection)).collect()
    }

    fn flat_of(&self, collection: &str) -> Vec<Flat> {
        macro_rules! list {
            ($($name:ident: $entity:ty $(, $lean:ident)?;)*) => {
                match collection {
                    vault::COLLECTION => self.flat_vaults(),
                    $(stringify!($name) => flat(stringify!($name), &self.snapshot.$name),)*
                    _ => self.flat_members(),
                }
            };
        }
        crate::each_list!(list)
    }

    fn flat_members(&self) -> Vec<Flat> {
        let flat = self.snapshot.group_members.iter().map(|(consumer, group)| {
            let (consumer, group) = (consumer.to_string(), group.to_string());
            let id = id::by_cache_key(MEMBERSHIPS.collection, &[&group, &consumer]);
            let body = json!({ "id": id, "consumer": { "id": consumer }, "consumer_group": { "id": group } });
            (MEMBERSHIPS.collection, object(body))
        });
        flat.collect()
    }

    /// A vault is kept as it was written.
    fn flat_vaults(&self) -> Vec<Flat> {
        let written = self.document.collection(vault::COLLECTION);
        let flat = written.iter().zip(self.vaults()).map(|(node, vault)| {
            let mut body = object(node.to_json());
            body.retain(|name, _| !matches!(name.as_str(), "_comment" | "_ignore"));
            body.insert("id".to_owned(), json!(vault.id));
            body.insert(
                "tags".to_owned(),
                if vault.tags.is_empty() { Json::Null } else { json!(vault.tags) },
            );
            (vault::COLLECTION, body)
        });
        flat.collect()
    }
}

fn flat<T>(kind: &'static str, entries: &List<T>) -> Vec<Flat> {
    entries.iter().map(|entry| (kind, object(entry.record.to_json()))).collect()
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(body) => body,
        _ => Map::new(),
    }
}
