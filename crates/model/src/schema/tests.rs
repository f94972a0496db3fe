//! Both forms of the field lists, as others read them.

use super::*;
use crate::field::{HTTP_PROTOCOLS, TEXT};

static PLUGIN: PluginSchema = PluginSchema {
    name: "cache",
    priority: 1,
    version: "1.0.0",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer"],
    config: Schema {
        fields: &[
            Field::strings("methods").required().default_texts(&["GET"]),
            Field::number("ttl").default_int(300).rules(&[Rule::Above(0.0)]),
            Field::string("strategy").required().rules(&[Rule::OneOf(&["memory"])]),
            Field::map("extra", &TEXT, &TEXT),
            Field::record("redis", &[Field::string("host").shorthands(&["redis_host"])]).required(),
        ],
        checks: &[],
    },
    doc: "Keeps answers.",
};

/// The one field of a list, by its name.
fn field<'a>(schema: &'a Json, name: &str) -> &'a Json {
    let fields = schema["fields"].as_array().expect("a list");
    assert!(fields.iter().all(|field| field.as_object().is_some_and(|field| field.len() == 1)));
    fields.iter().find_map(|field| field.get(name)).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn as_kong_shows_entities() {
    let service = of_entity("services").expect("services");
    assert_eq!(field(&service, "retries")["default"], 5);
    assert_eq!(field(&service, "retries")["between"], json!([0, 32767]));
    assert_eq!(field(&service, "protocol")["one_of"][0], "grpc");
    assert_eq!(field(&service, "client_certificate")["reference"], "certificates");
    assert_eq!(field(&service, "id")["uuid"], true);
    assert_eq!(field(&service, "name")["unique"], true);
    assert_eq!(service["shorthand_fields"][0]["url"]["type"], "string");
    let upstream = of_entity("upstreams").expect("upstreams");
    let active = field(field(&upstream, "healthchecks"), "active");
    assert_eq!(field(active, "timeout")["default"], 1);
    assert_eq!(field(field(active, "healthy"), "http_statuses")["default"], json!([200, 302]));
    // A default would make decK send one with every route.
    assert_eq!(field(&of_entity("routes").expect("routes"), "priority").get("default"), None);
    assert!(of_entity("vaults").is_some() && of_entity("nobody").is_none());
}

#[test]
fn as_kong_shows_plugins_and_vaults() {
    let plugin = of_plugin(&PLUGIN);
    assert_eq!(field(&plugin, "protocols")["default"], json!(["grpc", "grpcs", "http", "https"]));
    assert_eq!(field(&plugin, "consumer").get("eq"), Some(&Json::Null));
    let config = field(&plugin, "config");
    assert_eq!(field(config, "methods")["elements"]["type"], "string");
    assert_eq!(field(config, "extra")["values"]["type"], "string");
    assert_eq!(
        config["shorthand_fields"],
        json!([{ "redis_host": { "type": "string", "deprecation": { "replaced_with": [{ "path": ["redis", "host"] }] },
            "translate_backwards": ["redis", "host"] } }])
    );
    let vault = of_vault_kind(Kind::Hcv);
    assert_eq!(field(field(&vault, "config"), "port")["default"], 8200);
}

/// As data: documents, and whether an editor is content with them.
#[test]
fn as_editors_judge() {
    let cases = [
        ("{}", false),
        ("_format_version: '3.0'", true),
        ("_format_version: '4.0'", false),
        ("_format_version: '3.0'\nservces: []", false),
        (
            "_format_version: '3.0'\nservices: [{name: a, url: 'http://h', routes: [{paths: [/a], plugins: []}]}]",
            true,
        ),
        ("_format_version: '3.0'\nservices: [{name: a, host: h, retries: 99999}]", false),
        ("_format_version: '3.0'\nservices: [{name: a, host: h, protocol: htp}]", false),
        (
            "_format_version: '3.0'\nservices: [{name: a, host: '{vault://env/h}', protocol: '{vault://env/p}'}]",
            true,
        ),
        ("_format_version: '3.0'\nservices: [{nme: a}]", false),
        (
            "_format_version: '3.0'\nroutes: [{service: a, protocols: [http], methods: null, sources: [{ip: x}]}]",
            false,
        ),
        ("_format_version: '3.0'\nroutes: [{service: {name: a}, protocols: [http], methods: null}]", true),
        ("_format_version: '3.0'\nsnis: [{name: a}]", false),
        ("_format_version: '3.0'\ncertificates: [{cert: a, key: b, snis: [{name: a}]}]", true),
        (
            "_format_version: '3.0'\nconsumers: [{username: a, keyauth_credentials: [{key: k}], groups: [{name: g}]}]",
            true,
        ),
        ("_format_version: '3.0'\nconsumers: [{username: a, keyauth_credentials: [{}]}]", false),
        ("_format_version: '3.0'\nplugins: [{name: nobody}]", false),
        ("_format_version: '3.0'\nplugins: [{name: cache, config: {strategy: memory, ttl: 1}}]", true),
        ("_format_version: '3.0'\nplugins: [{name: cache, config: {ttl: 1}}]", false),
        ("_format_version: '3.0'\nplugins: [{name: cache, _config: x}]", true),
        ("_format_version: '3.0'\nplugins: [{name: cache, config: {strategy: memory, tl: 1}}]", false),
        ("_format_version: '3.0'\nplugins: [{name: cache, config: {strategy: memory, redis_host: x}}]", true),
        ("_format_version: '3.0'\nplugins: [{name: cache, consumer: a, config: {strategy: memory}}]", false),
        ("_format_version: '3.0'\nvaults: [{name: env, prefix: ab, config: {prefix: X}}]", true),
        ("_format_version: '3.0'\nvaults: [{name: env, prefix: ab, config: {token: X}}]", false),
    ];
    let schema = json_schema(&vec![&PLUGIN]);
    for (yaml, expected) in cases {
        // A name that is not there still leaves a tree to judge.
        let document = crate::read(yaml.as_bytes(), &|_| None).expect("a tree").root.to_json();
        let judged = judge(&schema, &schema, &document);
        assert_eq!(judged, expected, "{yaml}");
    }
}

/// As much of JSON Schema as is used: a judge that does not come from the code that is judged.
fn judge(root: &Json, schema: &Json, value: &Json) -> bool {
    let Some(rules) = schema.as_object() else { return schema.as_bool().unwrap_or(true) };
    let all = |schemas: &Json| schemas.as_array().into_iter().flatten().all(|s| judge(root, s, value));
    let number = value.as_f64();
    let is = |ty: &str| match ty {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other}"),
    };
    let properties = |name: &str| rules.get("properties").and_then(|known| known.get(name));
    rules.iter().all(|(rule, of)| match rule.as_str() {
        "$schema" | "$defs" | "title" | "description" | "default" | "deprecated" | "then" | "else" => true,
        "$ref" => {
            let name = of.as_str().and_then(|of| of.strip_prefix("#/$defs/")).expect("a definition");
            judge(root, &root["$defs"][name], value)
        }
        "type" => of.as_str().map_or_else(
            || of.as_array().expect("types").iter().any(|ty| is(ty.as_str().expect("a type"))),
            is,
        ),
        "enum" => of.as_array().expect("values").contains(value),
        "const" => of == value,
        "anyOf" => of.as_array().expect("schemas").iter().any(|schema| judge(root, schema, value)),
        "allOf" => all(of),
        "if" => {
            let next = if judge(root, of, value) { "then" } else { "else" };
            rules.get(next).is_none_or(|schema| judge(root, schema, value))
        }
        "required" => value.as_object().is_none_or(|value| {
            of.as_array()
                .expect("names")
                .iter()
                .all(|name| value.contains_key(name.as_str().expect("a name")))
        }),
        "properties" => of
            .as_object()
            .expect("schemas")
            .iter()
            .all(|(name, schema)| value.get(name).is_none_or(|value| judge(root, schema, value))),
        "additionalProperties" => value
            .as_object()
            .into_iter()
            .flatten()
            .all(|(name, value)| properties(name).is_some() || judge(root, of, value)),
        "items" => value.as_array().into_iter().flatten().all(|item| judge(root, of, item)),
        "minimum" => number.is_none_or(|number| number >= of.as_f64().expect("a number")),
        "maximum" => number.is_none_or(|number| number <= of.as_f64().expect("a number")),
        "exclusiveMinimum" => number.is_none_or(|number| number > of.as_f64().expect("a number")),
        "minItems" => {
            value.as_array().is_none_or(|items| items.len() as u64 >= of.as_u64().expect("a number"))
        }
        "maxItems" => {
            value.as_array().is_none_or(|items| items.len() as u64 <= of.as_u64().expect("a number"))
        }
        "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= of.as_u64().expect("a number")),
        "minProperties" => {
            value.as_object().is_none_or(|value| value.len() as u64 >= of.as_u64().expect("a number"))
        }
        "pattern" if of == "\\{vault://" => value.as_str().is_none_or(|text| text.contains("{vault://")),
        "pattern" => true,
        other => panic!("{other} is not used"),
    })
}
