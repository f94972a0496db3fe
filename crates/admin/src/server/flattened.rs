//! What is wrong with a document, entity by entity: Kong's `flattened_errors`.
//!
//! Owns: which entity a violation concerns, and what is told of that entity: itself as it was sent, its name, identifier
//! and tags, by which a controller finds the object that it was made from. Must not know: what can be wrong.

use std::collections::BTreeMap;

use postern_model::document::{Node, Value as NodeValue};
use postern_model::{Kind, Violation};
use serde_json::{Map, Value, json};

use super::error::as_kong_spells;

/// Whether a path names an entity, and not the document as a whole.
pub(crate) fn concerns_entity(path: &str) -> bool {
    !entity_of(path).0.is_empty()
}

/// `services[0].routes[1].paths[0]` concerns the route. An entity stands in the list once, with all that is wrong with it.
pub(crate) fn flattened(errors: &[&Violation], document: &[u8]) -> Value {
    // Values from the environment stay the expressions that were sent.
    let document = postern_model::read(document, &|name| Some(format!("${{{{ env \"{name}\" }}}}"))).ok();
    let mut entities: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for violation in errors {
        let (entity, field) = entity_of(&violation.path);
        let error = match field {
            "" => json!({ "type": "entity", "message": violation.message }),
            field => {
                json!({ "type": "field", "field": as_kong_spells(field), "message": violation.message })
            }
        };
        entities.entry(entity).or_default().push(error);
    }
    let told = entities.into_iter().map(|(path, errors)| {
        let steps = steps(path);
        let list = steps.last().map_or("", |(name, _)| *name);
        let mut told = json!({ "entity_type": list.trim_end_matches('s'), "errors": errors });
        let found = document.as_ref().and_then(|document| find(&document.root, &steps));
        if let (Some(entity), Some(told)) = (found, told.as_object_mut()) {
            describe(told, list, entity);
        }
        told
    });
    told.collect()
}

/// The entity and what it is known by.
fn describe(told: &mut Map<String, Value>, list: &str, entity: &Node) {
    let Value::Object(mut body) = entity.to_json() else { return };
    let fields = Kind::named(list).map(Kind::fields).unwrap_or_default();
    // Entities that stand in it are told of by themselves.
    body.retain(|name, value| {
        let is_field = fields.iter().any(|field| field.name == name);
        is_field || !value.is_array() || !is_list_of_entities(name)
    });
    for (from, to) in [("name", "entity_name"), ("id", "entity_id"), ("tags", "entity_tags")] {
        match body.get(from) {
            Some(value) if value.is_string() || from == "tags" && value.is_array() => {
                told.insert(to.to_owned(), value.clone());
            }
            _ => {}
        }
    }
    told.insert("entity".to_owned(), body.into());
}

fn is_list_of_entities(name: &str) -> bool {
    Kind::named(name).is_some() || matches!(name, "groups" | "consumer_group_plugins")
}

/// The part of a path that leads to an entity, and the part in it.
fn entity_of(path: &str) -> (&str, &str) {
    let mut end = 0;
    for (name, key, until) in parts(path) {
        if key.is_none() || !is_list_of_entities(name) {
            break;
        }
        end = until;
    }
    (&path[..end], path.get(end..).unwrap_or_default().trim_start_matches('.'))
}

/// `services[0]`, `routes[my.route]`: the list, what names the entity in it, and where the part ends.
fn parts(path: &str) -> impl Iterator<Item = (&str, Option<&str>, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = path.get(at..).filter(|rest| !rest.is_empty())?;
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let name = &rest[..end];
        let key = rest[end..].strip_prefix('[').and_then(|key| key.split_once(']')).map(|(key, _)| key);
        let until = at + end + key.map_or(0, |key| key.len() + 2);
        at = until + usize::from(path.get(until..).is_some_and(|rest| rest.starts_with('.')));
        // What is no name would not lead on.
        (until > 0 && !name.is_empty()).then_some((name, key, until))
    })
}

fn steps(path: &str) -> Vec<(&str, &str)> {
    parts(path).filter_map(|(name, key, _)| Some((name, key?))).collect()
}

/// The entity at a path: each step is the place in a list, or the name or identifier of the entity, wherever it stands.
fn find<'a>(root: &'a Node, steps: &[(&str, &str)]) -> Option<&'a Node> {
    let mut node = root;
    for (name, key) in steps {
        let by_place = || node.get(name)?.as_list()?.get(key.parse::<usize>().ok()?);
        node = by_place().or_else(|| named(node, name, key))?;
    }
    Some(node)
}

/// The one with this name or identifier in a list of this name, however deep.
fn named<'a>(node: &'a Node, list: &str, key: &str) -> Option<&'a Node> {
    let NodeValue::Map(entries) = node.value() else { return None };
    for entry in entries.iter().filter(|entry| is_list_of_entities(&entry.key.text)) {
        for item in entry.value.as_list().unwrap_or_default() {
            let is_it = |field: &&str| item.get(field).and_then(Node::as_str) == Some(key);
            if *entry.key.text == *list && ["id", "name", "username", "prefix"].iter().any(is_it) {
                return Some(item);
            }
            if let Some(found) = named(item, list, key) {
                return Some(found);
            }
        }
    }
    None
}
