//! Deliveries to a server that notes them.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::time::sleep;

use super::*;
use crate::testing::check;
use crate::testing::server::Server;

async fn noted(server: &Server, number: usize) -> Vec<(String, Json)> {
    let read = |(head, body): (String, Vec<u8>)| (head, serde_json::from_slice(&body).unwrap());
    server.requests(number).await.into_iter().map(read).collect()
}

fn plugin(config: &Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, config)
}

#[tokio::test]
async fn one_entry_is_an_object_and_several_are_an_array() {
    let server = Server::answering(&[]).await;
    let port = server.port;
    let endpoint = format!("http://me:p%40ss@127.0.0.1:{port}/log?a=1");
    let one = plugin(&json!({"http_endpoint": endpoint, "headers": {"X-Token": "t0ken"}}));
    one.log(&Request::for_test(), &Summary::for_test());
    let (head, body) = noted(&server, 1).await.remove(0);
    assert!(head.starts_with("post /log?a=1 http/1.1\r\n"), "{head}");
    let basic = format!("authorization: basic {}", STANDARD.encode("me:p@ss").to_ascii_lowercase());
    for line in [&basic, "x-token: t0ken", "content-type: application/json"] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert_eq!(body["response"]["status"], 200);

    let several = plugin(&json!({
        "http_endpoint": endpoint, "method": "PUT", "content_type": "application/json; charset=utf-8",
        "queue": {"max_batch_size": 2, "max_coalescing_delay": 0.05},
        "headers": {"Authorization": "Bearer b"},
    }));
    (0..3).for_each(|_| several.log(&Request::for_test(), &Summary::for_test()));
    let all = noted(&server, 3).await;
    assert_eq!(all[1].1.as_array().map(Vec::len), Some(2));
    assert_eq!(all[2].1.as_array().map(Vec::len), Some(1));
    let head = &all[1].0;
    assert!(head.starts_with("put /log"), "{head}");
    assert!(head.contains("content-type: application/json; charset=utf-8"), "{head}");
    assert!(head.contains("authorization: bearer b") && !head.contains("basic"), "{head}");
}

#[tokio::test]
async fn a_server_that_says_no_is_asked_again() {
    let server = Server::answering(&[500, 302]).await;
    let port = server.port;
    let plugin = plugin(&json!({"http_endpoint": format!("http://127.0.0.1:{port}/")}));
    plugin.log(&Request::for_test(), &Summary::for_test());
    noted(&server, 3).await;
    sleep(Duration::from_millis(100)).await;
    noted(&server, 3).await;
}

#[tokio::test]
async fn the_words_of_older_versions_count() {
    let server = Server::answering(&[500, 500, 500, 500]).await;
    let port = server.port;
    let plugin = plugin(&json!({
        "http_endpoint": format!("http://127.0.0.1:{port}/"), "retry_count": 1, "queue_size": 2, "flush_timeout": 0.05,
    }));
    (0..2).for_each(|_| plugin.log(&Request::for_test(), &Summary::for_test()));
    let all = noted(&server, 2).await;
    assert_eq!(all[0].1.as_array().map(Vec::len), Some(2));
    sleep(Duration::from_millis(200)).await;
    noted(&server, 2).await;
}

#[test]
fn what_is_refused() {
    for (config, message) in [
        (json!({"http_endpoint": "nowhere"}), "missing host in url"),
        (json!({"http_endpoint": "ftp://a/"}), "missing host in url"),
        (json!({"http_endpoint": "http://"}), "missing host in url"),
    ] {
        let said = check(&SCHEMA.config, &config).unwrap_err();
        assert!(said.contains(message), "{said}");
    }
    let refused = |name: &str| header(&Value::Text(name.into())).unwrap_err();
    assert_eq!(refused("content-type"), "cannot contain 'Content-Type' header");
    assert_eq!(refused("HOST"), "cannot contain 'Host' header");
    assert!(refused("a b").contains("bad header name"));
}

#[tokio::test]
async fn a_failure_tells_nothing_of_the_endpoint() {
    let config = json!({"http_endpoint": "http://user:s3cr3t@127.0.0.1:1/?token=s3cr3t"});
    let record = crate::testing::record(SCHEMA.config.fields, &config);
    let context = Context {
        id: uuid::Uuid::nil(),
        clock: &postern_secrets::clock::Clock::at(0),
        node: &Arc::default(),
    };
    let endpoint = Endpoint::new(&record.read().unwrap(), &context).unwrap();
    let reason = endpoint.deliver(&["{}".to_owned()]).await.unwrap_err();
    assert!(!reason.contains("s3cr3t"), "{reason}");
}
