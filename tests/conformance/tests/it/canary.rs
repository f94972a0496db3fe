//! No leak: every command at trace level, in success and in every error that can be provoked, and none of the secrets
//! in its outputs or files. Only `vault get` prints one value: the one that was asked for.
//!
//! The vault and the identity provider here are stubs, because only a stub lets a test know the tokens that pass
//! between them and the program; `real_servers` below does the same with real ones.

mod configuration;

use postern_conformance::{Answer, Canary, DevStack, OpenBao, Outcome, Postern, Stub};
use serde_json::{Value, json};

const REFERENCE: &str = "{vault://hashicorp-vault/password/pass}";

/// Every field that can hold a secret holds one.
const KONG_YAML: &str = r#"_format_version: "3.0"
vaults:
- name: env
  prefix: my-env
  config: { prefix: MY_ }
- name: hcv
  prefix: hashicorp-vault
  config:
    host: 127.0.0.1
    port: ${{ env "DECK_PORT" | toInt }}
    kv: v2
    token: ${{ env "DECK_TOKEN" }}
    auth_method: ${{ env "DECK_METHOD" }}
    oauth2_role_name: demo
    oauth2_token_endpoint: ${{ env "DECK_ENDPOINT" }}
    oauth2_client_id: the-client
    oauth2_client_secret: "{vault://my-env/client-secret}"
    oauth2_audiences: https://postern.test/api/v2/
    oauth2_client_auth_method: ${{ env "DECK_CLIENT_AUTH" }}
    approle_secret_id: ${{ env "DECK_UNUSED" }}
"#;

/// The commands that say something about a reference or about the configuration.
const COMMANDS: [&[&str]; 7] = [
    &["vault", "get", REFERENCE],
    &["vault", "explain", REFERENCE],
    &["vault", "explain", REFERENCE, "--json"],
    &["vault", "list"],
    &["vault", "list", "--json"],
    &["config", "check"],
    &["config", "check", "--json"],
];

/// What one run of all commands finds: two servers, and the secrets that they know.
struct Scene {
    canary: Canary,
    vault: Stub,
    idp: Stub,
    environment: Vec<(&'static str, String)>,
}

/// What the secrets are, by label; a scene decides who says them when.
struct Secrets {
    pass: String,
    other: String,
    client_token: String,
    jwt: String,
}

impl Scene {
    /// `vault` answers every request to the vault, `idp` every request to the identity provider.
    async fn new<V, I>(vault: impl FnOnce(&Secrets) -> V, idp: impl FnOnce(&Secrets) -> I) -> Self
    where
        V: Fn(&str) -> Answer + Send + Sync + 'static,
        I: Fn(&str) -> Answer + Send + Sync + 'static,
    {
        let mut canary = Canary::new();
        let secrets = Secrets {
            pass: canary.secret("the secret"),
            other: canary.secret("another member of the secret"),
            client_token: header_safe(&mut canary, "the vault's token"),
            jwt: jwt(&mut canary),
        };
        let (vault, idp) = (Stub::http(vault(&secrets)).await, Stub::http(idp(&secrets)).await);
        let environment = vec![
            ("DECK_PORT", vault.port().to_string()),
            ("DECK_TOKEN", header_safe(&mut canary, "the configured token")),
            ("DECK_METHOD", "oauth2".to_owned()),
            ("DECK_ENDPOINT", idp.url()),
            ("DECK_CLIENT_AUTH", "client_secret_post".to_owned()),
            ("DECK_UNUSED", canary.secret("a field of another login").replace('"', "'")),
            ("MY_CLIENT_SECRET", canary.secret("the client secret")),
            ("MY_OTHER", canary.secret("a variable that nobody asks for")),
            ("KONG_VAULT_HCV_TOKEN", canary.secret("the default vault's token")),
            ("KONG_PG_PASSWORD", canary.secret("a setting that is not used yet")),
            ("KONG_NONSENSE", canary.secret("a setting that is unknown")),
            ("RUST_BACKTRACE", "full".to_owned()),
            ("RUST_LOG", "trace".to_owned()),
        ];
        Self { canary, vault, idp, environment }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Runs all commands, each with the given exit code of `get` and `explain`.
    async fn play(self, what: &str, code: i32) {
        for command in COMMANDS {
            let outcome = self.run(command).await;
            let resolves = matches!(command[1], "get" | "explain");
            let expected = if resolves { code } else { 0 };
            assert_eq!(outcome.code, expected, "{what}: {command:?}: {outcome}");
            assert!(!resolves || outcome.stderr.contains("DEBUG"), "{what}: no trace in {outcome}");
            if command[1] == "get" && code == 0 {
                self.canary.assert_absent_except_stdout(&outcome);
            } else {
                self.canary.assert_absent(&outcome);
            }
        }
        drop((self.vault, self.idp));
    }

    async fn run(&self, command: &[&str]) -> Outcome {
        let mut postern =
            Postern::command().file("kong.yaml", KONG_YAML).env("KONG_DECLARATIVE_CONFIG", "kong.yaml");
        for (name, value) in &self.environment {
            postern = postern.env(name, value);
        }
        postern.args(command).arg("--vvv").run().await
    }
}

#[tokio::test]
async fn success() {
    Scene::new(honest_vault, honest_idp).await.play("by OAuth2", 0).await;
    let scene = Scene::new(honest_vault, honest_idp).await.set("DECK_CLIENT_AUTH", "client_secret_basic");
    scene.play("by OAuth2 with the Basic header", 0).await;
    Scene::new(honest_vault, honest_idp).await.set("DECK_METHOD", "token").play("by token", 0).await;
}

#[tokio::test]
async fn the_vault_fails_a_read() {
    type Read = fn(&Secrets, &str) -> Answer;
    let reads: [(&str, Read); 12] = [
        ("another key", |s, _| found(&json!({"pasword": s.pass, "other": s.other}))),
        ("an object", |s, _| found(&json!({"pass": {"inner": s.pass}, "other": s.other}))),
        ("a list", |s, _| found(&json!({"pass": [s.pass], "other": s.other}))),
        ("text in place of an object", |s, _| found(&json!(s.pass))),
        ("no metadata", |s, _| Answer::json(200, &json!({"data": {"data": {"pass": s.pass}}}))),
        ("KV version 1", |s, _| Answer::json(200, &json!({"data": {"pass": s.pass, "other": s.other}}))),
        ("JSON that is broken", |s, _| {
            let whole = json!({"data": {"data": {"pass": s.pass, "other": s.other}}}).to_string();
            Answer::http(200, "application/json", &whole[..whole.len() - 2])
        }),
        ("a page", |s, _| Answer::http(200, "text/html", &format!("<p>{} {}</p>", s.pass, s.other))),
        ("a body that ends too soon", |s, _| {
            let body = json!({"data": {"data": {"pass": s.pass, "other": s.other}}});
            Answer::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{body}").into_bytes())
        }),
        ("a refusal that repeats the request", |_, request| Answer::json(403, &json!({"errors": [request]}))),
        ("an absence that repeats the request", |_, request| {
            Answer::json(404, &json!({"errors": [request]}))
        }),
        ("a page of errors that repeats the request", |_, request| Answer::http(500, "text/html", request)),
    ];
    for (what, read) in reads {
        for method in ["oauth2", "token"] {
            let vault = move |secrets: &Secrets| {
                let secrets = secrets.clone();
                move |request: &str| match login(&secrets, request) {
                    Some(login) => login,
                    None => read(&secrets, request),
                }
            };
            Scene::new(vault, honest_idp).await.set("DECK_METHOD", method).play(what, 1).await;
        }
    }
}

#[tokio::test]
async fn the_vault_fails_a_login() {
    type Login = fn(&Secrets, &str) -> Answer;
    let logins: [(&str, Login); 6] = [
        ("a refusal that repeats the request", |_, request| Answer::json(400, &json!({"errors": [request]}))),
        ("a page that repeats the request", |_, request| Answer::http(502, "text/plain", request)),
        ("a token that is a list", |s, _| {
            Answer::json(200, &json!({"auth": {"client_token": [s.client_token]}}))
        }),
        ("a token in the wrong place", |s, _| Answer::json(200, &json!({"client_token": s.client_token}))),
        ("a token for no header", |s, _| {
            Answer::json(200, &json!({"auth": {"client_token": format!("{}\n{}", s.client_token, s.pass)}}))
        }),
        ("JSON that is broken", |s, _| {
            Answer::http(
                200,
                "application/json",
                &format!("{{\"auth\": {{\"client_token\": {:?}", s.client_token),
            )
        }),
    ];
    for (what, login) in logins {
        let vault = move |secrets: &Secrets| {
            let secrets = secrets.clone();
            move |request: &str| login(&secrets, request)
        };
        Scene::new(vault, honest_idp).await.play(what, 1).await;
    }
}

#[tokio::test]
async fn the_identity_provider_fails() {
    type Grant = fn(&Secrets, &str) -> Answer;
    let grants: [(&str, Grant); 7] = [
        ("a refusal that repeats the request", |_, request| {
            Answer::json(401, &json!({"error": "invalid_client", "error_description": request}))
        }),
        ("a refusal of another shape", |_, request| Answer::json(400, &json!({"message": request}))),
        ("a page that repeats the request", |_, request| Answer::http(500, "text/plain", request)),
        ("an opaque token", |s, _| Answer::json(200, &json!({"access_token": s.client_token}))),
        ("a token in the wrong place", |s, _| Answer::json(200, &json!({"id_token": s.jwt}))),
        ("a token that is a list", |s, _| Answer::json(200, &json!({"access_token": [s.jwt]}))),
        ("a token as a page", |s, _| Answer::http(200, "text/html", &s.jwt)),
    ];
    for (what, grant) in grants {
        for method in ["client_secret_post", "client_secret_basic"] {
            let idp = move |secrets: &Secrets| {
                let secrets = secrets.clone();
                move |request: &str| grant(&secrets, request)
            };
            Scene::new(honest_vault, idp).await.set("DECK_CLIENT_AUTH", method).play(what, 1).await;
        }
    }
    let scene = Scene::new(honest_vault, honest_idp).await;
    scene.set("DECK_ENDPOINT", "http://127.0.0.1:1/token").play("nobody listens", 1).await;
}

/// The same against OpenBao and the dev stack's identity provider, with what they really say.
#[tokio::test]
async fn real_servers() {
    let (bao, stack) = (OpenBao::dev().await, DevStack::start().await);
    let mut scene = Scene::new(honest_vault, honest_idp).await;
    let (pass, other) =
        (scene.canary.secret("the secret"), scene.canary.secret("another member of the secret"));
    let jwks = format!("jwks_url={}", stack.info.jwks_url);
    let audience = format!("bound_audiences={}", stack.info.audience);
    let policy = bao.directory().join("read.hcl");
    std::fs::write(&policy, "path \"secret/data/password\" { capabilities = [\"read\"] }")
        .expect("a policy file");
    let (policy, pass, other) =
        (policy.display().to_string(), format!("pass={pass}"), format!("other={other}"));
    let role =
        ["write", "auth/jwt/role/demo", "role_type=jwt", "user_claim=sub", "token_policies=read", &audience];
    let steps: &[&[&str]] = &[
        &["auth", "enable", "jwt"],
        &["write", "auth/jwt/config", &jwks],
        &["policy", "write", "read", &policy],
        &role,
        &["kv", "put", "-mount=secret", "password", &pass, &other],
    ];
    for step in steps {
        bao.cli(step).await.ok();
    }
    scene.canary.watch("the client secret of the identity provider", &stack.info.client_secret);
    let yaml = KONG_YAML
        .replace("the-client", &stack.info.client_id)
        .replace("https://postern.test/api/v2/", &stack.info.audience);
    let scene = scene
        .set("DECK_PORT", &bao.port().to_string())
        .set("DECK_ENDPOINT", &stack.info.token_endpoint)
        .set("MY_CLIENT_SECRET", &stack.info.client_secret);
    let run = async |arguments: &[&str]| {
        let mut postern =
            Postern::command().file("kong.yaml", &yaml).env("KONG_DECLARATIVE_CONFIG", "kong.yaml");
        for (name, value) in &scene.environment {
            postern = postern.env(name, value);
        }
        postern.args(arguments).arg("--vvv").run().await
    };
    let got = run(&["vault", "get", REFERENCE]).await.ok();
    assert_eq!(format!("pass={}", got.line()), pass);
    scene.canary.assert_absent_except_stdout(&got);
    let failing = [
        "password/pasword",
        "password/pass#7",
        "elsewhere/pass",
        "password/pass?mount=nowhere",
        "password/pass?kv=v1",
    ];
    for reference in failing.map(|rest| format!("hashicorp-vault/{rest}")) {
        scene.canary.assert_absent(&run(&["vault", "get", &reference]).await.fails_with(1));
        scene.canary.assert_absent(&run(&["vault", "explain", &reference]).await.fails_with(1));
    }
    bao.cli(&["delete", "auth/jwt/role/demo"]).await.ok();
    scene.canary.assert_absent(&run(&["vault", "explain", REFERENCE]).await.fails_with(1));
    bao.seal().await;
    scene.canary.assert_absent(&run(&["vault", "explain", REFERENCE]).await.fails_with(1));
}

impl Clone for Secrets {
    fn clone(&self) -> Self {
        let Self { pass, other, client_token, jwt } = self;
        let (pass, other, client_token, jwt) =
            (pass.clone(), other.clone(), client_token.clone(), jwt.clone());
        Self { pass, other, client_token, jwt }
    }
}

fn honest_vault(secrets: &Secrets) -> impl Fn(&str) -> Answer + Send + Sync + 'static + use<> {
    let secrets = secrets.clone();
    move |request: &str| {
        let object = json!({"pass": secrets.pass, "other": secrets.other});
        login(&secrets, request).unwrap_or_else(|| found(&object))
    }
}

fn honest_idp(secrets: &Secrets) -> impl Fn(&str) -> Answer + Send + Sync + 'static + use<> {
    let jwt = secrets.jwt.clone();
    move |_| Answer::json(200, &json!({"access_token": jwt, "expires_in": 60}))
}

fn login(secrets: &Secrets, request: &str) -> Option<Answer> {
    let auth = json!({"auth": {"client_token": secrets.client_token, "lease_duration": 60}});
    request.starts_with("POST /v1/auth/jwt/login ").then(|| Answer::json(200, &auth))
}

fn found(object: &Value) -> Answer {
    Answer::json(200, &json!({"data": {"data": object, "metadata": {"version": 1}}}))
}

/// A secret that can stand in an HTTP header and in plain YAML.
fn header_safe(canary: &mut Canary, label: &str) -> String {
    let value: String = canary.secret(label).chars().filter(char::is_ascii_alphanumeric).collect();
    canary.watch(label, &value);
    value
}

/// A JWT that nobody may see, nor its claims but those that roles are bound to.
fn jwt(canary: &mut Canary) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    let claims =
        json!({"sub": "someone", "email": canary.secret("a claim"), "jti": canary.secret("another claim")});
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let token = format!(
        "{}.{}.c2lnbmF0dXJlLW9mLXRoZS1jYW5hcnk",
        part(&json!({"alg": "none", "kid": "canary"})),
        part(&claims)
    );
    canary.watch("the JWT", &token);
    token
}
