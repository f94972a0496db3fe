//! Entities as they are kept, one by one → a [`Snapshot`], and what is broken.
//!
//! Owns: what is looked at again when they take effect: each by its field list, and what is wrong between them; that one
//! which is broken keeps no other from taking effect; that one which did not change is neither read nor made again. Must
//! not know: where they are kept. `rows/table.rs` has the lists, `rows/between.rs` sees what one row is to another, and
//! `rows/remains.rs` what can still be read of a broken one.

mod between;
mod remains;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use self::between::{Between, CACHE_KEY, Fault, Place, Present};
use self::table::Table;
use super::nesting::Found;
use super::references::malformed;
use super::{cycles, entities, plugin, typed};
use crate::document::Node;
use crate::entity::vault::{self, VaultEntity};
use crate::entity::{Definition, MEMBERSHIPS};
use crate::field::Plugins;
use crate::kind::Kind;
use crate::snapshot::{Broken, Entry, Part, Snapshot};
use crate::value::Record;
use crate::violation::{Report, Severity, Violation, make_presentable};

/// More reasons are counted: a row may have thousands of fields that nobody knows.
const MAX_REASONS: usize = 16;

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
    let (snapshot, warnings) = all.snapshot();
    if snapshot.broken.is_empty() {
        return Ok((snapshot, warnings));
    }
    let mut report = Report::default();
    let reasons = snapshot.broken.iter().flat_map(|broken| &broken.reasons);
    reasons.chain(&warnings).for_each(|violation| report.push(violation.clone()));
    Err(report.finish())
}

/// Makes one entity what takes effect, without those that it refers to.
///
/// # Errors
/// Everything that is wrong with it by itself; paths name the entity.
pub fn alone(
    kind: &str,
    id: Uuid,
    body: &Map<String, Json>,
    plugins: &dyn Plugins,
) -> Result<Snapshot, Vec<Violation>> {
    let mut one = Rows::default();
    one.put(kind, id, body.clone(), plugins);
    if let Some(broken) = one.broken.values().next() {
        return Err(broken.reasons.clone());
    }
    one.tables.settle();
    let mut snapshot = one.tables.snapshot(&BTreeMap::new());
    snapshot.vaults = one.vaults.into_values().map(|(_, vault)| vault).collect();
    Ok(snapshot)
}

/// Entities as they are kept, each checked and typed when it comes.
#[derive(Debug, Default)]
pub struct Rows {
    /// Those that are right by themselves.
    tables: Tables,
    vaults: BTreeMap<Uuid, (String, VaultEntity)>,
    members: BTreeMap<Uuid, (Uuid, Uuid)>,
    between: Between,
    /// Those that are not.
    broken: BTreeMap<(String, Uuid), Arc<Broken>>,
    /// Of these, the fields that others need to know and that the body does not say.
    unsaid: BTreeMap<(String, Uuid), Vec<&'static str>>,
    /// What is probably not as meant.
    warnings: BTreeMap<(String, Uuid), Vec<Violation>>,
}

macro_rules! tables {
    ($($name:ident: $entity:ty $(, $lean:ident)?;)*) => {
        #[derive(Debug, Default)]
        struct Tables {
            $($name: Table<$entity>,)*
        }

        impl Tables {
            /// Whether there may be millions of a kind.
            fn is_lean(kind: &str) -> bool {
                const LEAN: &[&str] = &[$($({ let _ = drop_record::$lean::<$entity>; stringify!($name) },)?)*];
                LEAN.contains(&kind)
            }

            /// Adds what was made of one row; says whether it came behind all others of its kind.
            fn take(&mut self, id: Uuid, from: Snapshot) -> bool {
                let mut is_last = false;
                $(for entry in &from.$name {
                    #[allow(unused_mut, reason = "some kinds are kept as they come")]
                    let mut entry = Arc::clone(entry);
                    $(drop_record::$lean(&mut entry);)?
                    is_last = self.$name.put(id, entry);
                })*
                is_last
            }

            /// Takes one out; says whether it may have been there.
            fn remove(&mut self, kind: &str, id: Uuid) -> bool {
                match kind {
                    $(stringify!($name) => self.$name.remove(id),)*
                    _ => false,
                }
            }

            /// The path and the record of one; that of a lean kind is empty.
            fn find(&self, kind: &str, id: Uuid) -> Option<(&str, &Record)> {
                match kind {
                    $(stringify!($name) => self.$name.find(id).map(|entry| (entry.path.as_str(), &entry.record)),)*
                    _ => None,
                }
            }

            fn settle(&mut self) {
                $(self.$name.settle();)*
            }

            fn snapshot(&mut self, out: &BTreeMap<&'static str, BTreeSet<Uuid>>) -> Snapshot {
                Snapshot { $($name: self.$name.list(out.get(stringify!($name))),)* ..Snapshot::default() }
            }

            fn ids(&self, kind: &str) -> Vec<Uuid> {
                match kind {
                    $(stringify!($name) => self.$name.ids(),)*
                    _ => Vec::new(),
                }
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
        self.remove(kind, id);
        let path = path(kind, id, &body);
        let body = Json::Object(body);
        let node = Node::from_json(&body);
        let mut report = Report::default();
        let is_made = self.make(kind, id, &node, &path, plugins, &mut report);
        if !is_made {
            // Nobody else tells of these.
            let mut references = Report::default();
            malformed(&node, &mut references);
            for violation in references.finish() {
                report.push(Violation { path: format!("{path}.{}", violation.path), ..violation });
            }
            if !report.has_errors() {
                report.push(Violation::error(path.as_str(), None, "it cannot be read"));
            }
            let unsaid = remains::unsaid(kind, body.as_object());
            if !unsaid.is_empty() {
                self.unsaid.insert((kind.to_owned(), id), unsaid);
            }
            self.broken(kind, id, path, report.finish(), remains::of(kind, body.as_object()));
            return;
        }
        let warnings = without_positions(report.finish());
        if !warnings.is_empty() {
            self.warnings.insert((kind.to_owned(), id), warnings);
        }
    }

    /// One that is there and cannot be read at all. `rest` is what is known of its body from elsewhere, if anything is.
    pub fn put_unreadable(&mut self, kind: &str, id: Uuid, reason: &str, rest: Option<&Map<String, Json>>) {
        self.remove(kind, id);
        let path = rest.map_or_else(|| format!("{kind}[{id}]"), |rest| path(kind, id, rest));
        let reasons = vec![Violation::error(path.as_str(), None, reason)];
        self.broken(kind, id, path, reasons, remains::of(kind, rest));
    }

    /// The broken rows whose bodies do not say all that others need to know, plugins first: these may close the most.
    pub fn unsaid(&self) -> Vec<(String, Uuid)> {
        let mut places: Vec<_> = self.unsaid.keys().cloned().collect();
        places.sort_by_key(|(kind, _)| kind != "plugins");
        places
    }

    /// Whether it is one of [`Rows::unsaid`].
    pub fn is_unsaid(&self, kind: &str, id: Uuid) -> bool {
        !self.unsaid.is_empty() && self.unsaid.contains_key(&(kind.to_owned(), id))
    }

    /// What is known from elsewhere of one of [`Rows::unsaid`], as it would stand in the body. What the body says itself stays.
    pub fn say(&mut self, kind: &str, id: Uuid, rest: &Map<String, Json>) {
        let place = (kind.to_owned(), id);
        let (Some(fields), Some(broken)) = (self.unsaid.remove(&place), self.broken.get_mut(&place)) else {
            return;
        };
        remains::complete(&mut Arc::make_mut(broken).remains, kind, &fields, rest);
    }

    /// No such entity any longer. Nothing happens where there is none.
    pub fn remove(&mut self, kind: &str, id: Uuid) {
        if !self.warnings.is_empty() {
            self.warnings.remove(&(kind.to_owned(), id));
        }
        if !self.broken.is_empty() {
            self.broken.remove(&(kind.to_owned(), id));
            self.unsaid.remove(&(kind.to_owned(), id));
        }
        if kind == vault::COLLECTION {
            self.vaults.remove(&id);
            return;
        }
        let Some(definition) = crate::entity::definition(kind) else { return };
        let was_there = match kind == MEMBERSHIPS.collection {
            true => self.members.remove(&id).is_some(),
            false => self.tables.remove(kind, id),
        };
        if was_there {
            self.between.remove((definition.collection, id), is_lean(kind));
        }
    }

    /// How many there are, those apart that are broken by themselves.
    pub fn len(&self) -> usize {
        self.tables.len() + self.vaults.len() + self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that can take effect, with all that cannot in [`Snapshot::broken`]; and the warnings. It shares with the
    /// snapshot before what is the same.
    pub fn snapshot(&mut self) -> (Snapshot, Vec<Violation>) {
        self.tables.settle();
        let mut between = std::mem::take(&mut self.between);
        let faults = between.faults(&*self);
        let mut broken: BTreeMap<(String, Uuid), Arc<Broken>> = self.broken.clone();
        let mut out: BTreeMap<&'static str, BTreeSet<Uuid>> = BTreeMap::new();
        for ((kind, id), faults) in faults {
            out.entry(kind).or_default().insert(id);
            let found = self.between_broken((kind, id), &faults, &between);
            broken.insert((kind.to_owned(), id), Arc::new(found));
        }
        self.between = between;
        for found in self.broken_vaults() {
            out.entry(vault::COLLECTION).or_default().insert(found.id);
            broken.insert((vault::COLLECTION.to_owned(), found.id), Arc::new(found));
        }
        let mut snapshot = self.tables.snapshot(&out);
        let is_in = |kind: &str, id: &Uuid| out.get(kind).is_none_or(|out| !out.contains(id));
        let vaults = self.vaults.iter().filter(|(id, _)| is_in(vault::COLLECTION, id));
        snapshot.vaults = vaults.map(|(_, (_, vault))| vault.clone()).collect();
        let members = self.members.iter().filter(|(id, _)| is_in(MEMBERSHIPS.collection, id));
        snapshot.group_members = members.map(|(_, member)| *member).collect();
        snapshot.group_members.sort_unstable();
        snapshot.group_members.dedup();
        snapshot.broken = broken.into_values().collect();
        let mut report = Report::default();
        self.warnings.values().flatten().for_each(|warning| report.push(warning.clone()));
        (snapshot, report.finish())
    }

    /// Reads a row, and keeps what was made of it; says whether nothing stands against that.
    fn make(
        &mut self,
        kind: &str,
        id: Uuid,
        node: &Node,
        path: &str,
        plugins: &dyn Plugins,
        report: &mut Report,
    ) -> bool {
        let own = node.get("id").and_then(Node::as_str).and_then(|own| Uuid::try_parse(own).ok());
        if own.is_some_and(|own| own != id) {
            report.push(Violation::error(format!("{path}.id"), None, "another one than that of the row"));
        }
        if kind == vault::COLLECTION {
            let vault = vault::check(node, path.to_owned(), report).filter(|_| !report.has_errors());
            let is_made = vault.is_some();
            self.vaults.extend(vault.map(|vault| (id, (path.to_owned(), vault))));
            return is_made;
        }
        let Some(definition) = crate::entity::definition(kind) else {
            let hint = "another version of the gateway may have written it";
            report.push(Violation::error(path, None, "no such kind of entity").with_hint(hint));
            return false;
        };
        let found = Found { definition, node: node.clone(), path: path.to_owned(), parent: None };
        let item = entities::read_kept(found, plugins, report);
        if let Some(schema) = item.plugin {
            plugin::bindings(schema, &item.record, node, path, report);
        }
        let (links, wrong) = self.between.links(definition, &item.record);
        for field in wrong {
            let message = "expected the identifier of another entity";
            report.push(Violation::error(format!("{path}.{field}"), None, message));
        }
        if !item.sound || report.has_errors() {
            return false;
        }
        let made = typed::snapshot(vec![item], vec![id], report);
        if report.has_errors() {
            return false;
        }
        let is_last = if kind == MEMBERSHIPS.collection {
            let is_last = self.members.last_key_value().is_none_or(|(last, _)| *last < id);
            self.members.extend(made.group_members.first().map(|member| (id, *member)));
            is_last
        } else {
            self.tables.take(id, made)
        };
        self.between.put((definition.collection, id), links, is_lean(kind), is_last);
        true
    }

    fn broken(
        &mut self,
        kind: &str,
        id: Uuid,
        path: String,
        reasons: Vec<Violation>,
        remains: crate::snapshot::Remains,
    ) {
        let broken = made_broken(kind, id, path, reasons, remains);
        self.broken.insert((kind.to_owned(), id), Arc::new(broken));
    }

    /// What stands against a row that is right by itself.
    fn between_broken(&self, place: Place, faults: &[Fault], between: &Between) -> Broken {
        let (kind, id) = place;
        let (path, record) = match self.tables.find(kind, id) {
            Some((path, record)) => (path.to_owned(), Some(record)),
            None => (format!("{kind}[{id}]"), None),
        };
        let reasons = faults.iter().map(|fault| reason(fault, kind, &path)).collect();
        let name = Kind::named(kind).and_then(remains::name_of);
        let name = name.and_then(|name| match kind {
            "consumers" => self.tables.consumers.find(id)?.value.as_ref()?.username.clone(),
            _ => record?.text(name).map(crate::value::Text::from),
        });
        let is_off = record.and_then(|record| record.get("enabled")) == Some(&crate::Value::Boolean(false));
        let remains = crate::snapshot::Remains {
            name: name.map_or(Part::Absent, |name| Part::Known(name.as_str().to_owned())),
            enabled: !is_off,
            refers: between.refers(place).iter().map(|(field, _, id)| (*field, Part::Known(*id))).collect(),
        };
        made_broken(kind, id, path, reasons, remains)
    }

    /// Vaults that are right by themselves, and share a prefix or need each other.
    fn broken_vaults(&self) -> Vec<Broken> {
        let mut reasons: BTreeMap<usize, Vec<Violation>> = BTreeMap::new();
        let vaults: Vec<_> = self.vaults.values().cloned().collect();
        let mut prefixes = HashSet::new();
        for (index, (path, vault)) in vaults.iter().enumerate() {
            if !prefixes.insert(&vault.prefix) {
                let fault = Fault::Double { field: "prefix" };
                reasons.entry(index).or_default().push(reason(&fault, vault::COLLECTION, path));
            }
        }
        for fault in cycles::faults(&vaults) {
            for index in fault.vaults {
                reasons.entry(index).or_default().push(fault.violation.clone());
            }
        }
        let ids: Vec<_> = self.vaults.keys().collect();
        let broken = reasons.into_iter().map(|(index, reasons)| {
            let (path, vault) = &vaults[index];
            let name = Part::Known(vault.prefix.clone());
            let remains = crate::snapshot::Remains { name, enabled: true, refers: Vec::new() };
            made_broken(vault::COLLECTION, *ids[index], path.clone(), reasons, remains)
        });
        broken.collect()
    }
}

impl Present for Rows {
    fn has(&self, kind: &str, id: Uuid) -> bool {
        self.tables.find(kind, id).is_some()
            || (!self.broken.is_empty() && self.broken.contains_key(&(kind.to_owned(), id)))
    }

    fn ids(&self, kind: &str) -> Vec<Uuid> {
        self.tables.ids(kind)
    }
}

fn is_lean(kind: &str) -> bool {
    kind == MEMBERSHIPS.collection || Tables::is_lean(kind)
}

fn made_broken(
    kind: &str,
    id: Uuid,
    mut path: String,
    reasons: Vec<Violation>,
    remains: crate::snapshot::Remains,
) -> Broken {
    make_presentable(&mut path);
    let mut kind = kind.to_owned();
    make_presentable(&mut kind);
    let mut reasons = without_positions(reasons);
    reasons.retain(|reason| reason.severity == Severity::Error);
    if let Some(more) = reasons.len().checked_sub(MAX_REASONS).filter(|more| *more > 0) {
        reasons.truncate(MAX_REASONS);
        reasons.push(Violation::error(path.as_str(), None, format!("{more} more violations are not shown")));
    }
    Broken { kind, id, path, reasons, remains }
}

/// What stands in no file has no place in one.
fn without_positions(mut violations: Vec<Violation>) -> Vec<Violation> {
    violations.iter_mut().for_each(|violation| violation.position = None);
    violations
}

/// In Kong's words, where it has some.
fn reason(fault: &Fault, kind: &str, path: &str) -> Violation {
    match fault {
        Fault::Dangling { field, to, id } => {
            let message = format!("invalid reference '{field}: {id}' (no such entry in '{to}')");
            Violation::error(format!("{path}.{field}"), None, message)
        }
        Fault::Double { field } if *field == CACHE_KEY => {
            let fields = crate::entity::definition(kind)
                .map_or(&[][..], |definition: &Definition| definition.cache_key);
            let message =
                format!("uniqueness violation: another of the {kind} has the same {}", fields.join(", "));
            Violation::error(path, None, message)
        }
        Fault::Double { field } => {
            let message = format!("uniqueness violation: another of the {kind} has the same {field}");
            Violation::error(format!("{path}.{field}"), None, message)
        }
    }
}

/// What people call it: by its name where it has one. What plugins and vaults call so is their kind.
fn path(kind: &str, id: Uuid, body: &Map<String, Json>) -> String {
    let text = |field: &str| body.get(field).and_then(Json::as_str);
    let fields: &[&str] = match kind {
        "plugins" => &["instance_name"],
        vault::COLLECTION => &["prefix"],
        _ => &["name", "username"],
    };
    match fields.iter().copied().find_map(text) {
        Some(name) => format!("{kind}[{name}]"),
        None => format!("{kind}[{id}]"),
    }
}

#[cfg(test)]
mod tests;
