//! AppRole: a role id and a secret id, given or in a file.

use postern_conformance::{Answer, Stub};
use serde_json::{Value, json};

use super::{Server, assert_told, assert_value, config, get, merged, plain, resolve};

/// An AppRole on a server.
pub(super) struct Role<'a> {
    server: &'a Server,
    mount: &'static str,
    pub(super) role_id: String,
}

impl<'a> Role<'a> {
    /// Enables the method at `mount`, and makes the role `app` there.
    pub(super) async fn new(server: &'a Server, mount: &'static str, own: Value) -> Self {
        server.ok("POST", &format!("sys/auth/{mount}"), json!({"type": "approle"})).await;
        let role = merged(json!({"token_policies": "reader"}), own);
        server.ok("POST", &format!("auth/{mount}/role/app"), role).await;
        let reply = server.ok("GET", &format!("auth/{mount}/role/app/role-id"), Value::Null).await;
        let role_id = reply["data"]["role_id"].as_str().expect("a role id").to_owned();
        Self { server, mount, role_id }
    }

    pub(super) async fn secret_id(&self, own: Value) -> String {
        let reply = self.server.ok("POST", &self.secret_id_path(), own).await;
        reply["data"]["secret_id"].as_str().expect("a secret id").to_owned()
    }

    pub(super) fn secret_id_path(&self) -> String {
        format!("auth/{}/role/app/secret-id", self.mount)
    }

    pub(super) async fn destroy(&self, secret_id: &str) {
        let path = format!("{}/destroy", self.secret_id_path());
        self.server.ok("POST", &path, json!({"secret_id": secret_id})).await;
    }

    /// A vault that logs in as this role; `own` are the fields about the secret id.
    pub(super) fn config(&self, own: Value) -> Value {
        let login = json!({
            "auth_method": "approle", "approle_role_id": self.role_id, "approle_auth_path": self.mount,
        });
        config(self.server.port(), merged(login, own))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_given_secret_id_logs_in_once_for_all() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({})).await;
        let resolver = plain(&role.config(json!({"approle_secret_id": role.secret_id(json!({})).await})));
        let readers = (0..50).map(|version| {
            let resolver = resolver.clone();
            let reference = format!("{{vault://hcv/password/pass#{}}}", version % 2);
            tokio::spawn(
                async move { resolve(&resolver, &reference).await.map_err(|error| error.to_string()) },
            )
        });
        for reader in readers.collect::<Vec<_>>() {
            assert_value(reader.await.expect("a reader"));
        }
        assert_eq!(server.logins(), 1, "{}", server.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_read_at_each_login() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({})).await;
        let file = tempfile::NamedTempFile::new().expect("a file");
        let first = role.secret_id(json!({})).await;
        std::fs::write(file.path(), format!("{first}\n")).expect("a written file");
        let resolver = plain(&role.config(json!({"approle_secret_id_file": file.path()})));
        assert_value(get(&resolver).await);
        assert_value(get(&resolver).await);

        role.destroy(&first).await;
        std::fs::write(file.path(), role.secret_id(json!({})).await).expect("a written file");
        server.revoke_logins("approle").await;
        assert_value(get(&resolver).await);
        assert_eq!(server.logins(), 2, "{}", server.name());

        std::fs::remove_file(file.path()).expect("a removed file");
        server.revoke_logins("approle").await;
        assert_told(
            get(&resolver).await,
            &["cannot read approle_secret_id_file /", "no such file or directory"],
        );
        std::fs::write(file.path(), " \n").expect("a written file");
        assert_told(get(&resolver).await, &["approle_secret_id_file /", " is empty"]);
        assert_eq!(server.logins(), 2, "what cannot be sent is not sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_of_its_own_may_have_slashes_around_it() {
    for server in Server::both().await {
        let role = Role::new(&server, "team/roles", json!({})).await;
        let secret_id = role.secret_id(json!({})).await;
        for path in ["team/roles", "/team/roles", "team/roles/", "/team/roles/"] {
            let own = json!({"approle_secret_id": secret_id, "approle_auth_path": path});
            assert_value(get(&plain(&role.config(own))).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_what_to_do() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({})).await;
        let secret_id = role.secret_id(json!({})).await;
        let refused = "received when performing approle authentication: {\"errors\":[\"";
        let with = |own: Value| plain(&role.config(own));

        let resolver = with(json!({"approle_secret_id": "1234-not-a-secret-id"}));
        let error = get(&resolver).await;
        assert!(!format!("{error:?}").contains("1234-not-a-secret-id"), "{error:?}");
        let texts = ["invalid response code 400", refused, "invalid role or secret ID", "secret_id_num_uses"];
        assert_told(error, &texts);

        let resolver = with(json!({"approle_secret_id": secret_id, "approle_role_id": "nobody"}));
        assert_told(get(&resolver).await, &["invalid role or secret ID", "role-id"]);

        let wrapped = server.wrapped(&role.secret_id_path(), json!({}), "60").await;
        let resolver = with(json!({"approle_secret_id": wrapped}));
        assert_told(get(&resolver).await, &["invalid role or secret ID", "approle_response_wrapping: true"]);

        let resolver = with(json!({"approle_secret_id": secret_id, "approle_auth_path": "nowhere"}));
        let texts =
            ["invalid response code 403", refused, "is the AppRole auth method enabled at auth/nowhere?"];
        assert_told(get(&resolver).await, &texts);

        let once = role.secret_id(json!({"num_uses": 1})).await;
        let resolver = with(json!({"approle_secret_id": once}));
        assert_value(get(&resolver).await);
        server.revoke_logins("approle").await;
        assert_told(get(&resolver).await, &["invalid role or secret ID", "have no uses left"]);

        let short = role.secret_id(json!({"ttl": "1s"})).await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_told(get(&with(json!({"approle_secret_id": short}))).await, &["may have expired"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_cannot_give_root() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({"token_policies": "root"})).await;
        let resolver = plain(&role.config(json!({"approle_secret_id": role.secret_id(json!({})).await})));
        let texts = ["auth methods cannot create root tokens", "which no login may give"];
        assert_told(get(&resolver).await, &texts);
    }
}

/// A vault, or something in between, that puts what it was sent into its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_shows_no_credential() {
    let echo = Stub::http(|request| Answer::http(400, "text/plain", request)).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "e30.c2VjcmV0LWNsYWltcw.c2ln").expect("a written file");
    let id =
        json!({"auth_method": "approle", "approle_role_id": "role-canary", "approle_secret_id": "id-canary"});
    let wrapped = merged(id.clone(), json!({"approle_response_wrapping": true}));
    let account =
        json!({"auth_method": "kubernetes", "kube_role": "app-role", "kube_api_token_file": file.path()});
    for (login, shown) in [(id, "***"), (wrapped, "***"), (account, "\"role\":\"app-role\",\"jwt\":\"***\"")]
    {
        let error = get(&plain(&config(echo.port(), login))).await.expect_err("an echo is no login");
        for credential in ["role-canary", "id-canary", "c2VjcmV0LWNsYWltcw"] {
            assert!(!error.contains(credential), "{credential}: {error}");
        }
        assert!(error.contains(shown), "{shown}: {error}");
    }
}
