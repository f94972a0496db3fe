//! Document → checked entities, or every violation with its path and line.
//!
//! Owns: the order of the checks, and those that need more than one entity: uniqueness (here), references
//! (`references`), vaults that need each other (`cycles`). Must not know: files, vault servers. `check` is the only
//! validator: a start goes through it too.

mod cycles;
mod references;

use std::collections::HashMap;

use crate::document::{Document, Node};
use crate::entity::vault::{self, VaultEntity};
use crate::violation::{Report, Violation};

/// A document that can take effect.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The vaults, in the order of the file.
    pub vaults: Vec<VaultEntity>,
    /// What is probably not as meant.
    pub warnings: Vec<Violation>,
    /// The document itself, with the entities that are read, shaped and kept, but not yet used.
    pub document: Document,
}

impl Checked {
    /// The vault with this prefix.
    pub fn vault(&self, prefix: &str) -> Option<&VaultEntity> {
        self.vaults.iter().find(|vault| vault.prefix == prefix)
    }
}

/// Checks a document.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of the file.
pub fn check(mut document: Document) -> Result<Checked, Vec<Violation>> {
    let mut report = std::mem::take(&mut document.report);
    references::check(&document, &mut report);
    let vaults = vaults(&document, &mut report);
    cycles::check(&vaults, &mut report);
    let refused = report.has_errors();
    let violations = report.finish();
    if refused {
        return Err(violations);
    }
    let vaults = vaults.into_iter().map(|(_, vault)| vault).collect();
    Ok(Checked { vaults, warnings: violations, document })
}

/// The vaults without errors of their own, each with its path.
fn vaults(document: &Document, report: &mut Report) -> Vec<(String, VaultEntity)> {
    let nodes = document.collection(vault::COLLECTION);
    unique(nodes, "prefix", report);
    unique(nodes, "id", report);
    let select_tags = &document.header.select_tags;
    let check = |(index, node): (usize, &Node)| {
        let path = format!("{}[{index}]", vault::COLLECTION);
        let mut vault = vault::check(node, path.clone(), report)?;
        let missing = select_tags.iter().filter(|tag| !vault.tags.contains(tag)).cloned().collect::<Vec<_>>();
        vault.tags.extend(missing);
        Some((path, vault))
    };
    nodes.iter().enumerate().filter_map(check).collect()
}

/// Notes every vault whose `field` an earlier one has already.
fn unique(nodes: &[Node], field: &str, report: &mut Report) {
    let mut seen = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(value) = node.get(field) else { continue };
        let Some(text) = value.as_str() else { continue };
        if let Some(first) = seen.insert(text.to_owned(), value.position()) {
            seen.insert(text.to_owned(), first);
            let name = vault::COLLECTION;
            let shown = value.shown();
            let message = format!(
                "uniqueness violation: '{name}' entity with {field} set to '{shown}' already declared"
            );
            let violation =
                Violation::error(format!("{name}[{index}].{field}"), Some(value.position()), message);
            report.push(violation.with_hint(format!("the first one is at line {}", first.line)));
        }
    }
}

#[cfg(test)]
mod tests;
