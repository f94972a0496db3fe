//! What a gateway says of its entities at `/schemas`, and how it fills in what a file leaves out.
//!
//! Owns: the form of schemas (an array of objects with one key each), and the rules by which defaults are filled in, which
//! are decK's. Must not know: which entities there are, and any plugin: gateways have some that this program has not.
//!
//! A schema is outside text. It was parsed, so its depth is bounded; whatever else is odd in it is as if it were not there.

use serde_json::{Map, Value as Json};

use super::kinds::Body;

/// The fields of a record or of a whole schema.
pub(super) fn fields(record: &Json) -> impl Iterator<Item = (&str, &Json)> {
    named(record, "fields")
}

/// Older names of fields.
pub(super) fn shorthands(record: &Json) -> impl Iterator<Item = (&str, &Json)> {
    named(record, "shorthand_fields")
}

fn named<'a>(record: &'a Json, list: &str) -> impl Iterator<Item = (&'a str, &'a Json)> {
    let items = record.get(list).and_then(Json::as_array).into_iter().flatten();
    items.filter_map(Json::as_object).flat_map(Map::iter).map(|(name, field)| (name.as_str(), field))
}

/// One field.
pub(super) fn field<'a>(record: &'a Json, name: &str) -> Option<&'a Json> {
    fields(record).chain(shorthands(record)).find(|(known, _)| *known == name).map(|(_, field)| field)
}

/// `string`, `record`, ...
pub(super) fn type_of(field: &Json) -> &str {
    field.get("type").and_then(Json::as_str).unwrap_or_default()
}

/// The default of a field; none where it is null.
fn default_of(field: &Json) -> Option<&Json> {
    field.get("default").filter(|default| !default.is_null())
}

/// Fills a core entity: the defaults of its fields, also inside records, whether these are given or not.
pub(super) fn fill_entity(schema: &Json, body: &mut Body) {
    for (name, field) in fields(schema) {
        let given = body.get(name).filter(|value| !value.is_null());
        match (type_of(field), given) {
            ("foreign", _) => {}
            ("record", None | Some(Json::Object(_))) => {
                let mut inner = match body.remove(name) {
                    Some(Json::Object(inner)) => inner,
                    _ => Body::new(),
                };
                let was_given = !inner.is_empty();
                fill_entity(field, &mut inner);
                if was_given || !inner.is_empty() {
                    body.insert(name.to_owned(), inner.into());
                }
            }
            (_, None) => {
                if let Some(default) = default_of(field) {
                    body.insert(name.to_owned(), default.clone());
                }
            }
            _ => {}
        }
    }
}

/// Fills the `config` of a plugin or a vault: every field of its schema is there afterwards, null without a default. A
/// record is filled where it is required or given, and so are the records in lists.
pub(super) fn fill_config(schema: &Json, config: &mut Body) {
    unfold_shorthands(schema, config);
    for (name, field) in fields(schema) {
        let is_record = type_of(field) == "record";
        if !config.contains_key(name) {
            let required = field.get("required") == Some(&Json::Bool(true));
            let value = match default_of(field) {
                Some(default) => default.clone(),
                None if is_record && required => Body::new().into(),
                None => Json::Null,
            };
            config.insert(name.to_owned(), value);
        }
        // A gateway puts its defaults in place of null where there has to be something.
        let is_required = field.get("required") == Some(&Json::Bool(true));
        if is_record && is_required && config.get(name).is_some_and(Json::is_null) {
            config.insert(name.to_owned(), Body::new().into());
        }
        match config.get_mut(name) {
            Some(Json::Object(inner)) if is_record => fill_config(field, inner),
            Some(Json::Array(items)) => {
                let elements = field.get("elements").filter(|elements| type_of(elements) == "record");
                for item in items.iter_mut().filter_map(Json::as_object_mut) {
                    if let Some(elements) = elements {
                        fill_config(elements, item);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Puts what stands under an older name where it belongs, unless something is there.
pub(super) fn unfold_shorthands(schema: &Json, config: &mut Body) {
    for (name, field) in shorthands(schema) {
        let ways = ways_of(field);
        if ways.is_empty() {
            continue;
        }
        let Some(value) = config.remove(name).filter(|value| !value.is_null()) else { continue };
        for way in &ways {
            set_if_absent(config, way, &value);
        }
    }
}

/// Where a gateway says that an older name now stands.
pub(super) fn ways_of(field: &Json) -> Vec<Vec<&str>> {
    let way = |way: &'_ Json| -> Option<Vec<String>> {
        way.as_array()?.iter().map(|step| step.as_str().map(ToOwned::to_owned)).collect()
    };
    // Checked first, so that a way of anything but texts is none.
    let texts = |path: &'_ Json| way(path).filter(|way| !way.is_empty()).is_some();
    let replaced = field.get("deprecation").and_then(|deprecation| deprecation.get("replaced_with"));
    let replaced = replaced.and_then(Json::as_array).into_iter().flatten().filter_map(|to| to.get("path"));
    let ways: Vec<_> = replaced.chain(field.get("translate_backwards")).filter(|path| texts(path)).collect();
    ways.into_iter()
        .map(|path| path.as_array().into_iter().flatten().filter_map(Json::as_str).collect())
        .collect()
}

fn set_if_absent(config: &mut Body, way: &[&str], value: &Json) {
    let Some((first, rest)) = way.split_first() else { return };
    let place = config.entry((*first).to_owned()).or_insert(Json::Null);
    if rest.is_empty() {
        if place.is_null() {
            *place = value.clone();
        }
        return;
    }
    if place.is_null() {
        *place = Body::new().into();
    }
    if let Json::Object(inner) = place {
        set_if_absent(inner, rest, value);
    }
}

/// Takes away what the gateway would fill in by itself. In a `config`, a record that need not be there says something by
/// being there (`is_config`).
pub(super) fn without_defaults(schema: &Json, body: &mut Body, is_config: bool) {
    body.retain(|name, value| {
        let Some(field) = field(schema, name) else { return true };
        if value.is_null() {
            return default_of(field).is_some();
        }
        if let (Json::Object(inner), "record") = (&mut *value, type_of(field)) {
            without_defaults(field, inner, is_config);
            return !inner.is_empty() || is_config && field.get("required") != Some(&Json::Bool(true));
        }
        default_of(field) != Some(value)
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(schema: &Json, config: &Json) -> Json {
        let mut config = config.as_object().unwrap().clone();
        fill_config(schema, &mut config);
        config.into()
    }

    #[test]
    fn configs_are_filled_as_by_the_gateway() {
        let schema = json!({ "type": "record", "fields": [
            { "minute": { "type": "number" } },
            { "policy": { "type": "string", "default": "local" } },
            { "redis": { "type": "record", "required": true, "fields": [
                { "port": { "type": "integer", "default": 6379 } }, { "host": { "type": "string" } },
            ] } },
            { "optional": { "type": "record", "fields": [{ "a": { "type": "string", "default": "b" } }] } },
            { "list": { "type": "array", "elements": { "type": "record", "fields": [
                { "n": { "type": "number", "default": 1 } },
            ] } } },
        ], "shorthand_fields": [
            { "redis_host": { "type": "string", "deprecation": { "replaced_with": [{ "path": ["redis", "host"] }] } } },
        ] });
        assert_eq!(
            filled(&schema, &json!({})),
            json!({ "minute": null, "policy": "local", "redis": { "port": 6379, "host": null }, "optional": null, "list": null })
        );
        assert_eq!(
            filled(
                &schema,
                &json!({ "redis_host": "h", "optional": {}, "list": [{}, { "n": 2 }], "policy": null })
            ),
            json!({ "minute": null, "policy": null, "redis": { "port": 6379, "host": "h" },
                "optional": { "a": "b" }, "list": [{ "n": 1 }, { "n": 2 }] })
        );
        assert_eq!(
            filled(&schema, &json!({ "redis": null }))["redis"],
            json!({ "port": 6379, "host": null })
        );
        let echoed = json!({ "redis_host": "old", "redis": { "host": "new", "port": 1 } });
        assert_eq!(filled(&schema, &echoed)["redis"], json!({ "host": "new", "port": 1 }));
    }

    #[test]
    fn entities_are_filled_inside_records() {
        let schema = json!({ "fields": [
            { "port": { "type": "integer", "default": 80 } },
            { "service": { "type": "foreign", "default": 1 } },
            { "checks": { "type": "record", "fields": [{ "active": { "type": "record", "fields": [
                { "timeout": { "type": "number", "default": 1 } },
            ] } }] } },
            { "bare": { "type": "record", "fields": [{ "x": { "type": "string" } }] } },
        ] });
        let mut body = Body::new();
        fill_entity(&schema, &mut body);
        assert_eq!(Json::from(body.clone()), json!({ "port": 80, "checks": { "active": { "timeout": 1 } } }));
        without_defaults(&schema, &mut body, false);
        assert_eq!(Json::from(body), json!({}));
    }

    #[test]
    fn odd_schemas_do_no_harm() {
        for odd in [json!(null), json!([]), json!({ "fields": {} }), json!({ "fields": [1, "x", [], {}] })] {
            assert_eq!(filled(&odd, &json!({ "a": 1 })), json!({ "a": 1 }));
        }
        let odd = json!({ "shorthand_fields": [{ "old": { "deprecation": { "replaced_with": [{ "path": [1] }] } } }] });
        assert_eq!(filled(&odd, &json!({ "old": 1 })), json!({ "old": 1 }));
    }
}
