//! Entities as written → records with every default, one entity at a time.
//!
//! Owns: what comes together before an entity is read: shorthands, older formats, `_info.defaults`, `_plugin_configs`,
//! the field list of the plugin. Must not know: other entities; `resolve` brings them together.

use std::collections::HashMap;

use super::nesting::{self, Found};
use super::plugin;
use crate::decode::merge::{edited, merge};
use crate::decode::{Plan, decode};
use crate::document::{Document, Node};
use crate::entity::Definition;
use crate::field::{PluginSchema, Plugins};
use crate::value::{Record, Text, Value};
use crate::violation::{Report, Violation};

/// How many values may come out of what entities share: a small file could otherwise stand for a huge one.
const MAX_SHARED: u64 = 1_000_000;

/// An entity that was read.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) found: Found,
    pub(super) record: Record,
    /// What the plugin of this name takes, where it is a plugin.
    pub(super) plugin: Option<&'static PluginSchema>,
    /// Whether it has no violation of its own.
    pub(super) sound: bool,
}

/// Reads all of them; the result has the order of `found`.
pub(super) fn read(
    document: &Document,
    found: Vec<Found>,
    plugins: &dyn Plugins,
    report: &mut Report,
) -> Vec<Item> {
    let defaults = Defaults::of(document, report);
    let mut reader =
        Reader { document, plugins, defaults, budget: MAX_SHARED, inside: HashMap::new(), report };
    found.into_iter().map(|found| reader.item(found)).collect()
}

/// Reads one that is kept by itself: nothing is nested in it.
pub(super) fn read_kept(found: Found, plugins: &dyn Plugins, report: &mut Report) -> Item {
    let inside = HashMap::from([(found.definition.collection, Vec::new())]);
    let (document, defaults) = (&Document::none(), Defaults::default());
    Reader { document, plugins, defaults, budget: MAX_SHARED, inside, report }.item(found)
}

/// What `_info.defaults` says, by the kind's key there.
#[derive(Debug, Default)]
struct Defaults<'a>(Vec<(&'static str, &'a Node)>);

impl<'a> Defaults<'a> {
    fn of(document: &'a Document, report: &mut Report) -> Self {
        const PATH: &str = "_info.defaults";
        let Some(node) = document.root.get("_info").and_then(|info| info.get("defaults")) else {
            return Self::default();
        };
        let mut error = |path: String, position, message: String, hint: &str| {
            report.push(Violation::error(path, Some(position), message).with_hint(hint));
        };
        let Some(entries) = node.as_map() else {
            let message = format!("expected a mapping, got {}", node.type_name());
            error(
                PATH.to_owned(),
                node.position(),
                message,
                "its keys are service, route, upstream and target",
            );
            return Self::default();
        };
        let mut defaults = Vec::new();
        for entry in entries {
            let path = format!("{PATH}.{}", entry.key.shown());
            let mut kinds = crate::entity::definitions().filter_map(|definition| definition.defaults);
            let Some(kind) = kinds.find(|kind| **kind == *entry.key.text) else {
                error(
                    path,
                    entry.key.position,
                    "unknown field".to_owned(),
                    "the fields are: service, route, upstream, target",
                );
                continue;
            };
            if entry.value.is_null() {
                continue;
            }
            if entry.value.as_map().is_none() {
                let message = format!("expected a mapping, got {}", entry.value.type_name());
                error(path, entry.value.position(), message, "give it fields and their defaults");
                continue;
            }
            for name in ["id", "name", "target"].into_iter().filter(|name| entry.value.get(name).is_some()) {
                let position = entry.value.entry(name).map_or(entry.key.position, |entry| entry.key.position);
                error(
                    format!("{path}.{name}"),
                    position,
                    "cannot have a default".to_owned(),
                    "it tells one from another",
                );
            }
            defaults.push((kind, &entry.value));
        }
        Self(defaults)
    }
}

struct Reader<'a, 'r> {
    document: &'a Document,
    plugins: &'a dyn Plugins,
    defaults: Defaults<'a>,
    /// How many of [`MAX_SHARED`] are left.
    budget: u64,
    /// The names of nested lists, by collection.
    inside: HashMap<&'static str, Vec<&'static str>>,
    report: &'r mut Report,
}

impl Reader<'_, '_> {
    fn item(&mut self, found: Found) -> Item {
        let definition = found.definition;
        let rewritten = definition
            .rewrite
            .and_then(|rewrite| rewrite(&found.node, self.document.header.version, &found.path, self.report));
        let node = rewritten.unwrap_or_else(|| found.node.clone());
        let node = self.with_defaults(definition, node, &found.path);
        let (node, plugin) = match definition.collection {
            "plugins" => match self.plugin(&node, &found.path) {
                Some((node, plugin)) => (node, Some(plugin)),
                None => return Item { found, record: Record::default(), plugin: None, sound: false },
            },
            _ => (node, None),
        };
        let inside =
            self.inside.entry(definition.collection).or_insert_with(|| nesting::names_inside(definition));
        let parent = found.parent.map(|(field, _)| field);
        let given: Vec<&str> = parent.into_iter().chain(plugin.map(|_| "protocols")).collect();
        let plan = Plan {
            path: &found.path,
            schema: &definition.schema,
            inner: plugin.map(|plugin| ("config", &plugin.config)),
            others: inside,
            given: &given,
        };
        let (mut record, sound) = decode(&node, &plan, self.report);
        if let Some(settle) = definition.settle {
            settle(&mut record);
        }
        if let Some(plugin) = plugin {
            plugin::protocols(plugin, &mut record, &node, &found.path, self.report);
        }
        self.add_tags(&mut record);
        Item { found, record, plugin, sound }
    }

    fn with_defaults(&mut self, definition: &Definition, node: Node, path: &str) -> Node {
        let key = definition.defaults;
        match self.defaults.0.iter().find(|(kind, _)| Some(*kind) == key) {
            Some((_, defaults)) => {
                let defaults = Node::clone(defaults);
                self.laid_over(&defaults, &node, path)
            }
            None => node,
        }
    }

    /// What the plugin is, with the shared part of its configuration written out.
    fn plugin(&mut self, node: &Node, path: &str) -> Option<(Node, &'static PluginSchema)> {
        let schema = plugin::schema(node, self.plugins, path, self.report)?;
        let Some(shared) = plugin::shared(node, self.document, path, self.report) else {
            return Some((edited(node, &["_config"], Vec::new()), schema));
        };
        let config = match node.get("config") {
            Some(own) => self.laid_over(&shared, own, path),
            None => self.laid_over(
                &shared,
                &Node::new(shared.position(), crate::document::Value::Map(Vec::new())),
                path,
            ),
        };
        let key = crate::document::Key::made("config", config.position());
        let config = crate::document::Entry { key, value: config };
        Some((edited(node, &["_config", "config"], vec![config]), schema))
    }

    /// One mapping on top of a shared one, for as long as that stays bounded.
    fn laid_over(&mut self, base: &Node, over: &Node, path: &str) -> Node {
        let cost = base.size().saturating_add(over.size());
        if cost > self.budget {
            if self.budget > 0 {
                let message = format!("more than {MAX_SHARED} values, with shared ones written out");
                self.report.push(Violation::error(path, Some(over.position()), message));
            }
            self.budget = 0;
            return over.clone();
        }
        self.budget -= cost;
        merge(base, over)
    }

    /// `_info.select_tags`, behind its own.
    fn add_tags(&self, record: &mut Record) {
        let more = &self.document.header.select_tags;
        if more.is_empty() || !record.fields().any(|(name, _)| name == "tags") {
            return;
        }
        let mut tags = record.get("tags").and_then(Value::as_list).unwrap_or_default().to_vec();
        for tag in more {
            if !tags.iter().any(|known| known.as_text() == Some(tag)) {
                tags.push(Value::Text(Text::from(tag.as_str())));
            }
        }
        record.set("tags", Value::List(tags));
    }
}
