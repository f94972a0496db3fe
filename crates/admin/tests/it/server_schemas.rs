//! `/schemas` beside Kong's published field lists, field by field; and checking without keeping.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::server_double::Api;
use super::server_kinds::{certificate, example};

/// Kong's lists, as `crates/plugins` keeps them.
const PUBLISHED: &[(&str, &str)] = &[
    ("acl", "ACL"),
    ("basic-auth", "BasicAuth"),
    ("bot-detection", "BotDetection"),
    ("correlation-id", "CorrelationId"),
    ("cors", "Cors"),
    ("file-log", "FileLog"),
    ("hmac-auth", "HmacAuth"),
    ("http-log", "HttpLog"),
    ("ip-restriction", "IpRestriction"),
    ("jwt", "Jwt"),
    ("key-auth", "KeyAuth"),
    ("oauth2-introspection", "Oauth2Introspection"),
    ("opentelemetry", "Opentelemetry"),
    ("prometheus", "Prometheus"),
    ("proxy-cache", "ProxyCache"),
    ("rate-limiting", "RateLimiting"),
    ("redirect", "Redirect"),
    ("request-size-limiting", "RequestSizeLimiting"),
    ("request-termination", "RequestTermination"),
    ("request-transformer", "RequestTransformer"),
    ("response-ratelimiting", "ResponseRatelimiting"),
    ("response-transformer", "ResponseTransformer"),
    ("session", "Session"),
    ("statsd", "Statsd"),
    ("syslog", "Syslog"),
    ("tcp-log", "TcpLog"),
    ("udp-log", "UdpLog"),
    ("upstream-oauth", "UpstreamOauth"),
];

/// One line each: what differs, and behind ` # ` why.
const DIFFERENCES: &str = include_str!("data/schema_differences.txt");

#[tokio::test]
async fn schemas_of_plugins_are_kongs() {
    let api = Api::new();
    let mut found = BTreeSet::new();
    for (name, file) in PUBLISHED {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/tests/data/{file}.json"));
        let theirs: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let ours = api.get(&format!("/schemas/plugins/{name}")).await.body;
        let fields = ours["fields"].as_array().unwrap();
        let of = |name: &str| fields.iter().find_map(|field| field.get(name)).unwrap_or(&Value::Null);
        compare_record(&format!("{name}.config"), of("config"), &theirs["properties"]["config"], &mut found);
        if of("protocols")["default"] != theirs["properties"]["protocols"]["default"] {
            found.insert(format!("{name}.protocols default"));
        }
    }
    let reasons: Vec<(&str, &str)> = DIFFERENCES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" # ").unwrap_or_else(|| panic!("{line}: say why")))
        .collect();
    let listed: BTreeSet<String> = reasons.iter().map(|(what, _)| (*what).to_owned()).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(
        unlisted.is_empty() && gone.is_empty(),
        "not listed: {unlisted:#?}\nnot there any longer: {gone:#?}"
    );
}

fn compare_record(path: &str, ours: &Value, theirs: &Value, found: &mut BTreeSet<String>) {
    let fields: Vec<(&String, &Value)> =
        ours["fields"].as_array().unwrap().iter().flat_map(|f| f.as_object().unwrap()).collect();
    let names: BTreeSet<&String> = fields.iter().map(|(name, _)| *name).collect();
    let properties = theirs["properties"].as_object().unwrap();
    for name in properties.keys().filter(|name| !names.contains(name)) {
        found.insert(format!("{path}.{name} missing"));
    }
    let required: Vec<&str> =
        theirs["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in fields {
        let path = format!("{path}.{name}");
        match properties.get(name) {
            None => {
                found.insert(format!("{path} ours only"));
            }
            Some(theirs) => {
                // Kong's list calls required what has no default as well; it says nothing of the others.
                if required.contains(&name.as_str()) && field["required"] != true {
                    found.insert(format!("{path} required"));
                }
                compare(&path, field, theirs, found);
            }
        }
    }
}

fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut BTreeSet<String>) {
    let mut note = |what: &str| {
        found.insert(format!("{path} {what}"));
    };
    let ty = match ours["type"].as_str().unwrap() {
        "set" => "array",
        "map" | "record" => "object",
        other => other,
    };
    if theirs["type"] != ty {
        note("type");
    }
    if ours["default"] != theirs["default"] {
        note("default");
    }
    let one_of = |value: &Value| {
        value.as_array().map(|words| words.iter().map(ToString::to_string).collect::<BTreeSet<_>>())
    };
    if one_of(&ours["one_of"]) != one_of(&theirs["enum"]) {
        note("one_of");
    }
    let between = |at: usize| ours["between"].get(at).and_then(Value::as_f64);
    if (between(0), between(1)) != (theirs["minimum"].as_f64(), theirs["maximum"].as_f64()) {
        note("between");
    }
    // What a vault may give is told for every text; Kong's list tells of some.
    if theirs["x-referenceable"] == true && ours["referenceable"] != true {
        note("referenceable");
    }
    match ours["type"].as_str().unwrap() {
        "record" => compare_record(path, ours, theirs, found),
        "array" | "set" => compare(&format!("{path}[]"), &ours["elements"], &theirs["items"], found),
        _ => {}
    }
}

#[tokio::test]
async fn schemas_have_the_form_that_deck_reads() {
    let api = Api::new();
    for name in [
        "services",
        "routes",
        "upstreams",
        "targets",
        "plugins",
        "vaults",
        "acls",
        "keyauth_credentials",
        "key_sets",
    ] {
        let schema = api.get(&format!("/schemas/{name}")).await.body;
        for field in schema["fields"].as_array().unwrap() {
            let field = field.as_object().unwrap();
            assert_eq!(field.len(), 1, "{name}");
            assert!(field.values().all(|field| field["type"].is_string()), "{name}: {field:?}");
        }
    }
    // Every default that an answer has is in the schema, and the other way round.
    let service = api.done("POST", "/services", json!({"host": "h"})).await.body;
    for field in api.get("/schemas/services").await.body["fields"].as_array().unwrap() {
        let (name, field) = field.as_object().unwrap().iter().next().unwrap();
        if field["auto"] != true && name != "host" {
            assert_eq!(service[name], field["default"], "{name}");
        }
    }
    let key = api.get("/schemas/keyauth_credentials").await.body;
    let key = key["fields"].as_array().unwrap().iter().find_map(|field| field.get("key")).cloned().unwrap();
    assert_eq!(key["auto"], true);
    let hcv = api.get("/schemas/vaults/hcv").await.body;
    assert!(
        hcv["fields"][0]["config"]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .any(|field| field.get("host").is_some())
    );
}

#[tokio::test]
async fn checking_keeps_nothing() {
    let api = Api::new();
    let (cert, key) = certificate("a");
    let id = "11111111-1111-4111-8111-111111111111";
    let fine = [
        ("services", json!({"id": id, "name": "s", "host": "h"})),
        ("routes", json!({"id": id, "paths": ["/"], "service": {"id": id, "name": "s"}})),
        ("plugins", json!({"id": id, "name": "key-auth", "consumer_group": null, "service": {"id": id}})),
        ("keyauth_credentials", json!({"id": id, "key": "k", "consumer": {"id": id, "username": "me"}})),
        ("vaults", json!({"id": id, "name": "env", "prefix": "my-env", "config": {}})),
        ("certificates", json!({"id": id, "cert": cert, "key": key, "snis": ["a.b"]})),
        ("targets", json!({"id": id, "target": "a:1", "upstream": {"id": id}})),
    ];
    for (kind, body) in fine {
        let answer = api.done("POST", &format!("/schemas/{kind}/validate"), body).await;
        assert_eq!(answer.body, json!({"message": "schema validation successful"}), "{kind}");
    }
    let before = api.get("/export").await.body;
    assert_eq!(before["entities"], json!({}));
    for (kind, body, field) in [
        ("services", json!({"name": "s"}), "host"),
        ("plugins", json!({"name": "nope"}), "name"),
        ("vaults", json!({"name": "hvc", "prefix": "my-env"}), "name"),
    ] {
        let answer = api.ask("POST", &format!("/schemas/{kind}/validate"), body).await;
        assert!(answer.status == 400 && answer.body["fields"][field].is_string(), "{kind}: {}", answer.body);
    }
    assert_eq!(api.ask("POST", "/schemas/nothing/validate", json!({})).await.status, 404);
    let _ = example(&api, "services", "unused").await;
}

#[tokio::test]
async fn entities_that_only_kong_has_have_a_schema() {
    let api = Api::new();
    for name in
        ["tags", "workspaces", "clustering_data_planes", "parameters", "filter_chains", "oauth2_credentials"]
    {
        let schema = api.get(&format!("/schemas/{name}")).await;
        assert_eq!(schema.status, 200, "{name}");
        assert!(schema.body["fields"].as_array().is_some_and(|fields| fields.len() > 1), "{name}");
    }
    assert_eq!(api.get("/schemas/tags").await.body["fields"][0]["tag"]["required"], true);
    assert_eq!(api.get("/schemas/none").await.status, 404);
    let configuration = &api.get("/").await.body["configuration"];
    assert_eq!(configuration["admin_listeners"][0]["port"], 8001);
    assert_eq!(configuration["stream_listeners"], serde_json::json!([]));
}
