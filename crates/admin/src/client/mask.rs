//! Which values of an entity nobody is shown.
//!
//! Owns: where credentials are, by the structure of entities and schemas, and what is shown in their place. Must not know:
//! how anything is printed. A reference (`{vault://...}`) is no credential, and is shown.
//!
//! decK replaces, in the finished text, whatever equals a value of its environment: that blots out innocent words and shows
//! a secret that is in the gateway but no longer in the environment. Here a *place* is masked, on both sides.

use std::collections::BTreeMap;

use postern_model::Kind;
use postern_model::document::{Node, Value};
use postern_secrets::field::Exposure;
use postern_secrets::{Reference, Secret};
use serde_json::Value as Json;

use super::kinds::Body;
use super::schema;

/// Stands for a value.
const MASKED: &str = "[masked]";
/// Stands for a new value that is not the old one.
const CHANGED: &str = "[masked, changed]";

/// Parts of names that say: this is a credential. For what no schema tells.
const TELLING: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
];
/// Whole names that say so.
const TELLING_NAMES: &[&str] = &[
    "key",
    "jwk",
    "pem",
    "credential",
    "credentials",
    "salt",
    // What plugins add to requests is often a credential of the upstream.
    "headers",
    "querystring",
    "body",
];

/// What is hidden of a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Mask {
    /// Nothing.
    #[default]
    Open,
    /// All of it.
    Hidden,
    /// Something inside.
    Inside {
        /// Of every item, or every field.
        each: Box<Self>,
        /// Of these fields.
        fields: BTreeMap<String, Self>,
    },
}

impl Mask {
    /// What the kind itself says, and for vaults and plugins what is known of their `config`.
    pub fn of_kind(kind: Kind, body: &Body, plugin: Option<&Json>) -> Self {
        let mut mask = Self::Open;
        for path in kind.secrets() {
            mask = mask.and(Self::at(path.split('.')));
        }
        let config = body.get("config").unwrap_or(&Json::Null);
        let of_config = if kind.is_plugin() {
            plugin.map_or(Self::Hidden, |plugin| Self::of_schema(plugin, config))
        } else if kind.is_vault() {
            Self::of_vault(body.get("name").and_then(Json::as_str).unwrap_or_default(), config)
        } else {
            Self::by_names(config)
        };
        mask.and(Self::field("config", of_config))
    }

    /// What came out of the environment of a file's author.
    pub fn of_node(node: &Node) -> Self {
        match node.value() {
            Value::Scalar(scalar) if scalar.concealed => Self::Hidden,
            Value::Scalar(_) => Self::Open,
            Value::List(items) => Self::each(items.iter().map(Self::of_node).fold(Self::Open, Self::and)),
            Value::Map(entries) => {
                let of = |mask: Self, entry: &postern_model::document::Entry| match entry.key.concealed {
                    true => Self::Hidden,
                    false => mask.and(Self::field(&entry.key.text, Self::of_node(&entry.value))),
                };
                entries.iter().fold(Self::Open, of)
            }
        }
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Hidden, _) | (_, Self::Hidden) => Self::Hidden,
            (Self::Open, mask) | (mask, Self::Open) => mask,
            (Self::Inside { each, mut fields }, Self::Inside { each: other, fields: others }) => {
                for (name, mask) in others {
                    let known = fields.remove(&name).unwrap_or_default();
                    fields.insert(name, known.and(mask));
                }
                Self::Inside { each: Box::new(each.and(*other)), fields }
            }
        }
    }

    /// The mask of one field, for an entity that has it.
    pub fn field(name: &str, mask: Self) -> Self {
        match mask {
            Self::Open => Self::Open,
            mask => Self::Inside { each: Box::default(), fields: [(name.to_owned(), mask)].into() },
        }
    }

    /// What is hidden of a field.
    pub fn of(&self, name: &str) -> Self {
        match self {
            Self::Inside { each, fields } => {
                each.as_ref().clone().and(fields.get(name).cloned().unwrap_or_default())
            }
            whole => whole.clone(),
        }
    }

    /// Both values as they may be shown.
    pub fn pair(&self, old: Option<&Json>, new: Option<&Json>) -> (Json, Json) {
        let (shown_old, mut shown_new) = (self.show(old), self.show(new));
        if let (Some(old), Some(new)) = (old, new) {
            self.mark_changes(old, new, &mut shown_new);
        }
        (shown_old, shown_new)
    }

    /// The texts that are hidden: should a gateway repeat one, it is not shown.
    pub fn hidden_texts(&self, value: &Json, into: &mut Vec<Secret>) {
        match (self, value) {
            (Self::Open, _) => {}
            (Self::Hidden, Json::String(text)) if !is_reference(text) => {
                into.push(Secret::from(text.as_str()));
            }
            (mask, Json::Array(items)) => {
                items.iter().for_each(|item| mask.of_item().hidden_texts(item, into));
            }
            (mask, Json::Object(fields)) => {
                fields.iter().for_each(|(name, field)| mask.of(name).hidden_texts(field, into));
            }
            _ => {}
        }
    }

    fn show(&self, value: Option<&Json>) -> Json {
        let Some(value) = value else { return Json::Null };
        match (self, value) {
            (Self::Open, value) => value.clone(),
            (mask, Json::Array(items)) => items.iter().map(|item| mask.of_item().show(Some(item))).collect(),
            (mask, Json::Object(fields)) => fields
                .iter()
                .map(|(name, field)| (name.clone(), mask.of(name).show(Some(field))))
                .collect::<Body>()
                .into(),
            (Self::Hidden, Json::String(text)) if is_reference(text) => text.as_str().into(),
            (Self::Hidden, Json::Null) => Json::Null,
            (Self::Hidden, _) => MASKED.into(),
            (Self::Inside { .. }, value) => value.clone(),
        }
    }

    fn mark_changes(&self, old: &Json, new: &Json, shown: &mut Json) {
        match (old, new, shown) {
            (Json::Array(old), Json::Array(new), Json::Array(shown)) => {
                let mask = self.of_item();
                for ((old, new), shown) in old.iter().zip(new).zip(shown) {
                    mask.mark_changes(old, new, shown);
                }
            }
            (Json::Object(old), Json::Object(new), Json::Object(shown)) => {
                for (name, shown) in shown {
                    if let (Some(old), Some(new)) = (old.get(name), new.get(name)) {
                        self.of(name).mark_changes(old, new, shown);
                    }
                }
            }
            (old, new, shown) if old != new && *self == Self::Hidden && *shown == MASKED => {
                *shown = CHANGED.into();
            }
            _ => {}
        }
    }

    fn of_item(&self) -> Self {
        match self {
            Self::Inside { each, .. } => (**each).clone(),
            whole => whole.clone(),
        }
    }

    fn each(mask: Self) -> Self {
        match mask {
            Self::Open => Self::Open,
            mask => Self::Inside { each: Box::new(mask), fields: BTreeMap::new() },
        }
    }

    /// Everything at the end of a path. What is a list on the way is meant item by item.
    fn at<'a>(mut path: impl Iterator<Item = &'a str>) -> Self {
        match path.next() {
            None => Self::Hidden,
            Some(name) => {
                let inner = Self::at(path);
                Self::field(name, inner.clone()).and(Self::each(Self::field(name, inner)))
            }
        }
    }

    /// By a schema: what it calls `encrypted`, or says may be a reference, unless it lists the words that it may be.
    fn of_schema(schema: &Json, config: &Json) -> Self {
        let mut mask = Self::Open;
        for (name, field) in schema::fields(schema).chain(schema::shorthands(schema)) {
            mask = mask.and(Self::field(name, Self::of_field(name, field)));
        }
        // What it does not know, it cannot call harmless.
        for name in config.as_object().into_iter().flatten().map(|(name, _)| name) {
            if schema::field(schema, name).is_none() {
                mask = mask.and(Self::field(name, Self::Hidden));
            }
        }
        mask
    }

    fn of_field(name: &str, field: &Json) -> Self {
        let says = |flag: &str| field.get(flag) == Some(&Json::Bool(true));
        let is_word = field.get("one_of").is_some();
        let is_text = field.get("type").and_then(Json::as_str) == Some("string");
        if !is_word && (says("encrypted") || says("referenceable") || (is_text && is_telling(name))) {
            return Self::Hidden;
        }
        let nested = schema::fields(field)
            .map(|(name, field)| Self::field(name, Self::of_field(name, field)))
            .fold(Self::Open, Self::and);
        let of = |key: &str| field.get(key).map_or(Self::Open, |inner| Self::of_field(name, inner));
        nested.and(Self::each(of("elements").and(of("values"))))
    }

    fn of_vault(name: &str, config: &Json) -> Self {
        let by_names = Self::by_names(config);
        let Ok(kind) = postern_secrets::Kind::parse(name) else { return by_names };
        let secret = kind.fields().iter().filter(|field| field.exposure == Exposure::Secret);
        let names = secret.flat_map(postern_secrets::field::Field::spellings);
        names.map(|name| Self::field(name, Self::Hidden)).fold(by_names, Self::and)
    }

    /// By the names of what is there.
    fn by_names(value: &Json) -> Self {
        match value {
            Json::Object(fields) => fields
                .iter()
                .map(|(name, value)| match value {
                    Json::String(_) | Json::Array(_) if is_telling(name) => Self::field(name, Self::Hidden),
                    value => Self::field(name, Self::by_names(value)),
                })
                .fold(Self::Open, Self::and),
            Json::Array(items) => Self::each(items.iter().map(Self::by_names).fold(Self::Open, Self::and)),
            _ => Self::Open,
        }
    }
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING_NAMES.contains(&name.as_str()) || TELLING.iter().any(|part| name.contains(part))
}

fn is_reference(text: &str) -> bool {
    Reference::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pair(collection: &str, plugin: Option<&Json>, old: &Json, new: &Json) -> (Json, Json) {
        let mask = Mask::of_kind(Kind::known_as(collection).unwrap(), new.as_object().unwrap(), plugin);
        mask.pair(Some(old), Some(new))
    }

    #[test]
    fn credentials_of_entities() {
        let (old, new) = pair(
            "keyauth_credentials",
            None,
            &json!({ "key": "old-key", "ttl": null }),
            &json!({ "key": "new-key", "ttl": 5 }),
        );
        assert_eq!(old, json!({ "key": "[masked]", "ttl": null }));
        assert_eq!(new, json!({ "key": "[masked, changed]", "ttl": 5 }));
        let (old, new) = pair(
            "keys",
            None,
            &json!({ "pem": { "private_key": "a", "public_key": "b" } }),
            &json!({ "pem": { "private_key": "a", "public_key": "c" } }),
        );
        assert_eq!(old, json!({ "pem": { "private_key": "[masked]", "public_key": "[masked]" } }));
        assert_eq!(new, json!({ "pem": { "private_key": "[masked]", "public_key": "[masked, changed]" } }));
    }

    #[test]
    fn references_are_shown() {
        let (old, new) = pair(
            "vaults",
            None,
            &json!({ "name": "hcv", "config": { "token": "t0k3n", "host": "h" } }),
            &json!({ "name": "hcv", "config": { "token": "{vault://env/token}", "host": "i" } }),
        );
        assert_eq!(old["config"], json!({ "token": "[masked]", "host": "h" }));
        assert_eq!(new["config"], json!({ "token": "{vault://env/token}", "host": "i" }));
    }

    #[test]
    fn schemas_tell_of_plugins() {
        let schema = json!({ "type": "record", "fields": [
            { "policy": { "type": "string", "one_of": ["local"], "referenceable": true } },
            { "minute": { "type": "number" } },
            { "auth": { "type": "string", "encrypted": true } },
            { "headers": { "type": "map", "keys": {}, "values": { "type": "string", "referenceable": true } } },
            { "redis": { "type": "record", "fields": [
                { "host": { "type": "string" } }, { "password": { "type": "string" } },
            ] } },
            { "servers": { "type": "array", "elements": { "type": "record", "fields": [
                { "url": { "type": "string" } }, { "secret": { "type": "string" } },
            ] } } },
        ] });
        let config = json!({
            "policy": "local", "minute": 5, "auth": "a", "headers": { "X": "y" },
            "redis": { "host": "h", "password": "p" }, "servers": [{ "url": "u", "secret": "s" }], "new": "n",
        });
        let entity = json!({ "name": "x", "config": config });
        let (_, shown) = pair("plugins", Some(&schema), &entity, &entity);
        assert_eq!(
            shown["config"],
            json!({
                "policy": "local", "minute": 5, "auth": "[masked]", "headers": { "X": "[masked]" },
                "redis": { "host": "h", "password": "[masked]" },
                "servers": [{ "url": "u", "secret": "[masked]" }], "new": "[masked]",
            })
        );
    }

    #[test]
    fn what_came_from_the_environment_is_hidden_wherever_it_stands() {
        let env = |name: &str| (name == "DECK_A").then(|| "hidden".to_owned());
        let yaml = b"_format_version: \"3.0\"\nservices: [{ host: '${{ env \"DECK_A\" }}', paths: [a, '${{ env \"DECK_A\" }}'], name: n }]";
        let document = postern_model::read(yaml, &env).unwrap();
        let node = &document.collection("services")[0];
        let (shown, _) = Mask::of_node(node).pair(Some(&node.to_json()), None);
        assert_eq!(shown, json!({ "host": "[masked]", "paths": ["[masked]", "[masked]"], "name": "n" }));
    }
}
