//! Faults at the worst time: a node killed while it takes writes, a database that stands still. What was acknowledged is
//! there, and requests of clients feel nothing.

use std::sync::Arc;
use std::time::Duration;

use postern_conformance::ask::{PATIENCE, Way, becomes, request};
use postern_conformance::{Node, Postgres, Recorder};
use serde_json::{Value, json};

/// Four writers, each one after the other, until the node is gone; what each was told is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_takes_writes() {
    let mut node = Node::sqlite(&[]).await;
    for round in 0..3 {
        let admin = node.admin;
        let acknowledged = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let acknowledged = Arc::clone(&acknowledged);
                tokio::spawn(async move {
                    let json = [("content-type", "application/json")];
                    let Ok(mut connection) = Way::http(admin).open().await else { return 0 };
                    let mut done = 0;
                    loop {
                        let path = format!("/consumers/r{round}-w{writer}-{done}");
                        let asked = request("PUT", "localhost", &path, &json, r#"{"tags":["kept"]}"#);
                        match connection.ask(asked).await {
                            Ok(got) => assert_eq!(got.status, 200, "{}", got.text()),
                            Err(_) => return done,
                        }
                        done += 1;
                        acknowledged.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                })
            })
            .collect();
        becomes("some are written", async || acknowledged.load(std::sync::atomic::Ordering::SeqCst) >= 40)
            .await;
        node.kill().await;
        let mut told = Vec::new();
        for writer in writers {
            told.push(writer.await.expect("a writer"));
        }
        node.start_again().await;
        for (writer, done) in told.into_iter().enumerate() {
            assert!(done > 0, "writer {writer} was never told anything");
            for number in 0..done {
                let kept = node.get(&format!("/consumers/r{round}-w{writer}-{number}")).await;
                assert_eq!(kept["tags"], json!(["kept"]));
            }
        }
    }
}

/// A database that takes connections and answers nothing: the Admin API says so in time, traffic goes on, and after its
/// return both nodes catch up by themselves.
#[tokio::test]
async fn a_database_that_stands_still() {
    let (server, upstream) = (Postgres::start().await, Recorder::start().await);
    let database = server.database().await;
    let settings = [("pg_timeout", "2000")];
    let a = Node::postgres(&server, &database, &settings).await;
    let b = Node::postgres(&server, &database, &settings).await;
    a.put("/services/s", &json!({ "url": format!("http://{}", upstream.address()) })).await;
    a.put("/routes/one", &json!({ "paths": ["/one"], "service": { "name": "s" } })).await;
    for node in [&a, &b] {
        becomes("it is served", async || node.through("/one").await.status == 200).await;
    }

    server.stop();
    for node in [&a, &b] {
        assert_eq!(node.through("/one").await.status, 200, "traffic does not need the database");
        let route = json!({ "paths": ["/lost"], "service": { "name": "s" } });
        let asked = [("PUT", "/routes/lost", &route), ("GET", "/services", &Value::Null)];
        for (method, path, body) in asked {
            let answer = tokio::time::timeout(PATIENCE / 2, node.ask(method, path, body)).await;
            let (status, refused) = answer.unwrap_or_else(|_| panic!("{method} {path} waits for ever"));
            assert_eq!(status, 503, "{method} {path}: {refused}");
            assert!(refused["message"].is_string(), "{refused}");
        }
        assert_eq!(node.through("/one").await.status, 200);
    }
    server.go_on();
    becomes("a write is taken again", async || {
        let route = json!({ "paths": ["/two"], "service": { "name": "s" } });
        b.ask("PUT", "/routes/two", &route).await.0 == 200
    })
    .await;
    for node in [&a, &b] {
        becomes("both catch up", async || node.through("/two").await.status == 200).await;
        becomes("and say so", async || node.get("/status").await["database"]["reachable"] == true).await;
    }
    // Nothing that a client was refused may come to life much later than the answer.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (on_a, on_b) = (a.get("/export").await, b.get("/export").await);
    assert_eq!(on_a, on_b);
}
