//! `postern demo`: the tutorial, walked through before one's eyes: an OAuth2 login to a vault, and the secret at the
//! end of a reference. Every step shows the command that a person would type, and does the same over HTTP.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use http::Method;
use http::header::HeaderName;
use postern_devstack::{Stack, StackOptions, WARNING};
use postern_secrets::Secret;
use postern_secrets::client::{Client, Outgoing, Trust};
use serde_json::{Value, json};
use tokio::process::Command;
use url::Url;
use zeroize::Zeroizing;

use super::dev::{stopped, taken_ports};
use crate::report::{BOLD, DIM, GREEN, YELLOW};

const ROOT_TOKEN: &str = "root";
const EXPECTED: &str = "mypassword";
const REFERENCE: &str = "{vault://hashicorp-vault/password/pass}";
/// What the tutorial prints, though it stores the key `pass`.
const AS_PRINTED: &str = "{vault://hashicorp-vault/password/pw1}";
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

const KONG_YAML: &str = r#"_format_version: "3.0"
vaults:
  - name: hcv
    prefix: hashicorp-vault
    description: Storing secrets in HashiCorp Vault
    config:
      host: ${{ env "DECK_HCV_HOST" }}
      port: ${{ env "DECK_HCV_PORT" }}
      protocol: http
      kv: v2
      mount: secret
      auth_method: oauth2
      oauth2_role_name: demo
      oauth2_token_endpoint: ${{ env "DECK_ISSUER" }}oauth/token
      oauth2_client_id: ${{ env "DECK_CLIENT_ID" }}
      oauth2_client_secret: ${{ env "DECK_CLIENT_SECRET" }}
      oauth2_audiences: ${{ env "DECK_ISSUER" }}api/v2/
"#;

/// The stack, and what the walk needs of it.
struct Walk {
    stack: Stack,
    client: Client,
    directory: tempfile::TempDir,
    step: usize,
}

/// Walks through the tutorial; then stays up, unless `once`.
pub(super) async fn demo(once: bool) -> Result<ExitCode> {
    let stack =
        Stack::start(StackOptions { root_token: Some(ROOT_TOKEN.to_owned()), ..StackOptions::default() })
            .await?;
    let client = Client::new(&Trust::none(), true);
    let directory = tempfile::Builder::new().prefix("postern-demo-").tempdir()?;
    let mut walk = Walk { stack, client, directory, step: 0 };
    walk.tutorial().await?;
    if !once {
        walk.stay_up().await?;
    }
    walk.stack.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

impl Walk {
    async fn tutorial(&mut self) -> Result<()> {
        say(&format!("{YELLOW}{WARNING}{YELLOW:#}"))?;
        self.servers()?;
        self.jwt_method().await?;
        self.policy().await?;
        self.secret().await?;
        let file = self.kong_yaml()?;
        self.as_printed(&file).await?;
        self.resolve(&file).await
    }

    fn servers(&mut self) -> Result<()> {
        self.heading("An identity provider with one client, and a vault, are running")?;
        for (port, what) in taken_ports(&self.stack) {
            say(&format!("  The usual port of {what} is taken; it listens on {port} instead."))?;
        }
        let (vault, idp) = (&self.stack.vault, &self.stack.idp);
        say(&format!("  {DIM}vault{DIM:#}             {}", vault.url()))?;
        say(&format!("  {DIM}identity provider{DIM:#} {}", idp.url()))?;
        say(&format!("  {DIM}client id{DIM:#}         {}", idp.client_id()))
    }

    async fn jwt_method(&mut self) -> Result<()> {
        self.heading("The vault trusts the tokens of the identity provider")?;
        let (jwks, audience) = (self.stack.idp.jwks_url(), self.stack.idp.audience());
        let subject = format!("{}@clients", self.stack.idp.client_id());
        self.vault("vault auth enable jwt", Method::POST, "sys/auth/jwt", json!({"type": "jwt"})).await?;
        let command = format!("vault write auth/jwt/config jwks_url={jwks}");
        self.vault(&command, Method::PUT, "auth/jwt/config", json!({"jwks_url": jwks})).await?;
        let command = format!(
            "vault write auth/jwt/role/demo role_type=jwt user_claim=sub token_type=batch \\\n      \
             token_policies=default bound_subject={subject} bound_audiences={audience}"
        );
        let role = json!({
            "role_type": "jwt", "user_claim": "sub", "token_type": "batch", "token_policies": "default",
            "bound_subject": subject, "bound_audiences": audience,
        });
        self.vault(&command, Method::PUT, "auth/jwt/role/demo", role).await
    }

    async fn policy(&mut self) -> Result<()> {
        self.heading("The policy `default` may read what is below secret/")?;
        let current = self.request(Method::GET, "sys/policies/acl/default", None).await?;
        let current = current["data"]["policy"].as_str().context("the vault has no default policy")?;
        let rule = "path \"secret/*\" {\n  capabilities = [\"read\"]\n}\n";
        let command = "(vault policy read default; printf 'path \"secret/*\" { capabilities = [\"read\"] }') \\\n      \
                       | vault policy write default -";
        let policy = json!({"policy": format!("{current}\n{rule}")});
        self.vault(command, Method::PUT, "sys/policies/acl/default", policy).await
    }

    async fn secret(&mut self) -> Result<()> {
        self.heading("A secret is stored")?;
        let command = format!("vault kv put -mount=secret password pass={EXPECTED}");
        self.vault(&command, Method::PUT, "secret/data/password", json!({"data": {"pass": EXPECTED}})).await
    }

    fn kong_yaml(&mut self) -> Result<PathBuf> {
        self.heading("kong.yaml says how to log in; it holds no credential")?;
        let file = self.directory.path().join("kong.yaml");
        std::fs::write(&file, KONG_YAML)?;
        for line in KONG_YAML.lines() {
            say(&format!("  {DIM}{line}{DIM:#}"))?;
        }
        Ok(file)
    }

    async fn as_printed(&mut self, file: &Path) -> Result<()> {
        self.heading("The tutorial asks for a key that it did not store; Postern says what is there")?;
        let (success, stdout, stderr) = self.postern(AS_PRINTED, file).await?;
        stderr.lines().try_for_each(|line| say(&format!("  {line}")))?;
        ensure!(!success && stdout.is_empty(), "`vault get` of a key that does not exist must fail");
        ensure!(stderr.contains("did you mean pass?"), "the error must name the nearest key");
        Ok(())
    }

    async fn resolve(&mut self, file: &Path) -> Result<()> {
        self.heading("The reference resolves: client credentials → access token → vault token → secret")?;
        let (success, stdout, stderr) = self.postern(REFERENCE, file).await?;
        if !success || stdout != format!("{EXPECTED}\n") {
            bail!("the reference does not resolve: {stderr}");
        }
        say(&format!("  {BOLD}{}{BOLD:#}", stdout.trim_end()))?;
        say(&format!("\n{GREEN}The tutorial works, from end to end.{GREEN:#}"))
    }

    async fn stay_up(&self) -> Result<()> {
        let program = std::env::current_exe()?;
        let file = self.directory.path().join("kong.yaml");
        say(&format!("\n{BOLD}Try next, in another terminal:{BOLD:#}"))?;
        for (name, value) in self.variables() {
            say(&format!("  export {name}={value}"))?;
        }
        say(&format!("  export VAULT_ADDR={} VAULT_TOKEN={ROOT_TOKEN}", self.stack.vault.url()))?;
        let (program, file) = (program.display(), file.display());
        say(&format!("  {program} vault get '{REFERENCE}' -f {file}"))?;
        say(&format!("  {program} vault explain '{REFERENCE}' -f {file}"))?;
        say(&format!("  {program} vault list -f {file}"))?;
        say(&format!("  {program} config check {file}"))?;
        say("  vault kv put -mount=secret password pass=another     (or bao; then get it again)")?;
        say("\nEverything is gone when this ends. Ctrl-C ends it.")?;
        stopped().await
    }

    /// What the tutorial exports.
    fn variables(&self) -> [(&'static str, String); 5] {
        let (vault, idp) = (&self.stack.vault, &self.stack.idp);
        [
            ("DECK_HCV_HOST", vault.addr().ip().to_string()),
            ("DECK_HCV_PORT", vault.addr().port().to_string()),
            ("DECK_ISSUER", idp.url()),
            ("DECK_CLIENT_ID", idp.client_id().to_owned()),
            ("DECK_CLIENT_SECRET", idp.client_secret().to_owned()),
        ]
    }

    /// Runs this very program, as a person would.
    async fn postern(&self, reference: &str, file: &Path) -> Result<(bool, String, String)> {
        say(&format!("  {GREEN}${GREEN:#} postern vault get '{reference}' -f kong.yaml"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["vault", "get", reference, "-f"]).arg(file).envs(self.variables());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    /// Shows a command and does the same.
    async fn vault(&self, command: &str, method: Method, path: &str, json: Value) -> Result<()> {
        say(&format!("  {GREEN}${GREEN:#} {command}"))?;
        self.request(method, path, Some(json)).await?;
        Ok(())
    }

    async fn request(&self, method: Method, path: &str, json: Option<Value>) -> Result<Value> {
        let url = Url::parse(&format!("{}/v1/{path}", self.stack.vault.url()))?;
        let mut outgoing = Outgoing::new(method, url).secret_header(TOKEN, &Secret::from(ROOT_TOKEN))?;
        if let Some(json) = json {
            outgoing = outgoing.body("application/json", Zeroizing::new(json.to_string()), &[]);
        }
        let reply = self.client.send(outgoing).await?;
        ensure!(reply.is_success(), "the vault answered {} to {path}: {}", reply.status, reply.shown());
        Ok(serde_json::from_slice(reply.body()).unwrap_or(Value::Null))
    }

    fn heading(&mut self, text: &str) -> Result<()> {
        self.step += 1;
        say(&format!("\n{BOLD}{}. {text}{BOLD:#}", self.step))
    }
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(anstream::stdout().lock(), "{text}")?)
}
