//! Nodes that share a PostgreSQL: what is written on one is in traffic on all within a second, and a database that is away
//! stops no request. And the same second on SQLite, on one node.

use std::time::Duration;

use postern_conformance::ask::becomes;
use postern_conformance::{Node, Postgres, Recorder};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A change is in traffic within this time. The promise is a second; a machine that builds
/// something else meanwhile needs more.
const SOON: Duration = Duration::from_secs(10);

async fn serve(node: &Node, upstream: &Recorder, name: &str) {
    let service = json!({ "url": format!("http://{}", upstream.address()) });
    node.put(&format!("/services/{name}"), &service).await;
    let route = json!({ "paths": [format!("/{name}")], "service": { "name": name } });
    node.put(&format!("/routes/{name}"), &route).await;
}

async fn reaches(node: &Node, name: &str) {
    let begun = Instant::now();
    becomes(&format!("{name} is served"), async || node.through(&format!("/{name}")).await.status == 200)
        .await;
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_change_is_in_traffic_at_once() {
    let (node, upstream) = (Node::sqlite(&[]).await, Recorder::start().await);
    serve(&node, &upstream, "one").await;
    reaches(&node, "one").await;
    assert_eq!(node.ask("DELETE", "/routes/one", &Value::Null).await.0, 204);
    becomes("the route is gone", async || node.through("/one").await.status == 404).await;
}

#[tokio::test]
async fn two_nodes_and_a_database_that_goes_away() {
    let mut server = Postgres::start().await;
    let upstream = Recorder::start().await;
    let database = server.database().await;
    let settings = [("pg_timeout", "2000")];
    let a = Node::postgres(&server, &database, &settings).await;
    let b = Node::postgres(&server, &database, &settings).await;
    serve(&a, &upstream, "one").await;
    reaches(&b, "one").await;

    // Both write at once; nothing is lost.
    let write = async |node: &Node, name: &str| {
        for number in 0..10 {
            node.put(&format!("/consumers/{name}{number}"), &json!({})).await;
        }
    };
    tokio::join!(write(&a, "a"), write(&b, "b"));
    assert_eq!(a.get("/consumers?size=1000").await["data"].as_array().map(Vec::len), Some(20));

    server.kill().await;
    for node in [&a, &b] {
        assert_eq!(node.through("/one").await.status, 200, "traffic does not need the database");
        let (status, refused) = node.ask("PUT", "/services/two", &json!({ "host": "h" })).await;
        assert_eq!(status, 503, "{refused}");
        assert!(refused["message"].is_string(), "{refused}");
        assert_eq!(node.get("/status").await["database"]["reachable"], false);
    }
    server.start_again().await;
    becomes("a write is taken again", async || {
        a.ask("PUT", "/services/two", &json!({ "host": "h" })).await.0 == 200
    })
    .await;
    serve(&a, &upstream, "three").await;
    reaches(&b, "three").await;
}

#[tokio::test]
async fn a_password_that_rotates() {
    let server = Postgres::start().await;
    let database = server.database().await;
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("db");
    std::fs::write(&file, Postgres::PASSWORD).unwrap();
    let directory = secrets.path().to_str().unwrap();
    let settings =
        [("vault_fs_prefix", directory), ("pg_password", "{vault://fs/db}"), ("pg_timeout", "2000")];
    let node = Node::postgres(&server, &database, &settings).await;
    node.put("/services/one", &json!({ "host": "h" })).await;
    // The file first, or a connection in between would learn the old one once more.
    std::fs::write(&file, "another password").unwrap();
    // In one go: whoever asks the server afterwards needs the new one.
    let rotate = "ALTER ROLE postgres PASSWORD 'another password'; \
                  SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'postern'";
    server.sql(&database, rotate).await;
    becomes("the node is back with the new password", async || {
        node.ask("PUT", "/services/two", &json!({ "host": "h" })).await.0 == 200
    })
    .await;
    for text in [Postgres::PASSWORD, "another password"] {
        assert!(!node.log().contains(text), "a password in the log");
    }
}
