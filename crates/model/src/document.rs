//! A configuration as written: kong.yaml in decK's form or in the DB-less form, references still text.
//!
//! Owns: the way from bytes to a [`Document`], and the limits on it. Must not know: what an entity means, where the
//! bytes came from, the process environment. Data goes on to [`crate::check()`].

mod deck_env;
mod node;
mod origin;
mod root;
mod text;
mod yaml;

pub use deck_env::render;
pub(crate) use node::CONCEALED;
pub use node::{Entry, Key, Kind, Node, Scalar, Value};
pub use origin::Rendered;
pub(crate) use root::collections;
pub use root::{Form, FormatVersion, Header};
pub use text::{MAX_BYTES, refuse_size};
pub use yaml::{MAX_DEPTH, MAX_NODES};

use crate::violation::{Position, Report, Violation};

/// A document that is well-formed YAML. Whether it makes sense is for [`crate::check()`] to say.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it says about itself: version, form, `_info` and the like.
    pub header: Header,
    /// Every top-level list of entities, by its name, in the order of the file.
    pub collections: Vec<(&'static str, Vec<Node>)>,
    /// The whole tree.
    pub root: Node,
    /// What is wrong so far without hiding the rest: shapes, unknown names, warnings.
    pub(crate) report: Report,
}

impl Document {
    /// What entities that stand in no file share: nothing.
    pub(crate) fn none() -> Self {
        let header = Header {
            version: Some(FormatVersion::V3_0),
            form: Form::Either,
            transform: true,
            workspace: None,
            select_tags: Vec::new(),
        };
        let root = Node::new(Position::START, Value::Map(Vec::new()));
        Self { header, collections: Vec::new(), root, report: Report::default() }
    }

    /// The entities of one top-level list, such as `vaults`; none where there is no such list.
    pub fn collection(&self, name: &str) -> &[Node] {
        self.collections.iter().find(|(known, _)| *known == name).map_or(&[], |(_, nodes)| nodes)
    }

    /// What is wrong so far: for those who go on without [`crate::check()`], because they know other entities.
    pub fn violations(&self) -> Vec<Violation> {
        self.report.clone().finish()
    }
}

/// Reads a document. `env` answers `${{ env "DECK_X" }}`; this crate never looks at the environment itself.
///
/// # Errors
/// Whatever leaves no tree to check: too large, not UTF-8, broken templates, broken YAML, a limit. Violations that
/// leave a tree (a key that stands twice, an unknown name, a list that is none) wait in the document for [`crate::check()`], so that
/// one run tells all of them.
pub fn read(bytes: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Document, Vec<Violation>> {
    let mut report = Report::default();
    match tree(bytes, env, &mut report) {
        Some(root) => Ok(root::document(root, report)),
        None => Err(report.finish()),
    }
}

fn tree(bytes: &[u8], env: &dyn Fn(&str) -> Option<String>, report: &mut Report) -> Option<Node> {
    let source = text::decode(bytes, report)?;
    let rendered = deck_env::render_into(source, env, report)?;
    if !text::only_printable(&rendered, report) {
        return None;
    }
    yaml::load(&rendered, report)
}

#[cfg(test)]
pub(crate) mod tests;
