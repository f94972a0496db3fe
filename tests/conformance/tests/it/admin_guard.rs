//! Who may use the Admin API of a real node, and what it tells nobody.

use std::fs;

use postern_conformance::ask::{Got, Way, becomes, request};
use postern_conformance::ca::Ca;
use postern_conformance::{Canary, Node};
use serde_json::{Value, json};

async fn ask(node: &Node, host: &str, path: &str, headers: &[(&str, &str)]) -> Got {
    let got = Way::http(node.admin).ask(request("GET", host, path, headers, "")).await;
    got.unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test]
async fn it_is_open_to_the_machine_only() {
    let log = Node::try_start(&[("admin_listen", "0.0.0.0:0")]).await.err().expect("it must not start");
    for text in [
        "anyone who can reach 0.0.0.0:0 could change the configuration",
        "Hint: set admin_token, verify client certificates (admin_ssl_client_ca), or set admin_listen to 127.0.0.1",
    ] {
        assert!(log.contains(text), "{text:?} is not in:\n{log}");
    }
    assert!(!log.contains("\"serving\""), "{log}");
    for more in [("admin_token", "a-token-of-some-length"), ("admin_insecure", "on")] {
        Node::try_start(&[("admin_listen", "0.0.0.0:0"), more]).await.expect("it starts");
    }
}

#[tokio::test]
async fn names_and_pages_of_others() {
    let node =
        Node::sqlite(&[("admin_hosts", "admin.example"), ("admin_origins", "https://manager.example")]).await;
    let own = node.admin.to_string();
    for host in [own.as_str(), "localhost", "admin.example"] {
        assert_eq!(ask(&node, host, "/services", &[]).await.status, 200, "{host}");
    }
    let got = ask(&node, "evil.example", "/services", &[]).await;
    assert_eq!(got.status, 403);
    assert!(got.json()["message"].is_string(), "{}", got.text());
    for origin in ["https://evil.example", "null", "http://localhost:1"] {
        let got = ask(&node, &own, "/services", &[("origin", origin)]).await;
        assert_eq!((got.status, got.header("access-control-allow-origin")), (403, None), "{origin}");
    }
    // A form of another page sends no JSON, and is refused all the same.
    let headers = [("origin", "https://evil.example"), ("content-type", "application/x-www-form-urlencoded")];
    let form = request("POST", &own, "/consumers", &headers, "username=mallory");
    assert_eq!(Way::http(node.admin).ask(form).await.expect("an answer").status, 403);
    assert_eq!(node.get("/consumers").await["data"], json!([]));
    let page = "https://manager.example";
    let got = ask(&node, &own, "/services", &[("origin", page)]).await;
    assert_eq!((got.status, got.header("access-control-allow-origin")), (200, Some(page)));
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let node = Node::sqlite(&[("admin_token", "the-right-token")]).await;
    let own = node.admin.to_string();
    for headers in [&[][..], &[("kong-admin-token", "the-wrong-token")], &[("admin-token", "")]] {
        for path in ["/", "/services", "/nothing", "/status"] {
            let got = ask(&node, &own, path, headers).await;
            assert_eq!(got.status, 401, "{path} {headers:?}: {}", got.text());
            assert!(got.json()["message"].is_string(), "{}", got.text());
            if headers.is_empty() {
                continue;
            }
            break;
        }
    }
    for name in ["kong-admin-token", "admin-token"] {
        assert_eq!(ask(&node, &own, "/services", &[(name, "the-right-token")]).await.status, 200, "{name}");
    }
    let refused = node.deck("ping").run().await.fails_with(1);
    assert!(refused.stderr.contains("401"), "{refused}");
    node.deck("ping").env("DECK_KONG_ADMIN_TOKEN", "the-right-token").run().await.ok();
    assert!(!node.log().contains("the-right-token") && !node.log().contains("the-wrong-token"));
}

#[tokio::test]
async fn a_token_that_rotates() {
    let secrets = tempfile::tempdir().expect("a directory");
    let put = |token: &str| {
        let new = secrets.path().join(".new");
        fs::write(&new, token).expect("a file of the vault");
        fs::rename(new, secrets.path().join("token")).expect("a file of the vault");
    };
    put("the-first-token");
    let directory = secrets.path().to_str().expect("a path that is text");
    let node = Node::sqlite(&[("vault_fs_prefix", directory), ("admin_token", "{vault://fs/token}")]).await;
    let own = node.admin.to_string();
    let status = async |token: &str| ask(&node, &own, "/services", &[("admin-token", token)]).await.status;
    assert_eq!(status("the-first-token").await, 200);
    assert_eq!(status("{vault://fs/token}").await, 401, "the text of the reference is no token");
    put("the-second-token");
    // The old one is asked with: one that is wrong too often makes everybody wait.
    becomes("the old token is out", async || status("the-first-token").await == 401).await;
    assert_eq!(status("the-second-token").await, 200);
}

/// Unique values in everything that holds a secret, and none of them in what a node says by itself.
#[tokio::test]
async fn nobody_is_told() {
    let mut canary = Canary::new();
    let mut secret = |label: &str| {
        let value: String = canary.secret(label).chars().filter(char::is_ascii_alphanumeric).collect();
        canary.watch(label, &value);
        value
    };
    let token = secret("the Admin API's token");
    let (database, vault) = (secret("the database's password"), secret("the default vault's token"));
    let [key, password, hmac, jwt, entity] =
        ["a key", "a password", "an HMAC secret", "a JWT secret", "a vault's token"].map(&mut secret);
    let issued = Ca::new("An authority").issue(&["a.example"]);
    let line = issued.key.lines().nth(1).expect("a line of the key");
    canary.watch("a private key", line);
    let mut node = Node::sqlite(&[
        ("admin_token", &token),
        ("pg_password", &database),
        ("vault_hcv_token", &vault),
        ("log_level", "debug"),
        ("RUST_LOG", "trace"),
    ])
    .await;
    let own = node.admin.to_string();
    let headers = [("admin-token", token.as_str()), ("content-type", "application/json")];
    let send = async |method: &str, path: &str, body: &Value| {
        let asked = request(method, &own, path, &headers, body.to_string());
        Way::http(node.admin).ask(asked).await.expect("an answer")
    };
    let service = json!({ "host": "127.0.0.1", "port": 1 });
    let (config, certificate) = (
        json!({ "host": "127.0.0.1", "port": 1, "kv": "v2", "auth_method": "token", "token": entity }),
        json!({ "cert": issued.chain, "key": issued.key }),
    );
    let add = json!({ "add": { "headers": ["x-key:{vault://own/a/b}"] } });
    let puts = [
        ("/consumers/alice", json!({})),
        ("/consumers/bob", json!({})),
        ("/consumers/alice/basic-auth/alice", json!({ "password": password })),
        ("/consumers/alice/hmac-auth/alice", json!({ "secret": hmac })),
        ("/consumers/alice/jwt/alice", json!({ "secret": jwt })),
        ("/vaults/own", json!({ "name": "hcv", "config": config })),
        ("/certificates/11111111-1111-4111-8111-111111111111", certificate),
        ("/services/s", service),
        ("/routes/r", json!({ "paths": ["/"], "service": { "name": "s" } })),
        (
            "/plugins/22222222-2222-4222-8222-222222222222",
            json!({ "name": "request-transformer", "service": { "name": "s" }, "config": add }),
        ),
    ];
    for (path, body) in puts {
        let got = send("PUT", path, &body).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text());
    }
    let own_key = json!({ "key": key });
    assert_eq!(send("POST", "/consumers/alice/key-auth", &own_key).await.status, 201);
    // In trouble of every kind, too.
    let mut said = String::new();
    for (method, path, body, status) in [
        ("POST", "/consumers/bob/key-auth".to_owned(), &own_key, 409),
        ("PUT", format!("/consumers/alice/key-auth/{key}"), &json!({ "key": key, "nonsense": 1 }), 400),
        ("GET", format!("/consumers/bob/key-auth/{key}"), &json!({}), 404),
        ("GET", format!("/nothing/{key}"), &json!({}), 404),
        ("POST", format!("/config?config={key}"), &json!({ "config": key }), 400),
        ("POST", "/vaults/own/refresh".to_owned(), &json!({}), 200),
    ] {
        let got = send(method, &path, body).await;
        assert_eq!(got.status, status, "{method} {path}: {}", got.text());
        said += &got.text();
    }
    assert_eq!(ask(&node, &own, "/", &[("admin-token", &format!("{token}x"))]).await.status, 401);
    becomes("the route is known", async || node.through("/").await.status != 404).await;
    let pages = ["/", "/status", "/secrets", "/audit", "/vaults/own/status", "/endpoints", "/schemas/vaults"];
    for page in pages {
        let got = send("GET", page, &json!({})).await;
        assert_eq!(got.status, 200, "{page}: {}", got.text());
        said += &got.text();
    }
    for page in ["/metrics", "/status"] {
        let got = Way::http(node.status).ask(postern_conformance::ask::get("localhost", page)).await;
        said += &got.expect("a page").text();
    }
    said += &events(&node, &token).await;
    assert!(said.contains("\"entity_name\":\"keyauth_credentials\""), "the events are told: {said}");
    becomes("the log tells all that it can", async || {
        // Each connection that ends is a line.
        node.through("/").await;
        node.log().contains("\"level\":\"DEBUG\"")
    })
    .await;
    node.end().await;
    said += &node.log();
    said += &fs::read_to_string(node.directory().join("logs/access.log")).unwrap_or_default();
    canary.assert_absent_in("what the node said", said.as_bytes());
}

/// What `/events` tells of all that has happened so far.
async fn events(node: &Node, token: &str) -> String {
    use http_body_util::BodyExt as _;
    let headers = [("admin-token", token), ("last-event-id", "0")];
    let mut connection = Way::http(node.admin).open().await.expect("a connection");
    let asked = request("GET", &node.admin.to_string(), "/events", &headers, "");
    let mut body = connection.send(asked).await.expect("an answer").into_body();
    let mut told = String::new();
    let read = async {
        while let Some(frame) = body.frame().await {
            let data = frame.expect("a frame").into_data().unwrap_or_default();
            told += &String::from_utf8_lossy(&data);
            if told.contains("keyauth_credentials") {
                return;
            }
        }
    };
    tokio::time::timeout(postern_conformance::ask::PATIENCE, read).await.expect("events in time");
    told
}
