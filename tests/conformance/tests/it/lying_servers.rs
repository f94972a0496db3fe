//! Vaults and identity providers that lie: whatever they answer, the program ends soon, with an error that says what
//! is wrong and holds no secret, and never prints what a successful answer said.
//!
//! `transport` has what is wrong below HTTP's meaning, the same for every server; here is what only a vault or only
//! an identity provider can lie about.

mod transport;

use std::time::Duration;

use postern_conformance::{Answer, Outcome, Postern, Stub};
use serde_json::{Value, json};

use crate::commands::{CLIENT_SECRET, TOKEN, by_oauth2, by_token};

/// Ten seconds for an exchange, and some for a machine that runs other tests.
const LIMIT: Duration = Duration::from_secs(15);

/// What the honest identity provider gives.
const JWT: &str = "eyJhbGciOiJub25lIn0.Y2FuYXJ5LW9mLXRoZS1qd3Q.c2lnbmF0dXJl";

/// Stands in every successful answer; nobody may see it.
const PRIVATE: &str = "private-words-of-an-answer";

const VAULT: &str = "unable to retrieve secret from vault: ";
const IDP: &str = "unable to get a token from the identity provider: ";

#[tokio::test]
async fn a_read_of_another_shape() {
    let no_secret: &[(Value, &str)] = &[
        (json!([PRIVATE]), "is not one of KV version 2"),
        (json!(PRIVATE), "is not a vault's JSON"),
        (json!({}), "has no data"),
        (json!({"data": null}), "has no data"),
        (json!({"data": PRIVATE}), "is not one of KV version 2"),
        (json!({"data": {"pass": PRIVATE}}), "is not one of KV version 2"),
        (json!({"data": {"data": {"pass": PRIVATE}}}), "is not one of KV version 2"),
        (json!({"data": {"data": PRIVATE, "metadata": {"version": 1}}}), "holds no object"),
        (json!({"data": {"data": [PRIVATE], "metadata": {"version": 1}}}), "holds no object"),
    ];
    for (body, text) in no_secret {
        let vault = Stub::http(always(Answer::json(200, body))).await;
        let outcome = refused(by_token(vault.port()), VAULT).await;
        outcome.stderr_has(&[
            "the answer for secret/password ",
            text,
            "check that host and port are those of a vault",
        ]);
    }
    let deleted =
        json!({"data": {"data": null, "metadata": {"version": 3, "deletion_time": "\u{1b}[2J2026"}}});
    let vault = Stub::http(always(Answer::json(200, &deleted))).await;
    refused(by_token(vault.port()), VAULT)
        .await
        .stderr_has(&["version 3 of secret/password was deleted (22026)"]);
}

#[tokio::test]
async fn a_read_that_is_no_json() {
    let cases = [
        (Answer::http(200, "text/html", &page()), "is not a vault's JSON"),
        (Answer::http(200, "application/json", ""), "is not a vault's JSON"),
        (
            Answer::http(200, "application/json", &format!("{{\"data\": {{\"{PRIVATE}\"")),
            "is not a vault's JSON",
        ),
        (Answer::http(204, "application/json", ""), "invalid response code 204"),
        (Answer::http(200, "application/json", &nested()), "holds no object"),
        (not_utf8(), "is not UTF-8"),
    ];
    for (answer, text) in cases {
        let vault = Stub::http(always(answer)).await;
        refused(by_token(vault.port()), VAULT).await.stderr_has(&[text]);
    }
}

#[tokio::test]
async fn a_login_of_another_shape() {
    let cases: &[(Answer, &str)] = &[
        (Answer::json(200, &json!([PRIVATE])), "the answer to the login is not a login's JSON"),
        (Answer::json(200, &json!({"data": PRIVATE})), "the answer to the login has no auth"),
        (Answer::json(200, &json!({"auth": null})), "the answer to the login has no auth"),
        (Answer::json(200, &json!({"auth": {"accessor": PRIVATE}})), "has no client token"),
        (Answer::json(200, &json!({"auth": {"client_token": ""}})), "has no client token"),
        (Answer::json(200, &json!({"auth": {"client_token": [PRIVATE]}})), "is not a login's JSON"),
        (Answer::json(200, &json!({"auth": {"client_token": 7, "x": PRIVATE}})), "is not a login's JSON"),
        (Answer::http(200, "text/html", &page()), "is not a login's JSON"),
        (not_utf8(), "is not a login's JSON"),
    ];
    let idp = honest_idp().await;
    for (answer, text) in cases {
        let vault = Stub::http(always(answer.clone())).await;
        let outcome = refused(by_oauth2(vault.port(), &idp.url()), VAULT).await;
        outcome.stderr_has(&[text, "check that host and port are those of a vault"]);
        assert_eq!(vault.heard().len(), 1, "after a failed login nothing is read");
    }
    // A token that would add a header to the next request.
    let token = json!({"auth": {"client_token": format!("{PRIVATE}\r\nx-evil: 1")}});
    let vault = Stub::http(always(Answer::json(200, &token))).await;
    refused(by_oauth2(vault.port(), &idp.url()), VAULT)
        .await
        .stderr_has(&["x-vault-token cannot stand in an HTTP header"]);
}

/// A server that sends back what it got, as debug pages do: no credential gets into the error.
#[tokio::test]
async fn answers_that_repeat_the_credentials() {
    let echo = |request: &str| Answer::json(400, &json!({"errors": ["you said", request], "error": request}));
    let debug_page = |request: &str| Answer::http(500, "text/plain", request);
    let idp_echo = |request: &str| Answer::json(401, &json!({"error": "bad", "error_description": request}));
    let idp = honest_idp().await;

    for vault in [Stub::http(echo).await, Stub::http(debug_page).await] {
        refused(by_token(vault.port()), VAULT).await.stderr_has(&["***"]);
        refused(by_oauth2(vault.port(), &idp.url()), "performing jwt authentication: ")
            .await
            .stderr_has(&["***"]);
    }
    for method in ["client_secret_post", "client_secret_basic"] {
        for idp in [Stub::http(idp_echo).await, Stub::http(echo).await, Stub::http(debug_page).await] {
            let get = by_oauth2(1, &idp.url()).env("KONG_VAULT_HCV_OAUTH2_CLIENT_AUTH_METHOD", method);
            refused(get, IDP).await.stderr_has(&["***"]);
        }
    }
}

/// Credentials do not follow a redirect, wherever it points.
#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Stub::http(always(Answer::json(200, &json!({"access_token": JWT})))).await;
    let idp = honest_idp().await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/v1/secret/data/password", elsewhere.url());
        let answer = redirect(status, &to);
        let (vault, lying_idp) = (Stub::http(always(answer.clone())).await, Stub::http(always(answer)).await);
        let told = format!("redirects to {to}");
        let point = "point host and port at the server itself";
        refused(by_token(vault.port()), VAULT).await.stderr_has(&[&told, point]);
        refused(by_oauth2(vault.port(), &idp.url()), VAULT).await.stderr_has(&[&told, point]);
        let outcome = refused(by_oauth2(1, &lying_idp.url()), IDP).await;
        outcome.stderr_has(&[&told, "check that oauth2_token_endpoint is the token endpoint itself"]);
    }
    assert!(elsewhere.heard().is_empty(), "somebody followed: {:?}", elsewhere.heard());
}

#[tokio::test]
async fn errors_of_odd_shapes() {
    let long = "x".repeat(100_000);
    let cases: &[(Answer, &str)] = &[
        (Answer::http(500, "text/html", &format!("<html>{long}")), "invalid response code 500"),
        (Answer::json(502, &json!({"errors": [long]})), "invalid response code 502"),
        (Answer::http(503, "", ""), "invalid response code 503"),
        (Answer::http(418, "text/plain", "\u{1b}]0;title\u{7}\u{1b}[31mteapot"), "teapot"),
        (Answer::http(999, "text/plain", "beyond"), "invalid response code 999"),
    ];
    for (answer, text) in cases {
        let vault = Stub::http(always(answer.clone())).await;
        let outcome = refused(by_token(vault.port()), VAULT).await.stderr_has(&[text]);
        assert!(outcome.stderr.len() < 2000, "{} bytes", outcome.stderr.len());
    }
}

/// Runs what must fail in time, and checks what holds for every failure.
async fn refused(postern: Postern, because: &str) -> Outcome {
    let outcome = postern.limit(LIMIT).run().await.fails_with(1);
    let outcome =
        outcome.stderr_has(&["Error: could not get value from external vault (no value found (", because]);
    assert_eq!(outcome.stdout, "");
    for secret in [PRIVATE, JWT, TOKEN, CLIENT_SECRET] {
        assert!(!outcome.stderr.contains(secret), "{secret} is in {outcome}");
    }
    let printable = outcome.stderr.chars().all(|c| !c.is_control() || c == '\n');
    assert!(printable, "{:?}", outcome.stderr);
    outcome
}

async fn honest_idp() -> Stub {
    Stub::http(always(Answer::json(200, &json!({"access_token": JWT, "expires_in": 60})))).await
}

fn always(answer: Answer) -> impl Fn(&str) -> Answer + Send + Sync + 'static {
    move |_| answer.clone()
}

fn redirect(status: u16, to: &str) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    Answer::Bytes(head.into_bytes())
}

fn page() -> String {
    format!("<html><title>Welcome to the proxy</title>{PRIVATE}</html>")
}

fn not_utf8() -> Answer {
    Answer::Bytes(
        [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n".as_slice(), b"\"\xff\xfe\""]
            .concat(),
    )
}

fn nested() -> String {
    let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
    format!("{{\"data\": {{\"data\": {open}{close}, \"metadata\": {{\"version\": 1}}}}}}")
}
