//! A vault's `config`: from the document to `postern_secrets`, and its errors back to their lines.
//!
//! Owns: the translation both ways. Must not know: which fields a kind has, or what is wrong with one.

use std::collections::BTreeMap;

use postern_secrets::settings::FieldError;
use postern_secrets::{Kind, Settings, Template, field};
use serde_json::{Map, Value as Json};

use crate::document::{CONCEALED, Entry, Node};
use crate::entity::Fields;
use crate::entity::fields::quote_hint;
use crate::violation::{Position, Violation};

/// No kind of vault has nearly as many; beyond it, naming each unknown one would take long.
const MAX_FIELDS: usize = 256;

/// Checks the `config` of a vault; `None` when it has errors.
pub(super) fn check(kind: Kind, fields: &mut Fields<'_>) -> Option<Settings> {
    let config = fields.node("config");
    if let Some(node) = config.filter(|node| node.as_map().is_none()) {
        fields.expected("config", node, "a record");
        return None;
    }
    let entries = config.and_then(Node::as_map).unwrap_or_default();
    if entries.len() > MAX_FIELDS {
        fields.error("config", format!("more than {MAX_FIELDS} fields"), None);
        return None;
    }
    match Settings::from_entity(kind, &to_json(kind, entries)) {
        Ok(settings) => Some(settings),
        Err(errors) => {
            for error in errors.iter().filter(|error| !is_malformed_reference(error, entries)) {
                let violation = violation(error, entries, fields);
                fields.report().push(violation);
            }
            None
        }
    }
}

/// Where each field was given.
pub(super) fn positions(vault: &Node) -> BTreeMap<String, Position> {
    let entries = vault.get("config").and_then(Node::as_map).unwrap_or_default();
    entries.iter().map(|entry| (entry.key.text.to_string(), entry.value.position())).collect()
}

fn to_json(kind: Kind, entries: &[Entry]) -> Map<String, Json> {
    let is_boolean = |name: &str| kind.field(name).is_some_and(|field| field.ty == field::Type::Boolean);
    let value = |entry: &Entry| match entry.value.as_truth().filter(|_| is_boolean(&entry.key.text)) {
        Some(truth) => truth.into(),
        None => entry.value.to_json(),
    };
    entries.iter().map(|entry| (entry.key.text.to_string(), value(entry))).collect()
}

fn violation(error: &FieldError, entries: &[Entry], fields: &Fields<'_>) -> Violation {
    let FieldError { field, message, hint } = error;
    let Some(Entry { key, value }) = entries.iter().find(|entry| *entry.key.text == *field) else {
        let position = fields.node("config").map_or_else(|| fields.position(), Node::position);
        let violation = Violation::error(fields.join(&format!("config.{field}")), Some(position), message);
        return violation.with_hint_if(hint.clone());
    };
    let path = fields.join(&format!("config.{}", key.shown()));
    let position = if message == "unknown field" { key.position } else { value.position() };
    let mut message = without_environment(message, value);
    let expected =
        message.strip_prefix("expected ").filter(|rest| rest.starts_with('a')).map(ToOwned::to_owned);
    if expected.is_some() {
        message = format!("{message}, got {}", value.type_name());
    }
    let hint = hint.as_deref().filter(|_| !key.concealed);
    let hint = hint.or_else(|| quote_hint(value, expected.as_deref().unwrap_or_default()));
    Violation::error(path, Some(position), message).with_hint_if(hint)
}

/// Malformed references are told for the whole document at once, by `check`.
fn is_malformed_reference(error: &FieldError, entries: &[Entry]) -> bool {
    let value = entries.iter().find(|entry| *entry.key.text == *error.field).map(|entry| &entry.value);
    let text = value.and_then(Node::as_str).filter(|text| Template::has_reference(text));
    text.is_some_and(|text| Template::parse(text).is_err())
}

/// A message about a value out of the environment must not repeat it: only those that never quote are kept.
fn without_environment(message: &str, value: &Node) -> String {
    const QUOTE_NOTHING: [&str; 5] = ["expected ", "must ", "required ", "unknown field", "value should be "];
    let is_concealed = value.as_scalar().is_some_and(|scalar| scalar.concealed);
    match is_concealed && !QUOTE_NOTHING.iter().any(|start| message.starts_with(start)) {
        true => format!("invalid value: {CONCEALED}"),
        false => message.to_owned(),
    }
}
