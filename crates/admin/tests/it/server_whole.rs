//! The whole configuration at once, its history, and secrets.

use postern_admin::server::AdminOptions;
use postern_client::Trust;
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::rotate::Engine;
use postern_secrets::{Kind, Settings, Template};
use serde_json::{Value, json};

use super::server_double::{Api, about};

const DOCUMENT: &str = "_format_version: \"3.0\"\nservices: [{name: a, host: h}]\n";

#[tokio::test]
async fn a_document_is_loaded_whichever_way_it_comes() {
    let form = format!("config={}", DOCUMENT.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>());
    let json_document =
        json!({"_format_version": "3.0", "services": [{"name": "a", "host": "h"}]}).to_string();
    let wrapped = json!({"config": DOCUMENT}).to_string();
    let parts = format!("--b\r\nContent-Disposition: form-data; name=config\r\n\r\n{DOCUMENT}\r\n--b--\r\n");
    for (content_type, body) in [
        ("application/yaml", DOCUMENT),
        ("text/yaml; charset=utf-8", DOCUMENT),
        ("application/json", &json_document),
        ("application/json", &wrapped),
        ("application/x-www-form-urlencoded", &form),
        ("multipart/form-data; boundary=b", &parts),
    ] {
        let api = Api::db_less();
        let answer = api.raw("POST", "/config", &[("content-type", content_type)], body.to_owned()).await;
        assert_eq!(answer.status, 201, "{content_type}: {}", answer.body);
        let id = api.get("/services/a").await.id();
        assert_eq!(answer.body["services"][&id]["host"], "h", "{content_type}");
    }
}

#[tokio::test]
async fn documents_have_a_tag_and_are_refused_whole() {
    let api = Api::db_less();
    let yaml = [("content-type", "application/yaml")];
    assert_eq!(api.raw("POST", "/config", &yaml, DOCUMENT).await.status, 201);
    let got = api.get("/config").await;
    assert_eq!(got.body, json!({"config": DOCUMENT}));
    let tag = got.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(api.raw("GET", "/config", &[("if-none-match", &tag)], "").await.status, 304);
    assert_eq!(api.raw("POST", "/config?check_hash=1", &yaml, DOCUMENT).await.status, 304);
    let bad = "_format_version: \"3.0\"\nservices: [{name: b, routes: [{paths: [x]}]}]\n";
    let refused = api.raw("POST", "/config?flatten_errors=1", &yaml, bad).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!(14)));
    assert_eq!(refused.body["fields"], json!({}), "all of it concerns entities");
    let plain = api.raw("POST", "/config", &yaml, bad).await;
    assert_eq!(plain.body["fields"]["services[0].host"], "required field missing");
    let root = api.raw("POST", "/config?flatten_errors=1", &yaml, "_format_version: \"9.9\"\n").await;
    assert_eq!((root.status, &root.body["flattened_errors"]), (400, &json!([])), "{}", root.body);
    assert_eq!(root.body["fields"].as_object().unwrap().len(), 1, "{}", root.body);
    let flat = refused.body["flattened_errors"].as_array().unwrap();
    let types: Vec<_> = flat.iter().map(|entity| entity["entity_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["service", "route"], "{flat:?}");
    let nested = "_format_version: \"3.0\"\nservices:\n- name: s\n  host: h\n  routes:\n  - name: r\n    paths: [/]\n    \
                  plugins:\n    - {name: cors, id: 00000000-0000-4000-8000-000000000001, tags: ['k8s-name:x'], \
                  config: {max_age: x, methods: [GET, 1]}}\n  tags: [a]\nconsumers:\n- username: u\n  plugins: [{name: acl, config: {}}]\n";
    let refused = api.raw("POST", "/config?flatten_errors=1", &yaml, nested).await.body;
    let flat = refused["flattened_errors"].as_array().unwrap();
    let cors = flat.iter().find(|told| told["entity_name"] == "cors").unwrap_or_else(|| panic!("{refused}"));
    assert_eq!(cors["entity_type"], "plugin");
    assert_eq!(cors["entity_id"], "00000000-0000-4000-8000-000000000001");
    assert_eq!(cors["entity_tags"], json!(["k8s-name:x"]));
    assert_eq!(cors["entity"]["config"], json!({"max_age": "x", "methods": ["GET", 1]}));
    let fields: Vec<_> =
        cors["errors"].as_array().unwrap().iter().map(|e| (&e["type"], &e["field"])).collect();
    let (field, max_age, method) = (json!("field"), json!("config.max_age"), json!("config.methods.2"));
    assert_eq!(fields, [(&field, &max_age), (&field, &method)], "{cors}");
    assert!(
        flat.iter().any(|told| told["entity_name"] == "acl" && told["entity_type"] == "plugin"),
        "{flat:?}"
    );
    let service = json!({"services": [{"name": "s", "retries": "x", "tags": ["a"], "routes": [{"paths": ["/"]}]}],
        "_format_version": "3.0"});
    let refused = api.ask("POST", "/config?flatten_errors=1", service).await.body;
    let told = &refused["flattened_errors"][0];
    assert_eq!(
        told["entity"],
        json!({"name": "s", "retries": "x", "tags": ["a"]}),
        "without what stands in it"
    );
    assert_eq!(api.get("/config").await.body["config"], DOCUMENT);
    let with =
        |tag: &str| [("content-type", "application/yaml"), ("if-match", tag)].map(|(a, b)| (a, b.to_owned()));
    let send = async |tag: &str| {
        let headers = with(tag);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        api.raw("POST", "/config", &headers, format!("{DOCUMENT}# x\n")).await.status
    };
    assert_eq!(send("\"other\"").await, 412);
    assert_eq!(send(&tag).await, 201);
    assert_eq!(send(&tag).await, 412, "it has changed");
    for (content_type, body, status) in [
        ("text/plain", DOCUMENT, 415),
        ("application/json", "{", 400),
        ("application/yaml", "\u{0}", 400),
        ("application/yaml", "", 400),
        ("application/x-www-form-urlencoded", "x=1", 400),
    ] {
        let answer = api.raw("POST", "/config", &[("content-type", content_type)], body).await;
        assert_eq!(answer.status, status, "{content_type} {body:?}");
    }
}

#[tokio::test]
async fn who_changed_what() {
    let api = Api::new();
    let id = api.done("POST", "/services", json!({"name": "a", "host": "h"})).await.id();
    let before = api.get("/export").await;
    assert_eq!(before.headers["etag"], "\"1\"");
    assert_eq!(before.body["entities"]["services"][0]["id"], id);
    api.done("DELETE", "/services/a", Value::Null).await;
    let history = api.get("/audit?size=10").await.body;
    let told: Vec<_> = history["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["operation"].clone(), c["by"].clone()))
        .collect();
    assert_eq!(told, [(json!("delete"), json!("127.0.0.1")), (json!("write"), json!("127.0.0.1"))]);
    assert_eq!(api.get("/audit?size=1").await.body["data"].as_array().unwrap().len(), 1);
}

/// An engine whose environment is `HERE`, with the vault `my-env` over it.
fn engine() -> Engine {
    let env = Env::new([("HERE".to_owned(), "c4n4ry".to_owned())]);
    let settings = Settings::empty(Kind::Env);
    let resolver = Resolver::new(env, Trust::none()).with_vault("my-env", Ok(settings), Origin::new("test"));
    Engine::start(resolver)
}

#[tokio::test]
async fn secrets_are_told_of_without_their_values() {
    let engine = engine();
    let texts = ["{vault://my-env/here}", "{vault://my-env/gone}", "a {vault://my-env/here} b"];
    let templates: Vec<Template> = texts.iter().map(|text| Template::parse(text).unwrap()).collect();
    let slots = engine.slots(&templates);
    engine.settled(&slots).await;
    let api = Api::with(about(), AdminOptions::default(), Some(engine));
    api.done("PUT", "/vaults/my-env", json!({"name": "env"})).await;
    let user = api.done("POST", "/consumers", json!({"username": texts[2]})).await.id();
    let all = api.get("/secrets").await.body;
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
    let fresh = api.get("/secrets?state=fresh").await.body;
    assert_eq!(fresh["data"][0]["reference"], texts[0]);
    assert_eq!(fresh["data"][0]["users"], 2);
    let unresolved = api.get("/secrets?state=unresolved&vault=my-env").await.body;
    assert!(unresolved["data"][0]["last_error"]["message"].is_string(), "{unresolved}");
    let used = api.get(&format!("/secrets?user={user}")).await.body;
    assert_eq!(used["data"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/secrets?vault=other").await.body["data"], json!([]));
    let first = api.get("/secrets?size=1").await.body;
    let second = api.get(first["next"].as_str().unwrap()).await.body;
    assert_eq!((&second["next"], second["data"].as_array().unwrap().len()), (&Value::Null, 1));
    assert_ne!(first["data"], second["data"]);
    let vault = api.get("/vaults/my-env/status").await.body;
    assert_eq!((&vault["references"]["fresh"], &vault["references"]["unresolved"]), (&json!(1), &json!(1)));
    assert_eq!(api.done("POST", "/vaults/my-env/refresh", Value::Null).await.body["done"], true);
    assert_eq!(api.done("POST", "/secrets/refresh", Value::Null).await.body["done"], true);
    let one = json!({"reference": texts[0]});
    assert_eq!(api.done("POST", "/secrets/refresh", one).await.body["done"], true);
    assert_eq!(api.get("/status").await.body["secrets"]["references"], 2);
    for (method, path, body) in [
        ("GET", "/secrets?state=x", Value::Null),
        ("GET", "/secrets?user=x", Value::Null),
        ("GET", "/secrets?offset=%21", Value::Null),
        ("POST", "/secrets/refresh", json!({"reference": "x"})),
        ("POST", "/secrets/refresh", json!({"reference": 1})),
    ] {
        assert_eq!(api.ask(method, path, body).await.status, 400, "{path}");
    }
    for path in ["/secrets", "/status", "/vaults/my-env/status", "/export"] {
        assert!(!api.get(path).await.body.to_string().contains("c4n4ry"), "{path}");
    }
    drop(slots);
}
