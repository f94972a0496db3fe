//! Reading the fields of one entity.
//!
//! Owns: unknown fields, types, and the words for what is wrong, which are Kong's where it has some. Must not know:
//! which fields an entity has; its own file says so.

use postern_secrets::nearest::did_you_mean;
use uuid::Uuid;

use crate::document::{Entry, Kind, Node};
use crate::violation::{Position, Report, Violation};

/// A mapping that is being read as an entity.
pub(crate) struct Fields<'a> {
    node: &'a Node,
    path: String,
    report: &'a mut Report,
}

impl<'a> Fields<'a> {
    /// Begins, and notes every field that is not in `known`. `_comment` and `_ignore` are known everywhere.
    pub(crate) fn new(node: &'a Node, path: String, known: &[&str], report: &'a mut Report) -> Self {
        let fields = Self { node, path, report };
        for Entry { key, .. } in node.as_map().unwrap_or_default() {
            if !known.contains(&&*key.text) && !matches!(&*key.text, "_comment" | "_ignore") {
                let hint = did_you_mean(&key.text, known.iter().copied())
                    .filter(|_| !key.concealed)
                    .unwrap_or_else(|| format!("the fields are: {}", known.join(", ")));
                let violation =
                    Violation::error(fields.join(key.shown()), Some(key.position), "unknown field");
                fields.report.push(violation.with_hint(hint));
            }
        }
        fields
    }

    /// A field that is there and not null.
    pub(crate) fn node(&self, name: &str) -> Option<&'a Node> {
        self.node.get(name)
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Option<&'a str> {
        let node = self.node(name)?;
        let text = node.as_str();
        if text.is_none() {
            self.expected(name, node, "a string");
        }
        text
    }

    /// A text that must be there. The field's own place is the entity when it is not.
    pub(crate) fn required_text(&mut self, name: &str) -> Option<&'a str> {
        if self.node(name).is_none() {
            let position = self.node.entry(name).map_or(self.node.position(), |entry| entry.key.position);
            self.report.push(Violation::error(self.join(name), Some(position), "required field missing"));
        }
        self.text(name)
    }

    /// A UUID.
    pub(crate) fn uuid(&mut self, name: &str) -> Option<Uuid> {
        let text = self.text(name)?;
        // Kong takes the form with dashes only.
        let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
        if uuid.is_none() {
            self.error(name, "expected a valid UUID", Some("leave it out: it then follows from the prefix"));
        }
        uuid
    }

    /// A whole number of seconds that is checked and not kept.
    pub(crate) fn timestamp(&mut self, name: &str) {
        let Some(node) = self.node(name) else { return };
        let is_whole = node.as_scalar().is_some_and(|scalar| match scalar.kind {
            Kind::Integer(_) => true,
            Kind::Float(seconds) => seconds.fract() == 0.0,
            _ => false,
        });
        if !is_whole {
            self.expected(name, node, "an integer");
        }
    }

    /// A set of tags, in the order of the file, without repetition.
    pub(crate) fn tags(&mut self) -> Vec<String> {
        let Some(node) = self.node("tags") else { return Vec::new() };
        let Some(items) = node.as_list() else {
            self.expected("tags", node, "a set of strings");
            return Vec::new();
        };
        let mut tags: Vec<String> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("tags[{index}]");
            match item.as_str() {
                None => self.expected(&path, item, "a string"),
                Some(tag) if tag.is_empty() || tag.contains([',', '/']) || tag.contains(char::is_control) => {
                    let message = format!(
                        "invalid tag '{}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences",
                        item.shown()
                    );
                    self.report.push(Violation::error(self.join(&path), Some(item.position()), message));
                }
                Some(tag) if tags.len() < 64 && tags.iter().any(|known| known == tag) => {}
                Some(tag) => tags.push(tag.to_owned()),
            }
        }
        tags
    }

    /// Notes that a field is of another type than it should be.
    pub(crate) fn expected(&mut self, path: &str, node: &Node, expected: &str) {
        let message = format!("expected {expected}, got {}", node.type_name());
        let violation = Violation::error(self.join(path), Some(node.position()), message);
        self.report.push(violation.with_hint_if(quote_hint(node, expected)));
    }

    /// Notes that a field is wrong otherwise.
    pub(crate) fn error(&mut self, name: &str, message: impl Into<String>, hint: Option<&str>) {
        let position = self.node(name).unwrap_or(self.node).position();
        let violation = Violation::error(self.join(name), Some(position), message);
        self.report.push(violation.with_hint_if(hint));
    }

    /// Where the entity begins.
    pub(crate) fn position(&self) -> Position {
        self.node.position()
    }

    /// The path of a field.
    pub(crate) fn join(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// Where violations go that need more than the above.
    pub(crate) fn report(&mut self) -> &mut Report {
        self.report
    }
}

/// What to do about a number, boolean or null where a text should be. The value itself may be a secret, so it is not
/// repeated.
pub(crate) fn quote_hint(node: &Node, expected: &str) -> Option<&'static str> {
    let is_bare = node.as_scalar().is_some_and(|scalar| scalar.plain && scalar.kind != Kind::Text);
    (is_bare && expected.starts_with("a string")).then_some("write the value in quotes")
}
