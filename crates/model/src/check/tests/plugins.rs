//! Plugins for tests, and what is special about plugins.

use super::{checked, said};
use crate::field::{Check, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT};
use crate::value::{Record, Value};

pub(super) static CORS: PluginSchema = PluginSchema {
    name: "cors",
    priority: 2000,
    version: "1.0.0",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema {
        fields: &[
            Field::strings("origins").doc("Who may ask."),
            Field::number("max_age").rules(&[Rule::Above(0.0)]),
            Field::boolean("credentials").required().default_bool(false),
        ],
        checks: &[],
    },
    doc: "Cross-origin requests.",
};

pub(super) static KEY_AUTH: PluginSchema = PluginSchema {
    name: "key-auth",
    priority: 1250,
    version: "1.0.0",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema {
        fields: &[
            Field::strings("key_names").required().default_texts(&["apikey"]).rules(&[Rule::LengthMin(1)]),
            Field::string("realm").rules(&[Rule::LengthMax(10)]),
            Field::map("extra", &TEXT, &TEXT),
            Field::record(
                "redis",
                &[
                    Field::string("host").shorthands(&["redis_host"]),
                    Field::integer("port").default_int(6379).rules(&[Rule::Between(0.0, 65535.0)]),
                ],
            )
            .required(),
        ],
        checks: &[],
    },
    doc: "Keys.",
};

/// A plugin whose rules are as careless as rules may be: they quote, and take no reference.
pub(super) static CARELESS: PluginSchema = PluginSchema {
    name: "careless",
    config: Schema {
        fields: &[Field::strings("words").rules(&[Rule::Custom(only_text)]), Field::string("word")],
        checks: &[Check::Custom(quoting)],
    },
    ..CORS
};

fn only_text(value: &Value) -> Result<(), String> {
    let is_text = value.as_list().unwrap_or_default().iter().all(|item| item.as_text().is_some());
    if is_text { Ok(()) } else { Err("a reference was asked".to_owned()) }
}

fn quoting(config: &Record) -> Result<(), (&'static str, String)> {
    config.text("word").map_or(Ok(()), |word| Err(("word", format!("not {word}"))))
}

#[test]
fn careless_rules_do_no_harm() {
    let env = "plugins: [{name: careless, config: {word: '${{ env \"DECK_CLIENT_SECRET\" }}'}}]";
    assert_eq!(said(env), ["2:43: plugins[0].config.word: invalid value: [masked]"]);
    assert_eq!(
        said("plugins: [{name: careless, config: {word: a}}]"),
        ["2:43: plugins[0].config.word: not a"]
    );
    let vault =
        "plugins: [{name: careless, config: {words: [a, '{vault://env/x}'], word: '{vault://env/y}'}}]";
    let plugins = checked(vault).expect("rules wait").snapshot.plugins;
    let error = plugins[0].fill(&["x".into(), "s3cret".into()]).expect_err("a check");
    assert_eq!(error, "config.word: not valid together with the other fields");
}

/// Pinned: the value is that of Kong's rule.
#[test]
fn identifiers_are_kongs() {
    let plugins = checked("plugins: [{name: cors}]").expect("checks").snapshot.plugins;
    assert_eq!(plugins[0].id.to_string(), "48ee727e-8b90-5faa-bda1-a3c6bc3c9daa");
}

/// As data: a document, and all that is said of it.
#[test]
fn plugins_that_are_wrong() {
    let cases: &[(&str, &[&str])] = &[
        ("plugins: [{}]", &["2:11: plugins[0].name: required field missing"]),
        (
            "plugins: [{name: crs}]",
            &[
                "2:18: plugins[0].name: plugin 'crs' not enabled; add it to the 'plugins' configuration property",
            ],
        ),
        (
            "plugins: [{name: cors, config: {max_age: 0}}]",
            &["2:42: plugins[0].config.max_age: value must be greater than 0"],
        ),
        ("plugins: [{name: cors, config: {max_ag: 0}}]", &["2:33: plugins[0].config.max_ag: unknown field"]),
        ("plugins: [{name: cors, config: [a]}]", &["2:32: plugins[0].config: expected a record, got a list"]),
        (
            "plugins: [{name: cors, protocols: [ws]}]",
            &["2:35: plugins[0].protocols: expected one of: grpc, grpcs, http, https"],
        ),
        (
            "plugins: [{name: cors, protocols: []}]",
            &["2:35: plugins[0].protocols: length must be at least 1"],
        ),
        (
            "plugins: [{name: cors, ordering: {before: {access: [key-auth]}}}]",
            &["2:34: plugins[0].ordering: not supported yet: dynamic ordering"],
        ),
        (
            "consumers: [{username: a, plugins: [{name: cors}]}]",
            &["2:37: consumers[0].plugins[0].consumer: value must be null"],
        ),
        (
            "consumers: [{username: a}]\nplugins: [{name: cors, consumer: a}]",
            &["3:34: plugins[0].consumer: value must be null"],
        ),
        (
            "plugins: [{name: cors}, {name: cors, config: {max_age: 1}}]",
            &["2:25: plugins[1]: uniqueness violation: 'plugins' entity with the same name already declared"],
        ),
        (
            "plugins: [{name: cors, _config: shard}]\n_plugin_configs: {shared: {max_age: 3}}",
            &[
                "2:33: plugins[0]._config: invalid reference '_config: shard' (no such entry in '_plugin_configs')",
            ],
        ),
        (
            "plugins: [{name: cors, _config: shared}]\n_plugin_configs: {shared: {max_age: x}}",
            &["3:37: plugins[0].config.max_age: expected a number, got a string"],
        ),
        (
            "plugins: [{name: key-auth, config: {redis_host: a, redis: {host: b}}}]",
            &["2:37: plugins[0].config: both redis_host and redis.host are given, and their values differ"],
        ),
        (
            "plugins: [{name: key-auth, config: {key_names: [], redis_host: 1, redis: {prt: 2}}}]",
            &[
                "2:48: plugins[0].config.key_names: length must be at least 1",
                "2:64: plugins[0].config.redis.host: expected a string, got an integer",
                "2:75: plugins[0].config.redis.prt: unknown field",
            ],
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(said(yaml), *expected, "{yaml}");
    }
}

#[test]
fn a_shared_configuration_lies_under_the_own_one() {
    let yaml = "plugins: [{name: key-auth, _config: s, config: {redis: {port: 1}, extra: {b: y}}}]\n\
                _plugin_configs: {s: {realm: r, redis: {host: h, port: 2}, extra: {a: x, b: z}}}";
    let plugin = checked(yaml).expect("checks").snapshot.plugins[0].value.clone().expect("no references");
    assert_eq!(plugin.config.text("realm"), Some("r"));
    let redis = plugin.config.record("redis").expect("redis");
    assert_eq!((redis.text("host"), redis.get("port")), (Some("h"), Some(&Value::Integer(1))));
    let Some(Value::Map(extra)) = plugin.config.get("extra") else { panic!("no map") };
    let extra: Vec<_> = extra.iter().map(|(key, value)| (&**key, value.as_text())).collect();
    assert_eq!(extra, [("b", Some("y")), ("a", Some("x"))]);
}

#[test]
fn older_names_go_where_they_belong() {
    let plugins =
        checked("plugins: [{name: key-auth, config: {redis_host: h}}]").expect("checks").snapshot.plugins;
    let plugin = plugins[0].value.as_ref().expect("no references");
    assert_eq!(plugin.config.record("redis").and_then(|redis| redis.text("host")), Some("h"));
    assert_eq!(plugin.protocols.len(), 4);
}

#[test]
fn a_filled_configuration_obeys_its_rules_too() {
    let yaml = "plugins: [{name: key-auth, config: {realm: '{vault://env/realm}'}}]";
    let plugins = checked(yaml).expect("checks").snapshot.plugins;
    assert!(plugins[0].value.is_none());
    let fill = |text: &str| plugins[0].fill(&[text.into()]).map(|plugin| plugin.config);
    assert_eq!(fill("short").expect("fine").text("realm"), Some("short"));
    assert_eq!(fill("much too long").expect_err("long"), "config.realm: length must be at most 10");
}

/// Kong dumps both names: equal values mean one thing, and null is not given.
#[test]
fn older_names_beside_the_newer_ones() {
    let host = |config: &str| {
        let all = checked(&format!("plugins: [{{name: key-auth, config: {config}}}]"));
        let json = all.expect(config).snapshot.plugins[0].record.to_json();
        json["config"]["redis"]["host"].clone()
    };
    assert_eq!(host("{redis_host: a, redis: {host: a}}"), "a");
    assert_eq!(host("{redis_host: null, redis: {host: a}}"), "a");
    assert_eq!(host("{redis_host: a, redis: {host: null}}"), "a");
    assert_eq!(host("{redis_host: null}"), serde_json::Value::Null);
    assert_eq!(host("{redis_host: a, redis: null}"), "a");
}

/// Each of several plugins that are not there is told of once.
#[test]
fn unknown_plugins_are_no_duplicates() {
    let said = said("services: [{name: s, host: h, plugins: [{name: opa}, {name: openid-connect}]}]");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|line| line.contains("not enabled")), "{said:?}");
}
