//! A node whose configuration is a file: its Admin API shows it, refuses to change parts of it in Kong's words, and takes
//! another one as a whole or not at all.

use postern_conformance::ask::{Got, Way, request};
use postern_conformance::{Node, Recorder};
use serde_json::{Value, json};

fn file(upstream: &Recorder, path: &str) -> String {
    format!(
        "_format_version: \"3.0\"\nservices:\n- name: s\n  url: http://{}\n  routes: [{{ name: r, paths: ['{path}'] }}]\n\
         consumers: [{{ username: alice, keyauth_credentials: [{{ key: alices-key }}] }}]\n\
         upstreams: [{{ name: u, targets: [{{ target: '10.0.0.1:80' }}] }}]\n",
        upstream.address()
    )
}

async fn send(node: &Node, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
    let asked = request(method, &node.admin.to_string(), path, headers, body.to_owned());
    Way::http(node.admin).ask(asked).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

#[tokio::test]
async fn the_file_is_shown_and_no_part_of_it_written() {
    let upstream = Recorder::start().await;
    let node = Node::db_less(&file(&upstream, "/one"), &[]).await;
    assert_eq!(node.get("/").await["configuration"]["database"], "off");
    for (path, field, value) in [
        ("/services", "name", "s"),
        ("/routes", "name", "r"),
        ("/consumers", "username", "alice"),
        ("/key-auths", "key", "alices-key"),
        ("/consumers/alice/key-auth", "key", "alices-key"),
        ("/upstreams/u/targets", "target", "10.0.0.1:80"),
        ("/services/s/routes", "name", "r"),
    ] {
        let list = node.get(path).await;
        let all = list["data"].as_array().expect("a list");
        assert!(all.len() == 1 && all[0][field] == value, "{path}: {list}");
        assert!(all[0]["created_at"].is_u64(), "{path}: {list}");
    }
    let name = json!({ "name": "x", "host": "h" });
    for (method, path, message) in [
        ("POST", "/services", "cannot create 'services' entities when not using a database"),
        (
            "PUT",
            "/services/s",
            "cannot create or update 'services' entities by 'name' when not using a database",
        ),
        ("PATCH", "/services/s", "cannot update 'services' entities by 'name' when not using a database"),
        ("DELETE", "/services/s", "cannot remove 'services' entities by 'name' when not using a database"),
        (
            "POST",
            "/consumers/alice/key-auth",
            "cannot create 'keyauth_credentials' entities when not using a database",
        ),
    ] {
        let (status, refused) = node.ask(method, path, &name).await;
        assert_eq!((status, &refused["message"]), (405, &message.into()), "{method} {path}: {refused}");
        assert_eq!(refused["name"], "operation unsupported", "{refused}");
    }
    let outcome =
        node.with_file("sync", "_format_version: \"3.0\"\nservices: [{ name: t, host: h }]\n", &[]).await;
    let outcome = outcome.fails_with(1);
    assert!(outcome.stderr.contains("when not using a database"), "{outcome}");
    assert_eq!(node.through("/one").await.status, 200);
    // A dump is the same as from a database, and a diff of it empty.
    let dump = node.deck("dump").args(["-o", "-"]).run().await.ok().stdout;
    node.with_file("diff", &dump, &["--non-zero-exit-code"]).await.ok();
}

#[tokio::test]
async fn another_file_as_a_whole_or_not_at_all() {
    let upstream = Recorder::start().await;
    let one = file(&upstream, "/one");
    let mut node = Node::db_less(&one, &[]).await;
    assert_eq!(node.get("/config").await["config"], one);
    let own = send(&node, "GET", "/config", &[], "").await;
    let tag = own.header("etag").expect("a tag").to_owned();
    assert_eq!(send(&node, "GET", "/config", &[("if-none-match", &tag)], "").await.status, 304);

    // Each way to send it; what is answered serves already.
    let yaml = ("content-type", "application/yaml");
    let two = file(&upstream, "/two");
    let got = send(&node, "POST", "/config", &[yaml, ("if-match", &tag)], &two).await;
    assert_eq!(got.status, 201, "{}", got.text());
    assert_eq!(got.json()["services"].as_object().map(serde_json::Map::len), Some(1), "{}", got.text());
    assert_eq!((node.through("/one").await.status, node.through("/two").await.status), (404, 200));
    let three = json!({ "config": file(&upstream, "/three") });
    assert_eq!(node.ask("POST", "/config", &three).await.0, 201);
    assert_eq!((node.through("/two").await.status, node.through("/three").await.status), (404, 200));
    let same = send(&node, "POST", "/config?check_hash=1", &[yaml], &file(&upstream, "/three")).await;
    assert_eq!(same.status, 304);

    // Somebody else was faster.
    let late = send(&node, "POST", "/config", &[yaml, ("if-match", &tag)], &one).await;
    assert_eq!(late.status, 412, "{}", late.text());

    let bad = file(&upstream, "/bad").replace("name: s\n", "name: s\n  retries: many\n") + "nonsense: []\n";
    let before = node.get("/config").await;
    let refused = send(&node, "POST", "/config?flatten_errors=1", &[yaml], &bad).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let refused = refused.json();
    assert_eq!(
        (&refused["code"], &refused["name"]),
        (&14.into(), &"invalid declarative configuration".into())
    );
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("services[0].retries") && message.contains("nonsense"),
        "every reason: {message}"
    );
    let flattened = refused["flattened_errors"].as_array().expect("a list");
    assert!(flattened.iter().any(|entity| entity["entity_type"] == "service"), "{refused}");
    assert_eq!(node.get("/config").await, before);
    assert_eq!((node.through("/bad").await.status, node.through("/three").await.status), (404, 200));
    assert_eq!(send(&node, "POST", "/config", &[yaml], "a: [").await.status, 400);
    assert_eq!(node.through("/three").await.status, 200);

    // What came by the Admin API is gone with the process: the file counts.
    node.end().await;
    node.start_again().await;
    assert_eq!((node.through("/one").await.status, node.through("/three").await.status), (200, 404));
    let on_sqlite = Node::sqlite(&[]).await;
    assert_eq!(on_sqlite.ask("GET", "/config", &Value::Null).await.0, 400);
}
