//! What PATCH says, laid over what is there.
//!
//! Owns: that records are merged and all else is replaced, lists and maps included, as Kong does; and that an older name
//! of a field, or a `url`, replaces what it stands for. Must not know: whether the outcome is right.

use postern_model::Kind;
use postern_model::field::{Field, Plugins, Type};
use serde_json::{Map, Value};

/// The entity as it is to be.
pub(crate) fn merged(
    kind: Kind,
    mut base: Map<String, Value>,
    patch: Map<String, Value>,
    plugins: &dyn Plugins,
) -> Map<String, Value> {
    if kind.collection() == "services" && patch.get("url").is_some_and(|url| !url.is_null()) {
        for part in ["protocol", "host", "port", "path"] {
            base.remove(part);
        }
    }
    let name = patch.get("name").or(base.get("name")).and_then(Value::as_str).map(ToOwned::to_owned);
    for (key, value) in patch {
        let field = kind.fields().iter().find(|field| field.name == key);
        let merged = match (kind.collection(), key.as_str(), base.remove(&key), value) {
            ("plugins", "config", Some(Value::Object(base)), Value::Object(patch)) => {
                let schema = name.as_deref().and_then(|name| plugins.schema(name));
                let fields = schema.map_or(&[] as &[Field], |schema| schema.config.fields);
                records(base, newer(patch, fields), fields).into()
            }
            ("vaults", "config", Some(Value::Object(mut base)), Value::Object(patch)) => {
                base.extend(patch);
                base.into()
            }
            (_, _, Some(Value::Object(base)), Value::Object(patch)) => match field.map(|field| field.ty) {
                Some(Type::Record(fields)) => records(base, patch, fields).into(),
                _ => patch.into(),
            },
            (_, _, _, value) => value,
        };
        base.insert(key, merged);
    }
    base
}

fn records(
    mut base: Map<String, Value>,
    patch: Map<String, Value>,
    fields: &'static [Field],
) -> Map<String, Value> {
    for (key, value) in patch {
        let inner = fields.iter().find(|field| field.name == key).and_then(|field| match field.ty {
            Type::Record(fields) => Some(fields),
            _ => None,
        });
        let merged = match (inner, base.remove(&key), value) {
            (Some(fields), Some(Value::Object(base)), Value::Object(patch)) => {
                records(base, patch, fields).into()
            }
            (_, _, value) => value,
        };
        base.insert(key, merged);
    }
    base
}

/// The same with newer names: what is there has those only. One that is given both ways is left for the check to tell.
fn newer(mut patch: Map<String, Value>, fields: &'static [Field]) -> Map<String, Value> {
    let older: Vec<String> = patch.keys().filter(|key| way(fields, key).is_some()).cloned().collect();
    for name in older {
        let Some(way) = way(fields, &name) else { continue };
        let is_given = way.iter().try_fold(None, |at: Option<&Value>, step| {
            at.map_or_else(|| patch.get(*step), |value| value.get(*step)).map(Some)
        });
        if is_given.is_some() {
            continue;
        }
        let Some(value) = patch.remove(&name) else { continue };
        place(&mut patch, &way, value);
    }
    patch
}

fn place(map: &mut Map<String, Value>, way: &[&str], value: Value) {
    match way {
        [] => {}
        [last] => {
            map.insert((*last).to_owned(), value);
        }
        [step, rest @ ..] => {
            let below = map.entry(*step).or_insert_with(|| Map::new().into());
            if let Value::Object(below) = below {
                place(below, rest, value);
            }
        }
    }
}

/// The way to the field that an older name means.
fn way(fields: &'static [Field], name: &str) -> Option<Vec<&'static str>> {
    fields.iter().find_map(|field| match field.ty {
        _ if field.shorthands.contains(&name) => Some(vec![field.name]),
        Type::Record(fields) => {
            let mut rest = way(fields, name)?;
            rest.insert(0, field.name);
            Some(rest)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use postern_model::field::{HTTP_PROTOCOLS, PluginSchema, Schema, TEXT};
    use serde_json::json;

    use super::*;

    const PLUGIN: PluginSchema = PluginSchema {
        name: "p",
        priority: 1,
        version: "1",
        protocols: HTTP_PROTOCOLS,
        not_bound_to: &[],
        config: Schema {
            fields: &[
                Field::integer("minute"),
                Field::map("headers", &TEXT, &TEXT),
                Field::record(
                    "redis",
                    &[Field::string("host").shorthands(&["redis_host"]), Field::integer("port")],
                ),
            ],
            checks: &[],
        },
        doc: "",
    };

    fn patched(kind: &str, base: Value, patch: Value) -> Value {
        let map = |value: Value| value.as_object().cloned().unwrap();
        merged(Kind::named(kind).unwrap(), map(base), map(patch), &vec![&PLUGIN]).into()
    }

    #[test]
    fn records_are_merged_and_all_else_is_replaced() {
        let base = json!({"name": "p", "tags": ["a"], "service": {"id": 1},
            "config": {"minute": 1, "headers": {"a": "1"}, "redis": {"host": "h", "port": 1}}});
        let config =
            |patch: Value| patched("plugins", base.clone(), json!({"config": patch}))["config"].clone();
        assert_eq!(
            config(json!({"minute": null, "headers": {"b": "2"}, "redis": {"port": 2}})),
            json!({"minute": null, "headers": {"b": "2"}, "redis": {"host": "h", "port": 2}})
        );
        assert_eq!(config(json!({"redis_host": "x"}))["redis"], json!({"host": "x", "port": 1}));
        assert_eq!(config(json!({"redis": null}))["redis"], Value::Null);
        let both = config(json!({"redis_host": "x", "redis": {"host": "y"}}));
        assert_eq!((&both["redis_host"], &both["redis"]["host"]), (&json!("x"), &json!("y")));
        let plain = patched("plugins", base, json!({"tags": ["b"], "service": {"name": "s"}}));
        assert_eq!((&plain["tags"], &plain["service"]), (&json!(["b"]), &json!({"name": "s"})));
    }

    #[test]
    fn a_url_replaces_its_parts() {
        let base = json!({"name": "s", "host": "h", "port": 1, "path": "/p", "protocol": "http"});
        let patched = patched("services", base, json!({"url": "https://x"}));
        assert_eq!(patched, json!({"name": "s", "url": "https://x"}));
    }

    #[test]
    fn healthchecks_are_merged_however_deep() {
        let base =
            json!({"healthchecks": {"active": {"timeout": 1, "healthy": {"interval": 1, "successes": 2}}}});
        let patch = json!({"healthchecks": {"active": {"healthy": {"interval": 5}}}});
        let expected =
            json!({"healthchecks": {"active": {"timeout": 1, "healthy": {"interval": 5, "successes": 2}}}});
        assert_eq!(patched("upstreams", base, patch), expected);
    }
}
