//! Files, and the entities in them.

use serde_json::{Value as Json, json};

use super::*;

fn read_one(yaml: &str) -> Result<Wanted, Vec<String>> {
    let env = |name: &str| (name == "DECK_HOST").then(|| "secret.example".to_owned());
    let source = Source { name: "kong.yaml".to_owned(), bytes: yaml.as_bytes().to_vec() };
    read(&[source], &env, true).map_err(|problems| problems.0)
}

fn shown(wanted: &Wanted) -> Vec<Json> {
    let shown = |entity: &Entity| {
        let references = entity.references.iter().map(|(reference, target)| match target {
            Target::Around(index) => (reference.field.to_owned(), json!(index)),
            Target::Named(name) => (reference.field.to_owned(), json!(name)),
        });
        json!([entity.kind.deck_name(), entity.body, references.collect::<Body>()])
    };
    wanted.entities.iter().map(shown).collect()
}

#[test]
fn nested_and_named() {
    let wanted = read_one(
        r#"
_format_version: "3.0"
_info: { select_tags: [b, a], defaults: { service: { retries: 2, port: 1 } } }
_plugin_configs: { shared: { a: 1, b: { c: 2, d: 3 } } }
services:
  - name: s
    url: https://example.com/x
    _comment: words
    routes: [{ name: r, protocols: [grpc], plugins: [{ name: cors, _config: shared, config: { b: { c: 9 } } }] }]
plugins: [{ name: acl, consumer: alice, service: { id: "x" } }]
consumers: [{ username: alice, groups: [{ name: gold }], acls: [{ group: g }] }]
certificates: [{ id: c, cert: x, key: y, snis: [{ name: a.example }, b.example] }]
"#,
    )
    .unwrap();
    assert_eq!(
        shown(&wanted),
        [
            json!(["service", { "name": "s", "protocol": "https", "host": "example.com", "port": 443, "path": "/x",
                "retries": 2, "tags": ["a", "b"] }, {}]),
            json!(["route", { "name": "r", "protocols": ["grpc"], "strip_path": false, "tags": ["a", "b"] }, { "service": 0 }]),
            json!(["plugin", { "name": "cors", "enabled": true, "config": { "a": 1, "b": { "c": 9, "d": 3 } },
                "tags": ["a", "b"] }, { "route": 1 }]),
            json!(["plugin", { "name": "acl", "enabled": true, "tags": ["a", "b"] }, { "consumer": "alice", "service": "x" }]),
            json!(["consumer", { "username": "alice", "tags": ["a", "b"] }, {}]),
            json!(["consumer-group-consumer", {}, { "consumer": 4, "consumer_group": "gold" }]),
            json!(["acl-group", { "group": "g", "tags": ["a", "b"] }, { "consumer": 4 }]),
            json!(["certificate", { "cert": "x", "key": "y", "tags": ["a", "b"] }, {}]),
            json!(["sni", { "name": "a.example", "tags": ["a", "b"] }, { "certificate": 7 }]),
            json!(["sni", { "name": "b.example", "tags": ["a", "b"] }, { "certificate": 7 }]),
        ]
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases = [
        (
            "_format_version: '2.1'",
            "kong.yaml: _format_version must be \"3.0\": `deck convert` rewrites older files",
        ),
        ("_format_version: '3.0'\n_transform: false", "kong.yaml: _transform: false is not supported"),
        ("_format_version: '3.0'\nservices: [{ url: ':' }]", "kong.yaml:2:12: `url` is no URL"),
        ("_format_version: '3.0'\nservices: [{ id: a/b }]", "kong.yaml:2:18: `id` must be a UUID"),
        (
            "_format_version: '3.0'\nservices: [{ routes: 1 }]",
            "kong.yaml:2:22: expected a list, got an integer",
        ),
        (
            "_format_version: '3.0'\nroutes: [{ service: [] }]",
            "kong.yaml:2:21: `service` must be a name or an id",
        ),
        (
            "_format_version: '3.0'\nrbac_roles: [{ name: x }]",
            "kong.yaml:2:14: rbac_roles cannot be synced yet",
        ),
        ("_format_version: '3.0'\nsevices: []", "kong.yaml:2:1: sevices: unknown field"),
        (
            "_format_version: '3.0'\nplugins: [{ name: x, _config: y }]",
            "kong.yaml:2:11: `_config` names nothing in _plugin_configs",
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(read_one(yaml).map(|_| ()).unwrap_err(), [expected], "{yaml}");
    }
    assert!(read_one("").is_err());
}

#[test]
fn what_came_from_the_environment_stays_hidden_in_the_parts_of_a_url() {
    let yaml = "_format_version: '3.0'\nservices: [{ name: s, url: 'http://${{ env \"DECK_HOST\" }}/' }]";
    let wanted = read_one(yaml).unwrap();
    let (shown, _) = wanted.entities[0].mask.pair(Some(&wanted.entities[0].body.clone().into()), None);
    assert_eq!(
        shown,
        json!({ "name": "s", "protocol": "[masked]", "host": "[masked]", "port": "[masked]", "path": "[masked]" })
    );
}
