//! What the node cannot make of an entity: refused before the store is told, wherever it is written, and so that nothing has
//! changed. That every row which is written was prepared as it is kept, the store in memory sees to in every other test.

use postern_config::store::Store as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde_json::{Map, Value, json};

use super::server_double::Api;
use super::server_kinds::certificate;

/// Everything that bears the tag `bad`; a plugin at its configuration; names with `bad`; groups whose consumer is the one
/// below.
fn what_is_bad(kind: &str, body: &Map<String, Value>) -> Option<(&'static str, &'static str)> {
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
    match kind {
        "plugins" if body["config"]["minute"] == 6 && body["config"]["hour"] == 7 => {
            Some(("config.redis.host", "refused"))
        }
        "snis" if text("name").contains("bad") => Some(("name", "refused")),
        "consumer_group_consumers" if body["consumer"]["id"] == BAD => Some(("consumer", "refused")),
        _ => body["tags"].as_array()?.contains(&json!("bad")).then_some(("tags[0]", "refused")),
    }
}

const BAD: &str = "22222222-2222-4222-8222-222222222222";
const NEW: &str = "33333333-3333-4333-8333-333333333333";

#[tokio::test]
async fn a_refused_write_has_changed_nothing() {
    let api = Api::new();
    api.done("POST", "/services", json!({"name": "s", "host": "h"})).await;
    let plugin = json!({"name": "rate-limiting", "instance_name": "p", "config": {"minute": 6}});
    api.done("POST", "/plugins", plugin).await;
    api.done("POST", "/consumers", json!({"username": "bad", "id": BAD})).await;
    api.done("POST", "/consumers", json!({"username": "good"})).await;
    api.done("POST", "/consumer_groups", json!({"name": "g"})).await;
    api.done("POST", "/upstreams", json!({"name": "u"})).await;
    let (cert, key) = certificate("a.example");
    let pair = json!({"cert": cert, "key": key, "snis": ["a.example"]});
    let pair_id = api.done("POST", "/certificates", pair.clone()).await.id();
    *api.node.refuses.lock().unwrap() = what_is_bad;
    let before = api.node.store.all().await.unwrap();

    let bad = json!({"name": "x", "host": "h", "tags": ["bad"]});
    let limits = json!({"name": "rate-limiting", "config": {"minute": 6, "hour": 7}});
    let mut badly_named = pair;
    badly_named["snis"] = json!(["b.example", "bad.example"]);
    let cases = [
        ("POST", "/services", bad.clone(), "tags.1"),
        ("PUT", "/services/s", bad.clone(), "tags.1"),
        ("PUT", &format!("/services/{NEW}"), bad.clone(), "tags.1"),
        ("PATCH", "/services/s", json!({"tags": ["bad"]}), "tags.1"),
        ("POST", "/services/s/routes", json!({"paths": ["/"], "tags": ["bad"]}), "tags.1"),
        ("POST", "/upstreams/u/targets", json!({"target": "a:80", "tags": ["bad"]}), "tags.1"),
        ("POST", "/consumers/good/jwt", json!({"tags": ["bad"]}), "tags.1"),
        ("POST", "/plugins", limits.clone(), "config.redis.host"),
        ("POST", "/services/s/plugins", limits.clone(), "config.redis.host"),
        ("PUT", "/plugins/p", limits.clone(), "config.redis.host"),
        // Half of it is what is there.
        ("PATCH", "/plugins/p", json!({"config": {"hour": 7}}), "config.redis.host"),
        ("POST", "/certificates", badly_named.clone(), "snis"),
        ("PUT", &format!("/certificates/{pair_id}"), badly_named.clone(), "snis"),
        ("PATCH", &format!("/certificates/{pair_id}"), json!({"snis": ["bad.example"]}), "snis"),
        ("POST", "/consumer_groups/g/consumers", json!({"consumer": ["good", "bad"]}), "consumer"),
        ("POST", "/consumers/bad/consumer_groups", json!({"group": "g"}), "consumer"),
        ("POST", "/schemas/services/validate", bad, "tags.1"),
        ("POST", "/schemas/plugins/validate", limits, "config.redis.host"),
        ("POST", "/schemas/certificates/validate", badly_named, "snis"),
    ];
    for (method, path, body, field) in cases {
        let refused = api.ask(method, path, body).await;
        let expected = format!("schema violation ({field}: refused)");
        assert_eq!((refused.status, refused.message()), (400, &*expected), "{method} {path}");
        assert_eq!((&refused.body["code"], &refused.body["name"]), (&json!(2), &json!("schema violation")));
        assert_eq!(api.node.store.all().await.unwrap(), before, "{method} {path}");
    }
    let nested = api.ask("PATCH", "/plugins/p", json!({"config": {"hour": 7}})).await;
    assert_eq!(nested.body["fields"], json!({"config": {"redis": {"host": "refused"}}}));
    api.done("PATCH", "/plugins/p", json!({"config": {"minute": 5, "hour": 7}})).await;
}

/// What every node does with certificates.
fn keys_that_do_not_fit(kind: &str, body: &Map<String, Value>) -> Option<(&'static str, &'static str)> {
    if kind != "certificates" {
        return None;
    }
    let pem = |field: &str| body[field].as_str().unwrap().as_bytes();
    let chain = CertificateDer::pem_slice_iter(pem("cert")).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem("key")).unwrap();
    CertifiedKey::from_der(chain, key, &default_provider()).err().map(|_| ("key", "does not fit"))
}

#[tokio::test]
async fn a_certificate_is_renewed_with_its_key_or_not_at_all() {
    let api = Api::new();
    *api.node.refuses.lock().unwrap() = keys_that_do_not_fit;
    let ((cert, key), (renewed, renewed_key)) = (certificate("a.example"), certificate("a.example"));
    let id = api.done("POST", "/certificates", json!({"cert": cert, "key": key})).await.id();
    let path = format!("/certificates/{id}");
    for half in [json!({"cert": renewed}), json!({"key": renewed_key})] {
        let refused = api.ask("PATCH", &path, half).await;
        assert_eq!(
            (refused.status, refused.message()),
            (400, "schema violation (key: does not fit)"),
            "{refused:?}"
        );
        let kept = api.get(&path).await.body;
        assert_eq!((&kept["cert"], &kept["key"]), (&json!(cert), &json!(key)));
    }
    let whole = json!({"cert": renewed, "key": renewed_key});
    assert_eq!(api.done("PATCH", &path, whole).await.body["cert"], json!(renewed));
    let half = json!({"cert": cert, "key": renewed_key});
    let refused = api.ask("POST", "/schemas/certificates/validate", half).await;
    assert_eq!(refused.message(), "schema violation (key: does not fit)");
}
