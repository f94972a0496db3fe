//! Whatever stands in a document, it is read to an end; and what was read says the same when it is read again.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::{check, read};

/// Anything at all, made of words that mean something somewhere.
fn anything() -> impl Strategy<Value = Json> {
    let word = prop::sample::select(vec![
        "",
        "a",
        "/a",
        "~/a",
        "~/(",
        "*.a",
        "http",
        "grpc",
        "tcp",
        "h:80",
        "x y",
        "{vault://env/x}",
        "{vault://",
        "GET",
        "6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0",
        "-----BEGIN CERTIFICATE-----",
        "header",
        "round-robin",
        "é",
        "[::1]:80",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        word.prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((key(), inner), 0..5)
                .prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let names = vec![
        "name",
        "id",
        "host",
        "url",
        "paths",
        "hosts",
        "headers",
        "methods",
        "protocols",
        "service",
        "routes",
        "plugins",
        "config",
        "_config",
        "tags",
        "targets",
        "target",
        "healthchecks",
        "active",
        "healthy",
        "http_statuses",
        "groups",
        "username",
        "consumers",
        "keyauth_credentials",
        "key",
        "snis",
        "cert",
        "jwk",
        "pem",
        "kid",
        "set",
        "strip_path",
        "hash_on",
        "ca_certificates",
        "consumer",
        "jwt_secrets",
        "_comment",
        "nobody",
    ];
    prop::sample::select(names).prop_map(str::to_owned)
}

fn list() -> impl Strategy<Value = String> {
    let names = vec![
        "services",
        "routes",
        "consumers",
        "consumer_groups",
        "plugins",
        "upstreams",
        "targets",
        "certificates",
        "snis",
        "ca_certificates",
        "key_sets",
        "keys",
        "acls",
        "keyauth_credentials",
        "basicauth_credentials",
        "vaults",
        "consumer_group_consumers",
        "consumer_group_plugins",
        "jwt_secrets",
        "_info",
        "_plugin_configs",
    ];
    prop::sample::select(names).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn reading_ends(lists in prop::collection::vec((list(), anything()), 0..4), old in any::<bool>()) {
        let mut document: serde_json::Map<String, Json> = lists.into_iter().collect();
        document.insert("_format_version".to_owned(), if old { "1.1" } else { "3.0" }.into());
        if let Ok(document) = read(Json::from(document).to_string().as_bytes(), &|_| None) {
            let _ = check(document, &Vec::new());
        }
    }

    #[test]
    fn what_was_read_reads_the_same(
        retries in 0..32767, port in 0..65535, path in "(/[a-z0-9]{1,5}){1,3}", enabled in any::<bool>(),
        statuses in prop::collection::vec(100..999, 0..4), interval in 0..65535u32,
    ) {
        let given = json!({
            "_format_version": "3.0",
            "services": [{ "name": "s", "host": "h", "retries": retries, "port": port, "path": path, "enabled": enabled }],
            "upstreams": [{ "name": "u", "healthchecks": { "active": { "healthy": {
                "http_statuses": statuses, "interval": f64::from(interval) / 4.0 } } } }],
        });
        let records = |json: &Json| {
            let document = read(json.to_string().as_bytes(), &|_| None).expect("a tree");
            let snapshot = check(document, &Vec::new()).expect("checks").snapshot;
            (snapshot.services[0].record.to_json(), snapshot.upstreams[0].record.to_json())
        };
        let (service, upstream) = records(&given);
        let printed = json!({ "_format_version": "3.0", "services": [service], "upstreams": [upstream] });
        prop_assert_eq!(records(&printed), (service.clone(), upstream.clone()));
        prop_assert_eq!(&service["retries"], &json!(retries));
    }
}
