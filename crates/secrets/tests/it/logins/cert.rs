//! The login by TLS certificate, over TLS with a CA of the test's own, and the texts that people search for.

use postern_client::Trust;
use postern_conformance::ca::{Ca, Issued, self_signed};
use postern_conformance::{Audit, OpenBao, TlsFiles};
use postern_secrets::resolve::Resolver;
use serde_json::{Value, json};

use super::{assert_told, assert_value, config, get, merged, resolver};

/// OpenBao with TLS, the certificate auth method, and the role `app` for clients of one CA.
struct Tls {
    bao: OpenBao,
    audit: Audit,
    server_ca: Ca,
    client_ca: Ca,
}

impl Tls {
    async fn start() -> Self {
        let (server_ca, client_ca) = (Ca::new("Servers"), Ca::new("Clients"));
        let shown = server_ca.issue(&["127.0.0.1"]);
        let bao = OpenBao::tls(TlsFiles { cert: shown.chain, key: shown.key }).await;
        let audit = Audit::of(&bao).await;
        let tls = Self { bao, audit, server_ca, client_ca };
        tls.ok(
            "PUT",
            "sys/policies/acl/reader",
            json!({"policy": "path \"secret/*\" { capabilities = [\"read\"] }"}),
        )
        .await;
        tls.ok("POST", "secret/data/password", json!({"data": {"pass": "mypassword"}})).await;
        tls.ok("POST", "sys/auth/cert", json!({"type": "cert"})).await;
        tls.role("app", json!({"token_policies": "reader"})).await;
        tls
    }

    async fn ok(&self, method: &str, path: &str, body: Value) {
        let (status, reply) = self.bao.request(method, path, Some(&body)).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {reply}");
    }

    async fn role(&self, name: &str, own: Value) {
        let role = merged(json!({"certificate": self.client_ca.pem()}), own);
        self.ok("POST", &format!("auth/cert/certs/{name}"), role).await;
    }

    fn trust(&self) -> Trust {
        Trust::from_items([self.server_ca.pem()]).expect("a CA")
    }

    /// A vault that shows this certificate; `own` are more fields.
    fn with(&self, shown: &Issued, own: Value) -> Resolver {
        resolver(&self.trust(), &self.config(shown, own))
    }

    fn config(&self, shown: &Issued, own: Value) -> Value {
        let login = json!({
            "protocol": "https", "auth_method": "cert", "cert_auth_cert": shown.chain,
            "cert_auth_cert_key": shown.key,
        });
        config(self.bao.port(), merged(login, own))
    }

    fn logins(&self) -> usize {
        self.audit.count("auth/cert/login")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_logs_in_with_and_without_a_role_and_with_its_chain() {
    let tls = Tls::start().await;
    let direct = tls.client_ca.issue_client("web");
    let named = tls.with(&direct, json!({"cert_auth_role_name": "app"}));
    assert_value(get(&named).await);
    assert_value(get(&named).await);
    assert_eq!(tls.logins(), 1);
    assert_value(get(&tls.with(&direct, json!({}))).await);

    let below = tls.client_ca.intermediate("Issuing").issue_client("web");
    assert_value(get(&tls.with(&below, json!({}))).await);
    let alone = Issued { chain: below.cert.clone(), ..below };
    let texts =
        ["invalid response code 400 received when performing certificate-based authentication: {", "chain"];
    assert_told(get(&tls.with(&alone, json!({}))).await, &texts);

    tls.ok("PUT", "sys/leases/revoke-prefix/auth/cert/login", json!({})).await;
    assert_value(get(&named).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_in_the_documented_words() {
    let tls = Tls::start().await;
    let web = tls.client_ca.issue_client("web");
    let refused = "invalid response code 400 received when performing certificate-based authentication: {\"errors\":[\"";

    let error = get(&tls.with(&web, json!({"cert_auth_role_name": "nosuch"}))).await;
    assert_told(error, &[refused, "vault read auth/cert/certs/nosuch"]);

    let stranger = Ca::new("Strangers").issue_client("web");
    for own in [json!({}), json!({"cert_auth_role_name": "app"})] {
        assert_told(get(&tls.with(&stranger, own)).await, &[refused, "the client certificate"]);
    }

    tls.role("rooted", json!({"token_policies": "root"})).await;
    let error = get(&tls.with(&web, json!({"cert_auth_role_name": "rooted"}))).await;
    let whole = "invalid response code 400 received when performing certificate-based authentication: \
                 {\"errors\":[\"auth methods cannot create root tokens\"]}";
    assert_told(error, &[whole, "which no login may give", "vault read auth/cert/certs/rooted"]);

    tls.ok("DELETE", "sys/auth/cert", json!({})).await;
    let texts = ["is the TLS certificate auth method enabled at auth/cert?"];
    assert_told(get(&tls.with(&web, json!({}))).await, &texts);

    tls.bao.seal().await;
    let whole = "invalid response code 503 received when performing certificate-based authentication: \
                 {\"errors\":[\"Vault is sealed\"]}";
    assert_told(get(&tls.with(&web, json!({}))).await, &[whole, "vault operator unseal"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_trusted_gets_no_login() {
    let tls = Tls::start().await;
    let web = tls.client_ca.issue_client("web");
    let stranger = Trust::from_items([Ca::new("Strangers").pem()]).expect("a CA");
    let texts = [
        "failure performing certificate-based authentication: 21: unable to verify the first certificate",
        "with the whole chain, to lua_ssl_trusted_certificate",
    ];
    assert_told(get(&resolver(&stranger, &tls.config(&web, json!({})))).await, &texts);
    let other_name = tls.with(&web, json!({"host": "localhost"}));
    let texts = ["failure performing certificate-based authentication: certificate host mismatch"];
    assert_told(get(&other_name).await, &texts);
    assert_eq!(tls.logins(), 0);
    // Other logins keep the words that people know.
    let mut token = tls.config(&web, json!({"auth_method": "token", "token": "root"}));
    token.as_object_mut().expect("an object").retain(|name, _| !name.starts_with("cert_"));
    let texts = ["unable to retrieve secret from vault: 21: unable to verify the first certificate"];
    assert_told(get(&resolver(&stranger, &token)).await, &texts);

    let shown = self_signed(&["127.0.0.1"], true);
    let bao = OpenBao::tls(TlsFiles { cert: shown.chain, key: shown.key }).await;
    let config = tls.config(&web, json!({"port": bao.port()}));
    let texts = ["failure performing certificate-based authentication: 18: self-signed certificate"];
    assert_told(get(&resolver(&stranger, &config)).await, &texts);
    // Whoever verifies nothing logs in all the same.
    let blind = tls.config(&web, json!({"ssl_verify": false}));
    assert_value(get(&resolver(&stranger, &blind)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_shown_is_named_before_anything_is_sent() {
    let ca = Ca::new("Clients");
    let (web, other) = (ca.issue_client("web"), ca.issue_client("other"));
    let pair = |cert: &str, key: &str| {
        let login = json!({
            "protocol": "https", "auth_method": "cert", "cert_auth_cert": cert, "cert_auth_cert_key": key,
        });
        resolver(&Trust::none(), &config(1, login))
    };
    let secret_line = web.key.lines().nth(1).expect("a line of the key");
    for (cert, key, told) in [
        (&web.cert, &other.key, "cert_auth_cert_key: the key does not belong to the certificate"),
        (&web.key, &web.key, "cert_auth_cert: holds no PEM certificate"),
        (&web.cert, &web.cert, "cert_auth_cert_key: holds no PEM private key"),
        (&web.cert, &web.key.replace("PRIVATE", "ENCRYPTED PRIVATE"), "cert_auth_cert_key: is encrypted"),
        (&web.cert, &web.key.replace(secret_line, "garbage"), "cert_auth_cert_key: "),
    ] {
        let error = get(&pair(cert, key)).await;
        assert!(!format!("{error:?}").contains(&secret_line[..20]), "{error:?}");
        assert_told(error, &["vault 'hcv' is misconfigured: ", told]);
    }
}
