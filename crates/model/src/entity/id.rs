//! Identifiers for entities that have none: always the same for the same entity.
//!
//! Owns: the rule, which is that of Kong's DB-less mode, so that both name an entity alike. Must not know: entities.

use uuid::{Uuid, uuid};

/// The namespace under which each kind of entity has its own.
const NAMESPACE: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");

/// The identifier of an entity that is known by its `cache_key`: the fields, in their order, that tell it from all
/// others. `collection` is the entity's top-level name, such as `vaults`.
pub(crate) fn by_cache_key(collection: &str, fields: &[&str]) -> Uuid {
    let namespace = Uuid::new_v5(&NAMESPACE, collection.as_bytes());
    Uuid::new_v5(&namespace, format!("{collection}:*:{}", fields.join(":")).as_bytes())
}

/// The identifier of an entity that is known by one name, which no other of its kind has.
pub(crate) fn by_name(collection: &str, name: &str) -> Uuid {
    let namespace = Uuid::new_v5(&NAMESPACE, collection.as_bytes());
    Uuid::new_v5(&namespace, name.as_bytes())
}

/// The identifier of an entity that has no name: from what it says, and how many before it say the same.
pub(crate) fn by_content(collection: &str, fields: &[String], before: usize) -> Uuid {
    by_name(collection, &format!("\0{before}\0{}", fields.join("\0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_the_same() {
        let id = by_cache_key("vaults", &["my-env"]);
        assert_eq!(id, by_cache_key("vaults", &["my-env"]));
        assert_ne!(id, by_cache_key("vaults", &["my-env2"]));
        assert_ne!(id, by_cache_key("consumers", &["my-env"]));
        assert_eq!(id.get_version_num(), 5);
        // Pinned: a change would rename every vault of every user.
        assert_eq!(id.to_string(), "3dc3bf8d-e9b4-576c-af74-01619966a0d0");
    }
}
