//! decK's round, by `postern sync` and its like, on a real node with a real database: what was written comes back, and
//! once more changes nothing.
//!
//! The file has every kind of entity that this build has. Must not know: how a plan is made (`crates/admin` tests that).

use postern_conformance::ca::Ca;
use postern_conformance::{Node, Outcome, Postgres};
use serde_json::{Value, json};

/// Everything, at every scope; `tag` is on all of it.
fn everything(tag: &str) -> String {
    let ca = Ca::new("An authority");
    let issued = ca.issue(&["a.example"]);
    let indented = |pem: &str| pem.trim().replace('\n', "\n      ");
    format!(
        r#"_format_version: "3.0"
_info: {{ select_tags: [{tag}] }}
services:
- name: first
  url: https://example.com:8443/base
  retries: 3
  plugins:
  - name: key-auth
    config: {{ key_names: [x-key, apikey] }}
  routes:
  - name: one
    paths: [/b, /a, "~/c$"]
    methods: [POST, GET]
    plugins:
    - name: rate-limiting
      config: {{ minute: 5, policy: local }}
- name: second
  host: second.example
  enabled: false
routes:
- name: alone
  hosts: [alone.example]
consumers:
- username: alice
  custom_id: "7"
  keyauth_credentials: [{{ key: alices-own-key }}]
  basicauth_credentials: [{{ username: alice, password: alices-password }}]
  hmacauth_credentials: [{{ username: alice-h, secret: alices-hmac }}]
  jwt_secrets: [{{ algorithm: HS256, key: alice-iss, secret: alices-jwt-secret }}]
  acls: [{{ group: admins }}, {{ group: users }}]
  groups: [{{ name: gold }}]
  plugins:
  - name: rate-limiting
    config: {{ hour: 100 }}
- custom_id: "8"
consumer_groups:
- name: gold
- name: silver
plugins:
- name: request-transformer
  config: {{ add: {{ headers: ["x-a:{{vault://my-env/a}}"] }} }}
- name: rate-limiting
  service: second
  consumer: alice
  config: {{ second: 1 }}
upstreams:
- name: up
  algorithm: least-connections
  healthchecks: {{ active: {{ healthy: {{ interval: 5 }} }} }}
  targets:
  - target: 10.0.0.1:80
  - target: plain.example:8000
    weight: 7
- name: other
certificates:
- id: 11111111-1111-4111-8111-111111111111
  cert: |
      {}
  key: |
      {}
  snis: [{{ name: a.example }}, {{ name: b.example }}]
ca_certificates:
- id: 22222222-2222-4222-8222-222222222222
  cert: |
      {}
vaults:
- name: env
  prefix: my-env
  config: {{ prefix: "APP_" }}
key_sets:
- name: ks
keys:
- name: k
  kid: "1"
  set: {{ name: ks }}
  jwk: '{{"kty":"oct","kid":"1","k":"c2VjcmV0"}}'
"#,
        indented(&issued.chain),
        indented(&issued.key),
        indented(ca.pem()),
    )
}

/// `Created`, `Updated`, `Deleted` of a summary.
fn counts(outcome: &Outcome) -> [u64; 3] {
    ["Created", "Updated", "Deleted"].map(|word| {
        let line = outcome.stdout.lines().find_map(|line| line.trim().strip_prefix(&format!("{word}: ")));
        line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no summary:\n{outcome:?}"))
    })
}

/// The round: sync, diff, dump, diff of the dump, an edit, a part, reset.
async fn round(node: &Node, more: &[&str]) {
    let yaml = everything("team-a");
    node.with_file("validate", &yaml, &[]).await.ok();
    let created = counts(&node.with_file("sync", &yaml, more).await.ok());
    assert!(created[0] >= 30 && created[1..] == [0, 0], "{created:?}");
    let nothing = node.with_file("diff", &yaml, &["--non-zero-exit-code"]).await.ok();
    assert_eq!(counts(&nothing), [0, 0, 0], "{}", nothing.stdout);

    let dump = node.deck("dump").args(["--select-tag", "team-a", "-o", "-"]).run().await.ok().stdout;
    let again = node.with_file("diff", &dump, &["--non-zero-exit-code"]).await.ok();
    assert_eq!(counts(&again), [0, 0, 0], "{}", again.stdout);

    let edited = yaml.replace("retries: 3", "retries: 4");
    let change = node.with_file("diff", &edited, &["--non-zero-exit-code"]).await.fails_with(2);
    assert_eq!(counts(&change), [0, 1, 0], "{}", change.stdout);
    assert!(change.stdout.contains("updating service first"), "{}", change.stdout);
    assert_eq!(counts(&node.with_file("sync", &edited, more).await.ok()), [0, 1, 0]);
    assert_eq!(node.get("/services/first").await["retries"], 4);

    let part = "_format_version: \"3.0\"\nservices: [{ name: third, host: h, tags: [team-b] }]\n";
    assert_eq!(counts(&node.with_file("apply", part, &[]).await.ok()), [1, 0, 0]);
    let mine = node.with_file("diff", &edited, &["--non-zero-exit-code"]).await.ok();
    assert_eq!(counts(&mine), [0, 0, 0], "what bears other tags is others': {}", mine.stdout);

    node.deck("reset").args(["--force", "--select-tag", "team-a"]).run().await.ok();
    let left = node.get("/services").await;
    assert_eq!(left["data"].as_array().map(Vec::len), Some(1), "{left}");
    node.deck("reset").arg("--force").run().await.ok();
    let empty = node.deck("dump").args(["-o", "-"]).run().await.ok().stdout;
    assert_eq!(empty.trim(), "_format_version: \"3.0\"");
}

#[tokio::test]
async fn the_round_on_sqlite() {
    let node = Node::sqlite(&[]).await;
    round(&node, &["--parallelism", "50"]).await;
    round(&node, &["--parallelism", "1", "-w", "default"]).await;
}

#[tokio::test]
async fn the_round_on_postgresql() {
    let server = Postgres::start().await;
    let database = server.database().await;
    let node = Node::postgres(&server, &database, &[]).await;
    round(&node, &["--parallelism", "50"]).await;
    let root = node.get("/").await;
    assert_eq!(root["configuration"]["database"], "postgres");
    assert!(!root.to_string().contains(Postgres::PASSWORD), "{root}");
}

#[tokio::test]
async fn what_was_written_is_there_after_an_end_and_after_a_crash() {
    let mut node = Node::sqlite(&[]).await;
    node.with_file("sync", &everything("team-a"), &[]).await.ok();
    let before = node.get("/export").await;
    node.end().await;
    node.start_again().await;
    assert_eq!(node.get("/export").await, before);
    for number in 0..20 {
        node.put(&format!("/services/s{number}"), &json!({ "host": "h" })).await;
    }
    node.kill().await;
    node.start_again().await;
    for number in 0..20 {
        assert_eq!(node.get(&format!("/services/s{number}")).await["host"], "h");
    }
}

#[tokio::test]
async fn from_the_database_to_a_file_and_back() {
    let node = Node::sqlite(&[]).await;
    node.with_file("sync", &everything("team-a"), &[]).await.ok();
    let file = node.command().args(["config", "export"]).run().await.ok().stdout;
    let other = Node::sqlite(&[]).await;
    other.command().args(["config", "import"]).file("kong.yaml", &file).arg("kong.yaml").run().await.ok();
    let same = other.with_file("diff", &file, &["--non-zero-exit-code"]).await.ok();
    assert_eq!(counts(&same), [0, 0, 0], "{}", same.stdout);
}

#[tokio::test]
async fn without_a_database_the_file_is_shown_and_can_be_replaced() {
    let one =
        "_format_version: \"3.0\"\nservices: [{ name: one, host: h, routes: [{ name: r, paths: [/] }] }]\n";
    let node = Node::db_less(one, &[]).await;
    assert_eq!(node.get("/services/one").await["host"], "h");
    assert_eq!(node.get("/services/one/routes").await["data"][0]["name"], "r");
    let (status, refused) = node.ask("POST", "/services", &json!({ "host": "h" })).await;
    assert_eq!(status, 405, "{refused}");
    assert!(
        refused["message"].as_str().unwrap_or_default().contains("when not using a database"),
        "{refused}"
    );

    let two = json!({ "_format_version": "3.0", "services": [{ "name": "two", "host": "h" }] });
    let (status, loaded) = node.ask("POST", "/config", &two).await;
    assert_eq!(status, 201, "{loaded}");
    assert_eq!(node.get("/services").await["data"][0]["name"], "two");
    assert_eq!(node.ask("GET", "/services/one", &Value::Null).await.0, 404);

    let bad = json!({ "_format_version": "3.0", "services": [{ "name": "bad", "port": 70_000 }] });
    let (status, refused) = node.ask("POST", "/config", &bad).await;
    assert_eq!(status, 400, "{refused}");
    assert_eq!(node.get("/services").await["data"][0]["name"], "two", "the old one serves on");
}

#[tokio::test]
async fn references_are_resolved_by_the_vaults_of_the_database() {
    let server = Postgres::start().await;
    let on_postgres = Node::postgres(&server, &server.database().await, &[]).await;
    for node in [Node::sqlite(&[]).await, on_postgres] {
        let vault = json!({ "name": "env", "prefix": "my-env", "config": { "prefix": "APP_" } });
        let (status, created) = node.ask("POST", "/vaults", &vault).await;
        assert_eq!(status, 201, "{created}");
        // A setting that only the node can resolve is none of the command's business.
        let get =
            node.command().env("POSTERN_ADMIN_TOKEN", "{vault://env/not-here}").env("APP_PASS", "mypassword");
        let got = get.args(["vault", "get", "{vault://my-env/pass}"]).run().await.ok();
        assert_eq!((&*got.stdout, &*got.stderr), ("mypassword\n", ""));
    }
}
