//! Entities as they are kept, one by one → a [`Snapshot`].
//!
//! Owns: what is looked at again when they take effect: each by its field list, and vaults that need each other. Must not
//! know: where they are kept; whoever keeps them has seen to identifiers, and that what they refer to is there.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::entities::{self, Item};
use super::nesting::Found;
use super::{cycles, typed};
use crate::document::{Document, Node};
use crate::entity::vault;
use crate::field::Plugins;
use crate::snapshot::Snapshot;
use crate::violation::{Position, Report, Violation};

/// Makes them what takes effect. `rows` are kinds and bodies, as [`crate::Kind::check`] gives them, with identifiers
/// wherever they refer to each other.
///
/// # Errors
/// Everything that is wrong with them; paths name the entity: `services[my-service].host`.
pub fn rows<'a>(
    rows: impl IntoIterator<Item = (&'a str, &'a Map<String, Json>)>,
    plugins: &dyn Plugins,
) -> Result<(Snapshot, Vec<Violation>), Vec<Violation>> {
    let mut report = Report::default();
    let (mut vaults, mut found) = (Vec::new(), Vec::new());
    for (kind, body) in rows {
        let node = Node::from_json(&Json::Object(body.clone()));
        let path = path(kind, body);
        if kind == vault::COLLECTION {
            vaults.extend(vault::check(&node, path.clone(), &mut report).map(|vault| (path, vault)));
            continue;
        }
        match crate::entity::definition(kind) {
            Some(definition) => found.push(Found { definition, node, path, parent: None }),
            None => report.push(Violation::error(path, Some(Position::START), "no such kind of entity")),
        }
    }
    cycles::check(&vaults, &mut report);
    let items = entities::read(&Document::none(), found, plugins, &mut report);
    let ids = items.iter().map(id).collect();
    let mut snapshot = typed::snapshot(items, ids, &mut report);
    snapshot.vaults = vaults.into_iter().map(|(_, vault)| vault).collect();
    let refused = report.has_errors();
    let violations = report.finish();
    if refused { Err(violations) } else { Ok((snapshot, violations)) }
}

fn id(item: &Item) -> Uuid {
    item.record.text("id").and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_default()
}

/// What people call it: by its name where it has one. What plugins and vaults call so is their kind.
fn path(kind: &str, body: &Map<String, Json>) -> String {
    let text = |field: &str| body.get(field).and_then(Json::as_str);
    let fields: &[&str] = match kind {
        "plugins" => &["instance_name"],
        vault::COLLECTION => &["prefix"],
        _ => &["name", "username"],
    };
    let name = fields.iter().copied().find_map(text);
    format!("{kind}[{}]", name.or_else(|| text("id")).unwrap_or_default())
}
