//! Every way in which something is refused: the status, and the whole body.

use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::server_double::{Api, about};
use super::server_kinds::certificate;

const NOWHERE: &str = "11111111-1111-4111-8111-111111111111";

#[tokio::test]
async fn bodies_of_refusals() {
    let api = Api::new();
    let service = api.done("POST", "/services", json!({"name": "svc1", "host": "h"})).await.id();
    let route = json!({"name": "r", "paths": ["/"], "service": {"id": service}});
    api.done("POST", "/routes", route).await;
    let consumer = api.done("POST", "/consumers", json!({"username": "me"})).await.id();
    api.done("POST", "/consumers/me/acls", json!({"group": "g"})).await;
    api.done("POST", "/consumers/me/key-auth", json!({"key": "s3cret"})).await;
    let unique = |fields: Value, message: &str| json!({"code": 5, "name": "unique constraint violation", "fields": fields, "message": message});
    let foreign = |fields: Value, message: &str| json!({"code": 4, "name": "foreign key violation", "fields": fields, "message": message});
    let schema = |fields: Value, message: &str| json!({"code": 2, "name": "schema violation", "fields": fields, "message": message});
    let cases = [
        (
            "POST",
            "/services",
            json!({"name": "svc1", "host": "h"}),
            409,
            unique(json!({"name": "svc1"}), "UNIQUE violation detected on '{name=\"svc1\"}'"),
        ),
        (
            "PUT",
            &format!("/services/{NOWHERE}"),
            json!({"name": "svc1", "host": "h"}),
            409,
            unique(json!({"name": "svc1"}), "UNIQUE violation detected on '{name=\"svc1\"}'"),
        ),
        (
            "POST",
            "/consumers/me/acls",
            json!({"group": "g"}),
            409,
            unique(
                json!({"consumer": {"id": consumer}, "group": "g"}),
                &format!("UNIQUE violation detected on '{{consumer={{id=\"{consumer}\"}},group=\"g\"}}'"),
            ),
        ),
        (
            "POST",
            "/consumers/me/key-auth",
            json!({"key": "s3cret"}),
            409,
            unique(json!({"key": "***"}), "UNIQUE violation detected on '{key=\"***\"}'"),
        ),
        (
            "POST",
            "/services",
            json!({"id": service, "host": "h"}),
            409,
            json!({"code": 3, "name": "primary key violation", "fields": {"id": service},
                "message": format!("primary key violation on key '{{id=\"{service}\"}}'")}),
        ),
        (
            "POST",
            "/routes",
            json!({"paths": ["/x"], "service": {"id": NOWHERE}}),
            400,
            foreign(
                json!({"service": {"id": NOWHERE}}),
                &format!(
                    "the foreign key '{{id=\"{NOWHERE}\"}}' does not reference an existing 'services' entity."
                ),
            ),
        ),
        (
            "POST",
            "/routes",
            json!({"paths": ["/x"], "service": {"name": "none"}}),
            400,
            foreign(
                json!({"service": {"name": "none"}}),
                "the foreign key '{name=\"none\"}' does not reference an existing 'services' entity.",
            ),
        ),
        ("POST", "/consumer_groups", json!({"name": "g"}), 201, Value::Null),
        (
            "POST",
            "/consumer_groups/g/consumers",
            json!({"consumer": "none"}),
            400,
            foreign(
                json!({"consumer": {"username": "none"}}),
                "the foreign key '{username=\"none\"}' does not reference an existing 'consumers' entity.",
            ),
        ),
        (
            "DELETE",
            "/services/svc1",
            Value::Null,
            400,
            foreign(
                json!({"@referenced_by": "routes"}),
                "an existing 'routes' entity references this 'services' entity",
            ),
        ),
        (
            "POST",
            "/services",
            json!({"host": "h", "prot": 1}),
            400,
            schema(json!({"prot": "unknown field"}), "schema violation (prot: unknown field)"),
        ),
        (
            "POST",
            "/services",
            json!({}),
            400,
            schema(
                json!({"host": "required field missing"}),
                "schema violation (host: required field missing)",
            ),
        ),
        (
            "POST",
            "/consumers",
            json!({}),
            400,
            schema(
                json!({"@entity": ["at least one of these fields must be non-empty: 'username', 'custom_id'"]}),
                "schema violation (@entity: at least one of these fields must be non-empty: 'username', 'custom_id')",
            ),
        ),
        (
            "POST",
            "/plugins",
            json!({"name": "rate-limiting", "config": {"minute": "x"}}),
            400,
            schema(
                json!({"config": {"minute": "expected a number, got a string"}}),
                "schema violation (config.minute: expected a number, got a string)",
            ),
        ),
        (
            "POST",
            "/plugins",
            json!({"name": "nope"}),
            400,
            schema(
                json!({"name": "plugin 'nope' not enabled; add it to the 'plugins' configuration property"}),
                "schema violation (name: plugin 'nope' not enabled; add it to the 'plugins' configuration property)",
            ),
        ),
        ("POST", "/routes", json!({"paths": ["/a", "b"]}), 400, Value::Null),
        (
            "POST",
            "/routes",
            json!({"paths": ["/a"], "service": {"id": "x"}}),
            400,
            schema(
                json!({"service": {"id": "expected a valid UUID"}}),
                "schema violation (service.id: expected a valid UUID)",
            ),
        ),
        (
            "PUT",
            &format!("/services/{NOWHERE}"),
            json!({"id": service, "host": "h"}),
            400,
            schema(
                json!({"id": "must be that of the entity in the path"}),
                "schema violation (id: must be that of the entity in the path)",
            ),
        ),
        (
            "PUT",
            "/vaults/env",
            json!({"name": "env"}),
            400,
            json!({"code": 10, "name": "invalid unique prefix",
            "fields": {"prefix": "must not be one of: aws, azure, azure-certs, conjur, env, fs, gcp, hcv, konnect"},
            "message": "must not be one of: aws, azure, azure-certs, conjur, env, fs, gcp, hcv, konnect"}),
        ),
        (
            "GET",
            "/services?size=0",
            Value::Null,
            400,
            json!({"code": 9, "name": "invalid size",
            "message": "size must be an integer between 1 and 1000"}),
        ),
        ("GET", "/services?size=1001", Value::Null, 400, Value::Null),
        ("GET", "/services?size=x", Value::Null, 400, Value::Null),
        (
            "GET",
            "/services?offset=x",
            Value::Null,
            400,
            json!({"code": 7, "name": "invalid offset",
            "message": "'x' is not a valid offset: bad base64 encoding"}),
        ),
        ("GET", "/services?offset=", Value::Null, 400, Value::Null),
        (
            "GET",
            "/services?tags=",
            Value::Null,
            400,
            json!({"code": 11, "name": "invalid options",
            "fields": {"tags": "cannot be null"}, "message": "invalid option (tags: cannot be null)"}),
        ),
        (
            "GET",
            "/services?tags=a,b/c",
            Value::Null,
            400,
            json!({"code": 11, "name": "invalid options",
            "fields": {"tags": "invalid filter syntax"}, "message": "invalid option (tags: invalid filter syntax)"}),
        ),
        ("GET", "/services?tags=a,,b", Value::Null, 400, Value::Null),
        ("GET", "/services?tags=%00", Value::Null, 400, Value::Null),
        ("GET", "/tags?offset=x", Value::Null, 400, Value::Null),
        ("DELETE", "/routes/r/service", Value::Null, 405, json!({"message": "Method not allowed"})),
        ("PATCH", "/vaults", json!({}), 405, json!({"message": "Method not allowed"})),
        (
            "POST",
            "/config",
            json!({}),
            400,
            json!({"message": "this endpoint is only available when Kong is configured to not use a database"}),
        ),
    ];
    for (method, path, body, status, expected) in cases {
        let answer = api.ask(method, path, body.clone()).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        if !expected.is_null() {
            assert_eq!(answer.body, expected, "{method} {path} {body}");
        }
        assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
    }
}

#[tokio::test]
async fn bodies_that_are_none() {
    let api = Api::new();
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let deep = format!("{{\"host\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    let huge = format!("{{\"host\": \"{}\"}}", "x".repeat(5 * 1024 * 1024));
    let wide = format!("{{\"tags\": [{}\"x\"]}}", "\"x\",".repeat(200_000));
    let cases: &[(&str, &[u8], u16, &str)] = &[
        (json, b"", 400, "schema violation (host: required field missing)"),
        (json, b"{", 400, "Cannot parse JSON body"),
        (json, b"[]", 400, "Cannot parse JSON body"),
        (json, b"null", 400, "Cannot parse JSON body"),
        (json, b"\"x\"", 400, "Cannot parse JSON body"),
        (json, b"{\"host\": \"\xff\"}", 400, "Cannot parse body: it is not UTF-8"),
        (
            json,
            b"{\"host\": \"a\", \"host\": \"b\"}",
            400,
            "Cannot parse JSON body: a name stands twice in one object",
        ),
        (json, b"{\"host\": \"a\\u0000\"}", 400, "Cannot parse body: it holds U+0000"),
        (json, b"{\"host\": \"\\ud800\"}", 400, "Cannot parse JSON body"),
        (json, b"\xef\xbb\xbf{}", 400, "Cannot parse JSON body"),
        (json, deep.as_bytes(), 400, "Cannot parse body: more than 32 levels"),
        (json, wide.as_bytes(), 400, "Cannot parse body: more than 100000 values"),
        (json, huge.as_bytes(), 413, "Payload Too Large"),
        ("text/plain", b"{}", 415, "Unsupported Media Type"),
        ("", b"{}", 415, "Unsupported Media Type"),
        ("application/jsonp", b"{}", 415, "Unsupported Media Type"),
        (form, b"host=%ff", 400, "Cannot parse body: it is not UTF-8"),
        (form, b"host[=a", 400, "Cannot parse form body: a key has a bracket that does not fit"),
        ("multipart/form-data", b"x", 400, "Cannot parse form body: no boundary"),
    ];
    for (content_type, body, status, message) in cases {
        let answer = api.raw("POST", "/services", &[("content-type", *content_type)], body.to_vec()).await;
        assert_eq!((answer.status, answer.message()), (*status, *message), "{content_type}");
    }
    assert_eq!(api.raw("POST", "/services", &[], "host=h").await.status, 415);
    assert_eq!(api.raw("POST", "/services", &[], "").await.status, 400);
    assert_eq!(api.get("/services").await.body, json!({"data": [], "next": null}));
}

#[tokio::test]
async fn nothing_that_is_written_is_read_as_something_else() {
    let api = Api::new();
    for text in [
        "'; DROP TABLE rows; --",
        "\" OR \"\"=\"",
        "$1",
        "%s",
        "\\",
        "a\u{7f}b",
        "💩",
        "\u{202e}x",
        "{\"a\":1}",
    ] {
        let created = api.done("POST", "/consumers", json!({"username": text, "custom_id": text})).await;
        let name: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(api.get(&format!("/consumers/{name}")).await.body, created.body, "{text}");
        let listed = api.get(&format!("/consumers?custom_id={name}")).await.body;
        assert_eq!(listed["data"], json!([created.body]), "{text}");
    }
    assert_eq!(api.get("/consumers?custom_id=none").await.body, json!({"data": [], "next": null}));
}

#[tokio::test]
async fn without_a_database_nothing_is_written_piece_by_piece() {
    let api = Api::db_less();
    let cases = [
        ("POST", "/services", "cannot create 'services' entities when not using a database"),
        (
            "PUT",
            &format!("/services/{NOWHERE}"),
            "cannot create or update 'services' entities when not using a database",
        ),
        (
            "PUT",
            "/vaults/my-env",
            "cannot create or update 'vaults' entities by 'prefix' when not using a database",
        ),
        ("PATCH", "/services/a", "cannot update 'services' entities by 'name' when not using a database"),
        ("DELETE", "/services/a", "cannot remove 'services' entities by 'name' when not using a database"),
    ];
    for (method, path, message) in cases {
        let answer = api.ask(method, path, json!({"host": "h"})).await;
        let expected = json!({"code": 12, "name": "operation unsupported", "message": message});
        assert_eq!((answer.status, answer.body), (405, expected), "{method} {path}");
    }
    assert_eq!(api.get("/services").await.status, 200);
    assert_eq!(api.get("/").await.body["configuration"]["database"], "off");
}

#[tokio::test]
async fn vaults_are_judged_together() {
    let api = Api::new();
    let vault = |prefix: &str, of: &str| json!({"name": "env", "prefix": prefix, "config": {"prefix": format!("{{vault://{of}/x}}")}});
    api.done("PUT", "/vaults/aa", json!({"name": "env"})).await;
    api.done("PUT", "/vaults/bb", vault("bb", "aa")).await;
    let circle = api.ask("PUT", "/vaults/aa", vault("aa", "bb")).await;
    assert_eq!(circle.status, 400);
    assert!(circle.message().contains("the vault needs itself"), "{}", circle.message());
    let own = api.ask("PATCH", "/vaults/bb", vault("bb", "bb")).await;
    assert!(own.status == 400 && own.body["fields"]["config"]["prefix"].is_string(), "{}", own.body);
    assert_eq!(api.get("/vaults/aa").await.body["config"], Value::Null);
}

#[tokio::test]
async fn fields_of_expressions_are_there_with_that_router_only() {
    let expressions = postern_admin::server::About { router_flavor: "expressions".to_owned(), ..about() };
    for (about, is_there) in [(about(), false), (expressions, true)] {
        let api = Api::with(about, postern_admin::server::AdminOptions::default(), None);
        let route = api.done("POST", "/routes", json!({"paths": ["/"]})).await.body;
        let schema = api.get("/schemas/routes").await.body.to_string();
        assert_eq!(route.get("expression").is_some(), is_there);
        assert_eq!(schema.contains("\"expression\""), is_there);
        assert_eq!(schema.contains("\"priority\""), is_there);
    }
}

#[tokio::test]
async fn server_names_of_certificates() {
    let api = Api::new();
    let (cert, key) = certificate("a");
    let body = |snis: Value| {
        let mut body = json!({"cert": cert, "key": key});
        if !snis.is_null() {
            body["snis"] = snis;
        }
        body
    };
    let one = api.done("POST", "/certificates", body(json!(["b.example", "a.example"]))).await;
    assert_eq!(one.body["snis"], json!(["a.example", "b.example"]));
    let path = format!("/certificates/{}", one.id());
    let kept = api.get("/snis/a.example").await.id();
    let put = api.done("PUT", &path, body(json!(["c.example", "a.example"]))).await;
    assert_eq!(put.body["snis"], json!(["a.example", "c.example"]));
    assert_eq!(api.get("/snis/a.example").await.id(), kept);
    assert_eq!(api.get("/snis/b.example").await.status, 404);
    let other = api.ask("POST", "/certificates", body(json!(["a.example"]))).await;
    let message = format!("a.example already associated with existing certificate '{}'", one.id());
    assert_eq!((other.status, &other.body["fields"]["snis"]), (400, &json!(message)));
    for (snis, message) in [
        (json!(["x", "x"]), "x is duplicated"),
        (json!("x"), "expected an array"),
        (json!([1]), "expected a string"),
    ] {
        let answer = api.ask("POST", "/certificates", body(snis)).await;
        assert_eq!((answer.status, &answer.body["fields"]["snis"]), (400, &json!(message)));
    }
    assert_eq!(api.ask("POST", "/certificates", body(json!(["a b"]))).await.status, 400);
    assert_eq!(api.get("/certificates").await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        api.done("PATCH", &path, json!({"tags": ["t"]})).await.body["snis"],
        json!(["a.example", "c.example"])
    );
    assert_eq!(api.done("PUT", &path, body(Value::Null)).await.body["snis"], json!([]));
    assert_eq!(api.get("/snis").await.body["data"], json!([]));
}
