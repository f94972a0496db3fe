//! What is served, as an OpenAPI 3.1 document: `/openapi.json`.
//!
//! Owns: the way from the endpoint table and the field lists to the document. Must not know: any endpoint or field; what
//! is not in those lists is not in the document.

use postern_model::Kind;
use postern_model::field::{Default, Field, Rule, Type};
use serde_json::{Map, Value, json};

use super::call::{Answered, Call, ok};
use super::route::{Endpoint, Serves};
use super::shown;

/// `/openapi.json`
pub(crate) fn document(call: &Call<'_>) -> Answered {
    let about = call.admin.node().about();
    let paths: Map<String, Value> = call.admin.endpoints().iter().map(path).collect();
    let schemas: Map<String, Value> = Kind::all()
        .into_iter()
        .map(|kind| {
            let hidden = shown::hidden_fields(kind, &about);
            let fields = kind.fields().iter().filter(|field| !hidden.contains(&field.name));
            (kind.collection().to_owned(), record(fields))
        })
        .chain([("error".to_owned(), error())])
        .collect();
    ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postern Admin API",
            "description": "Kong's Admin API, and what Postern adds to it.",
            "version": about.version,
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": "Kong-Admin-Token" },
            },
        },
        "security": [{ "token": [] }, {}],
    }))
}

fn path(endpoint: &Endpoint) -> (String, Value) {
    let names = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let mut shown = Map::new();
    if !parameters.is_empty() {
        shown.insert("parameters".to_owned(), parameters.into());
    }
    for method in endpoint.serves.methods() {
        shown.insert(method.to_ascii_lowercase(), operation(endpoint, method));
    }
    (endpoint.path.clone(), shown.into())
}

fn operation(endpoint: &Endpoint, method: &str) -> Value {
    let kind = match endpoint.serves {
        Serves::Collection(kind)
        | Serves::Entity(kind)
        | Serves::Nested(_, kind, _)
        | Serves::NestedEntity(_, kind, _)
        | Serves::Foreign(_, kind, _) => Some(kind.collection()),
        _ => None,
    };
    let is_list = matches!(endpoint.serves, Serves::Collection(_) | Serves::Nested(..));
    let schema = kind.map(|kind| json!({ "$ref": format!("#/components/schemas/{kind}") }));
    let content = |schema: Option<&Value>| match schema {
        Some(schema) => json!({ "application/json": { "schema": schema } }),
        None => json!({ "application/json": {} }),
    };
    let list = schema.as_ref().map(|schema| {
        json!({
            "type": "object",
            "properties": {
                "data": { "type": "array", "items": schema },
                "next": { "type": ["string", "null"] },
                "offset": { "type": "string" },
            },
        })
    });
    let (status, answer) = match method {
        "POST" if kind.is_some() => ("201", content(schema.as_ref())),
        "POST" if matches!(endpoint.serves, Serves::Config | Serves::Members | Serves::GroupsOfConsumer) => {
            ("201", content(None))
        }
        "DELETE" | "OPTIONS" => ("204", Value::Null),
        "PUT" if kind.is_none() => ("204", Value::Null),
        "GET" | "HEAD" if is_list => ("200", content(list.as_ref())),
        _ => ("200", content(schema.as_ref())),
    };
    let mut success = json!({ "description": "Done." });
    if !answer.is_null() && method != "HEAD" {
        success["content"] = answer;
    }
    let refused = json!({
        "description": "Refused.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/error" } } },
    });
    let mut operation = json!({ "responses": { status: success, "default": refused } });
    if let ("POST" | "PUT" | "PATCH", Some(schema)) = (method, &schema) {
        operation["requestBody"] = json!({ "content": {
            "application/json": { "schema": schema },
            "application/x-www-form-urlencoded": { "schema": schema },
            "multipart/form-data": { "schema": schema },
        } });
    }
    if is_list && method == "GET" {
        let argument = |name: &str, schema: Value| json!({ "name": name, "in": "query", "schema": schema });
        operation["parameters"] = json!([
            argument("size", json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 })),
            argument("offset", json!({ "type": "string" })),
            argument("tags", json!({ "type": "string" })),
        ]);
    }
    operation
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["message"],
        "properties": {
            "message": { "type": "string" },
            "code": { "type": "integer" },
            "name": { "type": "string" },
            "fields": { "type": "object" },
        },
    })
}

fn record<'a>(fields: impl Iterator<Item = &'a Field>) -> Value {
    let properties: Map<String, Value> =
        fields.map(|field| (field.name.to_owned(), property(field))).collect();
    json!({ "type": "object", "properties": properties })
}

fn property(field: &Field) -> Value {
    let mut shown = match field.ty {
        Type::String => json!({ "type": "string" }),
        Type::Integer => json!({ "type": "integer" }),
        Type::Number => json!({ "type": "number" }),
        Type::Boolean => json!({ "type": "boolean" }),
        Type::Array(element) => json!({ "type": "array", "items": property(element) }),
        Type::Set(element) => json!({ "type": "array", "uniqueItems": true, "items": property(element) }),
        Type::Map(_, values) => json!({ "type": "object", "additionalProperties": property(values) }),
        Type::Record(fields) => record(fields.iter()),
        Type::Foreign(_) => json!({
            "type": "object", "properties": { "id": { "type": "string", "format": "uuid" } },
        }),
        Type::Any => json!({}),
    };
    let is_nullable = !field.required && !field.name.is_empty();
    if let (true, Some(ty)) = (is_nullable, shown.get("type").cloned()) {
        shown["type"] = json!([ty, "null"]);
    }
    if !field.doc.is_empty() {
        shown["description"] = field.doc.into();
    }
    match field.default {
        Default::Text(text) => shown["default"] = text.into(),
        Default::Integer(number) => shown["default"] = number.into(),
        Default::Number(number) => shown["default"] = number.into(),
        Default::Boolean(truth) => shown["default"] = truth.into(),
        Default::Texts(texts) => shown["default"] = texts.into(),
        Default::Integers(numbers) => shown["default"] = numbers.into(),
        Default::None | Default::Empty | Default::Fields => {}
    }
    for rule in field.rules {
        match rule {
            Rule::OneOf(words) => {
                let mut words: Vec<Value> = words.iter().map(|word| (*word).into()).collect();
                words.extend(is_nullable.then_some(Value::Null));
                shown["enum"] = words.into();
            }
            Rule::Between(low, high) => {
                shown["minimum"] = (*low).into();
                shown["maximum"] = (*high).into();
            }
            Rule::LengthMax(most) if matches!(field.ty, Type::String) => shown["maxLength"] = (*most).into(),
            Rule::Uuid => shown["format"] = "uuid".into(),
            _ => {}
        }
    }
    shown
}
