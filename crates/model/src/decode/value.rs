//! One value of the document, by the type of its field.
//!
//! Owns: what each type takes, and the words for what it does not. Must not know: what is between fields.

use std::collections::HashSet;

use postern_secrets::Template;

use super::{Decoder, is_concealed, rule};
use crate::document::{CONCEALED, Kind, Node, Value as NodeValue};
use crate::field::{Field, Rule, Type};
use crate::path::Step;
use crate::value::{Record, Text, Value};

impl<'a> Decoder<'a, '_> {
    /// A value that is there. Where it is wrong, that is noted, and the value is null.
    pub(super) fn value(&mut self, node: &'a Node, field: &'static Field) -> Value {
        let before = self.failures;
        let value = match field.ty {
            Type::String => self.text(node),
            Type::Boolean => {
                node.as_truth().map(Value::Boolean).unwrap_or_else(|| self.wrong(node, "a boolean"))
            }
            Type::Integer => self.integer(node),
            Type::Number => self.number(node),
            Type::Array(element) => self.list(node, element, "a list"),
            Type::Set(element) => self.list(node, element, "a set"),
            Type::Map(keys, values) => self.map(node, keys, values),
            Type::Record(fields) if node.is_mapping() => {
                Value::Record(Record::new(self.fields(Some(node), node.position(), fields, false, &[])))
            }
            Type::Record(_) => self.wrong(node, "a record"),
            Type::Foreign(collection) => self.foreign(node, collection),
            Type::Any => self.any(node),
        };
        if self.failures == before {
            self.rules(node, field.rules, &value);
        }
        value
    }

    /// Notes the first rule that does not hold. Rules wait for references to be filled in.
    fn rules(&mut self, node: &Node, rules: &[Rule], value: &Value) {
        if rules.is_empty() || value.is_pending() {
            return;
        }
        let broken =
            rules.iter().find_map(|rule| rule::obeys(rule, value).err().map(|message| (rule, message)));
        let Some((rule, message)) = broken else { return };
        let quotes = matches!(rule, Rule::Custom(_));
        let message = match quotes && !self.report.is_full() && is_concealed(node) {
            true => format!("invalid value: {CONCEALED}"),
            false => message,
        };
        self.error(node.position(), message, None);
    }

    fn wrong(&mut self, node: &Node, expected: &str) -> Value {
        self.expected(node, expected);
        Value::Null
    }

    fn text(&mut self, node: &Node) -> Value {
        match node.as_str() {
            Some(text) => self.text_or_reference(text),
            None => self.wrong(node, "a string"),
        }
    }

    fn text_or_reference(&mut self, text: &str) -> Value {
        if !Template::has_reference(text) {
            return Value::Text(Text::from(text));
        }
        match Template::parse(text) {
            Ok(template) => Value::Pending(template),
            Err(_) => {
                // `check/references` tells of malformed references, for the whole document.
                self.failures += 1;
                Value::Null
            }
        }
    }

    fn integer(&mut self, node: &Node) -> Value {
        let whole = node.as_scalar().and_then(|scalar| match &scalar.kind {
            Kind::Integer(number) => number.as_i64(),
            #[expect(clippy::cast_possible_truncation, reason = "whole, and small enough to be exact")]
            Kind::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
            _ => None,
        });
        match whole {
            Some(number) => Value::Integer(number),
            None => self.no_number(node, "an integer"),
        }
    }

    fn number(&mut self, node: &Node) -> Value {
        let number = node.as_scalar().and_then(|scalar| match &scalar.kind {
            Kind::Integer(number) => number.as_f64(),
            Kind::Float(number) if number.is_finite() => Some(*number),
            _ => None,
        });
        match number {
            Some(number) => Value::Number(number),
            None => self.no_number(node, "a number"),
        }
    }

    fn no_number(&mut self, node: &Node, expected: &str) -> Value {
        if node.as_str().is_some_and(Template::has_reference) {
            let message = format!("expected {expected}, got {}", node.type_name());
            self.error(node.position(), message, Some("a reference may stand where text is expected"));
            return Value::Null;
        }
        self.wrong(node, expected)
    }

    fn list(&mut self, node: &'a Node, element: &'static Field, kind: &str) -> Value {
        let Some(items) = node.items() else {
            let of = if matches!(element.ty, Type::String) { " of strings" } else { "" };
            return self.wrong(node, &format!("{kind}{of}"));
        };
        let mut values = Vec::with_capacity(items.len());
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            // A set holds each text once; the first counts.
            if kind == "a set" && item.as_str().is_some_and(|text| !seen.insert(text)) {
                continue;
            }
            self.steps.push(Step::Index(index));
            values.push(self.value(item, element));
            self.steps.pop();
        }
        Value::List(values)
    }

    fn map(&mut self, node: &'a Node, keys: &'static Field, values: &'static Field) -> Value {
        if !node.is_mapping() {
            return self.wrong(node, "a map");
        }
        let entries = node.as_map().unwrap_or_default();
        let mut pairs = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = Value::Text(Text::from(&*entry.key.text));
            self.steps.push(Step::Key(entry.key.shown()));
            if let Some(Err(message)) =
                keys.rules.iter().map(|rule| rule::obeys(rule, &key)).find(Result::is_err)
            {
                let shown = if entry.key.concealed { format!("invalid key: {CONCEALED}") } else { message };
                self.error(entry.key.position, shown, None);
            }
            pairs.push((Box::from(&*entry.key.text), self.value(&entry.value, values)));
            self.steps.pop();
        }
        Value::Map(pairs)
    }

    /// `name`, `{name: x}` or `{id: x}`; `check/resolve` finds out who is meant.
    fn foreign(&mut self, node: &'a Node, collection: &'static str) -> Value {
        if let Some(text) = node.as_str() {
            if Template::has_reference(text) {
                self.error(node.position(), "must not be a reference to a secret", None);
                return Value::Null;
            }
            return Value::Text(Text::from(text));
        }
        let Some(entries) = node.as_map() else { return self.wrong(node, "a name or an id") };
        let endpoint = crate::entity::definition(collection).and_then(|definition| definition.endpoint_key);
        let known = |name: &&'static str| entries.iter().any(|entry| *entry.key.text == **name);
        let Some(key) = ["id"].into_iter().chain(endpoint).find(known) else {
            let one_of = endpoint.map_or_else(|| "id".to_owned(), |name| format!("id, {name}"));
            self.error(node.position(), format!("expected a record with one of: {one_of}"), None);
            return Value::Null;
        };
        for entry in entries {
            if !matches!(&*entry.key.text, "id" | "name" | "username" | "custom_id" | "tags") {
                self.steps.push(Step::Key(entry.key.shown()));
                self.error(entry.key.position, "unknown field", None);
                self.steps.pop();
            }
        }
        match node.get(key).and_then(Node::as_str) {
            Some(text) if !Template::has_reference(text) => {
                Value::Record(Record::new(vec![(key, Value::Text(Text::from(text)))]))
            }
            _ => {
                self.error(node.position(), format!("expected a string in {key}"), None);
                Value::Null
            }
        }
    }

    fn any(&mut self, node: &'a Node) -> Value {
        match node.value() {
            NodeValue::Scalar(scalar) => match &scalar.kind {
                Kind::Null => Value::Null,
                Kind::Bool(truth) => Value::Boolean(*truth),
                Kind::Integer(number) => number
                    .as_i64()
                    .map(Value::Integer)
                    .or_else(|| number.as_f64().map(Value::Number))
                    .unwrap_or(Value::Null),
                Kind::Float(number) if number.is_finite() => Value::Number(*number),
                Kind::Float(_) => Value::Text(Text::from(&*scalar.text)),
                Kind::Text => self.text_or_reference(&scalar.text),
            },
            NodeValue::List(items) => Value::List(items.iter().map(|item| self.any(item)).collect()),
            NodeValue::Map(entries) => Value::Map(
                entries.iter().map(|entry| (Box::from(&*entry.key.text), self.any(&entry.value))).collect(),
            ),
        }
    }
}
