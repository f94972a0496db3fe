//! The tutorial, as far as data cannot say it: what goes over the wire, and the program under Kong's name.
//! `cases/tutorial.yaml` has the rest, `admin_secrets.rs` decK's way.

use std::{os::unix::fs::symlink, process::Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_conformance::{Answer, DevStack, OpenBao, Postern, Relay, Stub};
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

pub(crate) async fn prepare(bao: &OpenBao, stack: &DevStack) {
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
