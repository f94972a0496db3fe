//! The top level of a document: its form, what it says about itself, and its lists of entities.
//!
//! Owns: which top-level names there are and the shape of each. Must not know: what is in an entity. Data goes on to
//! [`crate::check()`].
//!
//! Two forms exist: decK's state file and the DB-less file. They agree on almost everything; a document may use the
//! union of both, and [`Form`] says which one its words belong to.

mod names;

pub(crate) use names::collections;

use postern_secrets::nearest::did_you_mean;

use super::Document;
use super::node::{Kind, Node};
use crate::violation::{Report, Violation};
use names::{META, ONLY_DECK, only_db_less};

/// Which form a document is written in, as far as its top level shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing in it belongs to one form only.
    Either,
    /// decK's state file: it says `_info`, `_workspace`, `_konnect` or `_plugin_configs`.
    Deck,
    /// The DB-less file: it says `_comment`, `_ignore` or `_transform: false`, or lists entities that decK nests.
    DbLess,
    /// Words of both.
    Mixed,
}

/// `_format_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FormatVersion {
    /// `"1.1"`: regular expressions in paths are not marked.
    V1_1,
    /// `"2.1"`: as 1.1.
    V2_1,
    /// `"3.0"`: a path that begins with `~` is a regular expression.
    V3_0,
}

/// What a document says about itself.
#[derive(Clone, Debug)]
pub struct Header {
    /// `_format_version`; `None` when it is missing or wrong, which [`crate::check()`] reports.
    pub version: Option<FormatVersion>,
    /// Which form its words belong to.
    pub form: Form,
    /// `_transform`: whether secrets are in clear and still to be hashed. Yes, unless it says no.
    pub transform: bool,
    /// `_workspace`.
    pub workspace: Option<String>,
    /// `_info.select_tags`: tags that every entity of the document bears besides its own.
    pub select_tags: Vec<String>,
}

/// Sorts the top level of a tree. What is wrong with it goes into the document's report.
pub(super) fn document(root: Node, mut report: Report) -> Document {
    let mut reader = Reader { root: &root, report: &mut report };
    let header = reader.header();
    let collections = reader.collections();
    Document { header, collections, root, report }
}

struct Reader<'a> {
    root: &'a Node,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn header(&mut self) -> Header {
        if self.root.as_map().is_none() {
            self.expected("", self.root, "a mapping with _format_version and lists of entities");
        }
        for (name, ty) in [
            ("_info", "a mapping"),
            ("_konnect", "a mapping"),
            ("_plugin_configs", "a mapping"),
            ("_ignore", "a list"),
            ("_comment", "a string"),
        ] {
            if let Some(node) = self.root.get(name).filter(|node| node.type_name() != ty) {
                self.expected(name, node, ty);
            }
        }
        let (version, transform, select_tags) = (self.version(), self.transform(), self.select_tags());
        let workspace = self.root.get("_workspace").and_then(|node| {
            let text = node.as_str().map(ToOwned::to_owned);
            if text.is_none() {
                self.expected("_workspace", node, "a string");
            }
            text
        });
        Header { version, form: self.form(transform), transform, workspace, select_tags }
    }

    fn version(&mut self) -> Option<FormatVersion> {
        self.root.as_map()?;
        let Some(node) = self.root.get("_format_version") else {
            let position = self.root.entry("_format_version").map(|entry| entry.value.position());
            let violation = Violation::error("_format_version", position, "required field missing");
            self.report.push(violation.with_hint("begin the file with: _format_version: \"3.0\""));
            return None;
        };
        match (node.as_str(), node.as_scalar()) {
            (Some("1.1"), _) => Some(FormatVersion::V1_1),
            (Some("2.1"), _) => Some(FormatVersion::V2_1),
            (Some("3.0"), _) => Some(FormatVersion::V3_0),
            (Some(_), _) => {
                self.error("_format_version", node, "expected one of: 1.1, 2.1, 3.0", "write \"3.0\"");
                None
            }
            (None, Some(scalar)) if matches!(scalar.kind, Kind::Integer(_) | Kind::Float(_)) => {
                let hint = "write it in quotes: _format_version: \"3.0\"";
                self.error("_format_version", node, "Invalid type. Expected: string, given: number", hint);
                None
            }
            _ => {
                self.expected("_format_version", node, "a string");
                None
            }
        }
    }

    fn transform(&mut self) -> bool {
        let Some(node) = self.root.get("_transform") else { return true };
        let truth = node.as_truth();
        if truth.is_none() {
            self.expected("_transform", node, "a boolean");
        }
        truth.unwrap_or(true)
    }

    /// Sorted and without repetition, as decK has them.
    fn select_tags(&mut self) -> Vec<String> {
        let Some(node) = self.root.get("_info").and_then(|info| info.get("select_tags")) else {
            return Vec::new();
        };
        let tags = node.as_list().and_then(|tags| tags.iter().map(Node::as_str).collect::<Option<Vec<_>>>());
        if tags.is_none() {
            self.expected("_info.select_tags", node, "a list of strings");
        }
        let mut tags: Vec<_> = tags.unwrap_or_default().into_iter().map(ToOwned::to_owned).collect();
        tags.sort();
        tags.dedup();
        tags
    }

    fn form(&mut self, transform: bool) -> Form {
        let deck = ONLY_DECK.iter().find_map(|name| self.root.entry(name));
        let db_less = only_db_less().find_map(|name| self.root.entry(name));
        match (deck, db_less) {
            (None, None) if transform => Form::Either,
            (None, _) => Form::DbLess,
            (Some(_), None) if transform => Form::Deck,
            (Some(_), None) => Form::Mixed,
            (Some(deck), Some(db_less)) => {
                let (deck, other) = (&deck.key, &db_less.key);
                let message = format!(
                    "`{}` belongs to decK's form and `{}` to the DB-less form; both are read, but other tools take \
                     one form only",
                    deck.text, other.text
                );
                self.report.push(Violation::warning("", Some(deck.position.max(other.position)), message));
                Form::Mixed
            }
        }
    }

    fn collections(&mut self) -> Vec<(&'static str, Vec<Node>)> {
        let mut found = Vec::new();
        for entry in self.root.as_map().unwrap_or_default() {
            let name = &*entry.key.text;
            if META.contains(&name) {
                continue;
            }
            let Some(known) = collections().find(|known| *known == name) else {
                let hint = self.report.hint(|| {
                    did_you_mean(name, collections().chain(META.iter().copied()))
                        .filter(|_| !entry.key.concealed)
                        .unwrap_or_else(|| "top-level names are services, routes, vaults, ...".to_owned())
                });
                let violation =
                    Violation::error(entry.key.shown(), Some(entry.key.position), "unknown field");
                self.report.push(violation.with_hint_if(hint));
                continue;
            };
            if !entry.value.is_null() {
                found.push((known, self.entities(known, &entry.value)));
            }
        }
        found
    }

    fn entities(&mut self, name: &str, node: &Node) -> Vec<Node> {
        let Some(items) = node.items() else {
            self.expected(name, node, "a list of mappings");
            return Vec::new();
        };
        for (index, item) in items.iter().enumerate().filter(|(_, item)| item.as_map().is_none()) {
            self.expected(&format!("{name}[{index}]"), item, "a mapping");
        }
        items.to_vec()
    }

    fn expected(&mut self, path: &str, node: &Node, expected: &str) {
        let message = format!("expected {expected}, got {}", node.type_name());
        self.report.push(Violation::error(path, Some(node.position()), message));
    }

    fn error(&mut self, path: &str, node: &Node, message: &str, hint: &str) {
        self.report.push(Violation::error(path, Some(node.position()), message).with_hint(hint));
    }
}
