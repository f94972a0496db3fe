//! Every `{vault://...}` in a document, whatever the entity.
//!
//! Owns: that each is well-formed and names a vault that exists. Must not know: which fields make use of it, what it
//! resolves to.

use std::collections::HashSet;

use postern_secrets::nearest::did_you_mean;
use postern_secrets::{Kind, Reference, Template};

use crate::document::{Document, Node, Scalar, Value};
use crate::entity::vault;
use crate::path::{self, Step};
use crate::violation::{Position, Report, Violation};

/// Among more vaults than this the one that was meant is not looked for.
const MAX_CANDIDATES: usize = 500;

/// Walks the whole document.
pub(super) fn check(document: &Document, report: &mut Report) {
    let declared =
        document.collection(vault::COLLECTION).iter().filter_map(|vault| vault.get("prefix")?.as_str());
    let mut walk = Walk { declared: Some(declared.collect()), path: Vec::new(), report };
    walk.node(&document.root);
}

/// The same of one entity, of which only the form of its references can be judged.
pub(super) fn malformed(node: &Node, report: &mut Report) {
    let mut walk = Walk { declared: None, path: Vec::new(), report };
    walk.node(node);
}

struct Walk<'a> {
    /// The prefixes that there are, where that is known.
    declared: Option<HashSet<&'a str>>,
    path: Vec<Step<'a>>,
    report: &'a mut Report,
}

impl<'a> Walk<'a> {
    fn node(&mut self, node: &'a Node) {
        match node.value() {
            Value::Scalar(scalar) => self.scalar(scalar, node.position()),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.step(Step::Index(index), item);
                }
            }
            Value::Map(entries) => {
                let meant =
                    entries.iter().filter(|entry| !matches!(&*entry.key.text, "_comment" | "_ignore"));
                for entry in meant {
                    self.step(Step::Key(entry.key.shown()), &entry.value);
                }
            }
        }
    }

    fn step(&mut self, step: Step<'a>, node: &'a Node) {
        self.path.push(step);
        self.node(node);
        self.path.pop();
    }

    fn scalar(&mut self, scalar: &Scalar, position: Position) {
        if !Template::has_reference(&scalar.text) {
            return;
        }
        match Template::parse(&scalar.text) {
            Ok(template) => {
                template.references().for_each(|reference| self.reference(reference, scalar, position))
            }
            Err(error) => {
                let message = match scalar.concealed {
                    true => "not a reference, in a text out of the environment".to_owned(),
                    false => error.to_string(),
                };
                self.report.push(
                    Violation::error(path::join("", &self.path), Some(position), message)
                        .with_hint(error.hint()),
                );
            }
        }
    }

    fn reference(&mut self, reference: &Reference, scalar: &Scalar, position: Position) {
        let Some(declared) = &self.declared else { return };
        let name = reference.name();
        let unknown = match Kind::parse(name) {
            Ok(_) => return,
            Err(_) if declared.contains(&name) => return,
            Err(unknown) => unknown,
        };
        let shown = if scalar.concealed { crate::document::CONCEALED } else { name };
        let hint = if unknown.known_elsewhere && !scalar.concealed {
            format!("this build has no vault of the kind {name}")
        } else {
            let known = declared.iter().copied().chain(Kind::ALL.map(Kind::name));
            let few = declared.len() <= MAX_CANDIDATES;
            let near = self.report.hint(|| few.then(|| did_you_mean(name, known)).flatten()).flatten();
            near.filter(|_| !scalar.concealed)
                .unwrap_or_else(|| "declare it under vaults, or correct the prefix".to_owned())
        };
        let violation = Violation::warning(
            path::join("", &self.path),
            Some(position),
            format!("could not find vault ({shown})"),
        );
        self.report.push(violation.with_hint(hint));
    }
}
