//! Entities below others, groups, credentials, targets: what is special about a kind.

use serde_json::{Value, json};

use super::server_double::Api;

#[tokio::test]
async fn what_the_path_says_counts() {
    let api = Api::new();
    let a = api.done("POST", "/services", json!({"name": "a", "host": "h"})).await.id();
    let b = api.done("POST", "/services", json!({"name": "b", "host": "h"})).await.id();
    let route = api
        .done("POST", "/services/a/routes", json!({"name": "r", "paths": ["/"], "service": {"id": b}}))
        .await;
    assert_eq!(route.body["service"], json!({"id": a}));
    assert_eq!(api.get("/routes/r/service").await.id(), a);
    assert_eq!(api.get("/services/b/routes").await.body["data"], json!([]));
    assert_eq!(api.get(&format!("/services/{a}/routes/r")).await.id(), route.id());
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let elsewhere = api.ask(method, "/services/b/routes/r", json!({"paths": ["/x"]})).await;
        assert_eq!(elsewhere.status, 404, "{method}");
    }
    assert_eq!(api.done("PATCH", "/routes/r/service", json!({"retries": 1})).await.body["retries"], 1);
    assert_eq!(
        api.done("PATCH", "/routes/r", json!({"service": {"name": "b"}})).await.body["service"]["id"],
        b
    );
    assert_eq!(api.done("PATCH", "/routes/r", json!({"service": null})).await.body["service"], Value::Null);
    assert_eq!(
        api.done("PATCH", "/routes/r", json!({"service": {"id": null}})).await.body["service"],
        Value::Null
    );
    assert_eq!(api.get("/routes/r/service").await.status, 404);
    assert_eq!(api.done("PUT", "/services/c", json!({"host": "h"})).await.body["name"], "c");
    let plugin = api.done("POST", "/services/c/plugins", json!({"name": "key-auth"})).await.id();
    api.done("DELETE", "/services/c", Value::Null).await;
    assert_eq!(api.get(&format!("/plugins/{plugin}")).await.status, 404, "it went with its service");
}

#[tokio::test]
async fn groups_and_their_members() {
    let api = Api::new();
    let group = api.done("POST", "/consumer_groups", json!({"name": "gold"})).await.id();
    let me = api.done("POST", "/consumers", json!({"username": "me"})).await;
    api.done("POST", "/consumers", json!({"username": "you"})).await;
    let added =
        api.done("POST", &format!("/consumer_groups/{group}/consumers"), json!({"consumer": me.id()})).await;
    assert_eq!((added.status, &added.body["consumers"][0]["id"]), (201, &json!(me.id())));
    assert_eq!(
        api.ask("POST", "/consumer_groups/gold/consumers", json!({"consumer": "me"})).await.status,
        409
    );
    api.done("POST", "/consumers/you/consumer_groups", json!({"group": ["gold"]})).await;
    api.done(
        "POST",
        "/consumer_groups/gold/plugins",
        json!({"name": "rate-limiting", "config": {"minute": 1}}),
    )
    .await;
    let wrapped = api.get("/consumer_groups/gold").await.body;
    assert_eq!(wrapped["consumer_group"]["id"], group);
    assert_eq!(wrapped["consumers"].as_array().unwrap().len(), 2);
    assert_eq!(wrapped["plugins"].as_array().unwrap().len(), 1);
    let without = api.get("/consumer_groups/gold?list_consumers=false").await.body;
    assert_eq!(without["consumers"], json!([]));
    let patched =
        api.done("PATCH", &format!("/consumer_groups/{group}"), json!({"name": "silver"})).await.body;
    assert_eq!(patched["name"], "silver");
    let first = api.get("/consumer_groups/silver/consumers?size=1").await.body;
    let next = first["next"].as_str().unwrap().to_owned();
    let second = api.get(&next).await.body;
    assert_ne!(first["consumers"], second["consumers"]);
    assert_eq!(second["next"], Value::Null);
    assert_eq!(api.get("/consumers/me/consumer_groups").await.body["consumer_groups"][0]["name"], "silver");
    assert_eq!(api.get("/consumer_groups/silver/consumers/me").await.body["consumer"], me.body);
    let one = format!("/consumer_groups/{group}/consumers/{}", me.id());
    assert_eq!(api.ask("DELETE", &one, Value::Null).await.status, 204);
    assert_eq!(api.ask("DELETE", &one, Value::Null).await.status, 404);
    assert_eq!(api.ask("DELETE", "/consumers/you/consumer_groups", Value::Null).await.status, 204);
    assert_eq!(api.get("/consumer_groups/silver/consumers").await.body["consumers"], json!([]));
    for body in
        [json!({}), json!({"consumer": 1}), json!({"consumer": []}), json!({"consumer": "me", "x": 1})]
    {
        assert_eq!(api.ask("POST", "/consumer_groups/silver/consumers", body).await.status, 400);
    }
}

#[tokio::test]
async fn credentials_are_made_up_or_hashed() {
    let api = Api::new();
    api.done("POST", "/consumers", json!({"username": "me"})).await;
    let made = |body: &Value, field: &str| {
        let text = body[field].as_str().unwrap();
        assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
    };
    let key = api.done("POST", "/consumers/me/key-auth", Value::Null).await.body;
    made(&key, "key");
    let jwt = api.done("POST", "/consumers/me/jwt", json!({"key": null})).await.body;
    made(&jwt, "key");
    made(&jwt, "secret");
    made(&api.done("POST", "/consumers/me/hmac-auth", json!({"username": "u"})).await.body, "secret");
    let path = format!("/consumers/me/key-auth/{}", key["key"].as_str().unwrap());
    assert_eq!(api.get(&path).await.body, key);
    assert_eq!(api.done("PATCH", &path, json!({"tags": ["t"]})).await.body["key"], key["key"]);
    let flat = format!("/key-auths/{}/consumer", key["id"].as_str().unwrap());
    assert_eq!(api.get(&flat).await.body["username"], "me");

    let basic =
        api.done("POST", "/consumers/me/basic-auth", json!({"username": "u", "password": "pw"})).await.body;
    let hash = basic["password"].as_str().unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m="), "{hash}");
    let keeps = |password: &str| json!({"username": format!("x{}", password.len()), "password": password});
    for password in [hash, "{vault://my-env/pw}"] {
        let body = api.done("POST", "/consumers/me/basic-auth", keeps(password)).await.body;
        assert_eq!(body["password"], password);
    }
    let patched = api.done("PATCH", "/consumers/me/basic-auth/u", json!({"tags": ["t"]})).await.body;
    assert_eq!(patched["password"], hash);
    let again = api.done("PATCH", "/consumers/me/basic-auth/u", json!({"password": "pw"})).await.body;
    assert_ne!(again["password"], hash, "a salt of its own");
    let greedy = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b0dWRWJTmaaJObG";
    for wrong in ["$argon2id$nonsense", greedy, ""] {
        let answer = api.ask("POST", "/consumers/me/basic-auth", keeps(wrong)).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body["fields"]["password"].is_string());
    }
    let put = json!({"id": "22222222-2222-4222-8222-222222222222", "key": "k", "consumer": {"id": key["consumer"]["id"], "username": "me"}});
    api.done("PUT", "/consumers/me/key-auth/22222222-2222-4222-8222-222222222222", put).await;
}

#[tokio::test]
async fn targets_and_their_health() {
    let api = Api::new();
    let upstream = api.done("POST", "/upstreams", json!({"name": "u"})).await.id();
    let other = api.done("POST", "/upstreams", json!({"name": "v"})).await.id();
    for target in ["a", "b:1"] {
        api.done("POST", "/upstreams/u/targets", json!({"target": target})).await;
    }
    assert_eq!(api.get("/upstreams/u/targets/a").await.body["target"], "a:8000");
    assert_eq!(api.ask("POST", "/upstreams/u/targets", json!({"target": "a:8000"})).await.status, 409);
    api.done("PATCH", "/upstreams/u/targets/b:1", json!({"weight": 0})).await;
    // In pages, each of them; decK asks with the offset of another upstream, which means the first page.
    for list in ["targets", "targets/all", "health"] {
        let first = api.get(&format!("/upstreams/{upstream}/{list}?size=1")).await.body;
        let second = api.get(first["next"].as_str().unwrap()).await.body;
        let names = [&first, &second].map(|page| page["data"][0]["target"].as_str().unwrap().to_owned());
        assert!(
            names.contains(&"a:8000".to_owned()) && names.contains(&"b:1".to_owned()),
            "{list}: {names:?}"
        );
        assert_eq!((second.get("offset"), &second["next"]), (None, &Value::Null), "{list}");
        let offset = first["offset"].as_str().unwrap();
        let of_other = api.get(&format!("/upstreams/{other}/{list}?offset={offset}")).await.body;
        assert_eq!(of_other["data"], json!([]), "{list}");
        api.done("POST", "/upstreams/v/targets", json!({"target": "c:1"})).await;
        let of_other = api.get(&format!("/upstreams/{other}/{list}?offset={offset}")).await.body;
        assert_eq!(of_other["data"].as_array().unwrap().len(), 1, "{list}");
        api.done("DELETE", "/upstreams/v/targets/c:1", Value::Null).await;
    }
    assert_eq!(api.get("/upstreams/u/targets/all").await.body["data"].as_array().unwrap().len(), 2);
    let health = api.get("/upstreams/u/health").await.body;
    let states: Vec<_> = health["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["target"].clone(), t["health"].clone()))
        .collect();
    assert!(
        states.contains(&(json!("a:8000"), json!("HEALTHY")))
            && states.contains(&(json!("b:1"), json!("UNHEALTHY")))
    );
    assert_eq!(api.get("/upstreams/u/health?balancer_health=1").await.body["data"]["health"], "HEALTHY");
    for (path, status) in [
        ("/upstreams/u/targets/a:8000/healthy", 204),
        ("/upstreams/u/targets/a/127.0.0.1:8000/unhealthy", 204),
        ("/upstreams/u/targets/a/127.0.0.1:1/unhealthy", 404),
        ("/upstreams/v/targets/a:8000/healthy", 404),
        ("/upstreams/u/targets/none/healthy", 404),
    ] {
        assert_eq!(api.ask("PUT", path, Value::Null).await.status, status, "{path}");
    }
    let switched = api.node.switched.lock().unwrap().clone();
    assert_eq!(switched[0], ("a:8000".to_owned(), None, true));
    assert_eq!(switched[1], ("a:8000".to_owned(), Some("127.0.0.1:8000".to_owned()), false));
    assert_eq!(api.get(&format!("/upstreams/{other}/targets")).await.body["data"], json!([]));
}

#[tokio::test]
async fn what_deck_sends_comes_back_as_it_is() {
    let api = Api::new();
    let id = |n: u8| format!("{n:08}-0000-4000-8000-000000000000");
    let service =
        json!({"id": id(1), "name": "s", "host": "h", "port": 80, "protocol": "http", "path": "/p"});
    api.done("PUT", &format!("/services/{}", id(1)), service).await;
    let route = json!({"id": id(2), "name": "r", "paths": ["/b", "/a"], "protocols": ["https", "http"],
        "path_handling": "v0", "preserve_host": false, "regex_priority": 0, "strip_path": true, "service": {"id": id(1)}});
    let put = api.done("PUT", &format!("/routes/{}", id(2)), route.clone()).await.body;
    for (field, value) in route.as_object().unwrap() {
        assert_eq!(put[field], *value, "{field}");
    }
    assert_eq!(put["hosts"], Value::Null);
    let plugin = json!({"id": id(3), "name": "rate-limiting", "service": {"id": id(1)},
        "config": {"minute": 5}, "enabled": true, "protocols": ["grpc", "grpcs", "http", "https"]});
    let put = api.done("PUT", &format!("/plugins/{}", id(3)), plugin).await.body;
    let schema = api.get("/schemas/plugins/rate-limiting").await.body;
    let config = schema["fields"].as_array().unwrap().iter().find_map(|field| field.get("config")).unwrap();
    let names: Vec<_> = config["fields"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|f| f.as_object().unwrap().keys())
        .cloned()
        .collect();
    let mut shown: Vec<_> = put["config"].as_object().unwrap().keys().cloned().collect();
    shown.sort();
    let older =
        config["shorthand_fields"].as_array().unwrap().iter().flat_map(|f| f.as_object().unwrap().keys());
    let mut expected: Vec<_> = names.iter().chain(older).cloned().collect();
    expected.sort();
    assert_eq!(shown, expected, "every field of the schema, its older names, and none besides");
    assert_eq!((&put["config"]["redis_port"], &put["config"]["redis"]["port"]), (&json!(6379), &json!(6379)));
    // What was read is taken back as it is; where the two differ, it is refused.
    let path = format!("/plugins/{}", id(3));
    assert_eq!(api.done("PUT", &path, put.clone()).await.body["config"], put["config"]);
    let older = api.done("PATCH", &path, json!({"config": {"redis_host": "h"}})).await.body;
    assert_eq!(
        (&older["config"]["redis_host"], &older["config"]["redis"]["host"]),
        (&json!("h"), &json!("h"))
    );
    let both = json!({"config": {"redis_host": "h", "redis": {"host": "i"}}});
    assert_eq!(api.ask("PATCH", &path, both).await.status, 400);
    let vault = json!({"id": id(4), "name": "env", "prefix": "my-env", "config": {"prefix": "A_"}});
    let vault = api.done("PUT", &format!("/vaults/{}", id(4)), vault).await.body;
    assert_eq!(vault["config"], json!({"prefix": "A_"}));
    let upstream = api.done("PUT", &format!("/upstreams/{}", id(5)), json!({"name": "u"})).await.body;
    assert_eq!(
        upstream["healthchecks"]["active"]["healthy"]["interval"].to_string(),
        "0",
        "whole numbers are whole"
    );
    assert_eq!(upstream["healthchecks"]["threshold"].to_string(), "0");
}

/// `If-Match`: a change of what the client has not seen is refused.
#[tokio::test]
async fn if_match() {
    let api = Api::new();
    let json = ("content-type", "application/json");
    let send = async |method: &str, path: &str, tag: &str, body: &str| {
        api.raw(method, path, &[json, ("if-match", tag)], body.to_owned()).await
    };
    assert_eq!(send("PUT", "/services/s", "*", r#"{"host": "h"}"#).await.status, 412, "there is none");
    let created = api.done("POST", "/services", json!({"name": "s", "host": "h"})).await;
    let first = created.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(api.get("/services/s").await.headers["etag"], first.as_str());
    let second = send("PATCH", "/services/s", &first, r#"{"port": 81}"#).await;
    assert_eq!(second.status, 200);
    let second = second.headers["etag"].to_str().unwrap().to_owned();
    for (method, body) in [("PATCH", r#"{"port": 82}"#), ("PUT", r#"{"host": "i"}"#), ("DELETE", "")] {
        assert_eq!(send(method, "/services/s", &first, body).await.status, 412, "{method}");
    }
    assert_eq!(api.get("/services/s").await.body["port"], 81);
    assert_eq!(send("DELETE", "/services/s", &format!("{first}, {second}"), "").await.status, 204);
    assert_eq!(api.get("/services/s").await.status, 404);
    assert_eq!(send("DELETE", "/services/s", "*", "").await.status, 412);
}
