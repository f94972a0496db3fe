//! A mapping of the document → a [`Record`] by a field list: every default filled in, every violation noted.
//!
//! Owns: which fields are there, unknown and missing ones. `decode/value` reads one value by its type, `decode/rule`
//! checks it, `decode/default` knows what a field is when it is not given, `decode/shorthand` moves older names to
//! where they belong now, `decode/merge` lays one mapping over another, and `decode/verify` checks a record again once
//! its references are filled in. Must not know: entities. Data goes on to `check`, which resolves what refers to what.

pub(crate) mod default;
pub(crate) mod merge;
pub(crate) mod rule;
mod shorthand;
mod value;
pub(crate) mod verify;

pub(crate) use shorthand::{older_names, with_older_names};

use postern_secrets::nearest::did_you_mean;

use crate::document::{CONCEALED, Key, Node, Value as NodeValue};
use crate::field::{Check, Field, Schema};
use crate::path::{self, Step};
use crate::value::{Record, Value};
use crate::violation::{Position, Report, Violation};

/// No record has nearly as many; beyond it, naming each unknown one would take long.
const MAX_FIELDS: usize = 256;

/// How an entity is to be read.
pub(crate) struct Plan<'a> {
    /// Its path.
    pub(crate) path: &'a str,
    /// Its fields and checks.
    pub(crate) schema: &'static Schema,
    /// A field whose own fields are not in the list, because they depend on another: `config` of a plugin.
    pub(crate) inner: Option<(&'static str, &'static Schema)>,
    /// Names that are no fields but read elsewhere: entities that are nested in this one.
    pub(crate) others: &'a [&'static str],
    /// Fields that come from elsewhere where they are not given, so that nobody misses them.
    pub(crate) given: &'a [&'static str],
}

/// Reads an entity. The record has every field, also where some of them are wrong; the flag says whether none is.
pub(crate) fn decode(node: &Node, plan: &Plan<'_>, report: &mut Report) -> (Record, bool) {
    let mut decoder = Decoder { plan, steps: Vec::new(), report, failures: 0 };
    let record = decoder.record(Some(node), node.position(), plan.schema, true);
    let sound = decoder.failures == 0;
    (record, sound)
}

/// A walk through one entity.
struct Decoder<'a, 'r> {
    plan: &'a Plan<'a>,
    steps: Vec<Step<'a>>,
    report: &'r mut Report,
    /// How many violations were noted, or left to others to note.
    failures: usize,
}

impl<'a> Decoder<'a, '_> {
    /// An entity, or the `config` of a plugin; `node` is `None` where it is not given.
    fn record(
        &mut self,
        node: Option<&'a Node>,
        at: Position,
        schema: &'static Schema,
        outer: bool,
    ) -> Record {
        let values = self.fields(node, at, schema.fields, outer, schema.checks);
        Record::of(schema, values)
    }

    /// The fields of any record.
    fn fields(
        &mut self,
        node: Option<&'a Node>,
        at: Position,
        fields: &'static [Field],
        outer: bool,
        checks: &'static [Check],
    ) -> Vec<(&'static str, Value)> {
        let before = self.failures;
        let entries = node.and_then(Node::as_map).unwrap_or_default();
        if entries.len() > MAX_FIELDS {
            self.error(at, format!("more than {MAX_FIELDS} fields"), None);
            return Vec::new();
        }
        for entry in entries {
            self.known(&entry.key, fields, outer);
        }
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            self.steps.push(Step::Key(field.name));
            values.push((field.name, self.field(node, at, field, outer)));
            self.steps.pop();
        }
        if self.failures == before && !checks.is_empty() {
            let record = Record::new(values);
            self.checks(node, at, &record, checks);
            return record.into_fields();
        }
        values
    }

    fn known(&mut self, key: &Key, fields: &'static [Field], outer: bool) {
        let name = &*key.text;
        let others = if outer { self.plan.others } else { &[] };
        let is_known = fields.iter().any(|field| field.name == name) || others.contains(&name);
        if is_known || matches!(name, "_comment" | "_ignore") {
            return;
        }
        let hint = self.report.hint(|| {
            let names = || fields.iter().map(|field| field.name);
            did_you_mean(name, names().chain(others.iter().copied())).filter(|_| !key.concealed).or_else(
                || {
                    (!fields.is_empty())
                        .then(|| format!("the fields are: {}", names().collect::<Vec<_>>().join(", ")))
                },
            )
        });
        let shown = if key.concealed { CONCEALED } else { name };
        let path = path::join(&path::join(self.plan.path, &self.steps), &[Step::Key(shown)]);
        self.failures += 1;
        let violation = Violation::error(path, Some(key.position), "unknown field");
        self.report.push(violation.with_hint_if(hint.flatten()));
    }

    /// One field; the steps end with its name already.
    fn field(&mut self, parent: Option<&'a Node>, at: Position, field: &'static Field, outer: bool) -> Value {
        let inner = self.plan.inner.filter(|(name, _)| outer && *name == field.name);
        let entry = parent.and_then(|parent| parent.entry(field.name));
        let Some(node) = entry.map(|entry| &entry.value).filter(|node| !node.is_null()) else {
            let at = entry.map_or(at, |entry| entry.key.position);
            let is_given = outer && self.plan.given.contains(&field.name);
            return self.absent(at, field, inner.map(|(_, schema)| schema), is_given);
        };
        if let Some((_, schema)) = inner {
            return self.inner(node, schema);
        }
        let before = self.failures;
        let value = self.value(node, field);
        if self.failures > before {
            return value;
        }
        if let Some(reason) = field.unsupported.filter(|_| value != default::of(field)) {
            self.error(node.position(), format!("not supported yet: {reason}"), None);
        }
        value
    }

    /// A field that is not given, or null, which is the same.
    fn absent(
        &mut self,
        at: Position,
        field: &'static Field,
        inner: Option<&'static Schema>,
        is_given: bool,
    ) -> Value {
        if let Some(schema) = inner {
            return Value::Record(self.record(None, at, schema, false));
        }
        if let Some(fields) = default::fields(field) {
            return Value::Record(Record::new(self.fields(None, at, fields, false, &[])));
        }
        let value = default::of(field);
        if value == Value::Null && field.required && !field.auto && !is_given {
            self.error(at, "required field missing", None);
        }
        value
    }

    /// The `config` of a plugin.
    fn inner(&mut self, node: &'a Node, schema: &'static Schema) -> Value {
        if !node.is_mapping() {
            self.expected(node, "a record");
            return Value::Null;
        }
        match shorthand::moved(node, schema.fields) {
            Ok(None) => Value::Record(self.record(Some(node), node.position(), schema, false)),
            Ok(Some(node)) => {
                // The moved names live in a tree of their own, so this part of the walk has steps of its own.
                let path = path::join(self.plan.path, &self.steps);
                let plan = Plan { path: &path, schema, inner: None, others: &[], given: &[] };
                let (record, sound) = decode(&node, &plan, self.report);
                self.failures += usize::from(!sound);
                Value::Record(record)
            }
            Err(shorthand::Twice { position, message }) => {
                self.error(position, message, Some("keep one of the two: they mean the same"));
                Value::Null
            }
        }
    }

    fn checks(&mut self, node: Option<&'a Node>, at: Position, record: &Record, checks: &'static [Check]) {
        for check in checks {
            let Err((field, message)) = rule::check(check, record) else { continue };
            let blamed = node.and_then(|node| field.split('.').try_fold(node, |node, name| node.get(name)));
            let is_custom = matches!(check, Check::Custom(_));
            let message = match is_custom && !self.report.is_full() && node.is_some_and(is_concealed) {
                true => format!("invalid value: {CONCEALED}"),
                false => message,
            };
            let at = blamed.map_or(at, Node::position);
            if field.is_empty() {
                self.error(at, message, None);
            } else {
                let outside = self.steps.len();
                self.steps.extend(field.split('.').map(Step::Key));
                self.error(at, message, None);
                self.steps.truncate(outside);
            }
        }
    }

    fn expected(&mut self, node: &Node, expected: &str) {
        let hint = crate::entity::quote_hint(node, expected);
        self.error(node.position(), format!("expected {expected}, got {}", node.type_name()), hint);
    }

    fn error(&mut self, at: Position, message: impl Into<String>, hint: Option<&str>) {
        self.failures += 1;
        if self.report.is_full() {
            // Spelling the path is what costs.
            self.report.push(Violation::error("", None, ""));
            return;
        }
        let path = path::join(self.plan.path, &self.steps);
        self.report.push(Violation::error(path, Some(at), message).with_hint_if(hint));
    }
}

/// Whether some text in it came out of the environment.
fn is_concealed(node: &Node) -> bool {
    match node.value() {
        NodeValue::Scalar(scalar) => scalar.concealed,
        NodeValue::List(items) => items.iter().any(is_concealed),
        NodeValue::Map(entries) => {
            entries.iter().any(|entry| entry.key.concealed || is_concealed(&entry.value))
        }
    }
}

#[cfg(test)]
mod tests;
