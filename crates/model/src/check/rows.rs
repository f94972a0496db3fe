//! Entities as they are kept, one by one → a [`Snapshot`].
//!
//! Owns: what is looked at again when they take effect: each by its field list, and vaults that need each other; that one
//! which did not change is neither read nor made again. Must not know: where they are kept; whoever keeps them has seen to
//! identifiers, and that what they refer to is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::entities;
use super::nesting::Found;
use super::{cycles, typed};
use crate::document::{Document, Node};
use crate::entity::MEMBERSHIPS;
use crate::entity::vault::{self, VaultEntity};
use crate::field::Plugins;
use crate::snapshot::{Entry, List, Snapshot};
use crate::value::Record;
use crate::violation::{Position, Report, Violation};

/// Makes them what takes effect. `rows` are kinds and bodies, as [`crate::Kind::check`] gives them, with identifiers
/// wherever they refer to each other.
///
/// # Errors
/// Everything that is wrong with them; paths name the entity: `services[my-service].host`.
pub fn rows<'a>(
    rows: impl IntoIterator<Item = (&'a str, &'a Map<String, Json>)>,
    plugins: &dyn Plugins,
) -> Result<(Snapshot, Vec<Violation>), Vec<Violation>> {
    let mut all = Rows::default();
    for (kind, body) in rows {
        let id = body.get("id").and_then(Json::as_str).and_then(|id| Uuid::try_parse(id).ok());
        all.put(kind, id.unwrap_or_default(), body.clone(), plugins);
    }
    all.snapshot()
}

/// Entities as they are kept, each checked and typed when it comes.
#[derive(Debug, Default)]
pub struct Rows {
    tables: Tables,
    vaults: BTreeMap<Uuid, (String, VaultEntity)>,
    members: BTreeMap<Uuid, (Uuid, Uuid)>,
    /// What is to be said of those that are not right, or probably not as meant.
    notes: BTreeMap<(String, Uuid), Vec<Violation>>,
}

/// One kind.
#[derive(Debug)]
struct Table<T> {
    list: List<T>,
    /// What came since the list was made.
    changes: BTreeMap<Uuid, Option<Arc<Entry<T>>>>,
}

macro_rules! tables {
    ($($name:ident: $entity:ty $(, $lean:ident)?;)*) => {
        #[derive(Debug, Default)]
        struct Tables {
            $($name: Table<$entity>,)*
        }

        impl Tables {
            fn take(&mut self, id: Uuid, from: Snapshot) {
                $(for entry in &from.$name {
                    #[allow(unused_mut, reason = "some kinds are kept as they come")]
                    let mut entry = Arc::clone(entry);
                    $(drop_record::$lean(&mut entry);)?
                    self.$name.put(id, entry);
                })*
            }

            fn remove(&mut self, kind: &str, id: Uuid) {
                match kind {
                    $(stringify!($name) => self.$name.remove(id),)*
                    _ => {}
                }
            }

            fn snapshot(&mut self) -> Snapshot {
                Snapshot { $($name: self.$name.list(),)* ..Snapshot::default() }
            }

            fn len(&self) -> usize {
                0 $(+ self.$name.len())*
            }
        }
    };
}

crate::each_list!(tables);

mod drop_record {
    use super::{Arc, Entry, Record};

    /// Lets go of the record of an entity that was typed.
    pub(super) fn lean<T: Clone>(entry: &mut Arc<Entry<T>>) {
        if entry.value.is_some() {
            Arc::make_mut(entry).record = Record::default();
        }
    }
}

impl Rows {
    /// An entity, in place of what has its kind and identifier.
    pub fn put(&mut self, kind: &str, id: Uuid, body: Map<String, Json>, plugins: &dyn Plugins) {
        let mut report = Report::default();
        let path = path(kind, &body);
        let node = Node::from_json(&Json::Object(body));
        self.remove(kind, id);
        if kind == vault::COLLECTION {
            let vault = vault::check(&node, path.clone(), &mut report);
            self.vaults.extend(vault.map(|vault| (id, (path, vault))));
        } else if let Some(definition) = crate::entity::definition(kind) {
            let found = vec![Found { definition, node, path, parent: None }];
            let items = entities::read(&Document::none(), found, plugins, &mut report);
            let made = typed::snapshot(items, vec![id], &mut report);
            if kind == MEMBERSHIPS.collection {
                self.members.extend(made.group_members.first().map(|member| (id, *member)));
            } else {
                self.tables.take(id, made);
            }
        } else {
            report.push(Violation::error(path, Some(Position::START), "no such kind of entity"));
        }
        let notes = report.finish();
        if !notes.is_empty() {
            self.notes.insert((kind.to_owned(), id), notes);
        }
    }

    /// No such entity any longer. Nothing happens where there is none.
    pub fn remove(&mut self, kind: &str, id: Uuid) {
        if !self.notes.is_empty() {
            self.notes.remove(&(kind.to_owned(), id));
        }
        if kind == vault::COLLECTION {
            self.vaults.remove(&id);
        } else if kind == MEMBERSHIPS.collection {
            self.members.remove(&id);
        } else {
            self.tables.remove(kind, id);
        }
    }

    /// How many there are, those apart that are not right.
    pub fn len(&self) -> usize {
        self.tables.len() + self.vaults.len() + self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, and the warnings. It shares with the snapshot before what is the same.
    ///
    /// # Errors
    /// Everything that is wrong with them; paths name the entity: `services[my-service].host`.
    pub fn snapshot(&mut self) -> Result<(Snapshot, Vec<Violation>), Vec<Violation>> {
        let mut report = Report::default();
        self.notes.values().flatten().for_each(|note| report.push(note.clone()));
        let vaults: Vec<_> = self.vaults.values().cloned().collect();
        cycles::check(&vaults, &mut report);
        let mut snapshot = self.tables.snapshot();
        snapshot.vaults = vaults.into_iter().map(|(_, vault)| vault).collect();
        snapshot.group_members = self.members.values().copied().collect();
        snapshot.group_members.sort_unstable();
        snapshot.group_members.dedup();
        let refused = report.has_errors();
        let violations = report.finish();
        if refused { Err(violations) } else { Ok((snapshot, violations)) }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { list: List::default(), changes: BTreeMap::new() }
    }
}

impl<T> Table<T> {
    fn put(&mut self, id: Uuid, entry: Arc<Entry<T>>) {
        // A store gives all of a kind in order; then there is nothing to be sorted.
        if self.changes.is_empty() && self.list.last_id().is_none_or(|last| last < id) {
            self.list.push(entry);
        } else {
            self.changes.insert(id, Some(entry));
        }
    }

    fn remove(&mut self, id: Uuid) {
        if self.list.last_id().is_some_and(|last| id <= last) {
            self.changes.insert(id, None);
        } else {
            self.changes.remove(&id);
        }
    }

    fn list(&mut self) -> List<T> {
        if !self.changes.is_empty() {
            self.list = self.list.with(std::mem::take(&mut self.changes));
        }
        self.list.clone()
    }

    fn len(&self) -> usize {
        // What is changed may or may not be new, which nobody needs to know so exactly before the list is made.
        self.list.len() + self.changes.values().filter(|change| change.is_some()).count()
    }
}

/// What people call it: by its name where it has one. What plugins and vaults call so is their kind.
fn path(kind: &str, body: &Map<String, Json>) -> String {
    let text = |field: &str| body.get(field).and_then(Json::as_str);
    let fields: &[&str] = match kind {
        "plugins" => &["instance_name"],
        vault::COLLECTION => &["prefix"],
        _ => &["name", "username"],
    };
    let name = fields.iter().copied().find_map(text);
    format!("{kind}[{}]", name.or_else(|| text("id")).unwrap_or_default())
}

#[cfg(test)]
mod tests;
