//! Entities that come one by one.

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::check::rows;
use crate::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};

const CORS: PluginSchema = PluginSchema {
    name: "cors",
    priority: 1,
    version: "1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer"],
    config: Schema {
        fields: &[
            Field::integer("max_age").rules(&[Rule::Between(0.0, 10.0)]),
            Field::boolean("credentials").required().default_bool(false),
        ],
        checks: &[],
    },
    doc: "",
};

fn body(json: Json) -> Map<String, Json> {
    json.as_object().cloned().unwrap()
}

fn check(kind: &str, json: Json) -> Result<Map<String, Json>, Vec<(String, String)>> {
    let checked = Kind::named(kind).unwrap().check(&body(json), &vec![&CORS]);
    checked.map(|checked| checked.body).map_err(|violations| {
        violations.into_iter().map(|violation| (violation.path, violation.message)).collect()
    })
}

#[test]
fn every_default_is_filled_in() {
    let service = check("services", json!({"name": "a", "url": "https://h.example/p"})).unwrap();
    assert_eq!(service["protocol"], "https");
    assert_eq!(service["port"], 443);
    let beside_null =
        check("services", json!({"url": "http://h.example", "host": null, "path": null})).unwrap();
    assert_eq!((&beside_null["host"], &beside_null["path"]), (&json!("h.example"), &Json::Null));
    assert_eq!(service["retries"], 5);
    assert_eq!(service["client_certificate"], Json::Null);
    let plugin =
        check("plugins", json!({"name": "cors", "service": {"id": Uuid::nil(), "name": "a"}})).unwrap();
    assert_eq!(plugin["config"], json!({"max_age": null, "credentials": false}));
    assert_eq!(plugin["service"], json!({"id": Uuid::nil()}));
    assert_eq!(plugin["protocols"], json!(HTTP_PROTOCOLS));
}

#[test]
fn what_is_wrong_has_a_path_that_begins_at_the_entity() {
    let paths = |kind: &str, json| -> Vec<String> {
        check(kind, json).unwrap_err().into_iter().map(|(path, _)| path).collect()
    };
    assert_eq!(paths("services", json!({"prot": 1})), ["host", "prot"]);
    assert_eq!(paths("plugins", json!({"name": "cors", "config": {"max_age": 11}})), ["config.max_age"]);
    assert_eq!(paths("plugins", json!({"name": "cors", "consumer": {"id": Uuid::nil()}})), ["consumer"]);
    assert_eq!(paths("plugins", json!({"name": "none"})), ["name"]);
    assert_eq!(paths("plugins", json!({"name": "cors", "protocols": ["tcp"]})), ["protocols"]);
    assert_eq!(paths("routes", json!({"paths": ["/a", "b"]})), ["paths[1]"]);
    assert_eq!(paths("vaults", json!({"name": "env", "prefix": "env"})), ["prefix"]);
    assert_eq!(paths("services", json!({"host": "{vault://}"})), ["host"]);
}

#[test]
fn a_vault_stays_as_it_was_given() {
    let vault =
        check("vaults", json!({"name": "env", "prefix": "my-env", "config": {"prefix": "A_"}})).unwrap();
    assert_eq!(vault["config"], json!({"prefix": "A_"}));
    assert_eq!(vault["description"], Json::Null);
    let bare = check("vaults", json!({"name": "env", "prefix": "my-env"})).unwrap();
    assert_eq!(bare["config"], Json::Null);
}

#[test]
fn what_is_unique_and_what_refers_to_what() {
    let [one, two] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let routes = Kind::named("routes").unwrap();
    let route = body(json!({"name": "r", "service": {"id": one}}));
    assert_eq!(routes.keys(&route), [Key { fields: &["name"], values: vec![json!("r")] }]);
    let refers = Refers { field: "service", to: "services", holds: true, many: false, nests: true };
    assert_eq!(routes.references(&route), [(refers, one)]);
    assert!(routes.keys(&body(json!({"name": null}))).is_empty());
    let services = Kind::named("services").unwrap();
    let service = body(json!({"ca_certificates": [one, two], "client_certificate": null}));
    let ids: Vec<_> = services.references(&service).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [one, two]);
    let plugins = Kind::named("plugins").unwrap();
    let keys = plugins.keys(&body(json!({"name": "cors", "route": {"id": one}})));
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].values, [json!("cors"), json!(one), Json::Null, Json::Null, Json::Null]);
}

#[test]
fn kinds_refer_to_earlier_ones() {
    let all = Kind::all();
    for (index, kind) in all.iter().enumerate() {
        for refers in kind.refers() {
            let before = all[..index].iter().any(|earlier| earlier.collection() == refers.to);
            assert!(before, "{} refers to {}", kind.collection(), refers.to);
        }
    }
}

#[test]
fn rows_take_effect_together() {
    let id = |number: u128| json!(Uuid::from_u128(number));
    let service =
        check("services", json!({"id": id(1), "name": "s", "host": "{vault://my-env/host}"})).unwrap();
    let route = check("routes", json!({"id": id(2), "paths": ["/"], "service": {"id": id(1)}})).unwrap();
    let vault = check("vaults", json!({"id": id(3), "name": "env", "prefix": "my-env"})).unwrap();
    let all = [("vaults", &vault), ("services", &service), ("routes", &route)];
    let (snapshot, warnings) = rows(all, &Vec::new()).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(snapshot.services[0].id, Uuid::from_u128(1));
    assert!(snapshot.services[0].value.is_none(), "its host is a reference");
    assert_eq!(snapshot.routes[0].value.as_ref().unwrap().service.unwrap().id, Uuid::from_u128(1));
    assert_eq!(snapshot.vaults[0].id, Uuid::from_u128(3));
    let mut broken = service.clone();
    broken.insert("port".to_owned(), json!(70_000));
    let violations = rows([("services", &broken)], &Vec::new()).unwrap_err();
    assert_eq!(violations[0].path, "services[s].port");
}

#[test]
fn a_document_taken_apart_is_the_same_document() {
    let yaml = br#"
_format_version: "3.0"
_info: { select_tags: [team] }
vaults: [{ name: env, prefix: my-env, config: { prefix: A_ } }]
certificates: []
consumers:
  - username: jo
    keyauth_credentials: [{ key: "{vault://my-env/key}" }]
    hmacauth_credentials: [{ username: h, secret: s }]
    jwt_secrets: [{ key: i, secret: s }]
    acls: [{ group: g }]
    groups: [{ name: gold }]
consumer_groups: [{ name: gold }]
upstreams: [{ name: u, targets: [{ target: "a:80" }] }]
key_sets: [{ name: ks }]
services:
  - name: s
    host: u
    routes: [{ name: r, paths: [/], plugins: [{ name: cors, config: { max_age: 5 } }] }]
"#;
    let document = crate::read(yaml, &|_| None).unwrap();
    let checked = crate::check(document, &vec![&CORS]).unwrap();
    let flat = checked.flat();
    assert_eq!(flat.len(), 14);
    let again = rows(flat.iter().map(|(kind, body)| (*kind, body)), &vec![&CORS]).unwrap().0;
    let one = &checked.snapshot;
    let shown = |snapshot: &crate::Snapshot| {
        let entries = [
            snapshot.routes.iter().map(|entry| (entry.id, format!("{:?}", entry.record))).collect::<Vec<_>>(),
            snapshot.plugins.iter().map(|entry| (entry.id, format!("{:?}", entry.record))).collect(),
            snapshot
                .keyauth_credentials
                .iter()
                .map(|entry| (entry.id, format!("{:?}", entry.record)))
                .collect(),
            snapshot.targets.iter().map(|entry| (entry.id, format!("{:?}", entry.record))).collect(),
        ];
        (entries, snapshot.group_members.clone(), snapshot.vaults[0].id, snapshot.vaults[0].tags.clone())
    };
    assert_eq!(shown(one), shown(&again));
    for (kind, body) in &flat {
        let kind = Kind::named(kind).unwrap();
        let checked = kind.check(body, &vec![&CORS]).unwrap_or_else(|error| panic!("{kind:?}: {error:?}"));
        assert_eq!(checked.body.get("id"), body.get("id"));
    }
}
