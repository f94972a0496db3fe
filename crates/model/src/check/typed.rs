//! Records → the typed lists of a [`Snapshot`].
//!
//! Owns: which kind goes to which list. Must not know: how records came about.

use std::sync::Arc;

use uuid::Uuid;

use super::entities::Item;
use crate::entity::{Foreign, plugin, read, upstream};
use crate::snapshot::{Entry, List, Snapshot};
use crate::value::Record;
use crate::violation::{Report, Violation};

/// Sorts the items into their lists; what cannot be typed, though its fields are right, is noted.
pub(super) fn snapshot(items: Vec<Item>, ids: Vec<Uuid>, report: &mut Report) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (item, id) in items.into_iter().zip(ids).filter(|(item, _)| item.sound) {
        let lists = &mut snapshot;
        match item.found.definition.collection {
            "services" => add(&mut lists.services, item, id, read, report),
            "routes" => add(&mut lists.routes, item, id, read, report),
            "consumers" => add(&mut lists.consumers, item, id, read, report),
            "consumer_groups" => add(&mut lists.consumer_groups, item, id, read, report),
            "consumer_group_consumers" => member(&mut lists.group_members, &item.record),
            "keyauth_credentials" => add(&mut lists.keyauth_credentials, item, id, read, report),
            "basicauth_credentials" => add(&mut lists.basicauth_credentials, item, id, read, report),
            "hmacauth_credentials" => add(&mut lists.hmacauth_credentials, item, id, read, report),
            "jwt_secrets" => add(&mut lists.jwt_secrets, item, id, read, report),
            "acls" => add(&mut lists.acls, item, id, read, report),
            "plugins" => add(&mut lists.plugins, item, id, plugin::read, report),
            "upstreams" => add(&mut lists.upstreams, item, id, read, report),
            "targets" => add(&mut lists.targets, item, id, upstream::read_target, report),
            "certificates" => add(&mut lists.certificates, item, id, read, report),
            "snis" => add(&mut lists.snis, item, id, read, report),
            "ca_certificates" => add(&mut lists.ca_certificates, item, id, read, report),
            "key_sets" => add(&mut lists.key_sets, item, id, read, report),
            "keys" => add(&mut lists.keys, item, id, read, report),
            other => debug_assert!(false, "{other} has no list"),
        }
    }
    // Both sides may say it.
    snapshot.group_members.sort_unstable();
    snapshot.group_members.dedup();
    snapshot
}

fn add<T>(
    list: &mut List<T>,
    item: Item,
    id: Uuid,
    read: fn(&Record) -> Result<T, String>,
    report: &mut Report,
) {
    let Item { found, record, .. } = item;
    let position = found.node.position();
    let value = match record.templates().is_empty() {
        false => None,
        true => match read(&record) {
            Ok(value) => Some(value),
            Err(message) => {
                report.push(Violation::error(found.path, Some(position), message));
                return;
            }
        },
    };
    list.push(Arc::new(Entry { id, path: found.path, position, record, value, read }));
}

fn member(members: &mut Vec<(Uuid, Uuid)>, record: &Record) {
    let id = |field: &str| Foreign::of(record.get(field)?);
    members.extend(id("consumer").zip(id("consumer_group")));
}
