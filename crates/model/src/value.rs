//! Values of fields after decoding: defaults filled in, references still text until [`Record::filled`].
//!
//! Owns: what a value is, where the references in it are, and how they are filled in. Must not know: fields' rules
//! (`decode` does), where values come from. Typed entities and plugin configurations are read from a [`Record`] by
//! serde: [`Record::read`].

mod de;

use std::fmt::{self, Debug, Formatter};
use std::ops::Deref;

use postern_secrets::{Secret, Template};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::field::Schema;

/// A text of a configuration. It may have come out of a vault, so it is neither printed nor serialised, and wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Secret);

impl Text {
    /// The text. Do not log it, nor copy it into what outlives its use.
    pub fn as_str(&self) -> &str {
        self.0.expose()
    }

    /// The same as a secret.
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Secret::from(text))
    }
}

impl From<Secret> for Text {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

impl Debug for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self)
    }
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not given, and without a default.
    Null,
    /// A truth.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text without references, or filled in.
    Text(Text),
    /// A text with references.
    Pending(Template),
    /// A list or set.
    List(Vec<Value>),
    /// Names of one's own, in the order of the file.
    Map(Vec<(Box<str>, Value)>),
    /// A mapping with known fields.
    Record(Record),
}

/// Values by the names of their fields, in the order of the field list.
#[derive(Clone, Default)]
pub struct Record {
    fields: Vec<(&'static str, Value)>,
    /// What it was read by, so that it can be checked again when its references are filled in.
    schema: Option<&'static Schema>,
}

impl Record {
    /// From its fields, in order.
    pub fn new(fields: Vec<(&'static str, Value)>) -> Self {
        Self { fields, schema: None }
    }

    /// From its fields, in the order of the list that they were read by.
    pub(crate) fn of(schema: &'static Schema, fields: Vec<(&'static str, Value)>) -> Self {
        Self { fields, schema: Some(schema) }
    }

    /// What it was read by: an entity and the `config` of a plugin know it, the records inside them do not.
    pub fn schema(&self) -> Option<&'static Schema> {
        self.schema
    }

    pub(crate) fn into_fields(self) -> Vec<(&'static str, Value)> {
        self.fields
    }

    /// The fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.fields.iter().map(|(name, value)| (*name, value))
    }

    /// A field that is there and not null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .filter(|value| **value != Value::Null)
    }

    /// Sets a field, or adds it.
    pub fn set(&mut self, name: &'static str, value: Value) {
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name, value)),
        }
    }

    /// A record among the fields.
    pub fn record(&self, name: &str) -> Option<&Self> {
        match self.get(name) {
            Some(Value::Record(record)) => Some(record),
            _ => None,
        }
    }

    /// A text among the fields, without references.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Every text with references, in the order in which [`Record::filled`] takes their values.
    pub fn templates(&self) -> Vec<&Template> {
        let mut templates = Vec::new();
        self.fields.iter().for_each(|(_, value)| value.collect(&mut templates));
        templates
    }

    /// The same record with the texts in place of [`Record::templates`]. What is missing stays as it is.
    #[must_use]
    pub fn filled(&self, texts: &[Secret]) -> Self {
        self.filled_from(&mut texts.iter())
    }

    fn filled_from<'a>(&self, texts: &mut impl Iterator<Item = &'a Secret>) -> Self {
        let fields = self.fields.iter().map(|(name, value)| (*name, value.filled(texts))).collect();
        Self { fields, schema: self.schema }
    }

    /// As JSON, every field with its value or null, references as they are written. Credentials are in it too: it is
    /// for whoever may see them.
    pub fn to_json(&self) -> serde_json::Value {
        self.fields().map(|(name, value)| (name.to_owned(), value.to_json())).collect()
    }

    /// As a type of Rust's, by serde: a struct with a field of the same name for each that is of interest.
    ///
    /// # Errors
    /// Where a value is not of the type that the struct wants, which the field list should have seen to.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        T::deserialize(de::RecordDe(self)).map_err(|error| error.to_string())
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Debug for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.fields()).finish()
    }
}

impl Value {
    /// Whether it holds a text with references.
    pub fn is_pending(&self) -> bool {
        match self {
            Self::Pending(_) => true,
            Self::List(items) => items.iter().any(Self::is_pending),
            Self::Map(entries) => entries.iter().any(|(_, value)| value.is_pending()),
            Self::Record(record) => record.fields.iter().any(|(_, value)| value.is_pending()),
            _ => false,
        }
    }

    /// As JSON, as [`Record::to_json`]. Whole numbers are written without a point.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::{Number, Value as Json};
        match self {
            Self::Null => Json::Null,
            Self::Boolean(truth) => (*truth).into(),
            Self::Integer(number) => (*number).into(),
            #[expect(clippy::cast_possible_truncation, reason = "whole, and small enough to be exact")]
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => (*number as i64).into(),
            Self::Number(number) => Number::from_f64(*number).map_or(Json::Null, Into::into),
            Self::Text(text) => text.as_str().into(),
            Self::Pending(template) => template.to_string().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(entries) => {
                entries.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect()
            }
            Self::Record(record) => record.to_json(),
        }
    }

    /// The text, without references.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    fn collect<'a>(&'a self, templates: &mut Vec<&'a Template>) {
        match self {
            Self::Pending(template) => templates.push(template),
            Self::List(items) => items.iter().for_each(|item| item.collect(templates)),
            Self::Map(entries) => entries.iter().for_each(|(_, value)| value.collect(templates)),
            Self::Record(record) => record.fields.iter().for_each(|(_, value)| value.collect(templates)),
            _ => {}
        }
    }

    fn filled<'a>(&self, texts: &mut impl Iterator<Item = &'a Secret>) -> Self {
        match self {
            Self::Pending(_) => {
                texts.next().map_or_else(|| self.clone(), |text| Self::Text(Text::from(text.clone())))
            }
            Self::List(items) => Self::List(items.iter().map(|item| item.filled(texts)).collect()),
            Self::Map(entries) => {
                Self::Map(entries.iter().map(|(key, value)| (key.clone(), value.filled(texts))).collect())
            }
            Self::Record(record) => Self::Record(record.filled_from(texts)),
            _ => self.clone(),
        }
    }
}
