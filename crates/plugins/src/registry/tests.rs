//! Our field lists beside Kong's own.

use postern_model::field::{Default, Field, Rule, Type};
use serde_json::Value as Json;

use super::*;

const PUBLISHED: &[(&str, &str)] = &[
    ("acl", include_str!("../../tests/data/ACL.json")),
    ("basic-auth", include_str!("../../tests/data/BasicAuth.json")),
    ("bot-detection", include_str!("../../tests/data/BotDetection.json")),
    ("correlation-id", include_str!("../../tests/data/CorrelationId.json")),
    ("cors", include_str!("../../tests/data/Cors.json")),
    ("file-log", include_str!("../../tests/data/FileLog.json")),
    ("hmac-auth", include_str!("../../tests/data/HmacAuth.json")),
    ("http-log", include_str!("../../tests/data/HttpLog.json")),
    ("ip-restriction", include_str!("../../tests/data/IpRestriction.json")),
    ("jwt", include_str!("../../tests/data/Jwt.json")),
    ("key-auth", include_str!("../../tests/data/KeyAuth.json")),
    ("oauth2-introspection", include_str!("../../tests/data/Oauth2Introspection.json")),
    ("opentelemetry", include_str!("../../tests/data/Opentelemetry.json")),
    ("prometheus", include_str!("../../tests/data/Prometheus.json")),
    ("proxy-cache", include_str!("../../tests/data/ProxyCache.json")),
    ("rate-limiting", include_str!("../../tests/data/RateLimiting.json")),
    ("redirect", include_str!("../../tests/data/Redirect.json")),
    ("request-size-limiting", include_str!("../../tests/data/RequestSizeLimiting.json")),
    ("request-termination", include_str!("../../tests/data/RequestTermination.json")),
    ("request-transformer", include_str!("../../tests/data/RequestTransformer.json")),
    ("response-ratelimiting", include_str!("../../tests/data/ResponseRatelimiting.json")),
    ("response-transformer", include_str!("../../tests/data/ResponseTransformer.json")),
    ("session", include_str!("../../tests/data/Session.json")),
    ("statsd", include_str!("../../tests/data/Statsd.json")),
    ("syslog", include_str!("../../tests/data/Syslog.json")),
    ("tcp-log", include_str!("../../tests/data/TcpLog.json")),
    ("udp-log", include_str!("../../tests/data/UdpLog.json")),
    ("upstream-oauth", include_str!("../../tests/data/UpstreamOauth.json")),
];

/// Where we differ from the published lists on purpose: path, what of it, why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("basic-auth.config.brute_force_protection.redis.cluster_max_redirections", "ours only", GROUPS),
    ("basic-auth.config.brute_force_protection.redis.cluster_nodes", "ours only", GROUPS),
    ("basic-auth.config.brute_force_protection.redis.sentinel_master", "ours only", GROUPS),
    ("basic-auth.config.brute_force_protection.redis.sentinel_nodes", "ours only", GROUPS),
    ("basic-auth.config.brute_force_protection.redis.sentinel_password", "ours only", GROUPS),
    ("basic-auth.config.brute_force_protection.redis.sentinel_role", "ours only", GROUPS),
    ("basic-auth.config.brute_force_protection.redis.sentinel_username", "ours only", GROUPS),
    ("rate-limiting.config.redis.cluster_max_redirections", "ours only", GROUPS),
    ("rate-limiting.config.redis.cluster_nodes", "ours only", GROUPS),
    ("rate-limiting.config.redis.sentinel_master", "ours only", GROUPS),
    ("rate-limiting.config.redis.sentinel_nodes", "ours only", GROUPS),
    ("rate-limiting.config.redis.sentinel_password", "ours only", GROUPS),
    ("rate-limiting.config.redis.sentinel_role", "ours only", GROUPS),
    ("rate-limiting.config.redis.sentinel_username", "ours only", GROUPS),
    ("response-ratelimiting.config.redis.cluster_max_redirections", "ours only", GROUPS),
    ("response-ratelimiting.config.redis.cluster_nodes", "ours only", GROUPS),
    ("response-ratelimiting.config.redis.sentinel_master", "ours only", GROUPS),
    ("response-ratelimiting.config.redis.sentinel_nodes", "ours only", GROUPS),
    ("response-ratelimiting.config.redis.sentinel_password", "ours only", GROUPS),
    ("response-ratelimiting.config.redis.sentinel_role", "ours only", GROUPS),
    ("response-ratelimiting.config.redis.sentinel_username", "ours only", GROUPS),
];

const GROUPS: &str = "Kong has Sentinel and Cluster in its paid plugin only";

#[test]
fn field_lists_are_kongs() {
    let mut differences = Vec::new();
    for (name, json) in PUBLISHED {
        let json: Json = serde_json::from_str(json).unwrap();
        let definition = Registry::bundled().get(name).unwrap_or_else(|| panic!("{name}"));
        let config = &json["properties"]["config"];
        compare(&format!("{name}.config"), definition.schema.config.fields, config, &mut differences);
        let protocols = &json["properties"]["protocols"]["default"];
        if *protocols != serde_json::json!(definition.schema.protocols) {
            differences.push((format!("{name}.protocols"), "default".to_owned()));
        }
        for scope in ["service", "route", "consumer", "consumer_group"] {
            let bound = json["properties"].get(scope).is_some();
            if bound == definition.schema.not_bound_to.contains(&scope) {
                differences.push((format!("{name}.{scope}"), "bound".to_owned()));
            }
        }
    }
    let known: Vec<_> =
        DIFFERENT.iter().map(|(path, what, _)| ((*path).to_owned(), (*what).to_owned())).collect();
    differences.sort();
    assert_eq!(differences, known);
}

fn compare(path: &str, fields: &[Field], json: &Json, differences: &mut Vec<(String, String)>) {
    let theirs = json["properties"].as_object().unwrap();
    for name in theirs.keys().filter(|name| !fields.iter().any(|field| field.name == *name)) {
        differences.push((format!("{path}.{name}"), "missing".to_owned()));
    }
    for field in fields {
        let path = format!("{path}.{}", field.name);
        match theirs.get(field.name) {
            None => differences.push((path, "ours only".to_owned())),
            Some(theirs) => compare_field(&path, field, theirs, differences),
        }
    }
}

fn compare_field(path: &str, field: &Field, json: &Json, differences: &mut Vec<(String, String)>) {
    let mut note = |what: &str| differences.push((path.to_owned(), what.to_owned()));
    assert!(!field.doc.is_empty() || path.ends_with("[]"), "{path} is not described");
    let ty = match field.ty {
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::Array(_) | Type::Set(_) => "array",
        Type::Map(..) | Type::Record(_) => "object",
        Type::Foreign(_) | Type::Any => "any",
    };
    if json["type"] != ty {
        note("type");
    }
    let default = match field.default {
        Default::None | Default::Fields => Json::Null,
        Default::Text(text) => text.into(),
        Default::Integer(number) => number.into(),
        Default::Number(number) => number.into(),
        Default::Boolean(truth) => truth.into(),
        Default::Texts(texts) => texts.into(),
        Default::Integers(numbers) => numbers.into(),
        Default::Empty if matches!(field.ty, Type::Map(..)) => Json::Object(serde_json::Map::new()),
        Default::Empty => Json::Array(Vec::new()),
    };
    // That of a record is the sum of its fields'.
    if json["default"] != default && !matches!(field.ty, Type::Record(_)) {
        note("default");
    }
    let mut choices = field.rules.iter().filter_map(|rule| match rule {
        Rule::OneOf(choices) => Some(Json::from(*choices)),
        Rule::OneOfIntegers(choices) => Some(Json::from(*choices)),
        _ => None,
    });
    if json["enum"] != choices.next().unwrap_or_default() {
        note("choices");
    }
    let mut limits = field.rules.iter().filter_map(|rule| match rule {
        Rule::Between(low, high) => Some((Some(*low), Some(*high))),
        _ => None,
    });
    if (json["minimum"].as_f64(), json["maximum"].as_f64()) != limits.next().unwrap_or_default() {
        note("limits");
    }
    match field.ty {
        Type::Record(fields) => compare(path, fields, json, differences),
        Type::Array(element) | Type::Set(element) => {
            compare_field(&format!("{path}[]"), element, &json["items"], differences);
        }
        _ => {}
    }
}

#[test]
fn the_list_is_sorted() {
    assert!(Registry::bundled().names().is_sorted());
}
