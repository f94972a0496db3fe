//! When two entities are the same.
//!
//! Owns: the one form in which both are compared: defaults filled in, nulls left out, sets sorted, numbers by value. Must
//! not know: where either comes from, so that it makes no difference which is which.

use postern_model::Kind;
use postern_model::field::Default;
use serde_json::{Number, Value as Json};

use super::kinds::Body;
use super::schema;
use super::schemas::Schemas;
use super::target;

/// What gateways keep for themselves.
const THEIRS: &[&str] = &["id", "created_at", "updated_at"];
/// Lists without an order, whatever a schema says.
const SETS: &[&str] = &["tags", "ca_certificates"];

/// An entity in the one form. What its kind does not know and its schema does not name is left out.
pub fn canonical(kind: Kind, body: &Body, schemas: &Schemas) -> Body {
    let mut body = body.clone();
    let entity = schemas.entity(kind);
    if let Some(entity) = entity {
        schema::fill_entity(entity, &mut body);
    }
    // Of other kinds no gateway's defaults are asked for; those that the table has are everybody's.
    for field in kind.fields().iter().filter(|_| entity.is_none() && !kind.has_defaults()) {
        if let Default::Text(text) = field.default
            && body.get(field.name).is_none_or(Json::is_null)
        {
            body.insert(field.name.to_owned(), text.into());
        }
    }
    let config = schemas.config(kind, &body);
    if kind.is_plugin() || kind.is_vault() {
        let protocols = schemas.protocols(&body);
        settle(&mut body, config, protocols);
    }
    let mut canonical = Body::new();
    for (name, value) in &body {
        if THEIRS.contains(&name.as_str()) || kind.hashed().contains(&name.as_str()) {
            continue;
        }
        let described = entity.and_then(|entity| schema::field(entity, name));
        let value = if kind.reference(name).is_some() {
            value.get("id").map(|id| serde_json::json!({ "id": id })).unwrap_or_default()
        } else if name == "config" {
            in_one_form(value, config)
        } else if kind.may_set(name.as_str()) || described.is_some() {
            plain(kind, name, value, described)
        } else {
            continue;
        };
        if !value.is_null() {
            canonical.insert(name.clone(), value);
        }
    }
    canonical
}

fn settle(body: &mut Body, config: Option<&Json>, protocols: Option<&Json>) {
    if let Some(schema) = config {
        let config = body.entry("config").or_insert(Json::Null);
        if config.is_null() {
            *config = Body::new().into();
        }
        if let Json::Object(config) = config {
            schema::fill_config(schema, config);
        }
    }
    if let Some(protocols) = protocols
        && body.get("protocols").is_none_or(Json::is_null)
    {
        body.insert("protocols".to_owned(), protocols.clone());
    }
}

fn plain(kind: Kind, name: &str, value: &Json, described: Option<&Json>) -> Json {
    let mut value = match value {
        Json::String(text) if kind.collection() == "targets" && name == "target" => {
            target::canonical(text).into()
        }
        // Gateways may end PEM texts with another number of newlines than files do.
        Json::String(text) if kind.collection().ends_with("certificates") => text.trim_end().into(),
        value => in_one_form(value, described),
    };
    if let Json::Array(items) = &mut value
        && (SETS.contains(&name) || kind.is_plugin() && name == "protocols")
    {
        sort(items);
    }
    // Nothing in a list is the same as no list.
    if is_empty(&value) { Json::Null } else { value }
}

fn in_one_form(value: &Json, described: Option<&Json>) -> Json {
    // With nothing in them, a list and a mapping are one thing.
    let is_map = described.is_some_and(|described| matches!(schema::type_of(described), "map" | "record"));
    match value {
        Json::Array(items) if items.is_empty() && is_map => Body::new().into(),
        Json::Object(fields) if fields.is_empty() && is_list(described) => Json::Array(Vec::new()),
        Json::Number(number) => Json::Number(by_value(number)),
        Json::Array(items) => {
            let elements = described.and_then(|described| described.get("elements"));
            let mut items: Vec<Json> = items.iter().map(|item| in_one_form(item, elements)).collect();
            if described.is_some_and(|described| schema::type_of(described) == "set") {
                sort(&mut items);
            }
            items.into()
        }
        Json::Object(fields) => {
            let of = |name: &str| {
                let described = described?;
                schema::field(described, name).or_else(|| described.get("values"))
            };
            let fields = fields.iter().map(|(name, value)| (name.clone(), in_one_form(value, of(name))));
            fields.filter(|(_, value)| !value.is_null()).collect::<Body>().into()
        }
        other => other.clone(),
    }
}

fn is_list(described: Option<&Json>) -> bool {
    described.is_some_and(|described| matches!(schema::type_of(described), "array" | "set"))
}

fn sort(items: &mut Vec<Json>) {
    items.sort_by_cached_key(Json::to_string);
    items.dedup();
}

fn is_empty(value: &Json) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Body::is_empty)
}

/// 5 and 5.0 are one number.
fn by_value(number: &Number) -> Number {
    /// Up to here each whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within the range of exact floats")]
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => {
            (float as i64).into()
        }
        _ => number.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn same(collection: &str, one: Json, other: Json) -> bool {
        let kind = Kind::known_as(collection).unwrap();
        let form = |json: Json| canonical(kind, json.as_object().unwrap(), &Schemas::default());
        form(one) == form(other)
    }

    #[test]
    fn the_same_in_other_words() {
        let cases = [
            (
                "services",
                json!({ "name": "a", "port": 80.0, "path": null }),
                json!({ "name": "a", "port": 80 }),
            ),
            ("services", json!({ "tags": ["b", "a"] }), json!({ "tags": ["a", "b", "a"] })),
            (
                "services",
                json!({ "name": "a", "ws_id": 1, "updated_at": 2 }),
                json!({ "name": "a", "id": "x" }),
            ),
            ("routes", json!({ "service": { "id": "s", "name": "x" } }), json!({ "service": { "id": "s" } })),
            ("targets", json!({ "target": "::1" }), json!({ "target": "[0:0:0:0:0:0:0:1]:8000" })),
            ("certificates", json!({ "cert": "x\n", "snis": ["a"] }), json!({ "cert": "x" })),
            ("plugins", json!({ "config": { "a": null, "b": 1.0 } }), json!({ "config": { "b": 1 } })),
            ("basicauth_credentials", json!({ "password": "x" }), json!({ "password": "hash" })),
            ("consumers", json!({ "username": "a", "tags": [] }), json!({ "username": "a", "tags": null })),
        ];
        for (collection, one, other) in cases {
            assert!(same(collection, one.clone(), other.clone()), "{one} {other}");
        }
    }

    #[test]
    fn not_the_same() {
        let cases = [
            ("services", json!({ "name": "a", "port": 80 }), json!({ "name": "a", "port": 81 })),
            ("services", json!({ "name": "a", "path": "/" }), json!({ "name": "a" })),
            ("certificates", json!({ "cert": "x\n y" }), json!({ "cert": "x" })),
            ("plugins", json!({ "config": { "a": [1, 2] } }), json!({ "config": { "a": [2, 1] } })),
            ("plugins", json!({ "config": { "a": [] } }), json!({ "config": { "a": null } })),
            ("plugins", json!({ "service": { "id": "s" } }), json!({ "service": { "id": "t" } })),
            ("vaults", json!({ "config": { "prefix": "A" } }), json!({ "config": {} })),
        ];
        for (collection, one, other) in cases {
            assert!(!same(collection, one.clone(), other.clone()), "{one} {other}");
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-3..3_i64).prop_map(Json::from),
            (-3..3_i32).prop_map(|number| Json::from(f64::from(number) / 2.0)),
            "[a-c]{0,2}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|fields| fields.into_iter().collect::<Body>().into()),
            ]
        })
    }

    proptest! {
        /// Being the same is symmetric, as both are brought into one form; and that form is its own.
        #[test]
        fn the_form_is_settled(config in any_json(), tags in any_json(), name in any_json()) {
            for kind in Kind::known() {
                let body = json!({ "name": name, "config": config, "tags": tags, "service": tags });
                let once = canonical(kind, body.as_object().unwrap(), &Schemas::default());
                prop_assert_eq!(&once, &canonical(kind, &once, &Schemas::default()));
            }
        }
    }
}
