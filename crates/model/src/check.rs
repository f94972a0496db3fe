//! Document → checked entities, or every violation with its path and line.
//!
//! Owns: the order of the checks. What they are is in the files below, in the order in which data flows:
//! `references` (every `{vault://...}` of the file), vaults (here) and `cycles` (vaults that need each other);
//! `nesting` (lists and the lists inside → every entity), `entities` (each → a record with its defaults, with `plugin`
//! for what is special about those), `resolve` (identifiers, who refers to whom, with `unique`), `typed` (→
//! [`Snapshot`]). Entities that come one by one, as JSON, go through `single`, and all of them together through
//! `rows`; `flat` takes a document apart into such. Must not know: files, vault servers. `check` is the only validator: a start goes through it too.

mod cycles;
mod entities;
mod flat;
mod nesting;
mod plugin;
mod references;
mod resolve;
mod rows;
mod single;
mod typed;
mod unique;

pub use flat::Flat;
pub(crate) use nesting::{nested, not_yet};
pub use rows::{Rows, alone, rows};
pub(crate) use single::single;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::Hash;

use crate::document::{Document, Node};
use crate::entity::vault::{self, VaultEntity};
use crate::field::Plugins;
use crate::snapshot::Snapshot;
use crate::violation::{Position, Report, Violation};

/// A document that can take effect.
#[derive(Clone, Debug)]
pub struct Checked {
    /// All entities, checked and typed.
    pub snapshot: Snapshot,
    /// What is probably not as meant.
    pub warnings: Vec<Violation>,
    /// The document itself.
    pub document: Document,
}

impl Checked {
    /// The vaults, in the order of the file.
    pub fn vaults(&self) -> &[VaultEntity] {
        &self.snapshot.vaults
    }

    /// The vault with this prefix.
    pub fn vault(&self, prefix: &str) -> Option<&VaultEntity> {
        self.vaults().iter().find(|vault| vault.prefix == prefix)
    }
}

/// Checks a document; `plugins` says which there are and what they take.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of the file.
pub fn check(document: Document, plugins: &dyn Plugins) -> Result<Checked, Vec<Violation>> {
    check_and(document, plugins, |_| Vec::new())
}

/// The same. A document that is refused is told all at once: `more` finds what else is wrong with those of its entities that
/// are right by themselves.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of the file.
pub fn check_and(
    mut document: Document,
    plugins: &dyn Plugins,
    more: impl FnOnce(&Snapshot) -> Vec<Violation>,
) -> Result<Checked, Vec<Violation>> {
    let mut report = std::mem::take(&mut document.report);
    references::check(&document, &mut report);
    let vaults = vaults(&document, &mut report);
    cycles::check(&vaults, &mut report);
    let found = nesting::entities(&document, &mut report);
    let mut items = entities::read(&document, found, plugins, &mut report);
    let ids = resolve::resolve(&mut items, &mut report);
    let mut snapshot = typed::snapshot(items, ids, &mut report);
    snapshot.vaults = vaults.into_iter().map(|(_, vault)| vault).collect();
    if report.has_errors() {
        more(&snapshot).into_iter().for_each(|violation| report.push(violation));
        return Err(report.finish());
    }
    Ok(Checked { snapshot, warnings: report.finish(), document })
}

/// The vaults without errors of their own, each with its path.
fn vaults(document: &Document, report: &mut Report) -> Vec<(String, VaultEntity)> {
    let nodes = document.collection(vault::COLLECTION);
    let select_tags = &document.header.select_tags;
    let mut prefixes = Unique::new("prefix");
    let mut ids = Unique::new("id");
    let mut vaults = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("{}[{index}]", vault::COLLECTION);
        // The prefix counts even where the rest is wrong: then both are told at once.
        let prefix = node.get("prefix").and_then(Node::as_str);
        let is_new = prefix.is_none_or(|prefix| prefixes.add(prefix.to_owned(), node, &path, report));
        let Some(mut vault) = vault::check(node, path.clone(), report) else { continue };
        // Without an id of its own, a repeated prefix repeats the id as well, which needs no second message.
        if !is_new || !ids.add(vault.id, node, &path, report) {
            continue;
        }
        let missing = select_tags.iter().filter(|tag| !vault.tags.contains(tag)).cloned().collect::<Vec<_>>();
        vault.tags.extend(missing);
        vaults.push((path, vault));
    }
    vaults
}

/// Values of one field that no two vaults may share.
struct Unique<T> {
    field: &'static str,
    seen: HashMap<T, Position>,
}

impl<T: Eq + Hash> Unique<T> {
    fn new(field: &'static str) -> Self {
        Self { field, seen: HashMap::new() }
    }

    /// Notes a vault whose value an earlier one has already; says whether it is the first.
    fn add(&mut self, value: T, node: &Node, path: &str, report: &mut Report) -> bool {
        let (name, field) = (vault::COLLECTION, self.field);
        let written = node.get(field);
        let position = written.unwrap_or(node).position();
        match self.seen.entry(value) {
            Slot::Vacant(slot) => {
                slot.insert(position);
                true
            }
            Slot::Occupied(first) => {
                let shown = written.map_or("(none)", Node::shown);
                let message = format!(
                    "uniqueness violation: '{name}' entity with {field} set to '{shown}' already declared"
                );
                let violation = Violation::error(format!("{path}.{field}"), Some(position), message);
                report.push(violation.with_hint(format!("the first one is at line {}", first.get().line)));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
