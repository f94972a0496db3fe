//! The tutorial, as far as data cannot say it: what goes over the wire, and the program under Kong's name.
//! `cases/tutorial.yaml` has the rest.

use std::{os::unix::fs::symlink, process::Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_conformance::ask::becomes;
use postern_conformance::{Answer, DevStack, Node, OpenBao, Postern, Recorder, Relay, Stub};
use serde_json::json;
use tokio::process::Command;

use crate::commands::{CLIENT_SECRET, by_oauth2};

/// One `vault get` asks the identity provider once, logs in once, and reads once.
#[tokio::test]
async fn one_token_one_login_one_read() {
    let (bao, stack) = (OpenBao::dev().await, DevStack::start().await);
    prepare(&bao, &stack).await;
    let (vault, idp) = (Relay::to(&bao.addr()).await, Relay::to(&stack.info.issuer).await);

    let endpoint = format!("http://127.0.0.1:{}/oauth/token", idp.port());
    let get = by_oauth2(vault.port(), &endpoint)
        .env("KONG_VAULT_HCV_OAUTH2_CLIENT_ID", &stack.info.client_id)
        .env("KONG_VAULT_HCV_OAUTH2_CLIENT_SECRET", &stack.info.client_secret)
        .env("KONG_VAULT_HCV_OAUTH2_AUDIENCES", &stack.info.audience);
    let outcome = get.run().await.ok();

    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("mypassword\n", ""));
    assert!(outcome.files.is_empty(), "it wrote {:?}", outcome.files.keys());
    assert_eq!(idp.requests(), ["POST /oauth/token"]);
    assert_eq!(vault.requests(), ["POST /v1/auth/jwt/login", "GET /v1/secret/data/password"]);
    assert!(
        !vault.said().contains(&stack.info.client_secret),
        "the vault has no business with the client secret"
    );
}

/// RFC 6749, 4.4.2 and 2.3.1, and Auth0's `audience`, one for each item of the list.
#[tokio::test]
async fn the_token_request_is_what_identity_providers_expect() {
    let idp = Stub::http(|_| Answer::json(400, &json!({"error": "invalid_request"}))).await;
    let get = || {
        by_oauth2(1, &format!("{}/oauth/token?tenant=a", idp.url()))
            .env("KONG_VAULT_HCV_OAUTH2_AUDIENCES", "https://a.test/, https://b.test/")
            .env("KONG_VAULT_HCV_OAUTH2_SCOPES", "read:secrets, openid")
    };
    get().run().await.fails_with(1);
    get().env("KONG_VAULT_HCV_OAUTH2_CLIENT_AUTH_METHOD", "client_secret_basic").run().await.fails_with(1);

    let heard = idp.heard();
    let [post, basic] = &heard[..] else { panic!("two requests, got {heard:?}") };
    let common = "grant_type=client_credentials&audience=https%3A%2F%2Fa.test%2F&audience=https%3A%2F%2Fb.test%2F&\
                  scope=read%3Asecrets+openid";
    for request in [post, basic] {
        assert!(request.starts_with("POST /oauth/token?tenant=a HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"), "{request}");
        assert!(request.contains(common), "{request}");
    }
    assert!(post.ends_with(&format!("&client_id=the-client&client_secret={CLIENT_SECRET}")), "{post}");
    assert!(!post.contains("authorization:"), "{post}");
    let pair = STANDARD.encode(format!("the-client:{CLIENT_SECRET}"));
    assert!(basic.contains(&format!("authorization: Basic {pair}\r\n")), "{basic}");
    assert!(!basic.contains("client_secret="), "{basic}");
}

/// Scripts call `kong vault get`: a link of that name is enough for them.
#[tokio::test]
async fn called_as_kong() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let kong = directory.path().join("kong");
    symlink(Postern::binary(), &kong).expect("a link to the binary");
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(&kong);
        command.env_clear().env("SECRETS_TEST", "testvalue").args(arguments).stdin(Stdio::null());
        let output = command.output().await.expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let value = (Some(0), "testvalue\n".to_owned(), String::new());
    assert_eq!(run(&["vault", "get", "{vault://env/secrets-test}"]).await, value);
    assert_eq!(run(&["vault", "get", "env/secrets_test"]).await, value);
    let (code, stdout, stderr) = run(&["vault", "get"]).await;
    assert_eq!((code, &*stdout), (Some(1), ""));
    let expected = "Error: the 'get' command needs a <reference> argument\nkong vault get <reference>\n";
    assert!(stderr.starts_with(expected), "{stderr}");
}

/// The tutorial's own way: decK's file, by `postern sync`, into a node that runs; it is all still there after a restart, and
/// `vault get` knows the vault.
#[tokio::test]
async fn by_decks_way() {
    let (bao, stack, upstream) = (OpenBao::dev().await, DevStack::start().await, Recorder::start().await);
    prepare(&bao, &stack).await;
    let info = &stack.info;
    let (host, port) = bao.addr().trim_start_matches("http://").split_once(':').map_or_else(
        || panic!("an address with a port: {}", bao.addr()),
        |(host, port)| (host.to_owned(), port.to_owned()),
    );
    let yaml = format!(
        r#"_format_version: "3.0"
vaults:
- name: hcv
  prefix: hashicorp-vault
  description: Storing secrets in HashiCorp Vault
  config:
    host: {host}
    port: {port}
    protocol: http
    kv: v2
    mount: secret
    auth_method: oauth2
    oauth2_role_name: demo
    oauth2_token_endpoint: {}
    oauth2_client_id: ${{{{ env "DECK_CLIENT_ID" }}}}
    oauth2_client_secret: "{{vault://env/client-secret}}"
    oauth2_audiences: {}
services:
- name: echo
  url: http://{}
  routes: [{{ name: all, paths: [/] }}]
  plugins:
  - name: request-transformer
    config: {{ add: {{ headers: ["authorization:Bearer {{vault://hashicorp-vault/password/pass}}"] }} }}
"#,
        info.token_endpoint,
        info.audience,
        upstream.address()
    );
    let mut node = Node::sqlite(&[("CLIENT_SECRET", &info.client_secret)]).await;
    let sync =
        node.deck("sync").env("DECK_CLIENT_ID", &info.client_id).file("kong.yaml", &yaml).arg("kong.yaml");
    let said = sync.run().await.ok().stdout;
    assert!(said.contains("creating vault hashicorp-vault"), "{said}");
    for _ in 0..2 {
        becomes("the header comes from the vault", async || {
            let is_served = node.through("/hello").await.status == 200;
            let seen = upstream.take().pop();
            is_served
                && seen.is_some_and(|seen| {
                    seen.headers.get("authorization").is_some_and(|value| value == "Bearer mypassword")
                })
        })
        .await;
        let get = node.command().args(["vault", "get", "{vault://hashicorp-vault/password/pass}"]);
        assert_eq!(get.run().await.ok().stdout, "mypassword\n");
        node.end().await;
        node.start_again().await;
    }
}

async fn prepare(bao: &OpenBao, stack: &DevStack) {
    let jwks = format!("jwks_url={}", stack.info.jwks_url);
    let subject = format!("bound_subject={}@clients", stack.info.client_id);
    let audience = format!("bound_audiences={}", stack.info.audience);
    let policy = bao.directory().join("read.hcl");
    std::fs::write(&policy, "path \"secret/*\" { capabilities = [\"read\"] }").expect("a policy file");
    let policy = policy.display().to_string();
    let role =
        ["role_type=jwt", "user_claim=sub", "token_type=batch", "token_policies=read", &subject, &audience];
    let role: Vec<&str> = ["write", "auth/jwt/role/demo"].into_iter().chain(role).collect();
    let steps: &[&[&str]] = &[
        &["auth", "enable", "jwt"],
        &["write", "auth/jwt/config", &jwks],
        &["policy", "write", "read", &policy],
        &role,
        &["kv", "put", "-mount=secret", "password", "pass=mypassword"],
    ];
    for step in steps {
        bao.cli(step).await.ok();
    }
}
