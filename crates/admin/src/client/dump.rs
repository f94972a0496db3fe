//! What a gateway has → a file that asks for it.
//!
//! Owns: what is nested in what, what a file need not say, and the names by which entities refer to each other. Must not
//! know: YAML, the network. A dump holds credentials in clear: it is the configuration, and not what is shown of it.

use std::collections::{BTreeMap, HashMap};

use postern_model::Kind;
use postern_model::kind::Refers;
use serde_json::{Value as Json, json};

use super::kinds::{self, Body, referred};
use super::present::{Existing, Present};
use super::schema;
use super::schemas::Schemas;

/// What a dump is to be like.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// With identifiers where names would do.
    pub with_id: bool,
    /// Without what the gateway fills in by itself.
    pub skip_defaults: bool,
    /// The tags by which it was made.
    pub select_tags: Vec<String>,
    /// The workspace that was named.
    pub workspace: Option<String>,
}

/// What an entity may be sorted by.
const SORTED_BY: &[&str] = &["name", "username", "custom_id", "prefix", "target", "group", "key", "id"];

/// The whole document.
pub fn document(present: &Present, schemas: &Schemas, style: &Style) -> Json {
    let names: HashMap<_, _> = present
        .entities
        .iter()
        .map(|entity| {
            ((entity.kind.collection(), entity.id.as_str()), kinds::name_of(entity.kind, &entity.body))
        })
        .collect();
    let mut dump = Dump { names, schemas, style, inside: BTreeMap::new(), root: Body::new() };
    // Children first, as they are put into their parents.
    for existing in present.entities.iter().rev() {
        dump.entity(existing);
    }
    let mut root = dump.finish();
    root.insert("_format_version".to_owned(), "3.0".into());
    if let Some(workspace) = &style.workspace {
        root.insert("_workspace".to_owned(), workspace.as_str().into());
    }
    if !style.select_tags.is_empty() {
        root.insert("_info".to_owned(), json!({ "defaults": {}, "select_tags": style.select_tags }));
    }
    root.into()
}

struct Dump<'a> {
    /// What others may call an entity, if it has a name.
    names: HashMap<(&'static str, &'a str), Option<&'a str>>,
    schemas: &'a Schemas,
    style: &'a Style,
    /// Lists by the entity that they stand in.
    inside: BTreeMap<(&'static str, String), BTreeMap<&'static str, Vec<Json>>>,
    root: Body,
}

impl Dump<'_> {
    fn entity(&mut self, existing: &Existing) {
        let (kind, Existing { id, body, .. }) = (existing.kind, existing);
        if kind.collection() == "consumer_group_consumers" {
            return self.member(body);
        }
        let mut fields = self.fields(kind, body);
        let needs_id = kind.collection().ends_with("certificates")
            || (kinds::name_of(kind, body).is_none() && kinds::named_by(kind).is_some());
        if self.style.with_id || needs_id {
            fields.insert("id".to_owned(), id.as_str().into());
        }
        for (name, items) in self.inside.remove(&(kind.collection(), id.clone())).unwrap_or_default() {
            fields.insert(name.to_owned(), sorted(items).into());
        }
        let given: Vec<_> = kind
            .refers()
            .into_iter()
            .filter_map(|reference| Some((reference, referred(body, reference.field)?)))
            .collect();
        let parent = match given.as_slice() {
            [(reference, id)] if reference.nests && kind.collection() != "keys" => Some((*reference, *id)),
            _ if kind.is_plugin() => None,
            several => several.iter().copied().find(|(reference, _)| {
                reference.nests && matches!(kind.collection(), "mtls_auth_credentials")
            }),
        };
        let parent = parent.filter(|(reference, id)| self.names.contains_key(&(reference.to, *id)));
        for (reference, id) in &given {
            if parent.is_none_or(|(around, _)| around.field != reference.field) {
                fields.insert(reference.field.to_owned(), self.reference(kind, *reference, id));
            }
        }
        match parent {
            Some((reference, id)) => {
                let lists = self.inside.entry((reference.to, id.to_owned())).or_default();
                lists.entry(kind.collection()).or_default().push(fields.into());
            }
            None => {
                let list = self.root.entry(kind.collection()).or_insert_with(|| Json::Array(Vec::new()));
                if let Json::Array(list) = list {
                    list.push(fields.into());
                }
            }
        }
    }

    /// Who is in a group is said by its members.
    fn member(&mut self, body: &Body) {
        let (group, consumer) = (referred(body, "consumer_group"), referred(body, "consumer"));
        let (Some(group), Some(consumer)) = (group, consumer) else { return };
        if self.names.contains_key(&("consumers", consumer)) {
            let name = self.names.get(&("consumer_groups", group)).copied().flatten().unwrap_or(group);
            let lists = self.inside.entry(("consumers", consumer.to_owned())).or_default();
            lists.entry("groups").or_default().push(json!({ "name": name }));
        }
    }

    /// The top level calls plugins' scopes by name; all else is a mapping.
    fn reference(&self, kind: Kind, reference: Refers, id: &str) -> Json {
        let name = self.names.get(&(reference.to, id)).copied().flatten();
        match (kind.is_plugin(), name) {
            (true, name) => name.unwrap_or(id).into(),
            (false, Some(name)) if kind.collection() == "keys" => json!({ "name": name }),
            (false, _) => json!({ "id": id }),
        }
    }

    fn fields(&self, kind: Kind, body: &Body) -> Body {
        let described = self.schemas.entity(kind);
        let is_known = |name: &str| {
            kind.may_set(name)
                || kind.has_defaults() && described.is_some_and(|all| schema::field(all, name).is_some())
        };
        let is_theirs = |name: &str| matches!(name, "id" | "created_at" | "updated_at");
        let mut fields = Body::new();
        for (name, value) in body {
            if !is_known(name) || is_theirs(name) || kind.reference(name).is_some() {
                continue;
            }
            let value = if name == "config" { value.clone() } else { bare(value) };
            if !value.is_null() {
                fields.insert(name.clone(), value);
            }
        }
        // A gateway answers with both; a file needs one.
        if let (Some(schema), Some(Json::Object(config))) =
            (self.schemas.config(kind, body), fields.get_mut("config"))
        {
            schema::unfold_shorthands(schema, config);
        }
        self.strip_tags(&mut fields);
        if self.style.skip_defaults {
            self.strip_defaults(kind, &mut fields);
        }
        fields
    }

    /// Those by which the dump was made are said once, at the top.
    fn strip_tags(&self, fields: &mut Body) {
        let Some(Json::Array(tags)) = fields.get_mut("tags") else { return };
        tags.retain(|tag| !self.style.select_tags.iter().any(|select| tag == select));
        if tags.is_empty() {
            fields.remove("tags");
        }
    }

    fn strip_defaults(&self, kind: Kind, fields: &mut Body) {
        // Those of other kinds are not filled in when a file is read.
        if let Some(schema) = self.schemas.entity(kind).filter(|_| kind.has_defaults()) {
            schema::without_defaults(schema, fields, false);
        }
        if let Some(schema) = self.schemas.config(kind, fields)
            && let Some(Json::Object(config)) = fields.get_mut("config")
        {
            schema::without_defaults(schema, config, true);
            if config.is_empty() && kind.is_plugin() {
                fields.remove("config");
            }
        }
        if kind.is_plugin() {
            if fields.get("protocols").is_some_and(|own| self.schemas.protocols(fields) == Some(own)) {
                fields.remove("protocols");
            }
            fields.retain(|name, value| name != "enabled" || *value != true);
        }
    }

    fn finish(mut self) -> Body {
        for list in self.root.values_mut() {
            if let Json::Array(items) = list {
                *list = sorted(std::mem::take(items)).into();
            }
        }
        self.root
    }
}

/// Without what is null.
fn bare(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| (name.clone(), bare(value))).collect::<Body>().into()
        }
        other => other.clone(),
    }
}

fn sorted(mut items: Vec<Json>) -> Vec<Json> {
    items.sort_by_cached_key(|item| {
        SORTED_BY.iter().find_map(|key| item.get(key)?.as_str()).unwrap_or_default().to_owned()
    });
    items
}
