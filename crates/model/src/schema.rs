//! The field lists as Kong's `/schemas` shows them; `schema/editor` has them as a JSON Schema for editors.
//!
//! Owns: Kong's form: an array of objects with one key each. Must not know: HTTP. decK reads types and defaults from it,
//! so what is said here has to be what [`crate::check()`] does; both come from one list.

mod editor;

use postern_secrets::{Kind, field as of_vaults};
use serde_json::{Map, Value as Json, json};

pub use editor::json_schema;

use crate::decode::default;
use crate::entity;
use crate::field::{Field, PluginSchema, Rule, Schema, Type};
use crate::value::Value;

/// The schema of a kind of entity, by the name of its lists: `services`. `None` where there is no such kind.
pub fn of_entity(collection: &str) -> Option<Json> {
    let definition = entity::definition(collection)?;
    let mut schema = json!({ "entity_checks": [], "fields": fields(definition.schema.fields) });
    if !definition.shorthands.is_empty() {
        schema["shorthand_fields"] = fields(definition.shorthands);
    }
    if collection == entity::vault::COLLECTION {
        with_vaults(&mut schema);
    }
    Some(schema)
}

/// The schema of what Kong has as an entity and this gateway has not, or has in another way.
pub fn of_other(name: &str) -> Option<Json> {
    const ID: Field = Field::string("id").rules(&[Rule::Uuid]).auto();
    const SECONDS: Field = Field::integer("").auto();
    const CREATED: Field = Field { name: "created_at", ..SECONDS };
    const UPDATED: Field = Field { name: "updated_at", ..SECONDS };
    const TAGS: &[Field] = &[
        Field::string("tag").required(),
        Field::string("entity_name").required(),
        Field::string("entity_id").required(),
    ];
    const WORKSPACES: &[Field] = &[
        ID,
        Field::string("name").required().unique(),
        Field::string("comment"),
        CREATED,
        UPDATED,
        Field::record("meta", &[Field::string("color"), Field::string("thumbnail")]),
        Field::record("config", &[]),
    ];
    const DATA_PLANES: &[Field] = &[
        ID,
        Field::integer("last_seen").auto(),
        Field::string("ip").required(),
        Field::string("config_hash").rules(&[Rule::LengthMin(32), Rule::LengthMax(32)]),
        Field::string("hostname").required(),
        Field::string("version"),
        Field::string("sync_status").required().default_text("unknown"),
        UPDATED,
        Field::record("labels", &[]),
    ];
    const PARAMETERS: &[Field] =
        &[Field::string("key").required().unique(), Field::string("value").required(), CREATED];
    let fields = match name {
        "tags" => TAGS,
        "workspaces" => WORKSPACES,
        "clustering_data_planes" => DATA_PLANES,
        "parameters" => PARAMETERS,
        "filter_chains" | "oauth2_credentials" => {
            entity::TABLE.iter().find(|definition| definition.collection == name)?.schema.fields
        }
        _ => return None,
    };
    Some(json!({ "entity_checks": [], "fields": self::fields(fields) }))
}

/// The schema of a plugin.
pub fn of_plugin(plugin: &PluginSchema) -> Json {
    let foreign = |name: &str, collection: &str| {
        let mut field = json!({ "type": "foreign", "reference": collection });
        if plugin.not_bound_to.contains(&name) {
            field["eq"] = Json::Null;
        }
        json!({ name: field })
    };
    let protocols = json!({
        "type": "set", "required": true, "default": plugin.protocols,
        "elements": { "type": "string", "one_of": plugin.protocols },
    });
    let mut config = json!({ "type": "record", "required": true, "fields": fields(plugin.config.fields) });
    let older = older_names(&plugin.config);
    if !older.is_empty() {
        config["shorthand_fields"] = older.into();
    }
    json!({
        "entity_checks": [],
        "fields": [
            foreign("consumer", "consumers"), foreign("consumer_group", "consumer_groups"),
            foreign("service", "services"), foreign("route", "routes"),
            { "protocols": protocols }, { "config": config },
        ],
    })
}

/// The schema of the `config` of a kind of vault.
pub fn of_vault_kind(kind: Kind) -> Json {
    let fields: Vec<Json> = kind
        .fields()
        .iter()
        .map(|field| {
            let ty = match field.ty {
                of_vaults::Type::String => "string",
                of_vaults::Type::Integer => "integer",
                of_vaults::Type::Number => "number",
                of_vaults::Type::Boolean => "boolean",
                of_vaults::Type::Strings => "array",
            };
            let mut shown = json!({ "type": ty, "description": field.doc });
            if field.required {
                shown["required"] = true.into();
            }
            if let Some(value) = default_of_vault(field) {
                shown["default"] = value;
            }
            if let of_vaults::Rule::OneOf(words) = field.rule {
                shown["one_of"] = words.into();
            }
            json!({ field.name: shown })
        })
        .collect();
    json!({ "fields": [{ "config": { "type": "record", "required": true, "fields": fields } }] })
}

/// What the words for fields cannot say of a vault.
fn with_vaults(schema: &mut Json) {
    for field in schema["fields"].as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
        if let Some(prefix) = field.get_mut("prefix") {
            prefix["not_one_of"] = postern_secrets::reserved_prefixes().into();
        }
        if let Some(config) = field.get_mut("config") {
            *config = json!({ "type": "record", "required": true, "abstract": true, "description": config["description"] });
        }
    }
}

fn default_of_vault(field: &of_vaults::Field) -> Option<Json> {
    field.default.map(|default| match default {
        of_vaults::Default::Text(text) => text.into(),
        of_vaults::Default::Integer(number) => number.into(),
        of_vaults::Default::Boolean(truth) => truth.into(),
    })
}

fn fields(fields: &'static [Field]) -> Json {
    fields.iter().map(|field| json!({ field.name: descriptor(field) })).collect()
}

fn descriptor(field: &'static Field) -> Json {
    let mut shown = Map::new();
    let mut say = |key: &str, value: Json| {
        shown.insert(key.to_owned(), value);
    };
    match field.ty {
        Type::String => say("type", "string".into()),
        Type::Integer => say("type", "integer".into()),
        Type::Number => say("type", "number".into()),
        Type::Boolean => say("type", "boolean".into()),
        Type::Array(element) | Type::Set(element) => {
            say("type", if matches!(field.ty, Type::Set(_)) { "set" } else { "array" }.into());
            say("elements", descriptor(element));
        }
        Type::Map(keys, values) => {
            say("type", "map".into());
            say("keys", descriptor(keys));
            say("values", descriptor(values));
        }
        Type::Record(inner) => {
            say("type", "record".into());
            say("fields", fields(inner));
        }
        Type::Foreign(collection) => {
            say("type", "foreign".into());
            say("reference", collection.into());
        }
        Type::Any => say("type", "any".into()),
    }
    let flags = [
        // One that is there in any case, which clients must know when they compare.
        ("required", field.required || matches!(field.default, crate::field::Default::Fields)),
        ("unique", field.unique),
        ("auto", field.auto),
        ("timestamp", field.auto && matches!(field.ty, Type::Integer)),
        ("encrypted", field.secret),
        ("referenceable", matches!(field.ty, Type::String) && !field.auto && !field.name.is_empty()),
    ];
    for (flag, _) in flags.into_iter().filter(|(_, holds)| *holds) {
        say(flag, true.into());
    }
    // decK takes the defaults of a record from its fields.
    if !matches!(field.ty, Type::Record(_)) && default::of(field) != Value::Null {
        say("default", default::of(field).to_json());
    }
    for rule in field.rules {
        match rule {
            Rule::OneOf(words) => say("one_of", (*words).into()),
            Rule::OneOfIntegers(numbers) => say("one_of", (*numbers).into()),
            Rule::Between(low, high) => {
                say("between", json!([shown_number(*low), shown_number(*high)]));
            }
            Rule::Above(low) => say("gt", shown_number(*low)),
            Rule::LengthMin(least) => say("len_min", (*least).into()),
            Rule::LengthMax(most) => say("len_max", (*most).into()),
            Rule::StartsWith(start) => say("starts_with", (*start).into()),
            Rule::Uuid => say("uuid", true.into()),
            Rule::Custom(_) => {}
        }
    }
    if !field.doc.is_empty() {
        say("description", description(field).into());
    }
    shown.into()
}

fn shown_number(number: f64) -> Json {
    Value::Number(number).to_json()
}

fn description(field: &Field) -> String {
    match field.unsupported {
        Some(reason) => format!("{} Not supported yet: {reason}.", field.doc),
        None => field.doc.to_owned(),
    }
}

/// `[{"redis_host": {"type": "string", "deprecation": {"replaced_with": [{"path": ["redis", "host"]}]},
/// "translate_backwards": ["redis", "host"]}}]`
fn older_names(schema: &Schema) -> Vec<Json> {
    crate::decode::older_names(schema.fields)
        .into_iter()
        .map(|(name, way, field)| {
            let mut shown = descriptor(field);
            if let Some(shown) = shown.as_object_mut() {
                shown.retain(|key, _| {
                    matches!(key.as_str(), "type" | "elements" | "keys" | "values" | "fields")
                });
            }
            shown["deprecation"] = json!({ "replaced_with": [{ "path": way }] });
            shown["translate_backwards"] = way.into();
            json!({ name: shown })
        })
        .collect()
}

#[cfg(test)]
mod tests;
