//! One entity as JSON → the same with every default, or what is wrong with it.
//!
//! Owns: that it is read as one in a file would be. Must not know: other entities; whoever keeps them sees to what is
//! unique and what refers to what.

use serde_json::{Map, Value as Json};

use super::entities;
use super::nesting::Found;
use super::plugin;
use super::references::malformed;
use crate::document::{Document, Node};
use crate::entity::{Definition, vault};
use crate::field::Plugins;
use crate::kind::Checked;
use crate::violation::{Report, Violation};

/// The body with every default, and the warnings; or all violations.
pub(crate) fn single(
    definition: &'static Definition,
    json: &Map<String, Json>,
    plugins: &dyn Plugins,
) -> Result<Checked, Vec<Violation>> {
    let node = Node::from_json(&Json::Object(json.clone()));
    let mut report = Report::default();
    malformed(&node, &mut report);
    let body = match definition.collection {
        vault::COLLECTION => vault::check(&node, String::new(), &mut report).map(|_| as_given(json)),
        _ => other(definition, node, plugins, &mut report),
    };
    let refused = report.has_errors();
    let mut violations = report.finish();
    // Paths begin at the entity, which has no name of its own here.
    for violation in violations.iter_mut().filter(|violation| violation.path.starts_with('.')) {
        violation.path.remove(0);
    }
    match body {
        Some(body) if !refused => Ok(Checked { body, warnings: violations }),
        _ => Err(violations),
    }
}

/// What is kept of a vault is what was given: decK takes every default that is filled in for a change.
fn as_given(json: &Map<String, Json>) -> Map<String, Json> {
    let value = |name: &str| json.get(name).cloned().unwrap_or(Json::Null);
    vault::SCHEMA.fields.iter().map(|field| (field.name.to_owned(), value(field.name))).collect()
}

fn other(
    definition: &'static Definition,
    node: Node,
    plugins: &dyn Plugins,
    report: &mut Report,
) -> Option<Map<String, Json>> {
    let found = vec![Found { definition, node, path: String::new(), parent: None }];
    let item = entities::read(&Document::none(), found, plugins, report).pop()?;
    if let Some(schema) = item.plugin {
        plugin::bindings(schema, &item.record, &item.found.node, "", report);
    }
    if !item.sound {
        return None;
    }
    match item.record.to_json() {
        Json::Object(body) => Some(body),
        _ => None,
    }
}
