//! Every login, prepared at a site as an operator would: method, role, policy; and the configuration of a vault that
//! uses it.
//!
//! Owns: what each login needs. Must not know: faults, beyond the kind of token that a cell asks for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::site::Site;

/// How a cell logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Token,
    Jwt,
    AppRole,
    Kubernetes,
    Cert,
}

/// The tokens that a cell's logins give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// An hour, renewable.
    Lasting,
    /// Good for one use.
    OneUse,
    /// Batch tokens, which cannot be renewed or revoked, of a few seconds.
    Batch,
    /// A few seconds, and not renewable beyond.
    Short,
}

/// Where the IdP of a cell is, if it has one: the issuer's own addresses, and the token endpoint's as the engine is to
/// see it.
#[derive(Clone, Debug)]
pub(crate) struct Idp {
    pub(crate) issuer: String,
    pub(crate) jwks_url: String,
    pub(crate) audience: String,
    pub(crate) token_endpoint: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

/// How long the short-lived ones live.
const SECONDS: u64 = 4;

impl Login {
    pub(crate) const ALL: [Self; 5] = [Self::Token, Self::Jwt, Self::AppRole, Self::Kubernetes, Self::Cert];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::AppRole => "approle",
            Self::Kubernetes => "kubernetes",
            Self::Cert => "cert",
        }
    }

    /// Whether it can get another token by itself.
    pub(crate) fn repeats(self) -> bool {
        self != Self::Token
    }

    /// Where this cell's logins go, below `/v1/`.
    pub(crate) fn path(self, cell: &str) -> String {
        match self {
            Self::Token => format!("auth/token/create/{cell}"),
            Self::Cert => "auth/cert/login".to_owned(),
            _ => format!("auth/{cell}/login"),
        }
    }

    /// Prepares the method and the role, with the policy of the cell's own name, and gives the vault's fields.
    pub(crate) async fn prepare(self, site: &Site, cell: &str, tokens: Tokens, idp: &Idp) -> Value {
        let role = tokens.role(cell);
        if !matches!(self, Self::Token | Self::Cert) {
            site.admin("POST", &format!("sys/auth/{cell}"), json!({"type": self.name()})).await;
        }
        match self {
            Self::Token => {
                let role = json!({"allowed_policies": cell, "renewable": true});
                site.admin("POST", &format!("auth/token/roles/{cell}"), role).await;
                json!({"auth_method": "token", "token": self.new_token(site, cell, tokens).await})
            }
            Self::Jwt => {
                let config = json!({"jwks_url": idp.jwks_url, "bound_issuer": idp.issuer});
                site.admin("POST", &format!("auth/{cell}/config"), config).await;
                let bound =
                    json!({"role_type": "jwt", "bound_audiences": [idp.audience], "user_claim": "sub"});
                site.admin("POST", &format!("auth/{cell}/role/app"), with(bound, &role)).await;
                json!({
                    "auth_method": "jwt", "jwt_auth_path": cell, "jwt_role": "app",
                    "oauth2_token_endpoint": idp.token_endpoint, "oauth2_audiences": idp.audience,
                    "oauth2_client_id": idp.client_id, "oauth2_client_secret": idp.client_secret,
                })
            }
            Self::AppRole => {
                site.admin("POST", &format!("auth/{cell}/role/app"), role).await;
                let role_id = site.admin("GET", &format!("auth/{cell}/role/app/role-id"), Value::Null).await;
                let secret_id =
                    site.admin("POST", &format!("auth/{cell}/role/app/secret-id"), json!({})).await;
                json!({
                    "auth_method": "approle", "approle_auth_path": cell,
                    "approle_role_id": role_id["data"]["role_id"],
                    "approle_secret_id": secret_id["data"]["secret_id"],
                })
            }
            Self::Kubernetes => {
                let config = json!({
                    "kubernetes_host": site.around.cluster.url(), "disable_local_ca_jwt": true,
                    "token_reviewer_jwt": service_account(), "kubernetes_ca_cert": site.around.ca.pem(),
                });
                site.admin("POST", &format!("auth/{cell}/config"), config).await;
                let bound = json!({
                    "bound_service_account_names": "app", "bound_service_account_namespaces": "shop",
                });
                site.admin("POST", &format!("auth/{cell}/role/app"), with(bound, &role)).await;
                let file = site.bao.read().await.directory().join(format!("{cell}.jwt"));
                std::fs::write(&file, service_account()).expect("a file in the temporary directory");
                json!({
                    "auth_method": "kubernetes", "kube_auth_path": cell, "kube_role": "app",
                    "kube_api_token_file": file,
                })
            }
            Self::Cert => {
                let bound = json!({"certificate": site.around.ca.pem(), "allowed_common_names": cell});
                site.admin("POST", &format!("auth/cert/certs/{cell}"), with(bound, &role)).await;
                let client = site.around.ca.issue_client(cell);
                json!({
                    "auth_method": "cert", "cert_auth_role_name": cell,
                    "cert_auth_cert": client.chain, "cert_auth_cert_key": client.key,
                })
            }
        }
    }

    /// A token of an operator's making, for the login that cannot make its own.
    pub(crate) async fn new_token(self, site: &Site, cell: &str, tokens: Tokens) -> String {
        let mut asked = json!({"policies": [cell], "ttl": "1h", "no_default_policy": false});
        match tokens {
            Tokens::Lasting => {}
            Tokens::OneUse => asked["num_uses"] = 1.into(),
            Tokens::Batch => {
                asked["type"] = "batch".into();
                asked["ttl"] = format!("{SECONDS}s").into();
            }
            Tokens::Short => asked["explicit_max_ttl"] = format!("{SECONDS}s").into(),
        }
        let reply = site.admin("POST", &format!("auth/token/create/{cell}"), asked).await;
        reply["auth"]["client_token"].as_str().expect("a token").to_owned()
    }
}

impl Tokens {
    /// A role's part about tokens.
    fn role(self, policy: &str) -> Value {
        let mut role = json!({"token_policies": [policy], "token_ttl": "1h"});
        match self {
            Self::Lasting => {}
            Self::OneUse => role["token_num_uses"] = 1.into(),
            Self::Batch => {
                role["token_type"] = "batch".into();
                role["token_ttl"] = format!("{SECONDS}s").into();
            }
            Self::Short => {
                role["token_ttl"] = format!("{SECONDS}s").into();
                role["token_max_ttl"] = format!("{SECONDS}s").into();
            }
        }
        role
    }
}

fn with(mut one: Value, other: &Value) -> Value {
    for (name, value) in other.as_object().into_iter().flatten() {
        one[name] = value.clone();
    }
    one
}

/// A token as a cluster issues them; the review says whether it is good, not its signature.
fn service_account() -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let head = part(json!({"alg": "RS256", "typ": "JWT"}));
    let claims = part(json!({
        "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:shop:app",
        "aud": ["vault"], "iat": 1_700_000_000_u64, "nbf": 1_700_000_000_u64, "exp": 4_000_000_000_u64,
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "app", "uid": "u"}},
        "jti": uuid::Uuid::new_v4().to_string(),
    }));
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes()))
}
