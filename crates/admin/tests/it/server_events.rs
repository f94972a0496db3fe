//! The stream of events, as a client reads it.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::server_double::Api;

/// Reads the stream until a text is in it.
async fn until(body: &mut axum::body::Body, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let frame = body.frame().await.unwrap().unwrap();
        read += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    read
}

async fn listen(api: &Api, last: Option<&str>) -> axum::body::Body {
    let mut request = http::Request::get("/events");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = api.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body()
}

#[tokio::test]
async fn changes_are_told_as_they_happen() {
    let api = Api::new();
    let mut body = listen(&api, None).await;
    assert!(until(&mut body, "\n\n").await.contains("event: hello"));
    let id = api.done("POST", "/services", json!({"name": "a", "host": "h"})).await.id();
    let told = until(&mut body, &id).await;
    assert!(told.contains("event: configuration") && told.contains("id: 1"), "{told}");
    api.done("DELETE", "/services/a", Value::Null).await;
    assert!(until(&mut body, "\"delete\"").await.contains(&id));
    // Whoever comes back goes on where he was.
    let mut again = listen(&api, Some("1")).await;
    let told = until(&mut again, "\n\n").await;
    assert!(told.contains("\"delete\"") && !told.contains("hello"), "{told}");
    let mut future = listen(&api, Some("1000")).await;
    assert!(until(&mut future, "\n\n").await.contains("event: missed"));
    let wrong = api.raw("GET", "/events", &[("last-event-id", "x")], "").await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn a_slow_reader_is_told_that_it_missed_some() {
    let api = Api::new();
    let mut body = listen(&api, None).await;
    until(&mut body, "hello").await;
    for number in 0..1100 {
        api.done("PUT", &format!("/consumers/c{number}"), json!({})).await;
    }
    let told = until(&mut body, "\n\n").await;
    assert!(told.contains("event: missed") && told.contains("1100"), "{told}");
    let mut bodies = Vec::new();
    for _ in 0..63 {
        bodies.push(listen(&api, None).await);
    }
    assert_eq!(api.get("/events").await.status, 503, "there is an end to how many may listen");
    bodies.clear();
    drop(body);
    let _ = listen(&api, None).await;
}
