//! One bad entity, one answer: every way in says the same of it, and none of them takes it.
//!
//! Owns: the bad entities, and the words for them. Must not know: who says them. The ways are the Admin API (`POST`, `/config`,
//! `/schemas/{name}/validate`), `config check`, `config import`, `check`, `validate`, `start` and a file that changes.

use std::fs;

use postern_conformance::ca::Ca;
use postern_conformance::{Gateway, Node, Postern};
use serde_json::{Value, json};

/// An entity that is wrong in one way.
struct Bad {
    /// Its list, in files and in the Admin API.
    list: &'static str,
    body: Value,
    /// The field that is to blame, where one is.
    field: &'static str,
    says: &'static str,
}

fn plugin(name: &str, config: &Value, field: &'static str, says: &'static str) -> Bad {
    Bad { list: "plugins", body: json!({"name": name, "config": config}), field, says }
}

fn route(name: &str, fields: &Value, field: &'static str, says: &'static str) -> Bad {
    let mut body = fields.clone();
    body["name"] = name.into();
    Bad { list: "routes", body, field, says }
}

const CONTROL: &str = "must not contain control characters";
const STATUS: &str = "expected a status from 200 to 599";
const MISSING: &str = "required field missing";

fn bad_ones() -> Vec<Bad> {
    let ca = Ca::new("An authority");
    let (one, other) = (ca.issue(&["a.test"]), ca.issue(&["b.test"]));
    vec![
        plugin("rate-limiting", &json!({"minute": 1, "policy": "redis"}), "config.redis.host", MISSING),
        plugin(
            "basic-auth",
            &json!({"brute_force_protection": {"strategy": "redis"}}),
            "config.brute_force_protection.redis.host",
            MISSING,
        ),
        plugin("key-auth", &json!({"realm": "a\r\nb"}), "config.realm", CONTROL),
        plugin(
            "request-transformer",
            &json!({"add": {"headers": ["a:\r\nx"]}}),
            "config.add.headers[0]",
            CONTROL,
        ),
        plugin(
            "redirect",
            &json!({"location": "https://a.test", "status_code": 100}),
            "config.status_code",
            STATUS,
        ),
        plugin(
            "oauth2-introspection",
            &json!({
                "introspection_url": "http://a.test", "authorization_value": "a", "custom_claims_forward": ["a b"],
            }),
            "config.custom_claims_forward[0]",
            "'a b' cannot be part of a header's name",
        ),
        plugin(
            "tcp-log",
            &json!({"host": "a b", "port": 9, "tls": true}),
            "config.host",
            "not the name of a server",
        ),
        route("above", &json!({"paths": ["/.."]}), "paths[0]", "it leaves the root"),
        route("nul", &json!({"paths": ["/%00"]}), "paths[0]", "a NUL character can be in no request"),
        route("big", &json!({"paths": ["~/\\d{1,999999}"]}), "paths[0]", "compiled it is too big"),
        route(
            "another-flavour",
            &json!({"expression": "http.path == \"/a\""}),
            "expression",
            "needs the setting router_flavor = expressions; this node has traditional_compatible",
        ),
        Bad {
            list: "certificates",
            body: json!({"cert": one.chain, "key": other.key}),
            field: "",
            says: "certificate does not match key",
        },
        Bad {
            list: "services",
            body: json!({"name": "s", "host": "a.test", "retries": 40_000}),
            field: "retries",
            says: "value should be between 0 and 32767",
        },
    ]
}

/// Says what of the words is missing in what a way in said. A gateway's own words count the items of lists from 1, and
/// `validate` hides what could be a secret, so there the field is not looked at.
fn missing(way: &str, said: &str, bad: &[Bad]) -> Vec<String> {
    let names = |line: &str, bad: &Bad| way == "validate" || line.contains(bad.field);
    let is_said = |bad: &&Bad| said.lines().any(|line| line.contains(bad.says) && names(line, bad));
    let lacks = bad.iter().filter(|bad| !is_said(bad));
    lacks
        .map(|bad| format!("{way} does not say of {} {}: {}", bad.list, bad.body["name"], bad.says))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_says_the_same() {
    let bad = bad_ones();
    let mut file = json!({"_format_version": "3.0"});
    for one in &bad {
        if file[one.list].is_null() {
            file[one.list] = json!([]);
        }
        file[one.list].as_array_mut().expect("a list").push(one.body.clone());
    }
    let yaml = file.to_string();
    let mut wrong = Vec::new();

    // One by one.
    let node = Node::sqlite(&[]).await;
    for one in &bad {
        let (status, posted) = node.ask("POST", &format!("/{}", one.list), &one.body).await;
        let told = posted["message"].as_str().unwrap_or_default();
        if status != 400 || !told.contains(one.says) {
            wrong.push(format!("POST /{} answers {status} to {}: {posted}", one.list, one.body["name"]));
        }
        let (status, validated) =
            node.ask("POST", &format!("/schemas/{}/validate", one.list), &one.body).await;
        if status != 400 || validated["message"].as_str() != Some(told) {
            wrong.push(format!(
                "validate answers {status} to {}: {validated}, not {posted}",
                one.body["name"]
            ));
        }
    }

    // All of them in a file.
    for (way, arguments) in [
        ("config check", &["config", "check", "kong.yaml"][..]),
        ("config import", &["config", "import", "kong.yaml"]),
    ] {
        let outcome = node.command().file("kong.yaml", &yaml).args(arguments).run().await;
        if outcome.code == 0 {
            wrong.push(format!("{way} takes them"));
        }
        wrong.extend(missing(way, &format!("{}\n{}", outcome.stdout, outcome.stderr), &bad));
    }
    let outcome = node.with_file("validate", &yaml, &[]).await;
    wrong.extend(missing("validate", &format!("{}\n{}", outcome.stdout, outcome.stderr), &bad));
    let left = node.get("/routes").await;
    if left["data"].as_array().is_none_or(|all| !all.is_empty()) {
        wrong.push(format!("something of it is there: {left}"));
    }

    let check = Postern::command()
        .file("kong.yaml", &yaml)
        .env("POSTERN_DECLARATIVE_CONFIG", "kong.yaml")
        .arg("check");
    let outcome = check.run().await;
    wrong.extend(missing("check", &format!("{}\n{}", outcome.stdout, outcome.stderr), &bad));
    match Gateway::try_start(&yaml, &[]).await {
        Ok(_) => wrong.push("start takes them".to_owned()),
        Err(log) => wrong.extend(missing("start", &log, &bad)),
    }
    let mut gateway = Postern::gateway("_format_version: '3.0'", &[]).await;
    if gateway.reload(&yaml).await {
        wrong.push("a changed file is taken".to_owned());
    }
    wrong.extend(missing("a changed file", &gateway.log(), &bad));

    let db_less = Node::db_less("_format_version: '3.0'", &[]).await;
    let (status, answer) = db_less.ask("POST", "/config", &json!({"config": yaml})).await;
    if status != 400 {
        wrong.push(format!("POST /config answers {status}"));
    }
    // Each in its place, without the path before it.
    for one in bad.iter().filter(|one| !answer.to_string().contains(one.says)) {
        wrong.push(format!("POST /config does not say of {} {}: {}", one.list, one.body["name"], one.says));
    }
    fs::write(db_less.configuration(), &yaml).expect("a configuration file");
    let outcome = db_less.command().arg("reload").run().await;
    if outcome.code == 0 {
        wrong.push("reload takes them".to_owned());
    }
    assert!(wrong.is_empty(), "{} differences:\n  {}", wrong.len(), wrong.join("\n  "));
}
