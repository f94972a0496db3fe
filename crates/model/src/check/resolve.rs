//! Records → records that refer to each other by identifiers.
//!
//! Owns: identifiers, what refers to what, and that no two entities have what only one may have. Must not know: fields'
//! meanings. Kinds come in an order in which each refers to earlier ones only, so one pass is enough.

use std::collections::HashMap;

use postern_secrets::nearest::did_you_mean;
use uuid::Uuid;

use super::entities::Item;
use super::plugin;
use super::unique::Unique;
use crate::document::{CONCEALED, Node};
use crate::entity::{Definition, MEMBERSHIPS, definitions, id};
use crate::field::Type;
use crate::value::{Record, Text, Value};
use crate::violation::{Report, Violation};

/// Among more entities than this the one that was meant is not looked for.
const MAX_CANDIDATES: usize = 500;

/// Gives every item its identifier, and puts identifiers in place of names. The result has the order of `items`.
pub(super) fn resolve(items: &mut [Item], report: &mut Report) -> Vec<Uuid> {
    let mut by_kind: HashMap<&'static str, Vec<usize>> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        by_kind.entry(item.found.definition.collection).or_default().push(index);
    }
    let mut resolver = Resolver {
        ids: vec![Uuid::nil(); items.len()],
        names: HashMap::new(),
        known: HashMap::new(),
        contents: HashMap::new(),
        unique: Unique::default(),
        report,
    };
    for definition in definitions() {
        for index in by_kind.remove(definition.collection).unwrap_or_default() {
            resolver.item(index, &mut items[index]);
        }
    }
    resolver.ids
}

struct Resolver<'r> {
    /// By the index of the item.
    ids: Vec<Uuid>,
    /// Identifiers by kind and name.
    names: HashMap<&'static str, HashMap<String, Uuid>>,
    /// Identifiers by kind.
    known: HashMap<&'static str, HashMap<Uuid, ()>>,
    /// How many entities without a name say the same.
    contents: HashMap<(&'static str, Vec<String>), usize>,
    unique: Unique,
    report: &'r mut Report,
}

impl Resolver<'_> {
    fn item(&mut self, index: usize, item: &mut Item) {
        let definition = item.found.definition;
        self.foreigners(item);
        if let Some(plugin) = item.plugin {
            plugin::bindings(plugin, &item.record, &item.found.node, &item.found.path, self.report);
        }
        let given = item.record.text("id").and_then(|id| Uuid::try_parse(id).ok());
        let id = given.unwrap_or_else(|| self.identifier(definition, &item.record));
        self.ids[index] = id;
        // Of a plugin that is not there no more is known than that.
        let is_unknown = definition.collection == "plugins" && item.plugin.is_none();
        if is_unknown || !item.record.fields().any(|_| true) {
            return;
        }
        item.record.set("id", Value::Text(Text::from(id.to_string().as_str())));
        if definition.collection != MEMBERSHIPS.collection {
            self.unique.add(definition, &item.record, &item.found, id, given.is_some(), self.report);
        }
        self.known.entry(definition.collection).or_default().insert(id, ());
        if let Some(name) = definition.endpoint_key.and_then(|field| shown(item.record.get(field)?)) {
            self.names.entry(definition.collection).or_default().entry(name).or_insert(id);
        }
    }

    /// Puts identifiers in place of names.
    fn foreigners(&mut self, item: &mut Item) {
        let definition = item.found.definition;
        let parent = item.found.parent.map(|(field, index)| (field, self.ids[index]));
        for field in definition.schema.fields {
            match field.ty {
                Type::Foreign(collection) => {
                    let own = item
                        .record
                        .get(field.name)
                        .map(|value| self.find(item, field.name, collection, value));
                    let nested = parent.filter(|(name, _)| *name == field.name).map(|(_, id)| id);
                    if let (Some(Some(own)), Some(nested)) = (own, nested)
                        && own != nested
                    {
                        let message = format!(
                            "names another {} than the one in which this stands",
                            field.name.replace('_', " ")
                        );
                        self.error(
                            item,
                            field.name,
                            message,
                            Some("leave it out, or write it at the top level".to_owned()),
                        );
                    }
                    let Some(id) = nested.or(own.flatten()) else {
                        if own.is_some() {
                            item.sound = false;
                        }
                        continue;
                    };
                    let id = Value::Text(Text::from(id.to_string().as_str()));
                    item.record.set(field.name, Value::Record(Record::new(vec![("id", id)])));
                }
                Type::Array(_) if field.name == "ca_certificates" => self.authorities(item),
                _ => {}
            }
        }
    }

    /// Who is meant; `None` where there is no such entity, which is noted.
    fn find(&mut self, item: &Item, field: &str, collection: &'static str, value: &Value) -> Option<Uuid> {
        let (key, text) = match value {
            Value::Text(text) => (None, text.as_str()),
            Value::Record(record) => {
                let (key, value) = record.fields().next()?;
                (Some(key), value.as_text()?)
            }
            _ => return None,
        };
        let by_id = || {
            let id = Uuid::try_parse(text).ok()?;
            self.known.get(collection).is_some_and(|known| known.contains_key(&id)).then_some(id)
        };
        let by_name = || self.names.get(collection)?.get(text).copied();
        let found = match key {
            Some("id") => by_id(),
            Some(_) => by_name(),
            None => by_name().or_else(by_id),
        };
        if found.is_none() {
            self.dangling(item, field, collection, text);
        }
        found
    }

    fn dangling(&mut self, item: &Item, field: &str, collection: &'static str, text: &str) {
        let written = item.found.node.get(field);
        let scalar = |node: &Node| {
            node.as_scalar().map_or_else(
                || {
                    node.as_map()
                        .unwrap_or_default()
                        .iter()
                        .any(|entry| entry.value.as_scalar().is_some_and(|s| s.concealed))
                },
                |scalar| scalar.concealed,
            )
        };
        let is_concealed = written.is_some_and(scalar);
        let hint = self.report.hint(|| {
            let names = self.names.get(collection).filter(|names| names.len() <= MAX_CANDIDATES)?;
            did_you_mean(text, names.keys().map(String::as_str)).filter(|_| !is_concealed)
        });
        let shown = if is_concealed { CONCEALED } else { text };
        let message = format!("invalid reference '{field}: {shown}' (no such entry in '{collection}')");
        self.error(item, field, message, hint.flatten());
    }

    /// The authorities that a service names by their identifiers.
    fn authorities(&mut self, item: &mut Item) {
        let Some(ids) = item.record.get("ca_certificates").and_then(Value::as_list) else { return };
        let known = self.known.get("ca_certificates");
        let unknown: Vec<String> = ids
            .iter()
            .filter_map(Value::as_text)
            .filter(|id| {
                Uuid::try_parse(id).is_ok_and(|id| known.is_none_or(|known| !known.contains_key(&id)))
            })
            .map(ToOwned::to_owned)
            .collect();
        if !unknown.is_empty() {
            let message = format!("the following CA certificates don't exist: {}", unknown.join(", "));
            self.error(item, "ca_certificates", message, None);
            item.sound = false;
        }
    }

    fn identifier(&mut self, definition: &Definition, record: &Record) -> Uuid {
        let text = |field: &&'static str| record.get(field).and_then(shown).unwrap_or_default();
        let collection = definition.collection;
        if !definition.cache_key.is_empty() {
            let mut fields: Vec<String> = definition.cache_key.iter().map(text).collect();
            // Kong's identifiers of plugins know nothing of groups.
            if collection == "plugins" && fields.last().is_some_and(String::is_empty) {
                fields.pop();
            }
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            return id::by_cache_key(collection, &fields);
        }
        if let Some(name) = definition.endpoint_key.and_then(|field| shown(record.get(field)?)) {
            return id::by_name(collection, &name);
        }
        let fields: Vec<String> = definition.identity.iter().map(text).collect();
        let before = self.contents.entry((collection, fields.clone())).or_default();
        let id = id::by_content(collection, &fields, *before);
        *before += 1;
        id
    }

    fn error(&mut self, item: &Item, field: &str, message: String, hint: Option<String>) {
        let position = item.found.node.get(field).unwrap_or(&item.found.node).position();
        let path = format!("{}.{field}", item.found.path);
        self.report.push(Violation::error(path, Some(position), message).with_hint_if(hint));
    }
}

/// A value as text, for identifiers and comparison; not for people.
pub(super) fn shown(value: &Value) -> Option<String> {
    let joined = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join("\n");
    match value {
        Value::Null => None,
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.as_str().to_owned()),
        Value::Pending(template) => Some(template.to_string()),
        Value::List(items) => Some(joined(&mut items.iter().filter_map(shown))),
        Value::Map(entries) => Some(joined(
            &mut entries.iter().map(|(key, value)| format!("{key}={}", shown(value).unwrap_or_default())),
        )),
        Value::Record(record) => match record.text("id") {
            Some(id) => Some(id.to_owned()),
            None => Some(joined(&mut record.fields().filter_map(|(_, value)| shown(value)))),
        },
    }
}
