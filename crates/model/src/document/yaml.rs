//! Text → a tree of [`Node`]s, from the events of a YAML parser.
//!
//! Owns: the limits (depth, number of values with every alias written out), duplicate keys, merge keys, tags, one
//! document a file. Must not know: what the tree means. Data goes on to `root`. JSON is YAML, so it comes this way too.
//!
//! What breaks the syntax or a limit ends the reading; what leaves a tree is noted and read past.

mod json;
mod merge;
mod scalar;

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScanError, Span, Tag};

use super::node::{Entry, Key, Kind, Node, Scalar, Value};
use super::origin::Rendered;
use crate::violation::{Position, Report, Violation};

/// How deep values may nest.
pub const MAX_DEPTH: usize = 128;

/// How many values a document may hold, with every alias written out.
pub const MAX_NODES: u64 = 4_000_000;

/// Reads the one document of a text; `None` when it cannot be read on.
pub(super) fn load(rendered: &Rendered<'_>, report: &mut Report) -> Option<Node> {
    let mut loader =
        Loader { rendered, report, open: Vec::new(), anchors: HashMap::new(), size: 0, root: None };
    // Rewriting moves columns, by which filled-in text is known again.
    let text = if rendered.is_unchanged() { json::as_yaml(rendered.text()) } else { rendered.text().into() };
    let outcome = loader.run(Parser::new_from_str(&text));
    match (outcome, loader.root) {
        (Ok(()), Some(root)) => Some(root),
        (Ok(()), None) => {
            let hint = "the smallest document is: _format_version: \"3.0\"";
            report.push(Violation::error("", None, "the file is empty").with_hint(hint));
            None
        }
        (Err(violation), _) => {
            report.push(violation);
            None
        }
    }
}

/// A list or mapping whose end has not come yet.
struct Open {
    position: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merges: Vec<Entry>, key: Option<Key> },
}

struct Loader<'a> {
    rendered: &'a Rendered<'a>,
    report: &'a mut Report,
    open: Vec<Open>,
    /// Finished values by their anchor.
    anchors: HashMap<usize, Node>,
    /// Values so far, with every alias written out.
    size: u64,
    root: Option<Node>,
}

impl Loader<'_> {
    fn run(&mut self, mut parser: Parser<'_, saphyr_parser::StrInput<'_>>) -> Result<(), Violation> {
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax(&error))?;
            match event {
                Event::DocumentStart(_) if documents == 1 => {
                    let message = "a second document begins here; a file holds one";
                    return Err(self.fatal(span, message).with_hint("split the file at the line `---`"));
                }
                Event::DocumentStart(_) => documents += 1,
                Event::Scalar(text, style, anchor, tag) => {
                    let plain = style == saphyr_parser::ScalarStyle::Plain;
                    self.scalar(&text, plain, anchor, tag.as_deref(), span)?;
                }
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::SequenceStart(anchor, tag) => {
                    self.check_tag(tag.as_deref(), "seq", span);
                    self.start(span, anchor, Content::List(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.check_tag(tag.as_deref(), "map", span);
                    let content = Content::Map { entries: Vec::new(), merges: Vec::new(), key: None };
                    self.start(span, anchor, content)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end()?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        unquoted: bool,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Violation> {
        let kind = match (tag, unquoted) {
            (None, true) => scalar::core_schema(text),
            (None, false) => Kind::Text,
            (Some(tag), _) => self.tagged(text, tag, span),
        };
        let (position, concealed) = (self.position(span), self.conceals(span));
        let plain = unquoted && tag.is_none();
        let scalar = Scalar { text: text.into(), kind, plain, concealed };
        if self.wants_key() {
            if anchor != 0 {
                self.anchors.insert(anchor, Node::new(position, Value::Scalar(scalar.clone())));
            }
            self.key(scalar, position);
            return Ok(());
        }
        self.add(Node::new(position, Value::Scalar(scalar)), anchor, span)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Violation> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(self.fatal(span, "the alias stands inside the value that it names"));
        };
        if self.wants_key() {
            let Some(scalar) = node.as_scalar().cloned() else { return Err(self.no_complex_key(span)) };
            let position = self.position(span);
            self.key(scalar, position);
            return Ok(());
        }
        if self.open.len() + node.height() > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        self.add(node, 0, span)
    }

    fn start(&mut self, span: Span, anchor: usize, content: Content) -> Result<(), Violation> {
        if self.wants_key() {
            return Err(self.no_complex_key(span));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        let position = self.position(span);
        self.open.push(Open { position, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Violation> {
        // The parser's events are balanced; if they were not, there would be nothing to end.
        let Some(Open { position, anchor, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, merges, .. } => {
                let entries = merge::without_duplicates(entries, self.report);
                let (entries, added) = merge::merge(entries, &merges, self.report);
                self.size = self.size.saturating_add(added);
                Value::Map(entries)
            }
        };
        let node = Node::new(position, value);
        self.size += 1;
        self.put(node, anchor)
    }

    /// A finished value that is counted with all it holds.
    fn add(&mut self, node: Node, anchor: usize, span: Span) -> Result<(), Violation> {
        self.size = self.size.saturating_add(node.size());
        if self.size > MAX_NODES {
            return Err(too_large(self.position(span)));
        }
        self.put(node, anchor)
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Violation> {
        if self.size > MAX_NODES {
            return Err(too_large(node.position()));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, merges, key }) => {
                if let Some(key) = key.take() {
                    let is_merge = key.is_merge;
                    let entry = Entry { key, value: node };
                    if is_merge { merges.push(entry) } else { entries.push(entry) }
                }
            }
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, scalar: Scalar, position: Position) {
        let is_merge = scalar.plain && &*scalar.text == merge::KEY;
        if scalar.kind != Kind::Text {
            let Scalar { text, concealed, .. } = &scalar;
            let hint = (!concealed).then(|| format!("write it in quotes: \"{text}\""));
            let message = "a key must be a string";
            self.report.push(Violation::error("", Some(position), message).with_hint_if(hint));
        }
        let Some(Open { content: Content::Map { key, .. }, .. }) = self.open.last_mut() else { return };
        *key = Some(Key { text: scalar.text.into(), position, concealed: scalar.concealed, is_merge });
    }

    fn tagged(&mut self, text: &str, tag: &Tag, span: Span) -> Kind {
        if tag.handle.is_empty() && tag.suffix == "!" {
            return Kind::Text;
        }
        if !tag.is_yaml_core_schema() {
            self.check_tag(Some(tag), "", span);
            return Kind::Text;
        }
        scalar::tagged(text, &tag.suffix).unwrap_or_else(|| {
            self.check_tag(Some(tag), "", span);
            Kind::Text
        })
    }

    /// Notes a tag other than the one that says what the value is anyway.
    fn check_tag(&mut self, tag: Option<&Tag>, own: &str, span: Span) {
        let Some(tag) = tag else { return };
        let is_own = tag.is_yaml_core_schema() && tag.suffix == own;
        let is_nothing = tag.handle.is_empty() && tag.suffix == "!";
        if !is_own && !is_nothing {
            let message = if scalar::TAGS.contains(&tag.suffix.as_str()) && tag.is_yaml_core_schema() {
                "the value is not what its tag says"
            } else {
                "the tag is not supported"
            };
            let hint = "leave the tag out; the tags of YAML's core schema are !!str, !!int, !!float, !!bool, \
                        !!null, !!seq and !!map";
            self.report.push(Violation::error("", Some(self.position(span)), message).with_hint(hint));
        }
    }

    fn position(&self, span: Span) -> Position {
        self.rendered.position(span.start.line(), span.start.col())
    }

    fn conceals(&self, span: Span) -> bool {
        let place = |marker: saphyr_parser::Marker| (marker.line(), marker.col());
        self.rendered.conceals_between(place(span.start), place(span.end))
    }

    fn fatal(&self, span: Span, message: &str) -> Violation {
        Violation::error("", Some(self.position(span)), message)
    }

    fn too_deep(&self, span: Span) -> Violation {
        self.fatal(span, &format!("values nest deeper than {MAX_DEPTH} levels"))
    }

    fn no_complex_key(&self, span: Span) -> Violation {
        self.fatal(span, "a key must be a string, not a list or a mapping")
    }

    fn syntax(&self, error: &ScanError) -> Violation {
        let (line, column) = (error.marker().line(), error.marker().col());
        if error.info() == "recursion limit exceeded" {
            return self.too_deep(Span::empty(*error.marker()));
        }
        let concealed = self.rendered.conceals_between((line, column), (line, column + 1));
        // The parser quotes at most the character it did not expect, and that after a colon.
        let info = if concealed { error.info().split(':').next().unwrap_or_default() } else { error.info() };
        let violation =
            Violation::error("", Some(self.rendered.position(line, column)), format!("broken YAML: {info}"));
        if concealed || self.rendered.conceals_between((line, 0), (line, column + 1)) {
            return violation.with_hint(
                "the text here comes out of the environment: put the template in quotes, or use indent for several lines",
            );
        }
        violation
    }
}

fn too_large(position: Position) -> Violation {
    let message = format!("more than {MAX_NODES} values, with every alias written out");
    Violation::error("", Some(position), message)
}
