//! A document's lists, and the lists inside their entities → every entity, with the one that it is nested in.
//!
//! Owns: what may be nested where, in both forms. Must not know: what is in an entity. A child may stand in any entity
//! that it refers to; decK's `groups` of consumers and `consumers` of groups are memberships. Data goes on to
//! `entities`, which decodes them.

use crate::document::{Document, Entry, Key, Node, Value, collections};
use crate::entity::{Definition, MEMBERSHIPS, TABLE, definitions, vault};
use crate::field::{Field, Type};
use crate::violation::{Position, Report, Violation};

/// How many entities a document may have: each takes memory for all of its defaults.
const MAX_ENTITIES: usize = 1_000_000;

/// An entity as written.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) definition: &'static Definition,
    pub(super) node: Node,
    pub(super) path: String,
    /// The field that the nesting gives, and which entity of the list is meant.
    pub(super) parent: Option<(&'static str, usize)>,
}

/// Lists of which no more is known than their names, inside which entities.
const BY_NAME: &[(&str, &[&str])] = &[
    ("consumers", &["oauth2_tokens", "keyauth_enc_credentials"]),
    ("services", &["degraphql_routes", "oauth2_tokens", "oauth2_authorization_codes"]),
];

/// Plugins of groups, under a name of their own.
const GROUP_PLUGINS: &str = "consumer_group_plugins";

/// Every entity but the vaults, each after the one that it is nested in.
pub(super) fn entities(document: &Document, report: &mut Report) -> Vec<Found> {
    let mut walk = Walk { found: Vec::new(), report, is_too_long: false };
    for name in collections().filter(|name| *name != vault::COLLECTION) {
        let Some((_, nodes)) = document.collections.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        match of_list(name) {
            Some(definition) => walk.list(definition, name, nodes, name, None),
            None if nodes.is_empty() => {}
            None => {
                let position = document.root.entry(name).map(|entry| entry.key.position);
                walk.not_yet(name, name.to_owned(), position);
            }
        }
    }
    walk.found
}

/// The names that are read here, so that they are no unknown fields of the entity.
pub(super) fn names_inside(definition: &Definition) -> Vec<&'static str> {
    let children = children(definition).into_iter().map(|child| child.name);
    children.chain(not_yet(definition.collection)).collect()
}

/// The lists that may stand in an entity and are not served: those of other gateways' kinds, and those of which only the
/// name is known.
pub(crate) fn not_yet(parent: &str) -> impl Iterator<Item = &'static str> {
    let refers = move |field: &Field| matches!(field.ty, Type::Foreign(to) if to == parent);
    let nests = move |definition: &&&Definition| {
        let mut fields = definition.schema.fields.iter();
        !definition.is_served && fields.any(|field| refers(field) && !definition.beside.contains(&field.name))
    };
    let kinds = TABLE.iter().filter(nests).map(|definition| definition.collection);
    let by_name = BY_NAME.iter().filter(move |(list, _)| *list == parent).flat_map(|(_, names)| *names);
    kinds.chain(by_name.copied())
}

/// The lists that may stand in an entity, each with what is in it, or none where that is a reference.
pub(crate) fn nested(definition: &Definition) -> Vec<(&'static str, Option<&'static Definition>)> {
    let child = |child: Child| (child.name, child.is.is_none().then_some(child.definition));
    children(definition).into_iter().map(child).collect()
}

/// What may be nested in an entity.
struct Child {
    name: &'static str,
    definition: &'static Definition,
    /// The field that the nesting gives.
    field: &'static str,
    /// The field that the item itself is, where it is a reference and no entity.
    is: Option<&'static str>,
}

fn children(parent: &Definition) -> Vec<Child> {
    let mut children = Vec::new();
    for definition in definitions() {
        let refers = |ty: Type| matches!(ty, Type::Foreign(to) if to == parent.collection);
        let Some(field) = definition.schema.fields.iter().find(|field| refers(field.ty)) else { continue };
        children.push(Child { name: definition.collection, definition, field: field.name, is: None });
        if parent.collection == "consumer_groups" && definition.collection == "plugins" {
            children.push(Child { name: GROUP_PLUGINS, definition, field: field.name, is: None });
        }
    }
    let members = match parent.collection {
        "consumers" => Some(("groups", "consumer", "consumer_group")),
        "consumer_groups" => Some(("consumers", "consumer_group", "consumer")),
        _ => None,
    };
    let members =
        members.map(|(name, field, is)| Child { name, definition: &MEMBERSHIPS, field, is: Some(is) });
    children.extend(members);
    children
}

fn of_list(name: &str) -> Option<&'static Definition> {
    crate::entity::definition(if name == GROUP_PLUGINS { "plugins" } else { name })
}

struct Walk<'r> {
    found: Vec<Found>,
    report: &'r mut Report,
    is_too_long: bool,
}

impl Walk<'_> {
    fn list(
        &mut self,
        definition: &'static Definition,
        name: &str,
        items: &[Node],
        path: &str,
        parent: Option<(&'static str, usize)>,
    ) {
        // Most lists are empty or absent; what may be inside is asked once a list.
        let inside: Vec<Child> = if items.is_empty() { Vec::new() } else { children(definition) };
        for (index, item) in items.iter().enumerate() {
            if item.as_map().is_none() {
                // At the top that was told already.
                if parent.is_some() {
                    self.expected(&format!("{path}[{index}]"), item, "a mapping");
                }
                continue;
            }
            if self.found.len() >= MAX_ENTITIES {
                if !std::mem::replace(&mut self.is_too_long, true) {
                    let message = format!("more than {MAX_ENTITIES} entities");
                    self.report.push(Violation::error(name, Some(item.position()), message));
                }
                return;
            }
            let own = self.found.len();
            let path = format!("{path}[{index}]");
            // Without its group such a plugin would run for everybody.
            if name == GROUP_PLUGINS && parent.is_none() && item.get("consumer_group").is_none() {
                let path = format!("{path}.consumer_group");
                self.report.push(Violation::error(path, Some(item.position()), "required field missing"));
            }
            self.found.push(Found { definition, node: item.clone(), path: path.clone(), parent });
            for entry in item.as_map().unwrap_or_default().iter().take(MAX_KEYS) {
                self.inside(definition, &inside, entry, &path, own);
            }
        }
    }

    fn inside(&mut self, parent: &Definition, inside: &[Child], entry: &Entry, path: &str, own: usize) {
        let name = &*entry.key.text;
        if entry.value.is_null() {
            return;
        }
        let Some(child) = inside.iter().find(|child| child.name == name) else {
            let is_list = entry.value.as_list().is_some_and(|items| !items.is_empty());
            if is_list && not_yet(parent.collection).any(|list| list == name) {
                self.not_yet(name, format!("{path}.{name}"), Some(entry.key.position));
            }
            return;
        };
        let path = format!("{path}.{name}");
        let Some(items) = entry.value.items() else {
            self.expected(&path, &entry.value, "a list of mappings");
            return;
        };
        match child.is {
            None => self.list(child.definition, name, items, &path, Some((child.field, own))),
            Some(is) => {
                let wrapped: Vec<Node> = items.iter().map(|item| wrapped(is, item)).collect();
                self.list(child.definition, name, &wrapped, &path, Some((child.field, own)));
            }
        }
    }

    fn not_yet(&mut self, name: &str, path: String, position: Option<Position>) {
        let violation = Violation::warning(path, position, format!("{name} are not supported yet"));
        self.report.push(violation.with_hint("they are read and kept, but nothing makes use of them"));
    }

    fn expected(&mut self, path: &str, node: &Node, expected: &str) {
        let message = format!("expected {expected}, got {}", node.type_name());
        self.report.push(Violation::error(path, Some(node.position()), message));
    }
}

/// No entity has more; the decoder says so of one that has.
const MAX_KEYS: usize = 256;

/// `{name: x}` → `{consumer_group: {name: x}}`
fn wrapped(field: &str, item: &Node) -> Node {
    let key = Key::made(field, item.position());
    Node::new(item.position(), Value::Map(vec![Entry { key, value: item.clone() }]))
}
