//! What a gateway sees of a first sync: decK's requests, in decK's order.

use postern_admin::client::plan::Goal;
use serde_json::{Value as Json, json};

use crate::mock::{Asked, Mock, gateway};
use crate::sync::{FILE, scope, sync};

/// `PUT /services/*`, with stars for identifiers.
fn shape(line: &str) -> String {
    let is_id = |step: &&str| step.len() == 36 && step.matches('-').count() == 4;
    line.split('/').map(|step| if is_id(&step) { "*" } else { step }).collect::<Vec<_>>().join("/")
}

fn body<'a>(asked: &'a [Asked], line: &str) -> &'a Json {
    let found = asked.iter().find(|one| shape(&one.line) == line);
    &found.unwrap_or_else(|| panic!("no {line} in {asked:#?}")).body
}

fn without_id(body: &Json) -> Json {
    let mut body = body.clone();
    let id = body.as_object_mut().unwrap().remove("id").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36);
    body
}

#[tokio::test]
async fn a_first_sync() {
    let (mock, address) = Mock::start().await;
    sync(&gateway(&address, None), FILE, &scope(), Goal::Exactly).await;
    let asked = mock.asked();

    let lists = asked.iter().filter(|one| one.line.starts_with("GET ") && one.line.ends_with("?size=1000"));
    assert_eq!(lists.count(), 21, "each list once, and no targets of upstreams that are not there");
    let mut writes: Vec<String> =
        asked.iter().filter(|one| !one.line.starts_with("GET ")).map(|one| shape(&one.line)).collect();
    assert!(
        asked
            .iter()
            .take_while(|one| one.line.starts_with("GET "))
            .any(|one| one.line == "GET /schemas/plugins/key-auth")
    );
    writes.dedup();
    assert_eq!(
        writes,
        [
            "PUT /certificates/*",
            "PUT /ca_certificates/*",
            "PUT /consumers/*",
            "PUT /vaults/*",
            "PUT /key-sets/*",
            "PUT /consumer_groups/*",
            "PUT /snis/*",
            "PUT /services/*",
            "PUT /upstreams/*",
            "PUT /keys/*",
            "PUT /consumers/*/key-auth/*",
            "PUT /consumers/*/hmac-auth/*",
            "PUT /consumers/*/jwt/*",
            "PUT /consumers/*/basic-auth/*",
            "PUT /consumers/*/acls/*",
            "PUT /routes/*",
            "PUT /upstreams/*/targets/*",
            "POST /consumer_groups/*/consumers",
            "PUT /plugins/*",
        ]
    );
    let position = |wanted: &str| asked.iter().position(|one| shape(&one.line) == wanted).unwrap();
    assert_eq!(position("GET /certificates/*") + 1, position("PUT /certificates/*"), "it must be new");

    bodies(&asked);
}

fn bodies(asked: &[Asked]) {
    let service = asked.iter().find(|one| one.body["name"] == "first").unwrap();
    assert_eq!(
        without_id(&service.body),
        json!({
            "name": "first", "protocol": "https", "host": "example.com", "port": 8443, "path": "/base", "retries": 3,
            "connect_timeout": 60000, "read_timeout": 60000, "write_timeout": 60000, "enabled": true, "tags": ["b", "a"],
        })
    );
    let id = |name: &str| asked.iter().find(|one| one.body["name"] == name).unwrap().body["id"].clone();
    let route = asked.iter().find(|one| one.body["name"] == "one").unwrap();
    assert_eq!(route.body["service"], json!({ "id": id("first") }));
    assert_eq!(route.body["paths"], json!(["/b", "/a", "~/c$"]), "their order is kept");
    assert_eq!(route.body["strip_path"], true);

    let plugin = asked.iter().find(|one| one.body["config"]["minute"] == 5).unwrap();
    assert_eq!(
        without_id(&plugin.body),
        json!({
            "name": "rate-limiting", "route": { "id": id("one") }, "config": { "minute": 5, "policy": "local" },
            "enabled": true, "protocols": plugin.body["protocols"],
        }),
        "of config only what the file says"
    );
    assert!(plugin.body["protocols"].is_array());

    let alice = asked.iter().find(|one| one.body["username"] == "alice").unwrap();
    assert_eq!(without_id(&alice.body), json!({ "username": "alice", "custom_id": "7" }));
    let key = body(asked, "PUT /consumers/*/key-auth/*");
    assert_eq!(without_id(key), json!({ "key": "alices-own-key", "consumer": { "id": alice.body["id"] } }));
    assert_eq!(*body(asked, "POST /consumer_groups/*/consumers"), json!({ "consumer": alice.body["id"] }));

    let certificate = body(asked, "PUT /certificates/*");
    assert!(certificate.get("snis").is_none() && certificate["cert"].as_str().unwrap().ends_with("-----\n"));
    assert_eq!(
        without_id(body(asked, "PUT /vaults/*")),
        json!({ "name": "env", "prefix": "my-env", "config": { "prefix": "APP_" } })
    );
    let target = asked.iter().find(|one| one.body["weight"] == 7).unwrap();
    assert_eq!(
        without_id(&target.body),
        json!({ "target": "plain.example:8000", "weight": 7, "upstream": { "id": id("up") } })
    );
    let upstream = asked.iter().find(|one| one.body["name"] == "up").unwrap();
    assert_eq!(upstream.body["healthchecks"]["active"]["healthy"]["interval"], 5);
    assert_eq!(
        upstream.body["healthchecks"]["passive"]["unhealthy"]["http_statuses"],
        json!([429, 500, 503])
    );
}

#[tokio::test]
async fn a_certificate_keeps_its_names_and_a_group_its_members() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    mock.asked();
    let edited = FILE.replace("AAAA", "CCCC").replace("- name: gold\n", "- name: gold\n  tags: [x]\n");
    assert_eq!(sync(&gateway, &edited, &scope(), Goal::Exactly).await, [0, 2, 0]);
    let writes = mock.writes();
    let mut names = body(&writes, "PUT /certificates/*")["snis"].as_array().unwrap().clone();
    names.sort_by_key(Json::to_string);
    assert_eq!(names, ["a.example", "b.example"]);
    assert_eq!(body(&writes, "PATCH /consumer_groups/*")["tags"], json!(["x"]));
}

#[tokio::test]
async fn a_target_that_cannot_be_put_is_posted() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    let yaml = "_format_version: '3.0'\nupstreams: [{ name: u, targets: [{ target: h }] }]";
    let plan = crate::sync::plan(&gateway, yaml, &scope(), Goal::Exactly).await.unwrap();
    let id = plan.stages[0][0].id.clone();
    mock.fail(&format!("PUT /upstreams/{id}/targets"), crate::mock::Fault::Answer(404, "{}".to_owned()));
    mock.fail(&format!("POST /upstreams/{id}/targets"), crate::mock::Fault::Answer(201, "{}".to_owned()));
    let pace = postern_admin::client::carry_out::Pace { parallelism: 1, pause: std::time::Duration::ZERO };
    postern_admin::client::carry_out::carry_out(&gateway, &plan, pace, &|_| {}).await;
    assert_eq!(body(&mock.asked(), "POST /upstreams/*/targets")["target"], "h:8000");
}
