//! What files say about themselves, taken together.
//!
//! Owns: `_format_version`, `_transform`, `_info`, `_workspace`, `_plugin_configs`. Must not know: entities.

use std::collections::BTreeMap;

use postern_model::Document;
use postern_model::Kind;
use postern_model::document::{FormatVersion, Node};
use serde_json::Value as Json;

use super::super::kinds::Body;
use super::super::mask::Mask;

/// What files say about themselves.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// `_workspace`.
    pub workspace: Option<String>,
    /// `_info.select_tags`, sorted and without repetition.
    pub select_tags: Vec<String>,
    /// `_info.default_lookup_tags`: by collection, the tags of what may be referred to without being in the files.
    pub lookup_tags: BTreeMap<String, Vec<String>>,
    /// `_info.defaults`, by collection.
    pub(super) defaults: BTreeMap<String, (Body, Mask)>,
    /// `_plugin_configs`, by name.
    pub(super) plugin_configs: BTreeMap<String, (Body, Mask)>,
}

/// What may be looked up.
const LOOKED_UP: &[&str] = &["services", "routes", "consumers", "consumer_groups", "partials"];

/// The headers of all files.
pub(super) fn merged(documents: &[(&str, Document)], hides: bool, problems: &mut Vec<String>) -> Header {
    let mut all = Header::default();
    for (file, document) in documents {
        let mut problem = |message: String| problems.push(format!("{file}: {message}"));
        let header = &document.header;
        if !header.transform {
            problem("_transform: false is not supported".to_owned());
        }
        if header.version.is_some_and(|version| version != FormatVersion::V3_0) {
            problem("_format_version must be \"3.0\": `deck convert` rewrites older files".to_owned());
        }
        match (&all.workspace, &header.workspace) {
            (Some(one), Some(other)) if one != other => {
                problem(format!("it is for the workspace {other:?}, another file for {one:?}"));
            }
            (None, Some(workspace)) => all.workspace = Some(workspace.clone()),
            _ => {}
        }
        all.select_tags.extend(header.select_tags.iter().cloned());
        let mask = |node: &Node| if hides { Mask::of_node(node) } else { Mask::Open };
        let info = document.root.get("_info");
        if let Some(defaults) = info.and_then(|info| info.get("defaults")) {
            for entry in defaults.as_map().unwrap_or_default() {
                let name = &*entry.key.text;
                let known = Kind::all().into_iter().find(|kind| kind.defaults_key() == Some(name));
                match (known, entry.value.to_json()) {
                    (_, Json::Null) => {}
                    (Some(kind), Json::Object(body)) if is_harmless(&body) => {
                        merge(&mut all.defaults, kind.collection(), body, mask(&entry.value));
                    }
                    _ => problem(format!(
                        "_info.defaults may hold service, route, upstream and target, as mappings without id, name \
                         and target; {name} is not one of these"
                    )),
                }
            }
        }
        if let Some(configs) = document.root.get("_plugin_configs").and_then(Node::as_map) {
            for entry in configs {
                if let Json::Object(body) = entry.value.to_json() {
                    merge(&mut all.plugin_configs, &entry.key.text, body, mask(&entry.value));
                }
            }
        }
        if let Some(tags) = info.and_then(|info| info.get("default_lookup_tags")).and_then(Node::as_map) {
            for entry in tags {
                let tags = entry.value.as_list().unwrap_or_default().iter().filter_map(Node::as_str);
                let tags: Vec<_> = tags.map(ToOwned::to_owned).collect();
                match LOOKED_UP.contains(&&*entry.key.text) {
                    true => all.lookup_tags.entry(entry.key.text.to_string()).or_default().extend(tags),
                    false => problem(format!("_info.default_lookup_tags cannot hold {}", entry.key.text)),
                }
            }
        }
    }
    all.select_tags.sort();
    all.select_tags.dedup();
    all
}

fn is_harmless(body: &Body) -> bool {
    ["id", "name", "target"].iter().all(|name| !body.contains_key(*name))
}

fn merge(into: &mut BTreeMap<String, (Body, Mask)>, name: &str, body: Body, mask: Mask) {
    let (known, known_mask) = into.entry(name.to_owned()).or_default();
    known.extend(body);
    *known_mask = std::mem::take(known_mask).and(mask);
}
