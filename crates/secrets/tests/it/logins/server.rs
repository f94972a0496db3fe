//! A vault of a test: OpenBao with its audit device, or the dev vault, asked in the same way.

use postern_conformance::http::{Body, send};
use postern_conformance::{Audit, OpenBao};
use postern_devstack::{DevVault, PathClass, PortChoice, VaultOptions};
use serde_json::{Value, json};

/// A running vault with a secret at `secret/password`, and the policy `reader` for it.
pub(super) struct Server {
    part: Part,
    url: String,
    root_token: String,
}

enum Part {
    OpenBao { _bao: Box<OpenBao>, audit: Audit },
    Dev(DevVault),
}

impl Server {
    pub(super) async fn openbao() -> Self {
        let bao = OpenBao::dev().await;
        let audit = Audit::of(&bao).await;
        let (url, root_token) = (bao.addr(), bao.root_token().to_owned());
        Self { part: Part::OpenBao { _bao: Box::new(bao), audit }, url, root_token }.prepared().await
    }

    pub(super) async fn devstack() -> Self {
        let options = VaultOptions { port: PortChoice::Free, ..VaultOptions::default() };
        let vault = DevVault::start(options).await.expect("a free port");
        let (url, root_token) = (vault.url(), vault.root_token().to_owned());
        Self { part: Part::Dev(vault), url, root_token }.prepared().await
    }

    /// One of each.
    pub(super) async fn both() -> [Self; 2] {
        [Self::openbao().await, Self::devstack().await]
    }

    async fn prepared(self) -> Self {
        let policy = "path \"secret/*\" { capabilities = [\"read\"] }";
        self.ok("PUT", "sys/policies/acl/reader", json!({"policy": policy})).await;
        self.ok("POST", "secret/data/password", json!({"data": {"pass": "mypassword"}})).await;
        self
    }

    pub(super) fn name(&self) -> &'static str {
        match self.part {
            Part::OpenBao { .. } => "OpenBao",
            Part::Dev(_) => "the dev vault",
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// One request as root, which must succeed.
    pub(super) async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        self.ask(method, path, body, &[]).await
    }

    /// The same with its answer wrapped; gives the wrapping token.
    pub(super) async fn wrapped(&self, path: &str, body: Value, ttl: &str) -> String {
        let reply = self.ask("POST", path, body, &[("x-vault-wrap-ttl", ttl)]).await;
        reply["wrap_info"]["token"].as_str().expect("a wrapping token").to_owned()
    }

    async fn ask(&self, method: &str, path: &str, body: Value, more: &[(&str, &str)]) -> Value {
        let headers = [&[("x-vault-token", self.root_token.as_str())], more].concat();
        let url = format!("{}/v1/{path}", self.url);
        let body = if body.is_null() { Body::None } else { Body::Json(&body) };
        let (status, reply) = send(method, &url, &headers, body).await.expect("an answer");
        assert!((200..300).contains(&status), "{method} {path} at {}: {status} {reply}", self.name());
        reply
    }

    /// How many logins there were, granted or not.
    pub(super) fn logins(&self) -> usize {
        match &self.part {
            Part::OpenBao { audit, .. } => {
                let is_login = |path: &str| path.starts_with("auth/") && path.ends_with("/login");
                audit.requests().iter().filter(|request| is_login(&request.path)).count()
            }
            Part::Dev(vault) => usize::try_from(vault.logins()).expect("a small number"),
        }
    }

    /// How many requests there were to `sys/wrapping/`: lookups and unwrappings.
    pub(super) fn wrappings(&self) -> usize {
        match &self.part {
            Part::OpenBao { audit, .. } => audit.count("sys/wrapping/"),
            Part::Dev(vault) => {
                let count = vault.count("POST", PathClass::Wrapping);
                usize::try_from(count).expect("a small number")
            }
        }
    }

    /// The audit device, where there is one.
    pub(super) fn audit(&self) -> &Audit {
        match &self.part {
            Part::OpenBao { audit, .. } => audit,
            Part::Dev(_) => panic!("the dev vault has no audit device"),
        }
    }

    /// Ends all tokens that were given by logins at this mount.
    pub(super) async fn revoke_logins(&self, mount: &str) {
        match &self.part {
            Part::OpenBao { .. } => {
                self.ok("PUT", &format!("sys/leases/revoke-prefix/auth/{mount}/login"), json!({})).await;
            }
            Part::Dev(vault) => vault.expire_tokens(),
        }
    }
}
