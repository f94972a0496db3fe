//! A checked document → its entities one by one, as they are kept.
//!
//! Owns: that [`super::rows()`] makes the same of them. Must not know: where they go: into a store, or to a client that
//! asks for them.

use serde_json::{Map, Value as Json, json};

use super::Checked;
use crate::entity::{MEMBERSHIPS, id, vault};
use crate::snapshot::List;

/// An entity by its kind.
pub type Flat = (&'static str, Map<String, Json>);

impl Checked {
    /// Every entity with its kind, each after those that it refers to, as [`crate::Kind::check`] gives them: with every
    /// default, and with identifiers wherever they refer to each other.
    pub fn flat(&self) -> Vec<Flat> {
        let snapshot = &self.snapshot;
        let mut all = self.flat_vaults();
        add(&mut all, "ca_certificates", &snapshot.ca_certificates);
        add(&mut all, "certificates", &snapshot.certificates);
        add(&mut all, "snis", &snapshot.snis);
        add(&mut all, "key_sets", &snapshot.key_sets);
        add(&mut all, "keys", &snapshot.keys);
        add(&mut all, "consumers", &snapshot.consumers);
        add(&mut all, "consumer_groups", &snapshot.consumer_groups);
        all.extend(snapshot.group_members.iter().map(|(consumer, group)| {
            let (consumer, group) = (consumer.to_string(), group.to_string());
            let id = id::by_cache_key(MEMBERSHIPS.collection, &[&group, &consumer]);
            let body = json!({ "id": id, "consumer": { "id": consumer }, "consumer_group": { "id": group } });
            (MEMBERSHIPS.collection, object(body))
        }));
        add(&mut all, "keyauth_credentials", &snapshot.keyauth_credentials);
        add(&mut all, "basicauth_credentials", &snapshot.basicauth_credentials);
        add(&mut all, "hmacauth_credentials", &snapshot.hmacauth_credentials);
        add(&mut all, "jwt_secrets", &snapshot.jwt_secrets);
        add(&mut all, "acls", &snapshot.acls);
        add(&mut all, "upstreams", &snapshot.upstreams);
        add(&mut all, "targets", &snapshot.targets);
        add(&mut all, "services", &snapshot.services);
        add(&mut all, "routes", &snapshot.routes);
        add(&mut all, "plugins", &snapshot.plugins);
        all
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

fn add<T>(all: &mut Vec<Flat>, kind: &'static str, entries: &List<T>) {
    all.extend(entries.iter().map(|entry| (kind, object(entry.record.to_json()))));
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(body) => body,
        _ => Map::new(),
    }
}
