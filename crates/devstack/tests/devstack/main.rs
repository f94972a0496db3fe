//! The dev stack as its users see it: over HTTP, and through its switches.
//!
//! That its replies are OpenBao's is the business of `tests/conformance`; here stands what only we promise, and
//! what must hold without an OpenBao at hand.

mod approle;
mod client;
mod faults;
mod identity_provider;
mod jwt_logins;
mod keys_over_tls;
mod secrets;
mod start;
mod tokens;
mod upstream;

use client::Client;
use postern_devstack::{Stack, StackOptions};
use serde_json::json;

/// A stack on free ports, with the tutorial done: JWT auth, the role `demo`, a policy that reads, a secret.
struct Tutorial {
    stack: Stack,
    root: Client,
}

impl Tutorial {
    async fn start() -> Self {
        let free = Some(0);
        let options =
            StackOptions { vault_port: free, idp_port: free, upstream_port: free, ..StackOptions::default() };
        let stack = Stack::start(options).await.expect("free ports");
        let root = Client::new(&stack.vault).with_token(stack.vault.root_token());
        root.ok("POST", "sys/auth/jwt", json!({"type": "jwt"})).await;
        root.ok("POST", "auth/jwt/config", json!({"jwks_url": stack.idp.jwks_url()})).await;
        let policy = "path \"secret/*\" { capabilities = [\"read\"] }";
        root.ok("PUT", "sys/policies/acl/reader", json!({"policy": policy})).await;
        root.ok("POST", "secret/data/password", json!({"data": {"pass": "mypassword"}})).await;
        let tutorial = Self { stack, root };
        tutorial.role("demo", json!({"token_type": "batch"})).await;
        tutorial
    }

    /// A role that lets the client in, with some settings of its own.
    async fn role(&self, name: &str, own: serde_json::Value) {
        let idp = &self.stack.idp;
        let mut role = json!({
            "role_type": "jwt", "user_claim": "sub", "token_policies": "reader",
            "bound_subject": format!("{}@clients", idp.client_id()), "bound_audiences": idp.audience(),
        });
        let own = own.as_object().cloned().unwrap_or_default();
        role.as_object_mut().expect("an object").extend(own);
        self.root.ok("POST", &format!("auth/jwt/role/{name}"), role).await;
    }

    /// A token of the identity provider.
    async fn jwt(&self) -> String {
        client::idp_token(&self.stack.idp, &self.stack.idp.audience()).await
    }

    /// A vault token of this role.
    async fn log_in(&self, role: &str) -> Client {
        let reply =
            self.root.ok("POST", "auth/jwt/login", json!({"role": role, "jwt": self.jwt().await})).await;
        let token = reply["auth"]["client_token"].as_str().expect("a token");
        Client::new(&self.stack.vault).with_token(token)
    }
}

/// Lets time pass for the servers, without waiting.
async fn pass(time: std::time::Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
