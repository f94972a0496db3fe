//! A good entity of every kind, as data; and that each can be created, read, replaced, merged and deleted.
//!
//! Owns: the examples that other tests use, too.

use postern_admin::server::route::kinds;
use postern_model::Kind;
use serde_json::{Value, json};

use super::server_double::Api;

/// What an entity of a kind needs around it, and what it is made of.
pub(crate) struct Example {
    /// Where those of its kind are created, with parents made.
    pub(crate) path: String,
    /// What is sent.
    pub(crate) body: Value,
    /// What PATCH sends, and what is there afterwards.
    pub(crate) patch: Value,
}

/// A certificate and its key, as PEM.
pub(crate) fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// An authority, as PEM.
fn authority() -> String {
    let mut parameters = rcgen::CertificateParams::new([]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

async fn made(api: &Api, path: &str, body: Value) -> String {
    api.done("POST", path, body).await.id()
}

/// An example; `name` tells it from others of its kind.
pub(crate) async fn example(api: &Api, kind: &str, name: &str) -> Example {
    let of = |path: &str, body: Value, patch: Value| Example { path: path.to_owned(), body, patch };
    let consumer =
        async || made(api, "/consumers", json!({"username": format!("{name}-consumer-{kind}")})).await;
    match kind {
        "services" => of(
            "/services",
            json!({"name": name, "protocol": "https", "host": "h.example", "path": "/p"}),
            json!({"retries": 1}),
        ),
        "routes" => {
            let service = made(api, "/services", json!({"host": "h"})).await;
            let body =
                json!({"name": name, "paths": ["/b", "/a"], "service": {"id": service, "name": "any"}});
            of("/routes", body, json!({"paths": ["/c"], "strip_path": false}))
        }
        "plugins" => of(
            "/plugins",
            json!({"name": "rate-limiting", "instance_name": name, "config": {"minute": 5},
                "service": {"id": made(api, "/services", json!({"host": "h"})).await}}),
            json!({"enabled": false}),
        ),
        "consumers" => of("/consumers", json!({"username": name}), json!({"custom_id": "c"})),
        "consumer_groups" => of("/consumer_groups", json!({"name": name}), json!({"tags": ["t"]})),
        "keyauth_credentials" => {
            of(&format!("/consumers/{}/key-auth", consumer().await), json!({"key": name}), json!({"ttl": 5}))
        }
        "basicauth_credentials" => of(
            &format!("/consumers/{}/basic-auth", consumer().await),
            json!({"username": name, "password": "pw"}),
            json!({"tags": ["t"]}),
        ),
        "hmacauth_credentials" => of(
            &format!("/consumers/{}/hmac-auth", consumer().await),
            json!({"username": name}),
            json!({"secret": "s"}),
        ),
        "jwt_secrets" => of(
            &format!("/consumers/{}/jwt", consumer().await),
            json!({"key": name}),
            json!({"algorithm": "HS512"}),
        ),
        "acls" => of(
            &format!("/consumers/{}/acls", consumer().await),
            json!({"group": name}),
            json!({"tags": ["t"]}),
        ),
        "certificates" => {
            let (cert, key) = certificate(name);
            of(
                "/certificates",
                json!({"cert": cert, "key": key, "snis": [format!("{name}.example")]}),
                json!({"tags": ["t"]}),
            )
        }
        "snis" => {
            let (cert, key) = certificate(name);
            let certificate = made(api, "/certificates", json!({"cert": cert, "key": key})).await;
            of(
                "/snis",
                json!({"name": format!("{name}.sni.example"), "certificate": {"id": certificate}}),
                json!({"tags": ["t"]}),
            )
        }
        "ca_certificates" => of("/ca_certificates", json!({"cert": authority()}), json!({"tags": ["t"]})),
        "upstreams" => of(
            "/upstreams",
            json!({"name": name}),
            json!({"healthchecks": {"active": {"healthy": {"interval": 5}}}}),
        ),
        "targets" => {
            let upstream = made(api, "/upstreams", json!({"name": format!("{name}-u")})).await;
            of(
                &format!("/upstreams/{upstream}/targets"),
                json!({"target": format!("{name}.example")}),
                json!({"weight": 0}),
            )
        }
        "vaults" => of(
            "/vaults",
            json!({"name": "env", "prefix": format!("v-{name}"), "config": {"prefix": "A_"}}),
            json!({"description": "d"}),
        ),
        "key_sets" => of("/key-sets", json!({"name": name}), json!({"tags": ["t"]})),
        "keys" => of(
            "/keys",
            json!({"name": name, "kid": "k",
                "jwk": "{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"c2VjcmV0\"}",
                "set": {"id": made(api, "/key-sets", json!({"name": format!("{name}-set")})).await}}),
            json!({"tags": ["t"]}),
        ),
        other => panic!("no example of {other}"),
    }
}

/// A group is answered with its members around it.
fn bare(mut body: Value) -> Value {
    if body.get("consumers").is_some() { body["consumer_group"].take() } else { body }
}

/// Whether all of `small` is in `large`. The password is kept as something else, and `url` is short for other fields.
fn holds(large: &Value, small: &Value) -> bool {
    match (large, small) {
        (Value::Object(large), Value::Object(small)) => small.iter().all(|(key, value)| {
            matches!(key.as_str(), "password" | "url")
                || key == "ttl" && large[key].as_i64() < value.as_i64()
                || key == "name" && value == "any"
                || large.get(key).is_some_and(|large| key == "target" || holds(large, value))
        }),
        (large, small) => large == small,
    }
}

/// What stands in a path instead of the identifier.
fn name_of(kind: Kind, body: &Value) -> Option<String> {
    // Flat groups are not told apart by their name.
    let by = kind.path_key().filter(|key| kind.is_unique(key))?;
    Some(body[by].as_str()?.to_owned())
}

#[tokio::test]
async fn every_kind_is_created_read_replaced_merged_and_deleted() {
    for each in kinds() {
        let (api, kind) = (Api::new(), each.collection());
        let Example { path, body, patch } = example(&api, kind, "one").await;
        let created = api.done("POST", &path, body.clone()).await;
        assert_eq!(created.status, 201, "{kind}");
        assert!(holds(&created.body, &body), "{kind}: {} of {body}", created.body);
        let id = created.id();
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 4);
        assert!(created.body["created_at"].is_i64(), "{kind}");
        let one = format!("{path}/{id}");
        assert_eq!(bare(api.get(&one).await.body), created.body, "{kind}");
        assert_eq!(api.get(&path).await.body["data"], json!([created.body]), "{kind}");
        if let (Some(name), Some(flat)) = (name_of(each, &created.body), each.path()) {
            let name: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            assert_eq!(bare(api.get(&format!("/{flat}/{name}")).await.body), created.body, "{kind} by name");
        }

        let merged = api.done("PATCH", &one, patch.clone()).await;
        assert!(
            holds(&merged.body, &patch)
                && holds(&merged.body, &body) != (merged.body["paths"] == json!(["/c"])),
            "{kind}: {}",
            merged.body
        );
        assert_eq!(merged.body["created_at"], created.body["created_at"], "{kind}");
        let knows_changes = created.body.get("updated_at").is_some();
        assert_eq!(merged.body["updated_at"] != created.body["updated_at"], knows_changes, "{kind}");

        let mut again = body.clone();
        again["created_at"] = json!(5);
        let replaced = api.done("PUT", &one, again).await;
        assert_eq!((replaced.status, replaced.id()), (200, id.clone()), "{kind}");
        assert_eq!(replaced.body["created_at"], 5, "{kind}");
        let mut expected = created.body.clone();
        for made_up in ["created_at", "updated_at", "key", "secret", "password"] {
            if expected.get(made_up).is_some() {
                expected[made_up] = replaced.body[made_up].clone();
            }
        }
        assert_eq!(replaced.body, expected, "{kind}: all else is as if it were new");

        assert_eq!(api.ask("DELETE", &one, Value::Null).await.status, 204, "{kind}");
        let gone = api.get(&one).await;
        assert_eq!((gone.status, gone.message()), (404, "Not found"), "{kind}");
        let again = api.ask("DELETE", &one, Value::Null).await.status;
        assert_eq!(again, if path.matches('/').count() > 1 { 404 } else { 204 }, "{kind}");
        assert_eq!(api.ask("PATCH", &one, json!({})).await.status, 404, "{kind}");

        let put = api.done("PUT", &one, body).await;
        assert_eq!((put.status, put.id()), (200, id), "{kind}: PUT creates, too");
    }
}

#[tokio::test]
async fn what_has_a_path_of_its_own_is_served_there_as_well() {
    for each in kinds() {
        let (api, kind) = (Api::new(), each.collection());
        let Some(flat) = each.path() else { continue };
        let Example { path, body, .. } = example(&api, kind, "one").await;
        let created = api.done("POST", &path, body).await;
        let one = format!("/{flat}/{}", created.id());
        assert_eq!(bare(api.get(&one).await.body), created.body, "{kind}");
        assert!(api.get(&format!("/{flat}")).await.body["data"].as_array().unwrap().contains(&created.body));
        assert_eq!(
            api.done("PATCH", &one, json!({"tags": ["x"]})).await.body["tags"],
            json!(["x"]),
            "{kind}"
        );
        assert_eq!(api.ask("DELETE", &one, Value::Null).await.status, 204);
        assert_eq!(api.ask("DELETE", &one, Value::Null).await.status, 204, "{kind}");
    }
}
