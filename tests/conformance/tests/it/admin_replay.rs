//! A client of our own that plays decK's first sync as it is on the wire: which lists at once, which schemas, which PUTs in
//! which order with which bodies; and then compares what comes back as decK does, so that a second sync would do nothing.
//!
//! Must not know: Postern's own client, which plays the same game (`admin_acceptance.rs`). What decK sends and how it
//! compares was observed on decK 1.64; `go` below writes JSON as Go does.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use postern_conformance::ask::{Connection, Got, Way, request};
use postern_conformance::ca::Ca;
use postern_conformance::{Node, Postgres};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The lists, and which statuses beside 200 decK takes for "none".
const LISTS: [(&str, &[u16]); 24] = [
    ("/services", &[]),
    ("/routes", &[]),
    ("/plugins", &[]),
    ("/consumers", &[]),
    ("/certificates", &[]),
    ("/snis", &[]),
    ("/upstreams", &[]),
    ("/ca_certificates", &[404]),
    ("/filter-chains", &[404, 400]),
    ("/key-auths", &[404]),
    ("/basic-auths", &[404]),
    ("/hmac-auths", &[404]),
    ("/jwts", &[404]),
    ("/acls", &[404]),
    ("/oauth2", &[404]),
    ("/mtls-auths", &[404, 403]),
    ("/consumer_groups", &[404, 403]),
    ("/vaults", &[404, 403]),
    ("/keys", &[404, 403]),
    ("/key-sets", &[404, 403]),
    ("/partials", &[404, 403]),
    ("/degraphql_routes", &[404, 403]),
    ("/graphql-rate-limiting-advanced/costs", &[404, 403]),
    ("/cloned-plugins", &[404, 403]),
];

/// decK, as far as a gateway sees it.
struct Deck<'a> {
    node: &'a Node,
    /// `/W` where a workspace is named.
    prefix: &'static str,
}

impl Deck<'_> {
    async fn connection(&self) -> Connection {
        Way::http(self.node.admin).open().await.expect("a connection")
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Got {
        let mut headers = vec![("user-agent", "decK/1.64.0"), ("accept-encoding", "gzip")];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let path = if path == "/" { path.to_owned() } else { format!("{}{path}", self.prefix) };
        let body = body.map(go).unwrap_or_default();
        let asked = request(method, &self.node.admin.to_string(), &path, &headers, body);
        let got = self.connection().await.ask(asked).await;
        let got = got.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!(got.header("content-encoding").is_none_or(|encoding| encoding == "gzip"), "{path}");
        got
    }

    async fn get(&self, path: &str) -> Value {
        let got = self.ask("GET", path, None).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        got.json()
    }

    async fn put(&self, path: &str, body: &Value) {
        let got = self.ask("PUT", path, Some(body)).await;
        assert_eq!(got.status, 200, "PUT {path} {body}: {}", got.text());
        let answer = got.json();
        assert_eq!(answer["id"], body["id"], "PUT {path}: {answer}");
        assert!(answer.is_object() && whole(&answer["created_at"]), "PUT {path}: {answer}");
    }

    /// All lists at once, as decK asks for them.
    async fn lists(&self) {
        let asked = LISTS.iter().map(|(path, tolerated)| async move {
            let got = self.ask("GET", &format!("{path}?size=1000"), None).await;
            assert!(
                got.status == 200 || tolerated.contains(&got.status),
                "{path}: {} {}",
                got.status,
                got.text()
            );
            let body = got.json();
            if got.status != 200 {
                assert!(body["message"].is_string(), "{path}: {body}");
                return;
            }
            assert!(body["data"].is_array(), "{path}: {body}");
            // One that is empty would be asked for for ever.
            assert!(body.get("offset").is_none_or(Value::is_null), "{path}: {body}");
        });
        join_all(asked).await;
    }

    /// Defaults of a kind, as decK collects them: those of the fields, and of fields of records.
    async fn defaults(&self, kind: &str) -> Map<String, Value> {
        let schema = self.get(&format!("/schemas/{kind}")).await;
        collected(&schema["fields"])
    }
}

fn whole(number: &Value) -> bool {
    number.is_i64() || number.is_u64()
}

/// JSON as Go writes it: `<`, `>` and `&` are escaped.
fn go(value: &Value) -> String {
    value.to_string().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// The one name and description that each item of `fields` has.
fn described(fields: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields = fields.as_array().expect("a schema lists its fields").iter();
    fields.map(|field| {
        let field = field.as_object().expect("a field is an object");
        assert_eq!(field.len(), 1, "with one key: {field:?}");
        let (name, description) = field.iter().next().expect("one");
        (name.as_str(), description)
    })
}

fn collected(fields: &Value) -> Map<String, Value> {
    let mut defaults = Map::new();
    for (name, field) in described(fields) {
        if field["type"] == "record" && field["fields"].is_array() {
            let inner = collected(&field["fields"]);
            if !inner.is_empty() {
                defaults.insert(name.to_owned(), inner.into());
            }
        } else if let Some(default) = field.get("default") {
            defaults.insert(name.to_owned(), default.clone());
        }
    }
    defaults
}

/// What a file says over what is so anyway.
fn over(base: &Value, said: &Value) -> Value {
    match (base, said) {
        (Value::Object(base), Value::Object(said)) => {
            let mut all = base.clone();
            for (name, value) in said {
                let value = all.get(name).map_or_else(|| value.clone(), |base| over(base, value));
                all.insert(name.clone(), value);
            }
            all.into()
        }
        _ => said.clone(),
    }
}

/// The configuration of a plugin as decK wants it back: every field of the schema, those without a value as null.
fn filled(fields: &Value, said: &Value) -> Value {
    let mut config = Map::new();
    for (name, field) in described(fields) {
        let said = said.get(name);
        let is_record = field["type"] == "record";
        let value = match said {
            Some(said) if is_record && said.is_object() => filled(&field["fields"], said),
            Some(Value::Array(items)) if field["elements"]["type"] == "record" => {
                items.iter().map(|item| filled(&field["elements"]["fields"], item)).collect()
            }
            Some(said) => sorted(field, said),
            None if is_record && field["required"] == true => filled(&field["fields"], &json!({})),
            None => sorted(field, &field.get("default").cloned().unwrap_or_default()),
        };
        config.insert(name.to_owned(), value);
    }
    config.into()
}

/// A set has no order.
fn sorted(field: &Value, value: &Value) -> Value {
    match value {
        Value::Array(items) if field["type"] != "array" => {
            let mut items = items.clone();
            items.sort_by_key(ToString::to_string);
            items.into()
        }
        other => other.clone(),
    }
}

/// What came back, with sets in the order in which `filled` has them.
fn in_order(fields: &Value, config: &Value) -> Value {
    let mut config = config.clone();
    for (name, field) in described(fields) {
        let Some(value) = config.get_mut(name) else { continue };
        *value = match (&field["type"], &value) {
            (Value::String(kind), Value::Object(_)) if kind == "record" => in_order(&field["fields"], value),
            _ => sorted(field, value),
        };
    }
    config
}

/// What is known of an entity by its file, and where it is.
struct Wanted {
    path: String,
    body: Value,
    /// The fields that Go's structs have no place for, so that decK never sees them.
    unseen: &'static [&'static str],
}

/// Whether Go's structs would be equal: what is null is as good as absent, the order of lists counts, but for tags.
fn same(wanted: &Wanted, got: &Value) {
    let nothing = ["created_at", "updated_at"];
    let all = wanted.body.as_object().into_iter().chain(got.as_object()).flat_map(Map::keys);
    for name in all.collect::<BTreeSet<_>>() {
        if nothing.contains(&name.as_str()) || wanted.unseen.contains(&name.as_str()) {
            continue;
        }
        let (want, got) = (&wanted.body[name], &got[name]);
        let is_same = match (want, got) {
            // Other entities are known by their identifiers.
            (Value::Object(want), Value::Object(got)) if want.contains_key("id") => want["id"] == got["id"],
            (Value::Array(want), Value::Array(got)) if name == "tags" => {
                let set = |list: &[Value]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
                set(want) == set(got)
            }
            (Value::Null, Value::Array(got)) if name == "tags" => got.is_empty(),
            (want, got) => without_nulls(want) == without_nulls(got),
        };
        assert!(is_same, "{}: {name}: decK wants {want}, and gets {got}", wanted.path);
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.iter().filter(|(_, value)| !value.is_null());
            there.map(|(name, value)| (name.clone(), without_nulls(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

/// A first sync, level by level; all of a level at once.
async fn play(deck: &Deck<'_>) {
    let ca = Ca::new("An authority");
    let issued = ca.issue(&["a.example"]);
    let root = deck.get("/").await;
    let version = root["version"].as_str().expect("decK panics without a version that is a text");
    assert!(version.starts_with("3."), "{version}");
    if !deck.prefix.is_empty() {
        let workspace = deck.get("/workspaces/default").await;
        assert!(workspace["config"].is_object() && workspace["meta"].is_object(), "{workspace}");
    }
    deck.lists().await;
    let services = Value::from(deck.defaults("services").await);
    let routes = Value::from(deck.defaults("routes").await);
    let upstreams = Value::from(deck.defaults("upstreams").await);
    let targets = Value::from(deck.defaults("targets").await);
    assert_eq!(deck.ask("GET", "/schemas/consumer_group_plugins", None).await.status, 404);
    assert!(routes.get("priority").is_none(), "decK would send a priority with every route: {routes}");

    let [certificate, authority, alice, bob, vault, set] = [(); 6].map(|()| id());
    let [group, sni, service, upstream, key, route, bare] = [(); 7].map(|()| id());
    let consumer = |id: &str, name: &str| json!({ "id": id, "username": name });
    let entity = |path: String, body: Value| Wanted { path, body, unseen: &[] };
    let first = [
        Wanted {
            path: format!("/certificates/{certificate}"),
            body: json!({ "id": certificate, "cert": issued.chain, "key": issued.key, "tags": ["b", "a"] }),
            unseen: &["snis"],
        },
        Wanted {
            path: format!("/ca_certificates/{authority}"),
            body: json!({ "id": authority, "cert": ca.pem() }),
            unseen: &["cert_digest"],
        },
        entity(
            format!("/consumers/{alice}"),
            json!({ "id": alice, "custom_id": "7 & <8>", "username": "alice" }),
        ),
        entity(format!("/consumers/{bob}"), json!({ "id": bob, "username": "bob" })),
        entity(
            format!("/vaults/{vault}"),
            json!({ "id": vault, "name": "env", "prefix": "my-env", "config": { "prefix": "APP_" } }),
        ),
        entity(format!("/key-sets/{set}"), json!({ "id": set, "name": "ks" })),
    ];
    let credential = |kind: &str, fields: Value| {
        let credential = id();
        let own = json!({ "id": credential, "consumer": consumer(&alice, "alice") });
        entity(format!("/consumers/{alice}/{kind}/{credential}"), over(&own, &fields))
    };
    let jwk = r#"{"kty":"oct","kid":"1","k":"c2VjcmV0"}"#;
    let second = [
        entity(format!("/consumer_groups/{group}"), json!({ "id": group, "name": "gold" })),
        entity(
            format!("/snis/{sni}"),
            json!({ "id": sni, "name": "a.example", "certificate": { "id": certificate } }),
        ),
        entity(
            format!("/services/{service}"),
            over(
                &services,
                &json!({
                    "id": service, "name": "svc", "host": "127.0.0.1", "port": 8443, "path": "/base",
                    "protocol": "https", "retries": 0, "enabled": false, "ca_certificates": [authority],
                    "tags": ["z", "y"],
                }),
            ),
        ),
        entity(
            format!("/upstreams/{upstream}"),
            over(
                &upstreams,
                &json!({
                    "id": upstream, "name": "up.example",
                    "healthchecks": { "active": { "healthy": { "interval": 5, "http_statuses": [302, 200] } } },
                }),
            ),
        ),
        entity(
            format!("/keys/{key}"),
            json!({ "id": key, "set": { "id": set }, "name": "k", "kid": "1", "jwk": jwk }),
        ),
        credential("key-auth", json!({ "key": "alices-own-key" })),
        credential("hmac-auth", json!({ "username": "alice-h", "secret": "alices-hmac" })),
        credential("jwt", json!({ "key": "alice-iss", "secret": "alices-jwt", "algorithm": "HS256" })),
        credential("acls", json!({ "group": "admins" })),
        // A password is never compared: what comes back is its hash.
        Wanted {
            unseen: &["password"],
            ..credential("basic-auth", json!({ "username": "alice", "password": "alices-password" }))
        },
    ];
    let target = id();
    let third = [
        entity(
            format!("/routes/{route}"),
            over(
                &routes,
                &json!({
                    "id": route, "name": "r", "paths": ["/b", "/a", "~/c$"], "methods": ["POST", "GET"],
                    "protocols": ["https", "http"], "headers": { "x-a": ["2", "1"] },
                    "service": { "id": service },
                }),
            ),
        ),
        // gRPC has no paths to strip, so decK says so.
        entity(
            format!("/routes/{bare}"),
            over(
                &routes,
                &json!({
                    "id": bare, "name": "g", "hosts": ["grpc.example"], "protocols": ["grpc"], "strip_path": false,
                }),
            ),
        ),
        Wanted {
            path: format!("/upstreams/{upstream}/targets/{target}"),
            body: over(
                &targets,
                &json!({
                    "id": target, "target": "plain.example:8000", "upstream": { "id": upstream }, "weight": 7,
                }),
            ),
            unseen: &[],
        },
    ];
    // One that is there already would be a fault of the file.
    assert_eq!(deck.ask("GET", &first[0].path, None).await.status, 404);
    for level in [&first[..], &second, &third] {
        join_all(level.iter().map(|wanted| deck.put(&wanted.path, &wanted.body))).await;
    }
    let joined = json!({ "consumer": alice });
    let members = format!("/consumer_groups/{group}/consumers");
    let got = deck.ask("POST", &members, Some(&joined)).await;
    assert!(got.status == 201 && got.json().is_object(), "{}", got.text());

    // A plugin is sent with what the file says of its configuration and no more; with nothing, without any.
    let scopes = [
        ("key-auth", json!({ "service": { "id": service } }), json!({ "key_names": ["x-key", "apikey"] })),
        ("basic-auth", json!({}), Value::Null),
        ("rate-limiting", json!({ "consumer": { "id": alice } }), json!({ "minute": 5, "policy": "local" })),
        ("rate-limiting", json!({ "consumer_group": { "id": group } }), json!({ "hour": 100.0 })),
        (
            "request-transformer",
            json!({ "route": { "id": route } }),
            json!({ "add": { "headers": ["x-b:2 & <3>", "x-a:{vault://my-env/a}"] } }),
        ),
        (
            "rate-limiting",
            json!({ "service": { "id": service }, "consumer": { "id": bob } }),
            json!({ "second": 1, "hide_client_headers": true }),
        ),
    ];
    let mut plugins = Vec::new();
    for (name, scope, config) in &scopes {
        let schema = deck.get(&format!("/schemas/plugins/{name}")).await;
        let field = |wanted: &str| {
            let field = described(&schema["fields"]).find(|(name, _)| *name == wanted);
            field.unwrap_or_else(|| panic!("{name} has no {wanted}: {schema}")).1.clone()
        };
        let protocols = field("protocols")["default"].clone();
        assert!(protocols.is_array(), "{name}: {schema}");
        let plugin = id();
        let mut body =
            over(scope, &json!({ "id": plugin, "name": name, "enabled": true, "protocols": protocols }));
        if !config.is_null() {
            body["config"] = config.clone();
        }
        plugins.push((format!("/plugins/{plugin}"), body, field("config")));
    }
    join_all(plugins.iter().map(|(path, body, _)| deck.put(path, body))).await;

    // What a diff would find, now and after the same once more.
    for _ in 0..2 {
        for wanted in first.iter().chain(&second).chain(&third) {
            let collection = wanted.path.rsplit_once('/').expect("a path").0;
            let list = deck.get(&format!("{}?size=1000", flat(collection))).await;
            let is_own = |found: &&Value| found["id"] == wanted.body["id"];
            let found = list["data"].as_array().expect("a list").iter().find(is_own);
            same(wanted, found.unwrap_or_else(|| panic!("{} is not in {list}", wanted.path)));
        }
        for (path, body, schema) in &plugins {
            let got = deck.get(path).await;
            let want = filled(&schema["fields"], &body["config"]);
            let has = in_order(&schema["fields"], &got["config"]);
            let shorthands = schema["shorthand_fields"].as_array().into_iter().flatten();
            let shorthands: BTreeSet<&str> =
                shorthands.filter_map(|field| field.as_object()?.keys().next()).map(String::as_str).collect();
            let has: Map<_, _> = has.as_object().expect("a configuration is an object").clone();
            let has: Map<_, _> =
                has.into_iter().filter(|(name, _)| !shorthands.contains(name.as_str())).collect();
            assert_eq!(numbers(&want), numbers(&has.into()), "{path} {}", body["name"]);
            let wanted = Wanted { path: path.clone(), body: body.clone(), unseen: &["config"] };
            same(&wanted, &got);
        }
        let wrapped = deck.get("/consumer_groups/gold").await;
        assert_eq!(wrapped["consumer_group"]["id"], group, "bare, it would be the end of decK");
        assert_eq!(wrapped["consumers"][0]["username"], "alice", "{wrapped}");
        for level in [&first[1..], &second, &third] {
            join_all(level.iter().map(|wanted| deck.put(&wanted.path, &wanted.body))).await;
        }
    }

    // The other way: children first.
    let gone = async |path: &str| {
        let got = deck.ask("DELETE", path, None).await;
        assert_eq!((got.status, got.text().as_str()), (204, ""), "DELETE {path}");
    };
    join_all(plugins.iter().map(|(path, ..)| gone(path))).await;
    gone(&format!("{members}/{alice}")).await;
    for level in [&third[..], &second, &first] {
        join_all(level.iter().map(|wanted| gone(&wanted.path))).await;
    }
    for (path, _) in LISTS {
        let got = deck.ask("GET", &format!("{path}?size=1000"), None).await;
        assert!(got.status != 200 || got.json()["data"] == json!([]), "{path}: {}", got.text());
    }
}

/// Where all of a kind are listed, that stands below a consumer.
fn flat(collection: &str) -> String {
    match collection.strip_prefix("/consumers/").and_then(|rest| rest.split_once('/')) {
        Some((_, "acls")) => "/acls".to_owned(),
        Some((_, kind)) => format!("/{kind}s"),
        None => collection.to_owned(),
    }
}

/// In Go all numbers of a configuration are of one type.
fn numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.iter().map(numbers).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), numbers(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

#[tokio::test]
async fn a_first_sync_on_sqlite() {
    let node = Node::sqlite(&[]).await;
    play(&Deck { node: &node, prefix: "" }).await;
    play(&Deck { node: &node, prefix: "/default" }).await;
}

#[tokio::test]
async fn a_first_sync_on_postgresql() {
    let server = Postgres::start().await;
    let node = Node::postgres(&server, &server.database().await, &[]).await;
    play(&Deck { node: &node, prefix: "" }).await;
}
