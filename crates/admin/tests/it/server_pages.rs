//! Lists: pages, tags, and what happens to them while others write.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::server_double::Api;

async fn names(api: &Api, first: &str) -> Vec<String> {
    let (mut names, mut path) = (Vec::new(), first.to_owned());
    loop {
        let page = api.get(&path).await.body;
        for entity in page["data"].as_array().unwrap() {
            names.push(entity["username"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            None => {
                assert!(page.get("offset").is_none());
                return names;
            }
            Some(next) => {
                assert!(next.contains(page["offset"].as_str().unwrap()));
                next.clone_into(&mut path);
            }
        }
    }
}

#[tokio::test]
async fn pages_have_each_entity_once() {
    let api = Api::new();
    for number in 0..23 {
        let tags = if number % 2 == 0 { json!(["even", "n,"]) } else { json!(["odd"]) };
        let answer =
            api.ask("POST", "/consumers", json!({"username": format!("c{number}"), "tags": tags})).await;
        // A tag may not hold what separates tags.
        assert_eq!(answer.status, if number % 2 == 0 { 400 } else { 201 });
        if number % 2 == 0 {
            api.done(
                "POST",
                "/consumers",
                json!({"username": format!("c{number}"), "tags": ["even", "all"]}),
            )
            .await;
        }
    }
    for size in [1, 2, 5, 22, 23, 24, 1000] {
        let found = names(&api, &format!("/consumers?size={size}")).await;
        assert_eq!(found.len(), 23, "{size}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 23, "{size}");
    }
    assert_eq!(names(&api, "/consumers?size=3&tags=even").await.len(), 12);
    assert_eq!(names(&api, "/consumers?size=3&tags=even%2Call").await.len(), 12);
    assert_eq!(names(&api, "/consumers?size=3&tags=even/odd").await.len(), 23);
    assert_eq!(names(&api, "/consumers?tags=even,odd").await.len(), 0);
    assert_eq!(names(&api, "/default/consumers?size=3").await.len(), 23);
    let (mut tags, mut path) = (0, "/tags?size=4".to_owned());
    loop {
        let page = api.get(&path).await.body;
        tags += page["data"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut path);
    }
    assert_eq!(tags, 12 * 2 + 11);
    assert_eq!(api.get("/tags/even").await.body["data"].as_array().unwrap().len(), 12);
    assert_eq!(api.get("/tags/even").await.body["data"][0]["entity_name"], "consumers");
}

#[tokio::test]
async fn pages_while_others_write() {
    let api = Api::new();
    for number in 0..30 {
        api.done("POST", "/consumers", json!({"username": format!("stays{number}")})).await;
    }
    let (mut seen, mut path, mut round) = (Vec::new(), "/consumers?size=4".to_owned(), 0);
    loop {
        let page = api.get(&path).await.body;
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|c| c["username"].as_str().unwrap().to_owned()),
        );
        api.done("PUT", &format!("/consumers/comes{round}"), json!({})).await;
        if round > 0 {
            api.done("DELETE", &format!("/consumers/comes{}", round - 1), Value::Null).await;
        }
        round += 1;
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut path);
    }
    let stays: Vec<_> = seen.iter().filter(|name| name.starts_with("stays")).collect();
    assert_eq!((stays.len(), stays.iter().collect::<BTreeSet<_>>().len()), (30, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once() {
    let api = Arc::new(Api::new());
    let mut tasks = Vec::new();
    for _ in 0..24 {
        let api = Arc::clone(&api);
        tasks.push(tokio::spawn(async move { api.get("/services?size=1000").await.status }));
    }
    // Ten that want the same name, ten that merge into one entity, ten that create by one name.
    for number in 0..10_u8 {
        let api = Arc::clone(&api);
        tasks.push(tokio::spawn(async move {
            let path = format!("/services/{number:08}-0000-4000-8000-000000000000");
            api.ask("PUT", &path, json!({"name": "wanted", "host": "h"})).await.status
        }));
    }
    for number in 0..10 {
        let api = Arc::clone(&api);
        tasks.push(tokio::spawn(async move {
            api.ask("PUT", "/services/by-name", json!({"host": format!("h{number}")})).await.status
        }));
    }
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    assert!(statuses[..24].iter().all(|status| *status == 200));
    let wanted = &statuses[24..34];
    assert_eq!(wanted.iter().filter(|status| **status == 200).count(), 1, "{wanted:?}");
    assert_eq!(wanted.iter().filter(|status| **status == 409).count(), 9, "{wanted:?}");
    assert!(statuses[34..].iter().all(|status| *status == 200), "{:?}", &statuses[34..]);
    assert_eq!(api.get("/services").await.body["data"].as_array().unwrap().len(), 2);

    let fields = ["retries", "port", "connect_timeout", "read_timeout", "write_timeout"];
    let mut tasks = Vec::new();
    for field in fields {
        let api = Arc::clone(&api);
        tasks.push(tokio::spawn(async move {
            api.ask("PATCH", "/services/by-name", json!({field: 7})).await.status
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    let service = api.get("/services/by-name").await.body;
    for field in fields {
        assert_eq!(service[field], 7, "nobody's change is lost: {field}");
    }
}
