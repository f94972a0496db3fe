//! The tree of a document: every value with the place where it was written.
//!
//! Owns: what a value is and how it is shown in messages. Must not know: YAML's syntax, entities. `yaml` builds it,
//! `root` and `check` read it.
//!
//! An alias shares the subtree it names, so a walk may meet a node more than once; [`Node::size`] counts it each time.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use serde_json::Number;

use crate::violation::Position;

/// A value in a document. Cloning shares it.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    position: Position,
    size: u64,
    height: usize,
    value: Value,
}

/// What a [`Node`] holds.
#[derive(Clone)]
pub enum Value {
    /// Text, a number, a boolean or null.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file; its keys differ.
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Clone)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// What it stands for.
    pub value: Node,
}

/// A key of a mapping.
#[derive(Clone)]
pub struct Key {
    /// The key itself; merging shares it.
    pub text: Arc<str>,
    /// Where it was written.
    pub position: Position,
    /// Whether it came out of the environment, so that no message may quote it.
    pub concealed: bool,
    /// Whether it is the unquoted `<<`; never in a finished mapping.
    pub(crate) is_merge: bool,
}

/// A text, number, boolean or null.
#[derive(Clone)]
pub struct Scalar {
    /// The text as written, without quotes and with its escapes resolved.
    pub text: Box<str>,
    /// What it means by the core schema of YAML 1.2.
    pub kind: Kind,
    /// Written without quotes and without a tag.
    pub plain: bool,
    /// Whether some of it came out of the environment, so that no message may quote it.
    pub concealed: bool,
}

/// The meaning of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Integer(Number),
    /// Any other number.
    Float(f64),
    /// Everything else, and everything in quotes.
    Text,
}

/// What stands in a message for a text out of the environment.
pub(crate) const CONCEALED: &str = "[masked]";

impl Node {
    pub(crate) fn new(position: Position, value: Value) -> Self {
        let children: &mut dyn Iterator<Item = &Self> = match &value {
            Value::Scalar(_) => &mut std::iter::empty(),
            Value::List(items) => &mut items.iter(),
            Value::Map(entries) => &mut entries.iter().map(|entry| &entry.value),
        };
        let (size, height) = children.fold((1, 1), |(size, height), child| {
            (child.size().saturating_add(size), height.max(child.height() + 1))
        });
        Self(Arc::new(Inner { position, size, height, value }))
    }

    /// Where it was written; for an alias, where the value is.
    pub fn position(&self) -> Position {
        self.0.position
    }

    /// How many values it holds, itself included, with every alias written out.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// A text at a place, in place of one that was written there.
    pub(crate) fn text_at(&self, text: String) -> Self {
        let concealed = self.as_scalar().is_some_and(|scalar| scalar.concealed);
        let scalar = Scalar { text: text.into(), kind: Kind::Text, plain: false, concealed };
        Self::new(self.position(), Value::Scalar(scalar))
    }

    /// A whole number at a place, in place of what was written there.
    pub(crate) fn number_at(&self, number: u64) -> Self {
        let concealed = self.as_scalar().is_some_and(|scalar| scalar.concealed);
        let kind = Kind::Integer(number.into());
        let scalar = Scalar { text: number.to_string().into(), kind, plain: true, concealed };
        Self::new(self.position(), Value::Scalar(scalar))
    }

    /// A truth that nobody wrote, for what stands at this place.
    pub(crate) fn truth_at(&self, truth: bool) -> Self {
        let (kind, text) = (Kind::Bool(truth), truth.to_string().into());
        Self::new(self.position(), Value::Scalar(Scalar { text, kind, plain: true, concealed: false }))
    }

    /// How many levels it has, itself included.
    pub(crate) fn height(&self) -> usize {
        self.0.height
    }

    /// What it holds.
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self.value() {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a mapping.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match self.value() {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match self.value() {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        self.as_scalar().filter(|scalar| scalar.kind == Kind::Text).map(|scalar| &*scalar.text)
    }

    /// The truth that it says to a boolean field: `true`, `false`, or an unquoted `yes`, `no`, `on`, `off`, which are
    /// truths in YAML 1.1 and plain text in YAML 1.2. (To all other fields `no` is a text, as in `country: no`.)
    pub fn as_truth(&self) -> Option<bool> {
        let scalar = self.as_scalar()?;
        match (&scalar.kind, &*scalar.text) {
            (Kind::Bool(truth), _) => Some(*truth),
            (Kind::Text, "yes" | "Yes" | "YES" | "on" | "On" | "ON") if scalar.plain => Some(true),
            (Kind::Text, "no" | "No" | "NO" | "off" | "Off" | "OFF") if scalar.plain => Some(false),
            _ => None,
        }
    }

    /// Whether it is null, which everywhere means the same as leaving it out.
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|scalar| scalar.kind == Kind::Null)
    }

    /// Whether it is a mapping, or `[]`: with nothing in them, a list and a mapping are one thing, as they are in Lua.
    pub(crate) fn is_mapping(&self) -> bool {
        match self.value() {
            Value::Map(_) => true,
            Value::List(items) => items.is_empty(),
            Value::Scalar(_) => false,
        }
    }

    /// The items of a list; of `{}` none.
    pub fn items(&self) -> Option<&[Self]> {
        match self.value() {
            Value::List(items) => Some(items),
            Value::Map(entries) if entries.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The entry with this key, if it is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.as_map()?.iter().find(|entry| &*entry.key.text == key)
    }

    /// The value of this key, if it is a mapping that has it and it is not null.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    /// What it is, for `expected a string, got ...`.
    pub fn type_name(&self) -> &'static str {
        match self.value() {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => "null",
                Kind::Bool(_) => "a boolean",
                Kind::Integer(_) => "an integer",
                Kind::Float(_) => "a number",
                Kind::Text => "a string",
            },
        }
    }

    /// Its text for a message: never one that came out of the environment.
    pub(crate) fn shown(&self) -> &str {
        match self.value() {
            Value::Scalar(scalar) if scalar.concealed => CONCEALED,
            Value::Scalar(scalar) => &scalar.text,
            _ => self.type_name(),
        }
    }

    /// What came as JSON, as if it had been written at the first character of a file.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let at = Position::START;
        let scalar = |kind: Kind, text: String, plain| {
            Value::Scalar(Scalar { text: text.into(), kind, plain, concealed: false })
        };
        let value = match json {
            Json::Null => scalar(Kind::Null, "null".to_owned(), true),
            Json::Bool(truth) => scalar(Kind::Bool(*truth), truth.to_string(), true),
            Json::Number(number) => {
                let kind = match number.as_f64() {
                    Some(float) if number.is_f64() => Kind::Float(float),
                    _ => Kind::Integer(number.clone()),
                };
                scalar(kind, number.to_string(), true)
            }
            Json::String(text) => scalar(Kind::Text, text.clone(), false),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(entries) => {
                let entry = |(key, value): (&String, &Json)| Entry {
                    key: Key::made(key, at),
                    value: Self::from_json(value),
                };
                Value::Map(entries.iter().map(entry).collect())
            }
        };
        Self::new(at, value)
    }

    /// The same value as JSON. Numbers that JSON cannot hold (`.inf`, `.nan`) become their text.
    pub fn to_json(&self) -> serde_json::Value {
        match self.value() {
            Value::Scalar(scalar) => scalar.to_json(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.text.to_string(), entry.value.to_json())).collect()
            }
        }
    }
}

impl Key {
    /// Another key at the same place.
    pub(crate) fn renamed(&self, text: &str) -> Self {
        Self { text: text.into(), concealed: false, is_merge: false, position: self.position }
    }

    /// A key that nobody wrote, for what stands at this place.
    pub(crate) fn made(text: &str, position: Position) -> Self {
        Self { text: text.into(), concealed: false, is_merge: false, position }
    }

    /// The key for a message: never one that came out of the environment.
    pub(crate) fn shown(&self) -> &str {
        if self.concealed { CONCEALED } else { &self.text }
    }
}

impl Scalar {
    fn to_json(&self) -> serde_json::Value {
        let text = || serde_json::Value::String(self.text.to_string());
        match &self.kind {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool(value) => (*value).into(),
            Kind::Integer(number) => number.clone().into(),
            Kind::Float(value) => Number::from_f64(*value).map_or_else(text, Into::into),
            Kind::Text => text(),
        }
    }
}

/// The shape without any text: a document may hold secrets in clear.
impl Debug for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (kind, size) = (self.type_name(), self.size());
        write!(f, "<{kind} at {}, {size} values>", self.position())
    }
}
