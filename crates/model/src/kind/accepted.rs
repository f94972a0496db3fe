//! Every kind of entity with values at, beyond and far beyond each rule: what is accepted reads back and can be typed.
//!
//! Owns: one entity of each kind that is right. Must not know: what the proxy makes of them; it has tests of its own.

use serde_json::{Map, Value as Json, json};

use super::Kind;
use crate::check::alone;
use crate::field::PluginSchema;
use crate::generated::{Change, changes};

const ID: &str = "11111111-2222-4333-8444-555555555555";
const CERT: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";

/// What each kind needs.
fn right(kind: Kind) -> Json {
    let other = json!({"id": ID});
    match kind.collection() {
        "vaults" => json!({"prefix": "my-env", "name": "env", "config": {"prefix": "A_"}}),
        "services" => json!({"name": "s", "host": "a.example"}),
        "routes" => json!({"name": "r", "paths": ["/a"]}),
        "consumers" => json!({"username": "u"}),
        "consumer_groups" | "key_sets" => json!({"name": "n"}),
        "consumer_group_consumers" => json!({"consumer": other, "consumer_group": other}),
        "keyauth_credentials" | "jwt_secrets" => json!({"consumer": other, "key": "k", "secret": "s"}),
        "basicauth_credentials" => json!({"consumer": other, "username": "u", "password": "p"}),
        "hmacauth_credentials" => json!({"consumer": other, "username": "u", "secret": "s"}),
        "acls" => json!({"consumer": other, "group": "g"}),
        "plugins" => json!({"name": "bell"}),
        "upstreams" => json!({"name": "u.example"}),
        "targets" => json!({"upstream": other, "target": "a.example:80"}),
        "certificates" => json!({"cert": CERT, "key": KEY}),
        "snis" => json!({"name": "a.example", "certificate": other}),
        "ca_certificates" => json!({"cert": CERT}),
        "keys" => json!({"kid": "k", "jwk": "{\"kty\": \"oct\"}"}),
        other => panic!("{other} has no example"),
    }
}

const BELL: PluginSchema = PluginSchema {
    name: "bell",
    priority: 1,
    version: "1",
    protocols: crate::field::HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: crate::field::Schema { fields: &[], checks: &[] },
    doc: "",
};

#[test]
fn what_is_accepted_reads_back() {
    let (plugins, id) = (vec![&BELL], uuid::Uuid::try_parse(ID).unwrap());
    let mut failures = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for kind in Kind::all() {
        let mut right = right(kind);
        let known = |name: &str| kind.fields().iter().any(|field| field.name == name);
        // What stands for several kinds above.
        right.as_object_mut().unwrap().retain(|name, _| kind.fields().is_empty() || known(name));
        let mut attempt = |body: Json, told: &str| {
            let Json::Object(body) = body else { return };
            match kind.check(&body, &plugins) {
                Err(_) => refused += 1,
                Ok(checked) => {
                    accepted += 1;
                    let mut row = checked.body;
                    row.insert("id".to_owned(), json!(ID));
                    if let Err(violations) = alone(kind.collection(), id, &row, &plugins) {
                        failures.push(format!("{}: {told}: {violations:?}", kind.collection()));
                    }
                }
            }
        };
        let before = Json::Object(Map::clone(right.as_object().unwrap()));
        attempt(right.clone(), "the example");
        let changes: Vec<Change> = changes(kind.fields());
        changes.iter().for_each(|change| attempt(change.applied_to(before.clone()), &change.shown()));
    }
    let count = failures.len();
    failures.truncate(60);
    assert!(failures.is_empty(), "{count} are accepted and cannot be read:\n  {}", failures.join("\n  "));
    assert!(accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
}
