//! Records → the typed lists of a [`Snapshot`].
//!
//! Owns: which kind goes to which list. Must not know: how records came about.

use std::sync::Arc;

use uuid::Uuid;

use super::entities::Item;
use crate::entity::{Foreign, MEMBERSHIPS, Typed};
use crate::snapshot::{Entry, List, Snapshot};
use crate::value::Record;
use crate::violation::{Report, Violation};

/// Sorts the items into their lists; what cannot be typed, though its fields are right, is noted.
pub(super) fn snapshot(items: Vec<Item>, ids: Vec<Uuid>, report: &mut Report) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (item, id) in items.into_iter().zip(ids).filter(|(item, _)| item.sound) {
        macro_rules! add_to_its_list {
            ($($name:ident: $entity:ty $(, $lean:ident)?;)*) => {
                match item.found.definition.collection {
                    $(stringify!($name) => add(&mut snapshot.$name, item, id, <$entity as Typed>::read, report),)*
                    name if name == MEMBERSHIPS.collection => member(&mut snapshot.group_members, &item.record),
                    other => debug_assert!(false, "{other} has no list"),
                }
            };
        }
        crate::each_list!(add_to_its_list);
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
