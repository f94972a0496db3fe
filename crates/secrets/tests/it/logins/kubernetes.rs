//! The login by service account: OpenBao's Kubernetes auth method, and the part of a cluster that it asks, which is ours.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_conformance::ca::Ca;
use postern_conformance::{Answer, Stub};
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};

use super::{Server, assert_told, assert_value, config, get, merged, plain};

/// The cluster's `TokenReview`: it knows the tokens that it has issued.
struct Cluster {
    key: KeyPair,
    valid: Arc<Mutex<BTreeSet<String>>>,
    api: Stub,
}

impl Cluster {
    async fn start() -> Self {
        let valid = Arc::<Mutex<BTreeSet<String>>>::default();
        let known = Arc::clone(&valid);
        let api = Stub::http(move |request| {
            let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let review: Value = serde_json::from_str(body).unwrap_or_default();
            let token = review["spec"]["token"].as_str().unwrap_or_default();
            let is_review = request.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews ");
            if !is_review || !known.lock().expect("no panic").contains(token) {
                return Answer::json(201, &json!({"status": {"authenticated": false}}));
            }
            let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
            let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
            let user = json!({
                "username": claims["sub"], "uid": "uid-1",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            });
            let audiences = &review["spec"]["audiences"];
            let status = json!({"authenticated": true, "user": user, "audiences": audiences});
            let kind =
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
            Answer::json(201, &kind)
        });
        let key = KeyPair::generate().expect("a key");
        Self { key, valid, api: api.await }
    }

    /// A token as a pod gets it: another each time.
    fn token(&self, account: &str) -> String {
        let claims = json!({
            "iss": "kubernetes/serviceaccount", "sub": format!("system:serviceaccount:shop:{account}"),
            "aud": ["https://kubernetes.default.svc"], "iat": 1_577_836_800, "nbf": 1_577_836_800, "exp": 3_786_912_000_u64,
            "kubernetes.io": {
                "namespace": "shop", "serviceaccount": {"name": account, "uid": "uid-1"},
                "pod": {"name": format!("{account}-{}", self.valid.lock().expect("no panic").len()), "uid": "pod-1"},
            },
        });
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(json!({"alg": "ES256", "typ": "JWT"})), part(claims));
        let signature = self.key.sign(message.as_bytes()).expect("a signature");
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        self.valid.lock().expect("no panic").insert(token.clone());
        token
    }

    fn forget_all(&self) {
        self.valid.lock().expect("no panic").clear();
    }

    /// Enables the auth method at a mount of OpenBao, with the role `app` for the account `web`.
    async fn trusted_by(&self, server: &Server, mount: &str) {
        server.ok("POST", &format!("sys/auth/{mount}"), json!({"type": "kubernetes"})).await;
        let method = json!({
            "kubernetes_host": self.api.url(), "token_reviewer_jwt": self.token("vault"),
            "disable_local_ca_jwt": true, "disable_iss_validation": true,
            // Asked for, though plain HTTP needs none.
            "kubernetes_ca_cert": Ca::new("Cluster").pem(),
        });
        server.ok("POST", &format!("auth/{mount}/config"), method).await;
        let role = json!({
            "bound_service_account_names": "web", "bound_service_account_namespaces": "shop",
            "token_policies": "reader",
        });
        server.ok("POST", &format!("auth/{mount}/role/app"), role).await;
    }
}

fn write(file: &tempfile::NamedTempFile, text: &str) {
    std::fs::write(file.path(), text).expect("a written file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_projected_token_is_read_at_each_login() {
    let (cluster, server) = (Cluster::start().await, Server::openbao().await);
    cluster.trusted_by(&server, "kubernetes").await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    write(&file, &cluster.token("web"));
    let login = json!({"auth_method": "kubernetes", "kube_role": "app", "kube_api_token_file": file.path()});
    let resolver = plain(&config(server.port(), login));
    assert_value(get(&resolver).await);
    assert_value(get(&resolver).await);
    assert_eq!(server.logins(), 1);

    // The cluster has replaced the token, and takes the old one no longer.
    cluster.forget_all();
    let token = cluster.token("web");
    cluster.valid.lock().expect("no panic").insert(token.clone());
    write(&file, &format!("{token}\n"));
    server.revoke_logins("kubernetes").await;
    assert_value(get(&resolver).await);
    assert_eq!(server.logins(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_what_to_do() {
    let (cluster, server) = (Cluster::start().await, Server::openbao().await);
    cluster.trusted_by(&server, "clusters/shop").await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    write(&file, &cluster.token("web"));
    let with = |own: Value| {
        let login = json!({
            "auth_method": "kubernetes", "kube_role": "app", "kube_auth_path": "/clusters/shop/",
            "kube_api_token_file": file.path(),
        });
        plain(&config(server.port(), merged(login, own)))
    };
    assert_value(get(&with(json!({}))).await);
    let refused = "received when performing kubernetes authentication: ";

    let texts =
        [refused, "there is no role \"nosuch\" at auth/clusters/shop", "vault list auth/clusters/shop/role"];
    assert_told(get(&with(json!({"kube_role": "nosuch"}))).await, &texts);

    let texts = ["invalid response code 403", refused, "enabled at auth/kubernetes (`vault auth list`)"];
    assert_told(get(&with(json!({"kube_auth_path": "kubernetes"}))).await, &texts);

    write(&file, &cluster.token("batch"));
    let texts = [
        refused,
        "service account name not authorized",
        "bound_service_account_names",
        "`vault read auth/clusters/shop/role/app`",
        "sub=\"system:serviceaccount:shop:batch\"",
    ];
    assert_told(get(&with(json!({}))).await, &texts);

    let unknown = cluster.token("web");
    write(&file, &unknown);
    cluster.forget_all();
    let error = get(&with(json!({}))).await;
    assert!(!format!("{error:?}").contains(&unknown), "{error:?}");
    assert_told(error, &[refused, "does the cluster accept the token"]);

    let before = server.logins();
    write(&file, "not a JWT");
    assert_told(get(&with(json!({}))).await, &["kube_api_token_file /", "is not a JWT"]);
    let nowhere = with(json!({"kube_api_token_file": "/nowhere/token"}));
    let texts = ["cannot read kube_api_token_file /nowhere/token: no such file or directory"];
    assert_told(get(&nowhere).await, &texts);
    let usual = plain(&config(server.port(), json!({"auth_method": "kubernetes", "kube_role": "app"})));
    let texts = ["cannot read kube_api_token_file /run/secrets/kubernetes.io/serviceaccount/token"];
    assert_told(get(&usual).await, &texts);
    assert_eq!(server.logins(), before, "what is no token is not sent");
}
