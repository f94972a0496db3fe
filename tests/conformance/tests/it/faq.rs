//! The tutorial's FAQ, as far as it needs servers of the test's own: certificates that are wrong in every way, and
//! identity providers that give no token. `cases/faq.yaml` has the rest.

use postern_conformance::{
    Answer, OpenBao, Outcome, Stub, TlsFiles,
    ca::{Ca, Issued, Validity, self_signed},
};
use serde_json::json;

use crate::commands::{CLIENT_SECRET, by_oauth2, by_token};

/// The names of the machine that the tests run on.
const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// What a vault shows, what the client trusts, and what is said about it.
struct Shown {
    what: &'static str,
    chain: Issued,
    trusted: String,
    text: &'static str,
    hint: &'static str,
}

fn wrong_certificates() -> Vec<Shown> {
    let root = Ca::new("Test Root");
    let (issuing, other) = (root.intermediate("Test Issuing CA"), Ca::new("Another Root").pem().to_owned());
    let leaf = root.issue(&HERE);
    let below = issuing.issue(&HERE);
    let with = |issued: &Issued, chain: String| Issued { chain, ..issued.clone() };
    let shown =
        |what, chain, trusted: &str, text, hint| Shown { what, chain, trusted: trusted.into(), text, hint };
    vec![
        shown(
            "self-signed",
            self_signed(&HERE, false),
            &other,
            "18: self-signed certificate",
            "lua_ssl_trusted",
        ),
        shown(
            "self-signed, as openssl does",
            self_signed(&HERE, true),
            &other,
            "18: self-signed certificate",
            "lua_ssl",
        ),
        shown(
            "the whole chain, its root too",
            with(&leaf, format!("{}{}", leaf.cert, root.pem())),
            &other,
            "19: self-signed certificate in certificate chain",
            "lua_ssl_trusted_certificate",
        ),
        shown(
            "a chain up to the root",
            below.clone(),
            &other,
            "20: unable to get local issuer certificate",
            "lua_ssl_trusted_certificate",
        ),
        shown(
            "the server's certificate alone",
            leaf.clone(),
            &other,
            "21: unable to verify the first certificate",
            "with the whole chain, to lua_ssl_trusted_certificate",
        ),
        shown(
            "the server's certificate without its intermediate",
            with(&below, below.cert.clone()),
            root.pem(),
            "21: unable to verify the first certificate",
            "lua_ssl_trusted_certificate",
        ),
        shown(
            "an expired certificate",
            root.issue_with(&HERE, Validity::Expired),
            root.pem(),
            "10: certificate has expired",
            "renew the server's certificate, or set this machine's clock",
        ),
        shown(
            "a certificate of the future",
            root.issue_with(&HERE, Validity::NotYet),
            root.pem(),
            "9: certificate is not yet valid",
            "set this machine's clock",
        ),
        shown(
            "a certificate for another host",
            root.issue(&["vault.example.test"]),
            root.pem(),
            "certificate host mismatch",
            "host in the vault's configuration must be one of the names (subjectAltName)",
        ),
    ]
}

#[tokio::test]
async fn a_vault_with_a_wrong_certificate() {
    for Shown { what, chain, trusted, text, hint } in wrong_certificates() {
        let vault = Stub::tls(&chain, secret).await;
        let outcome = over_tls(&vault, &trusted).await.fails_with(1);
        let text = format!("unable to retrieve secret from vault: {text}");
        let texts =
            ["Error: could not get value from external vault (no value found (", &text, "Hint: ", hint];
        assert!(outcome.clone().stderr_has(&texts).stdout.is_empty(), "{what}: {outcome}");
        assert!(vault.heard().is_empty(), "{what}: the token went to a server that is not trusted");
    }
}

#[tokio::test]
async fn a_vault_with_a_right_certificate() {
    let root = Ca::new("Test Root");
    let issuing = root.intermediate("Test Issuing CA");
    let (leaf, below) = (root.issue(&HERE), issuing.issue(&HERE));
    let (own, own_ca) = (self_signed(&HERE, false), self_signed(&HERE, true));
    let alone = Issued { chain: below.cert.clone(), ..below.clone() };
    let whole = format!("{}{}", issuing.pem(), root.pem());
    let cases = [
        ("issued by the root", leaf, root.pem().to_owned()),
        ("with its intermediate", below, root.pem().to_owned()),
        ("without it, which is trusted itself", alone, whole),
        ("self-signed and trusted", own.clone(), own.cert),
        ("self-signed and trusted, as openssl does", own_ca.clone(), own_ca.cert),
    ];
    for (what, chain, trusted) in cases {
        let vault = Stub::tls(&chain, secret).await;
        let outcome = over_tls(&vault, &trusted).await;
        assert_eq!((outcome.code, &*outcome.stdout, &*outcome.stderr), (0, "mypassword\n", ""), "{what}");
    }
}

/// The FAQ's own case, with a real server.
#[tokio::test]
async fn openbao_with_a_self_signed_certificate() {
    let issued = self_signed(&HERE, true);
    let bao = OpenBao::tls(TlsFiles { cert: issued.chain, key: issued.key }).await;
    bao.cli(&["kv", "put", "-mount=secret", "password", "pass=mypassword"]).await.ok();
    let get = || {
        by_token(bao.port())
            .env("KONG_VAULT_HCV_PROTOCOL", "https")
            .env("KONG_VAULT_HCV_TOKEN", bao.root_token())
    };
    let text = "unable to retrieve secret from vault: 18: self-signed certificate";
    get()
        .run()
        .await
        .fails_with(1)
        .stderr_has(&[text, "add the self-signed certificate to lua_ssl_trusted_certificate"]);
    let trusting = get().env("KONG_LUA_SSL_TRUSTED_CERTIFICATE", issued.cert);
    assert_eq!(trusting.run().await.ok().line(), "mypassword");
}

#[tokio::test]
async fn an_identity_provider_with_a_wrong_certificate() {
    let vault = Stub::http(secret).await;
    for Shown { what, chain, trusted, text, .. } in wrong_certificates() {
        let idp = Stub::tls(&chain, |_| Answer::json(200, &json!({"access_token": "a.b.c"}))).await;
        let get = by_oauth2(vault.port(), &format!("{}/oauth/token", idp.url()));
        let outcome = get.env("KONG_LUA_SSL_TRUSTED_CERTIFICATE", trusted).run().await.fails_with(1);
        let text = format!("unable to get a token from the identity provider: {text}");
        assert!(
            outcome.clone().stderr_has(&[&text, "oauth2_token_endpoint"]).stdout.is_empty(),
            "{what}: {outcome}"
        );
        assert!(idp.heard().is_empty(), "{what}: the client secret went to a server that is not trusted");
    }
    assert!(vault.heard().is_empty());
}

#[tokio::test]
async fn an_identity_provider_without_a_token() {
    let vault = Stub::http(secret).await;
    let page = "<html><title>Sign in</title>private-words</html>";
    let token_endpoint = "oauth2_token_endpoint is the token endpoint itself";
    let cases: &[(Answer, &[&str])] = &[
        (
            Answer::http(200, "text/html; charset=utf-8", page),
            &["/oauth/token answered 200 with text/html, not with a JSON token", token_endpoint],
        ),
        (Answer::http(404, "text/html", page), &["answered 404: an HTML page", token_endpoint]),
        (Answer::http(502, "text/html", page), &["answered 502: an HTML page", "identity provider's log"]),
        (Answer::json(200, &json!({"token_type": "Bearer"})), &["answered 200 without an access_token"]),
        (Answer::json(200, &json!({"access_token": null})), &["answered 200 without an access_token"]),
        (Answer::json(200, &json!({"access_token": ""})), &["answered 200 without an access_token"]),
        (
            Answer::json(200, &json!(["private-words"])),
            &["answered 200 with application/json, not with a JSON token"],
        ),
        (
            Answer::json(200, &json!({"access_token": "private-words"})),
            &["the access token is not a JWT", "opaque"],
        ),
        (
            Answer::json(401, &json!({"error": "invalid_client", "error_description": "No such client."})),
            &[
                "answered 401: invalid_client: No such client.",
                "check oauth2_client_id, oauth2_client_secret",
            ],
        ),
        (Answer::json(400, &json!({"error": "invalid_request"})), &["answered 400: invalid_request"]),
        (
            Answer::http(400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n"),
            &[
                "Client sent an HTTP request to an HTTPS server.",
                "oauth2_token_endpoint must begin with https://",
            ],
        ),
    ];
    for (answer, texts) in cases {
        let given = answer.clone();
        let idp = Stub::http(move |_| given.clone()).await;
        let outcome =
            by_oauth2(vault.port(), &format!("{}/oauth/token", idp.url())).run().await.fails_with(1);
        let start = "could not get value from external vault (no value found (unable to get a token from the identity \
                     provider: ";
        let outcome = outcome.stderr_has(&[start, "Hint: "]).stderr_has(texts);
        for private in ["private-words", CLIENT_SECRET] {
            assert!(!outcome.stderr.contains(private), "{private}: {outcome}");
        }
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
    assert!(vault.heard().is_empty(), "without a token there is nothing to say to the vault");
}

async fn over_tls(vault: &Stub, trusted: &str) -> Outcome {
    let get = by_token(vault.port()).env("KONG_VAULT_HCV_PROTOCOL", "https");
    get.env("KONG_LUA_SSL_TRUSTED_CERTIFICATE", trusted).run().await
}

/// The tutorial's secret, whoever asks.
fn secret(_request: &str) -> Answer {
    Answer::json(200, &json!({"data": {"data": {"pass": "mypassword"}, "metadata": {"version": 1}}}))
}
