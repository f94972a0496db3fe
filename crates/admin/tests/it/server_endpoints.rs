//! Every endpoint of the table, with every method: what is not allowed is 405, what is asked for is there.

use std::collections::HashMap;

use postern_admin::server::route::{Serves, kinds};
use serde_json::{Value, json};

use super::server_double::Api;
use super::server_kinds::example;

/// Endpoints that answer something else than 200 to GET in the world below, and why.
const OTHER_THAN_200: &[(&str, u16, &str)] = &[
    ("/config", 400, "there is a database"),
    ("/secrets", 503, "the node has no engine"),
    ("/vaults/{vaults}/status", 503, "the node has no engine"),
    ("/plugins/{plugins}/route", 404, "it is bound to a service"),
    ("/plugins/{plugins}/consumer", 404, "it is bound to a service"),
    ("/plugins/{plugins}/consumer_group", 404, "it is bound to a service"),
    ("/services/{services}/client_certificate", 404, "it has none"),
    ("/upstreams/{upstreams}/client_certificate", 404, "it has none"),
];

/// A stream without an end.
const ENDLESS: &str = "/events";

/// One of each kind; its identifier stands for the parameter of its path.
async fn world() -> (Api, HashMap<String, String>) {
    let api = Api::new();
    let mut parameters = HashMap::from([
        ("tags".to_owned(), "t".to_owned()),
        ("workspaces".to_owned(), "default".to_owned()),
        ("address".to_owned(), "127.0.0.1:8000".to_owned()),
    ]);
    for kind in kinds() {
        let example = example(&api, kind.collection(), "one").await;
        let id = api.done("POST", &example.path, example.body).await.id();
        for name in [kind.path(), Some(kind.nested())].into_iter().flatten() {
            parameters.insert(name.to_owned(), id.clone());
        }
    }
    let group = format!("/consumer_groups/{}/consumers", parameters["consumer_groups"]);
    api.done("POST", &group, json!({"consumer": parameters["consumers"]})).await;
    (api, parameters)
}

/// The path of an endpoint in that world. A nested entity must be below that very parent.
async fn concrete(
    api: &Api,
    shape: &str,
    serves: Serves,
    parameters: &HashMap<String, String>,
) -> Option<String> {
    if let Serves::NestedEntity(parent, child, field) = serves {
        // Its own parent, if it has one of that kind.
        let id = parameters.get(child.nested())?;
        let flat = match child.path() {
            Some(path) => format!("/{path}/{id}"),
            None => {
                let upstreams = api.get("/upstreams").await.body["data"].as_array().cloned().unwrap();
                for upstream in upstreams {
                    let path = format!("/upstreams/{}/targets/{id}", upstream["id"].as_str()?);
                    if api.get(&path).await.status == 200 {
                        return Some(path);
                    }
                }
                return None;
            }
        };
        let of = api.get(&flat).await.body[field]["id"].as_str().map(ToOwned::to_owned);
        let of = of.unwrap_or_else(|| parameters[parent.path().unwrap()].clone());
        return Some(format!("/{}/{of}/{}/{id}", parent.path()?, child.nested()));
    }
    let example = match serves {
        Serves::Schema | Serves::Validate => "services",
        Serves::PluginSchema => "key-auth",
        Serves::VaultSchema => "env",
        _ => "",
    };
    let mut path = String::new();
    for part in shape.split('/').skip(1) {
        let value = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some("name") => example.to_owned(),
            Some("targets") => {
                let targets = format!("{path}?");
                api.get(&targets).await.body["data"][0]["id"].as_str().unwrap_or("none").to_owned()
            }
            Some(name) => parameters.get(name)?.clone(),
            None => part.to_owned(),
        };
        path = format!("{path}/{value}");
    }
    Some(path)
}

#[tokio::test]
async fn every_endpoint_is_there_and_takes_its_methods_only() {
    let (api, parameters) = world().await;
    let endpoints = api.admin.endpoints().to_vec();
    assert!(endpoints.len() > 100);
    for endpoint in endpoints {
        let shape = &endpoint.path;
        let path = concrete(&api, shape, endpoint.serves, &parameters).await;
        let path = path.unwrap_or_else(|| panic!("{shape} has no case: say what stands for its parameters"));
        let allowed = endpoint.serves.methods();
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"] {
            if !allowed.contains(&method) {
                let answer = api.ask(method, &path, Value::Null).await;
                assert_eq!(answer.status, 405, "{method} {shape}");
                assert_eq!(answer.headers["allow"], allowed.join(", ").as_str(), "{method} {shape}");
            }
        }
        let options = api.ask("OPTIONS", &path, Value::Null).await;
        assert_eq!((options.status, &options.headers["allow"]), (204, &allowed.join(", ").parse().unwrap()));
        if !allowed.contains(&"GET") || shape == ENDLESS {
            continue;
        }
        let other = OTHER_THAN_200.iter().find(|(path, ..)| path == shape).map(|(_, status, _)| *status);
        let mut expected = other.unwrap_or(200);
        if let Serves::NestedEntity(parent, child, field) = endpoint.serves {
            // One that is bound to another kind of parent is not below this one.
            let flat = child.path().map(|path| format!("/{path}/{}", parameters[child.nested()]));
            if let Some(flat) = flat
                && api.get(&flat).await.body[field].is_null()
            {
                assert!(
                    matches!(child.collection(), "plugins" | "services" | "upstreams"),
                    "{shape} {}",
                    parent.collection()
                );
                expected = 404;
            }
        }
        let got = api.get(&path).await;
        assert_eq!(got.status, expected, "{shape} as {path}: {}", got.body);
        let head = api.ask("HEAD", &path, Value::Null).await;
        assert_eq!(head.status, expected, "{shape}");
        let length: usize = head.headers["content-length"].to_str().unwrap().parse().unwrap();
        assert!(length > 0, "{shape}");
        if !matches!(endpoint.serves, Serves::Workspace | Serves::Workspaces) {
            let alias = match path.as_str() {
                "/" => "/default/kong".to_owned(),
                path => format!("/default{path}"),
            };
            assert_eq!(api.get(&alias).await.body, got.body, "{shape} in its workspace");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_json_too() {
    let api = Api::new();
    for path in [
        "/nothing",
        "/services/a/b/c",
        "/targets",
        "/oauth2",
        "/mtls-auths",
        "/partials",
        "/filter-chains",
        "/workspaces/team1",
        "/team1/workspaces/team1",
        "/team1/services",
        "/default",
        "/snis/x/certificate",
        "/services//routes",
        "/%00",
        "/services/%00",
        "/services/%ff",
        "/services/%",
        "/services/a%2Fb",
        "/services/'%20OR%201=1--",
        "/services/%3B%20DROP%20TABLE%20rows",
        "/consumers/%F0%9F%92%A9",
        "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r",
        "/consumer_groups/none",
        "/vaults/none/status",
        "/upstreams/none/health",
        "/consumers/none/key-auth",
    ] {
        let answer = api.get(path).await;
        assert_eq!((answer.status, answer.message()), (404, "Not found"), "{path}");
    }
    let long = format!("/services/{}", "x".repeat(60_000));
    assert_eq!(api.get(&long).await.status, 404);
    for (path, message) in [
        ("/schemas/nothing", "No entity named 'nothing'"),
        ("/schemas/consumer_group_plugins", "No entity named 'consumer_group_plugins'"),
        ("/schemas/plugins/nothing", "No plugin named 'nothing'"),
        ("/schemas/vaults/nothing", "No vault named 'nothing'"),
    ] {
        let answer = api.get(path).await;
        assert_eq!((answer.status, answer.message()), (404, message));
    }
}

#[tokio::test]
async fn the_node_tells_of_itself() {
    let api = Api::new();
    api.done("POST", "/plugins", json!({"name": "key-auth"})).await;
    let root = api.get("/").await.body;
    assert!(root["version"].as_str().unwrap().starts_with("3.9."));
    assert_eq!(root["configuration"]["database"], "memory");
    assert_eq!(root["configuration"]["admin_listen"], "127.0.0.1:8001");
    assert_eq!(root["edition"], "community");
    assert_eq!(root["plugins"]["enabled_in_cluster"], json!(["key-auth"]));
    assert_eq!(root["plugins"]["available_on_server"]["key-auth"]["priority"], 1250);
    // decK takes these for a fault unless they are of the type that it knows.
    assert!(root["configuration"].get("portal").is_none() && root["configuration"].get("rbac").is_none());
    let status = api.get("/status").await.body;
    assert_eq!(status["database"]["reachable"], true);
    assert_eq!(status["server"]["total_requests"], 5);
    assert_eq!(status["configuration"]["revision"], 1);
    let paths = api.get("/endpoints").await.body["data"].as_array().unwrap().len();
    assert_eq!(paths, api.admin.endpoints().len());
    let enabled = api.get("/plugins/enabled").await.body;
    assert!(enabled["enabled_plugins"].as_array().unwrap().contains(&json!("basic-auth")));
    assert_eq!(api.get("/default/workspaces/default").await.body["name"], "default");
    let openapi = api.get("/openapi.json").await.body;
    assert_eq!(openapi["openapi"], "3.1.0");
    assert_eq!(openapi["paths"].as_object().unwrap().len(), api.admin.endpoints().len());
    assert_eq!(openapi["components"]["schemas"]["services"]["properties"]["retries"]["default"], 5);
    assert!(openapi["components"]["schemas"]["routes"]["properties"].get("expression").is_none());
}
