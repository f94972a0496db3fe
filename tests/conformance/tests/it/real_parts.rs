//! The real parts are real, and work here: OpenBao in both modes, and an OIDC provider that is not ours.
//!
//! No Postern in this file. When these fail, the machine or a pinned version is at fault, not the product.

use std::fs;

use postern_conformance::{Audit, OidcProvider, OpenBao, Outcome, TlsFiles, ca::Ca};
use serde_json::json;

#[tokio::test]
async fn openbao_dev_keeps_a_secret() {
    let bao = OpenBao::dev().await;
    bao.cli(&["status"]).await.ok();
    bao.cli(&["kv", "put", "-mount=secret", "password", "pass=mypassword"]).await.ok();
    let got = bao.cli(&["kv", "get", "-mount=secret", "-field=pass", "password"]).await.ok();
    assert_eq!(got.line(), "mypassword");
    let (status, reply) = bao.request("GET", "secret/data/password", None).await;
    assert_eq!((status, &reply["data"]["data"]), (200, &json!({"pass": "mypassword"})));
    let (status, reply) = bao.request_as(Some("wrong"), "GET", "secret/data/password", None).await;
    assert_eq!(status, 403, "{reply}");
}

#[tokio::test]
async fn openbao_tls_is_trusted_through_its_ca_only() {
    let (ca, other) = (Ca::new("Test Root"), Ca::new("Another Root"));
    let server = ca.intermediate("Test Issuing CA").issue(&["localhost", "127.0.0.1"]);
    let bao = OpenBao::tls(TlsFiles { cert: server.chain, key: server.key }).await;
    let (trusted, foreign) = (bao.directory().join("trusted.pem"), bao.directory().join("foreign.pem"));
    fs::write(&trusted, ca.pem()).expect("a CA file");
    fs::write(&foreign, other.pem()).expect("a CA file");

    bao.cli(&["kv", "put", "-mount=secret", "password", "pass=mypassword"]).await.ok();
    let got =
        bao.cli_over_tls(&trusted, &["kv", "get", "-mount=secret", "-field=pass", "password"]).await.ok();
    assert_eq!(got.line(), "mypassword");
    bao.cli_over_tls(&foreign, &["status"])
        .await
        .fails_with(1)
        .stderr_has(&["certificate signed by unknown authority"]);
}

#[tokio::test]
async fn openbao_tls_seals_unseals_and_dies() {
    let server = Ca::new("Test Root").issue(&["127.0.0.1"]);
    let mut bao = OpenBao::tls(TlsFiles { cert: server.cert, key: server.key }).await;
    bao.cli(&["kv", "put", "-mount=secret", "password", "pass=mypassword"]).await.ok();

    bao.seal().await;
    let (status, reply) = bao.request("GET", "secret/data/password", None).await;
    assert_eq!((status, reply), (503, json!({"errors": ["Vault is sealed"]})));
    bao.unseal().await;
    let (status, _) = bao.request("GET", "secret/data/password", None).await;
    assert_eq!(status, 200);

    bao.kill().await;
    bao.cli(&["status"]).await.fails_with(1).stderr_has(&["connection refused"]);
}

#[tokio::test]
async fn openbao_audits_each_request_once() {
    let server = Ca::new("Test Root").issue(&["127.0.0.1"]);
    let tls = OpenBao::tls(TlsFiles { cert: server.cert, key: server.key }).await;
    for bao in [OpenBao::dev().await, tls] {
        let audit = Audit::of(&bao).await;
        bao.request("GET", "secret/data/none", None).await;
        bao.request_as(Some("wrong"), "GET", "secret/data/none", None).await;
        bao.request_as(None, "POST", "auth/approle/login", Some(&json!({}))).await;
        let (reads, logins) = (audit.count("secret/data/none"), audit.count("auth/approle/login"));
        assert_eq!((reads, logins), (2, 1), "{:?}", audit.requests());
    }
}

#[tokio::test]
async fn oidc_provider_refuses_what_it_should() {
    let idp = OidcProvider::start().await;
    let ask = async |client: &str, secret: &str, audience: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret),
            ("audience", audience),
        ];
        let (status, reply) = idp.token_request(&form, &[]).await;
        (status, reply["error"].as_str().unwrap_or_default().to_owned())
    };
    let (id, secret, audience) = (idp.client_id(), idp.client_secret(), idp.audience());
    assert_eq!(ask(id, secret, audience).await, (200, String::new()));
    assert_eq!(ask(id, "wrong", audience).await, (401, "invalid_client".into()));
    assert_eq!(ask(id, secret, "https://elsewhere.test/").await, (400, "invalid_target".into()));
    // The secret may also come in the header, form-encoded before base64 as RFC 6749 2.3.1 has it.
    let form = [("grant_type", "client_credentials"), ("audience", audience)];
    let basic = ("authorization", &*idp.basic_authorization());
    let (status, reply) = idp.token_request(&form, &[basic]).await;
    assert_eq!(status, 200, "{reply}");
}

/// The seed's tutorial, with the `bao` command line in Postern's place.
#[tokio::test]
async fn the_tutorial_works_without_postern() {
    let (bao, idp) = (OpenBao::dev().await, OidcProvider::start().await);
    let jwks = format!("jwks_url={}", idp.jwks_url());
    let subject = format!("bound_subject={}", idp.client_id());
    let audiences = format!("bound_audiences={}", idp.audience());
    let policy = bao.directory().join("read-password.hcl");
    fs::write(&policy, "path \"secret/data/password\" { capabilities = [\"read\"] }\n")
        .expect("a policy file");
    let policy = policy.display().to_string();
    let steps: &[&[&str]] = &[
        &["auth", "enable", "jwt"],
        &["write", "auth/jwt/config", &jwks],
        &["policy", "write", "read-password", &policy],
        &[
            "write",
            "auth/jwt/role/demo",
            "role_type=jwt",
            "user_claim=sub",
            "token_type=batch",
            "token_policies=read-password",
            &subject,
            &audiences,
        ],
        &["kv", "put", "-mount=secret", "password", "pass=mypassword"],
    ];
    for step in steps {
        bao.cli(step).await.ok();
    }

    let jwt = format!("jwt={}", idp.access_token(idp.audience()).await);
    let login: Outcome = bao.cli(&["write", "-field=token", "auth/jwt/login", "role=demo", &jwt]).await.ok();
    let (status, reply) = bao.request_as(Some(login.line()), "GET", "secret/data/password", None).await;
    assert_eq!((status, &reply["data"]["data"]["pass"]), (200, &json!("mypassword")), "{reply}");
    let (status, _) = bao.request_as(Some(login.line()), "GET", "secret/data/other", None).await;
    assert_eq!(status, 403);
}
