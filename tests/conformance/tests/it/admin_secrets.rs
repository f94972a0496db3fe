//! Secrets of a node that is configured by its Admin API: read again when somebody says so, told of without their values;
//! and the tutorial by decK's way: a vault that `sync` brings is one for traffic, for `vault get`, and after a restart.

use postern_conformance::ask::becomes;
use postern_conformance::{DevStack, Node, OpenBao, Postern, Recorder};
use serde_json::{Value, json};

use crate::tutorial::prepare;

const REFERENCE: &str = "{vault://hashicorp-vault/password/pass}";

fn authorization(upstream: &Recorder) -> Option<String> {
    let seen = upstream.take().pop()?;
    Some(seen.headers.get("authorization")?.to_str().expect("text").to_owned())
}

/// A new value in the vault is in the next request after a refresh, long before its time to live is over.
#[tokio::test]
async fn a_refresh_brings_the_new_value() {
    let (bao, upstream) = (OpenBao::dev().await, Recorder::start().await);
    bao.cli(&["kv", "put", "-mount=secret", "password", "pass=the-first-value"]).await.ok();
    let node = Node::sqlite(&[]).await;
    let config = json!({
        "host": "127.0.0.1", "port": bao.port(), "protocol": bao.protocol(), "kv": "v2", "mount": "secret",
        "auth_method": "token", "token": bao.root_token(), "ttl": 3600,
    });
    node.put("/vaults/bao", &json!({ "name": "hcv", "config": config })).await;
    node.put("/services/s", &json!({ "url": format!("http://{}", upstream.address()) })).await;
    let headers = json!({ "add": { "headers": ["authorization:Bearer {vault://bao/password/pass}"] } });
    let (status, plugin) = node
        .ask("POST", "/services/s/plugins", &json!({ "name": "request-transformer", "config": headers }))
        .await;
    assert_eq!(status, 201, "{plugin}");
    node.put("/routes/r", &json!({ "paths": ["/"], "service": { "name": "s" } })).await;
    becomes("the route serves", async || node.through("/").await.status == 200).await;
    assert_eq!(authorization(&upstream).as_deref(), Some("Bearer the-first-value"));

    bao.cli(&["kv", "put", "-mount=secret", "password", "pass=the-second-value"]).await.ok();
    assert_eq!(node.through("/").await.status, 200);
    assert_eq!(authorization(&upstream).as_deref(), Some("Bearer the-first-value"), "it lives for an hour");
    let (status, refreshed) = node.ask("POST", "/vaults/bao/refresh", &Value::Null).await;
    assert_eq!((status, &refreshed["done"]), (200, &true.into()), "{refreshed}");
    assert_eq!(node.through("/").await.status, 200);
    assert_eq!(authorization(&upstream).as_deref(), Some("Bearer the-second-value"));

    bao.cli(&["kv", "put", "-mount=secret", "password", "pass=the-third-value"]).await.ok();
    let one = json!({ "reference": "{vault://bao/password/pass}" });
    assert_eq!(node.ask("POST", "/secrets/refresh", &one).await.0, 200);
    assert_eq!(node.through("/").await.status, 200);
    assert_eq!(authorization(&upstream).as_deref(), Some("Bearer the-third-value"));

    let secrets = node.get("/secrets").await;
    assert_eq!(secrets["data"].as_array().map(Vec::len), Some(1), "{secrets}");
    let shown = &secrets["data"][0];
    assert_eq!((&shown["vault"], &shown["state"]), (&"bao".into(), &"fresh".into()), "{secrets}");
    let fresh = node.get("/secrets?state=fresh&vault=bao").await;
    assert_eq!(fresh["data"][0]["reference"], "{vault://bao/password/pass}");
    assert_eq!(node.get("/secrets?state=stale").await["data"], json!([]));
    let id = plugin["id"].as_str().expect("an id");
    assert_eq!(node.get(&format!("/secrets?user={id}")).await["data"].as_array().map(Vec::len), Some(1));
    let vault = node.get("/vaults/bao/status").await;
    assert_eq!(
        (&vault["references"]["total"], &vault["references"]["fresh"]),
        (&1.into(), &1.into()),
        "{vault}"
    );
    let told = format!("{secrets}{vault}{refreshed}{}{}", node.get("/status").await, node.log());
    for value in ["the-first-value", "the-second-value", "the-third-value"] {
        assert!(!told.contains(value), "{value} is in {told}");
    }
}

/// A vault that is away is told of with its reason, and traffic goes on with what was read.
#[tokio::test]
async fn a_vault_that_is_away_is_told_of() {
    let (mut bao, upstream) = (OpenBao::dev().await, Recorder::start().await);
    bao.cli(&["kv", "put", "-mount=secret", "password", "pass=the-value"]).await.ok();
    let node = Node::sqlite(&[]).await;
    let config = json!({
        "host": "127.0.0.1", "port": bao.port(), "protocol": bao.protocol(), "kv": "v2",
        "auth_method": "token", "token": bao.root_token(), "ttl": 3600,
    });
    node.put("/vaults/bao", &json!({ "name": "hcv", "config": config })).await;
    node.put("/services/s", &json!({ "url": format!("http://{}", upstream.address()) })).await;
    node.put("/routes/r", &json!({ "paths": ["/"], "service": { "name": "s" } })).await;
    let add = json!({ "add": { "headers": ["x-key:{vault://bao/password/pass}"] } });
    let plugin = json!({ "name": "request-transformer", "config": add });
    assert_eq!(node.ask("POST", "/routes/r/plugins", &plugin).await.0, 201);
    becomes("it is served", async || {
        node.through("/").await.status == 200
            && upstream.take().pop().is_some_and(|seen| seen.headers.contains_key("x-key"))
    })
    .await;
    bao.kill().await;
    assert_eq!(node.ask("POST", "/vaults/bao/refresh", &Value::Null).await.0, 200);
    becomes("it is told", async || !node.get("/vaults/bao/status").await["last_error"].is_null()).await;
    assert_eq!(node.through("/").await.status, 200, "what was read serves on");
    assert_eq!(node.ask("POST", "/vaults/none/refresh", &Value::Null).await.0, 404);
}

/// The file of the tutorial, with a service in front of which the secret is used.
fn file(upstream: &Recorder, bao: &OpenBao) -> String {
    format!(
        r#"_format_version: "3.0"
vaults:
- name: hcv
  prefix: hashicorp-vault
  description: Storing secrets in HashiCorp Vault
  config:
    host: ${{{{ env "DECK_HCV_HOST" }}}}
    token: ${{{{ env "DECK_HCV_TOKEN" }}}}
    kv: v2
    mount: secret
    port: {}
    protocol: http
    auth_method: oauth2
    oauth2_role_name: demo
    oauth2_token_endpoint: http://${{{{ env "DECK_DOMAIN" }}}}/oauth/token
    oauth2_client_id: ${{{{ env "DECK_CLIENT_ID" }}}}
    oauth2_client_secret: ${{{{ env "DECK_CLIENT_SECRET" }}}}
    oauth2_audiences: ${{{{ env "DECK_AUDIENCE" }}}}
services:
- name: echo
  url: http://{}
  routes: [{{ name: echo, paths: [/] }}]
  plugins:
  - name: request-transformer
    config: {{ add: {{ headers: ["authorization:Bearer {REFERENCE}"] }} }}
"#,
        bao.port(),
        upstream.address()
    )
}

fn with_variables(command: Postern, stack: &DevStack) -> Postern {
    let domain = stack.info.token_endpoint.trim_start_matches("http://").trim_end_matches("/oauth/token");
    command
        .env("DECK_DOMAIN", domain)
        .env("DECK_CLIENT_ID", &stack.info.client_id)
        .env("DECK_CLIENT_SECRET", &stack.info.client_secret)
        .env("DECK_AUDIENCE", &stack.info.audience)
        .env("DECK_HCV_HOST", "127.0.0.1")
        .env("DECK_HCV_TOKEN", "root")
}

#[tokio::test]
async fn the_tutorial_by_sync() {
    let (bao, stack, upstream) = (OpenBao::dev().await, DevStack::start().await, Recorder::start().await);
    prepare(&bao, &stack).await;
    let mut node = Node::sqlite(&[]).await;
    let unknown = node.command().args(["vault", "get", REFERENCE]).run().await.fails_with(1);
    assert!(unknown.stderr.contains("hashicorp-vault"), "{unknown}");

    let yaml = file(&upstream, &bao);
    for command in ["validate", "sync"] {
        let run = node.deck(command).file("kong.yaml", &yaml).arg("kong.yaml");
        let outcome = with_variables(run, &stack).run().await.ok();
        assert!(!format!("{outcome}").contains(&stack.info.client_secret), "{outcome}");
        let is_told = outcome.stdout.contains("creating vault hashicorp-vault");
        assert_eq!(is_told, command == "sync", "{outcome}");
    }
    let diff = node.deck("diff").args(["--non-zero-exit-code", "kong.yaml"]).file("kong.yaml", &yaml);
    with_variables(diff, &stack).run().await.ok();

    for started in ["first", "again"] {
        let get = node.command().args(["vault", "get", REFERENCE]).run().await.ok();
        assert_eq!((&*get.stdout, &*get.stderr), ("mypassword\n", ""), "{started}");
        becomes("the header comes from the vault", async || {
            node.through("/").await.status == 200
                && authorization(&upstream).as_deref() == Some("Bearer mypassword")
        })
        .await;
        node.end().await;
        node.start_again().await;
    }
    // The command reads the database, also of a node that does not run.
    node.end().await;
    let get = node.command().args(["vault", "get", "hashicorp-vault/password/pass"]).run().await.ok();
    assert_eq!(get.stdout, "mypassword\n");
    let list = node.command().args(["vault", "list"]).run().await.ok();
    assert!(list.stdout.contains("Storing secrets in HashiCorp Vault"), "{list}");
    let missing = node.command().args(["vault", "get", "{vault://hashicorp-vault/password/pw1}"]).run().await;
    missing.fails_with(1).stderr_has(&["subfield pw1 not found in JSON secret"]);
}

/// Whoever only reads makes nothing: neither a database nor its directory.
#[tokio::test]
async fn a_command_makes_no_database() {
    let get = Postern::command().env("POSTERN_PREFIX", "prefix").env("X", "value");
    let outcome = get.args(["vault", "get", "env/x"]).run().await.ok();
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("value\n", ""));
    assert!(outcome.files.is_empty(), "{:?}", outcome.files.keys());
}

/// A database that is away stops no reference that needs nothing of it, and is told.
#[tokio::test]
async fn a_database_that_is_away() {
    let get = |reference: &str| {
        let away = Postern::command().env("POSTERN_DATABASE", "postgres").env("POSTERN_PG_PORT", "1");
        away.env("X", "value").args(["vault", "get", reference])
    };
    let outcome = get("env/x").run().await.ok();
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("value\n", ""));
    let unknown = get(REFERENCE).run().await.fails_with(1).stderr_has(&["database: ", "pg_*"]);
    assert!(unknown.stdout.is_empty(), "{unknown}");
}
