//! The field lists as a JSON Schema (draft 2020-12), for the completion and the red underlines of editors.
//!
//! Owns: that form. Must not know: editors. It accepts every document that [`crate::check()`] accepts, as far as
//! that can be said in it, and refuses what is wrong in names, types, words and limits.

use postern_secrets::{Kind, field as of_vaults};
use serde_json::{Map, Value as Json, json};

use super::{default_of_vault, description, shown_number};
use crate::check::{nested, not_yet};
use crate::decode::default;
use crate::document::collections;
use crate::entity::{self, Definition, definitions};
use crate::field::{Field, PluginSchema, Plugins, Rule, Type};
use crate::value::Value;

/// The schema of a whole document, with these plugins.
pub fn json_schema(plugins: &dyn Plugins) -> Json {
    let mut properties = Map::new();
    let mut kinds = Map::new();
    for collection in collections() {
        properties.insert(collection.to_owned(), top_level(collection));
    }
    for definition in definitions() {
        kinds.insert(definition.collection.to_owned(), of_kind(definition, plugins));
    }
    let with_defaults = definitions().filter_map(|definition| definition.defaults);
    let with_defaults: Map<String, Json> = with_defaults.map(|key| (key.to_owned(), json!({}))).collect();
    let meta = json!({
        "_format_version": { "enum": ["3.0", "2.1", "1.1"], "default": "3.0",
            "description": "The version of the form, in quotes. Before 3.0 expressions in paths are not marked with ~." },
        "_transform": { "type": ["boolean", "null"], "default": true },
        "_comment": { "type": ["string", "null"] },
        "_ignore": { "type": ["array", "null"] },
        "_workspace": { "type": ["string", "null"] },
        "_konnect": { "type": ["object", "null"] },
        "_info": { "type": ["object", "null"], "properties": {
            "select_tags": { "type": ["array", "null"], "items": { "type": "string" },
                "description": "Tags that every entity of the document bears." },
            "defaults": { "type": ["object", "null"], "additionalProperties": false,
                "description": "What fields are where an entity does not say.",
                "properties": with_defaults },
        } },
        "_plugin_configs": { "type": ["object", "null"], "additionalProperties": { "type": ["object", "null"] },
            "description": "Configurations that plugins share by _config." },
    });
    properties.extend(meta.as_object().cloned().unwrap_or_default());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kong.yaml",
        "description": "Declarative configuration, in decK's form or the DB-less form.",
        "type": "object",
        "required": ["_format_version"],
        "properties": properties,
        "additionalProperties": false,
        "$defs": kinds,
    })
}

fn top_level(collection: &str) -> Json {
    let name = if collection == "consumer_group_plugins" { "plugins" } else { collection };
    let mut items = match entity::definition(name) {
        Some(_) => json!({ "$ref": format!("#/$defs/{name}") }),
        None => {
            return json!({ "type": ["array", "null"], "items": { "type": "object" }, "description": "Not supported yet." });
        }
    };
    // Nested entities have these from where they stand.
    let foreign = entity::definition(name).map(|definition| definition.schema.fields).unwrap_or_default();
    let foreign: Vec<_> = foreign
        .iter()
        .filter(|field| field.required && matches!(field.ty, Type::Foreign(_)))
        .map(|field| field.name)
        .collect();
    if !foreign.is_empty() {
        items["required"] = foreign.into();
    }
    json!({ "type": ["array", "null"], "items": items })
}

fn of_kind(definition: &'static Definition, plugins: &dyn Plugins) -> Json {
    let mut properties = properties(definition.schema.fields);
    properties.extend(definition.shorthands.iter().map(|field| (field.name.to_owned(), of_field(field))));
    for (name, child) in nested(definition) {
        let items = match child {
            Some(child) => json!({ "$ref": format!("#/$defs/{}", child.collection) }),
            None => json!({ "type": "object" }),
        };
        properties.insert(name.to_owned(), json!({ "type": ["array", "null"], "items": items }));
    }
    for name in not_yet(definition.collection) {
        let list = json!({ "type": ["array", "null"], "description": "Not supported yet." });
        properties.insert(name.to_owned(), list);
    }
    let mut schema = object(properties);
    let required = required(definition.schema.fields);
    // What `url` or `_info.defaults` may give is not required here.
    if !required.is_empty() && definition.shorthands.is_empty() && definition.defaults.is_none() {
        schema["required"] = required.into();
    }
    match definition.collection {
        "plugins" => with_plugins(&mut schema, plugins),
        entity::vault::COLLECTION => with_vaults(&mut schema),
        _ => {}
    }
    schema
}

fn with_plugins(schema: &mut Json, plugins: &dyn Plugins) {
    let names = plugins.names();
    schema["properties"]["name"] = json!({ "enum": names, "description": "Which plugin it is." });
    schema["properties"]["_config"] =
        json!({ "type": ["string", "null"], "description": "A key of _plugin_configs." });
    schema["properties"]["config"] = json!({ "type": ["object", "null"] });
    schema["required"] = json!(["name"]);
    let rules = names.iter().filter_map(|name| plugins.schema(name)).map(|plugin| {
        json!({ "if": { "properties": { "name": { "const": plugin.name } }, "required": ["name"] }, "then": of_plugin(plugin) })
    });
    schema["allOf"] = rules.collect();
}

fn of_plugin(plugin: &PluginSchema) -> Json {
    let mut config = properties(plugin.config.fields);
    for (name, _, field) in crate::decode::older_names(plugin.config.fields) {
        let mut older = of_field(field);
        older["deprecated"] = true.into();
        config.insert(name.to_owned(), older);
    }
    let mut config = object(config);
    config["description"] = plugin.doc.into();
    let protocols = json!({ "type": ["array", "null"], "items": { "enum": plugin.protocols }, "default": plugin.protocols });
    let mut properties = json!({ "config": config, "protocols": protocols });
    for bound in plugin.not_bound_to {
        properties[bound] = json!({ "type": "null" });
    }
    let mut schema = json!({ "properties": properties });
    let required = required(plugin.config.fields);
    if !required.is_empty() {
        // The shared part may have what is missing here.
        schema["if"] = json!({ "required": ["_config"] });
        schema["then"] = json!({});
        schema["else"] =
            json!({ "required": ["config"], "properties": { "config": { "required": required } } });
    }
    schema
}

fn with_vaults(schema: &mut Json) {
    let properties = &mut schema["properties"];
    properties["name"] =
        json!({ "enum": Kind::ALL.map(Kind::name), "description": properties["name"]["description"] });
    properties["prefix"]["type"] = "string".into();
    properties["prefix"]["pattern"] = "^[a-z][a-z0-9-]*[a-z0-9]$".into();
    properties["config"]["type"] = json!(["object", "null"]);
    let rules = Kind::ALL.map(|kind| {
        let fields = kind
            .fields()
            .iter()
            .flat_map(|field| field.spellings().map(|name| (name.to_owned(), of_vault_field(field))));
        let mut config = object(fields.collect());
        config["description"] = format!("The configuration of a vault of the kind {}.", kind.name()).into();
        json!({
            "if": { "properties": { "name": { "const": kind.name() } }, "required": ["name"] },
            "then": { "properties": { "config": config } },
        })
    });
    schema["allOf"] = rules.into_iter().collect();
}

fn of_vault_field(field: &of_vaults::Field) -> Json {
    let mut schema = match (field.ty, field.rule) {
        (of_vaults::Type::String, of_vaults::Rule::OneOf(words)) => word(words),
        (of_vaults::Type::String, _) => json!({ "type": ["string", "null"] }),
        // Numbers and truths of a vault may come by reference too.
        (of_vaults::Type::Integer, _) => json!({ "type": ["integer", "string", "null"] }),
        (of_vaults::Type::Number, _) => json!({ "type": ["number", "string", "null"] }),
        (of_vaults::Type::Boolean, _) => json!({ "type": ["boolean", "string", "null"] }),
        (of_vaults::Type::Strings, _) => {
            json!({ "type": ["array", "string", "null"], "items": { "type": "string" } })
        }
    };
    schema["description"] = field.doc.into();
    if let Some(value) = default_of_vault(field) {
        schema["default"] = value;
    }
    schema
}

/// A mapping with these fields and no others; a remark may stand anywhere.
fn object(mut properties: Map<String, Json>) -> Json {
    properties.insert("_comment".to_owned(), json!({ "type": ["string", "null"] }));
    properties.insert("_ignore".to_owned(), json!({ "type": ["array", "null"] }));
    json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false })
}

fn properties(fields: &'static [Field]) -> Map<String, Json> {
    fields.iter().map(|field| (field.name.to_owned(), of_field(field))).collect()
}

/// What must be there, because nothing else gives it.
fn required(fields: &'static [Field]) -> Vec<&'static str> {
    let is_missed = |field: &&Field| {
        let elsewhere = field.auto
            || matches!(field.ty, Type::Foreign(_))
            || matches!(field.name, "config" | "protocols");
        field.required && !elsewhere && default::of(field) == Value::Null
    };
    fields.iter().filter(is_missed).map(|field| field.name).collect()
}

fn of_field(field: &'static Field) -> Json {
    let mut schema = of_type(field);
    if !field.doc.is_empty() {
        schema["description"] = description(field).into();
    }
    if !matches!(field.ty, Type::Record(_)) && default::of(field) != Value::Null {
        schema["default"] = default::of(field).to_json();
    }
    schema
}

fn of_type(field: &'static Field) -> Json {
    if field.unsupported.is_some() {
        let only = default::of(field).to_json();
        return if only.is_null() { json!({ "type": "null" }) } else { json!({ "enum": [only, null] }) };
    }
    let words = field.rules.iter().find_map(|rule| match rule {
        Rule::OneOf(words) => Some(*words),
        _ => None,
    });
    let mut schema = match field.ty {
        Type::String => match words {
            Some(words) => word(words),
            None => json!({ "type": ["string", "null"] }),
        },
        Type::Integer => json!({ "type": ["integer", "null"] }),
        Type::Number => json!({ "type": ["number", "null"] }),
        Type::Boolean => json!({ "type": ["boolean", "null"] }),
        Type::Array(element) | Type::Set(element) => {
            json!({ "type": ["array", "null"], "items": of_type(element) })
        }
        Type::Map(_, values) => {
            json!({ "type": ["object", "null"], "additionalProperties": of_type(values) })
        }
        Type::Record(fields) => {
            let mut schema = object(properties(fields));
            let required = required(fields);
            if !required.is_empty() {
                schema["required"] = required.into();
            }
            schema
        }
        Type::Foreign(collection) => foreign(collection),
        Type::Any => json!({}),
    };
    for rule in field.rules {
        match (rule, field.ty) {
            (Rule::Between(low, high), _) => {
                schema["minimum"] = shown_number(*low);
                schema["maximum"] = shown_number(*high);
            }
            (Rule::Above(low), _) => schema["exclusiveMinimum"] = shown_number(*low),
            (Rule::OneOfIntegers(numbers), _) => {
                let numbers = numbers.iter().map(|number| Json::from(*number)).chain([Json::Null]);
                schema["enum"] = numbers.collect();
            }
            (Rule::LengthMin(least), Type::Array(_) | Type::Set(_)) => schema["minItems"] = (*least).into(),
            (Rule::LengthMin(least), Type::String) => schema["minLength"] = (*least).into(),
            (Rule::LengthMax(most), Type::Array(_) | Type::Set(_)) => schema["maxItems"] = (*most).into(),
            _ => {}
        }
    }
    schema
}

/// One of some words, or a text with a reference in it.
fn word(words: &[&str]) -> Json {
    let words: Vec<Json> = words.iter().map(|word| (*word).into()).chain([Json::Null]).collect();
    json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": "\\{vault://" }] })
}

/// Another entity: its name or identifier, or a mapping with one of them.
fn foreign(collection: &str) -> Json {
    let key = entity::definition(collection).and_then(|definition| definition.endpoint_key).unwrap_or("id");
    json!({ "anyOf": [
        { "type": ["string", "null"] },
        { "type": "object", "properties": { "id": { "type": "string" }, key: { "type": "string" } }, "minProperties": 1 },
    ] })
}
