//! The same body as JSON, as a form and as parts: the same entity.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::server_double::Api;

/// Keys and texts of a JSON body, as `curl -d` would send them.
fn pairs(prefix: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = match prefix {
                    "" => name.clone(),
                    prefix if name.contains('.') => format!("{prefix}[{name}]"),
                    prefix => format!("{prefix}.{name}"),
                };
                self::pairs(&key, value, pairs);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let key = match item {
                    Value::String(_) if items.len() % 2 == 0 => format!("{prefix}[]"),
                    _ => format!("{prefix}[{}]", index + 1),
                };
                self::pairs(&key, item, pairs);
            }
        }
        Value::Null => pairs.push((prefix.to_owned(), String::new())),
        Value::String(text) => pairs.push((prefix.to_owned(), text.clone())),
        other => pairs.push((prefix.to_owned(), other.to_string())),
    }
}

fn form(pairs: &[(String, String)]) -> String {
    let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    pairs
        .iter()
        .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

fn parts(pairs: &[(String, String)]) -> String {
    let mut body = String::new();
    for (key, value) in pairs {
        body += &format!("--b0undary\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n");
    }
    body + "--b0undary--\r\n"
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}"
}

/// Texts that look like something else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        word(),
        Just("1".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        "[ -~äß💩&=+%;]{1,12}"
    ]
}

fn bodies() -> impl Strategy<Value = (&'static str, Value)> {
    let service = (
        word(),
        0..32767_i64,
        any::<bool>(),
        prop::option::of("/[a-z]{0,5}"),
        prop::collection::vec(word(), 0..4),
    )
        .prop_map(|(host, retries, enabled, path, tags)| {
            let mut body = json!({"host": host, "retries": retries, "enabled": enabled, "path": path});
            if !tags.is_empty() {
                body["tags"] = json!(tags);
            }
            ("/services", body)
        });
    let route = (
        prop::collection::vec("/[a-z]{1,5}", 1..4),
        prop::collection::btree_map("[a-z-]{1,5}", prop::collection::vec(word(), 1..4), 0..3),
        any::<bool>(),
    )
        .prop_map(|(paths, headers, strip)| {
            let mut body = json!({"paths": paths, "strip_path": strip});
            if !headers.is_empty() {
                body["headers"] = json!(headers);
            }
            ("/routes", body)
        });
    let consumer = text().prop_map(|name| ("/consumers", json!({"username": name})));
    let plugin = (1..100_i64, any::<bool>(), prop::option::of(word())).prop_map(|(minute, hide, path)| {
        let config = json!({"minute": minute, "hide_client_headers": hide, "redis": {"port": minute}, "header_name": path});
        ("/plugins", json!({"name": "rate-limiting", "config": config}))
    });
    let upstream = (word(), 0..60_i64, 0..100_i64, prop::collection::vec(200..300_i64, 1..4)).prop_map(|(name, interval, threshold, statuses)| {
        let healthy = json!({"interval": interval, "http_statuses": statuses});
        ("/upstreams", json!({"name": name, "healthchecks": {"threshold": threshold, "active": {"healthy": healthy}}}))
    });
    let vault = (word(), prop::option::of(text())).prop_map(|(prefix, description)| {
        let config = json!({"host": "vault.example", "port": 8200, "kv": "v2", "token": "t"});
        ("/vaults", json!({"name": "hcv", "prefix": format!("v{prefix}x"), "description": description, "config": config}))
    });
    prop_oneof![service, route, consumer, plugin, upstream, vault]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_it_is_written((path, body) in bodies()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut flat = Vec::new();
            pairs("", &body, &mut flat);
            let mut made = Vec::new();
            for (content_type, text) in [
                ("application/json", body.to_string()),
                ("application/x-www-form-urlencoded", form(&flat)),
                ("multipart/form-data; boundary=b0undary", parts(&flat)),
            ] {
                let api = Api::new();
                let mut answer = api.raw("POST", path, &[("content-type", content_type)], text).await;
                prop_assert!(answer.status == 201 || path == "/consumers", "{content_type} {body}: {}", answer.body);
                if let Some(fields) = answer.body.as_object_mut() {
                    fields.remove("id");
                }
                made.push((answer.status, answer.body));
            }
            prop_assert_eq!(&made[0], &made[1], "{}", body);
            prop_assert_eq!(&made[0], &made[2], "{}", body);
            Ok(())
        })?;
    }
}
