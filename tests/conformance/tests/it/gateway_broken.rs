//! A database with rows that nobody could have written by the Admin API: the node starts and serves without them, says so
//! wherever an operator looks, and they heal when they are written again.

use postern_conformance::ask::{Way, becomes, get};
use postern_conformance::{Node, Postgres, Recorder};
use serde_json::{Value, json};

/// What was done to the database.
const BREAK: &str = "
    UPDATE postern_rows SET body = '{\"id\":' WHERE kind = 'services' AND body LIKE '%\"two\"%';
    UPDATE postern_rows SET body = replace(body, '\"username\":\"bob\"', '\"username\":{}') WHERE kind = 'consumers';
    UPDATE postern_rows SET body = replace(body, '\"prefix\":\"my-env\"', '\"prefix\":\"my-env\",\"from\":\"2.0\"')
        WHERE kind = 'vaults';
    INSERT INTO postern_rows VALUES
        ('partials', '11111111-2222-3333-4444-555555555555', 1, '{\"password\": \"hunter2\"}', '{}'),
        ('services', 'nobody', 1, '{}', '{}'),
        ('routes', '21111111-2222-3333-4444-555555555555', 1, '{\"paths\": [\"/stray\"], \"service\": {\"id\":
         \"31111111-2222-3333-4444-555555555555\"}}', '{}');
";

async fn page(node: &Node, path: &str) -> String {
    let got = Way::http(node.status).ask(get("localhost", path)).await.expect("an answer");
    assert_eq!(got.status, 200, "{path}");
    String::from_utf8_lossy(&got.body).into_owned()
}

#[tokio::test]
async fn a_node_starts_and_serves_without_them() {
    let server = Postgres::start().await;
    let (database, upstream) = (server.database().await, Recorder::start().await);
    let mut node = Node::postgres(&server, &database, &[]).await;
    for name in ["one", "two"] {
        node.put(&format!("/services/{name}"), &json!({ "url": format!("http://{}", upstream.address()) }))
            .await;
        node.put(
            &format!("/routes/{name}"),
            &json!({ "paths": [format!("/{name}")], "service": { "name": name } }),
        )
        .await;
    }
    node.put("/consumers/bob", &json!({})).await;
    node.put("/vaults/my-env", &json!({ "name": "env" })).await;
    becomes("both are served", async || {
        node.through("/one").await.status == 200 && node.through("/two").await.status == 200
    })
    .await;

    node.kill().await;
    server.sql(&database, BREAK).await;
    node.start_again().await;
    assert_eq!(node.through("/one").await.status, 200);
    assert_eq!((node.through("/two").await.status, node.through("/stray").await.status), (503, 404));

    let status: Value = serde_json::from_str(&page(&node, "/status").await).unwrap();
    let broken = &status["configuration"]["broken"];
    let paths: Vec<_> = broken.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    let nobody =
        paths.iter().find(|path| path.starts_with("services[") && **path != "services[two]").unwrap();
    let expected = [
        "consumers[",
        "partials[11111111-2222-3333-4444-555555555555]",
        "routes[21111111-2222-3333-4444-555555555555]",
        "services[two]",
        "vaults[my-env]",
    ];
    for start in expected {
        assert!(paths.iter().any(|path| path.starts_with(start)), "{start}: {status}");
    }
    assert_eq!(status["configuration"]["broken_count"], 6, "{status}");
    let metrics = page(&node, "/metrics").await;
    for line in ["services\"} 2", "unknown\"} 1", "vaults\"} 1", "consumers\"} 1", "routes\"} 1"] {
        let line = format!("postern_configuration_broken_entities{{kind=\"{line}");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    for (answer, place) in [(node.get("/").await, "/postern"), (node.get("/status").await, "/configuration")]
    {
        let shown = answer.pointer(place).unwrap();
        assert_eq!((&shown["broken"], &shown["broken_count"]), (broken, &json!(6)));
    }
    // Requests that are refused for it say so, too.
    let is_told = |line: &&str| line.contains("\"target\":\"postern_config::apply\"");
    let count = |text: &str| node.log().lines().filter(is_told).filter(|line| line.contains(text)).count();
    assert_eq!(count("services[two]: its body is no JSON object"), 1, "{}", node.log());
    assert_eq!(count(nobody), 1, "{}", node.log());

    // The Admin API shows what it can, and puts right what is put again.
    let services = node.get("/services").await;
    assert_eq!(services["data"].as_array().map(Vec::len), Some(2), "{services}");
    assert_eq!(node.get("/services/two").await["name"], "two");
    assert_eq!(node.ask("PATCH", "/services/two", &json!({ "retries": 1 })).await.0, 400);
    node.put("/services/two", &json!({ "url": format!("http://{}", upstream.address()) })).await;
    becomes("it is served again", async || node.through("/two").await.status == 200).await;
    // A broken vault stands in the way of no other, and is mended by itself.
    node.put("/vaults/other-env", &json!({ "name": "env" })).await;
    node.put("/vaults/my-env", &json!({ "name": "env" })).await;
    assert_eq!(node.ask("DELETE", "/routes/21111111-2222-3333-4444-555555555555", &Value::Null).await.0, 204);
    becomes("it is told of no longer", async || {
        let status: Value = serde_json::from_str(&page(&node, "/status").await).unwrap();
        status["configuration"]["broken_count"] == 3
    })
    .await;
    assert_eq!(count("services[two]: its body is no JSON object"), 1, "it is told once");
    assert!(!node.log().contains("hunter2"));
}

/// A plugin's row that says next to nothing: the store still knows where it was bound.
#[tokio::test]
async fn a_broken_plugin_closes_its_route_and_no_other() {
    let server = Postgres::start().await;
    let (database, upstream) = (server.database().await, Recorder::start().await);
    let mut node = Node::postgres(&server, &database, &[]).await;
    node.put("/services/s", &json!({ "url": format!("http://{}", upstream.address()) })).await;
    for name in ["one", "two"] {
        let route = json!({ "paths": [format!("/{name}")], "service": { "name": "s" } });
        node.put(&format!("/routes/{name}"), &route).await;
    }
    let plugin = "/plugins/11111111-2222-4333-8444-555555555555";
    let guard = json!({ "name": "key-auth", "route": { "name": "one" } });
    node.put(plugin, &guard).await;
    becomes("it guards", async || {
        node.through("/one").await.status == 401 && node.through("/two").await.status == 200
    })
    .await;
    for body in ["{}", r#"{"name": 5}"#, "[", r#"{"name": "key-auth", "config": {"key_names": 5}}"#] {
        node.kill().await;
        let broken = format!("UPDATE postern_rows SET body = '{body}' WHERE kind = 'plugins'");
        server.sql(&database, &broken).await;
        node.start_again().await;
        let statuses = (node.through("/one").await.status, node.through("/two").await.status);
        assert_eq!(statuses, (503, 200), "{body}");
    }
    node.put(plugin, &guard).await;
    becomes("it guards again", async || node.through("/one").await.status == 401).await;
}
