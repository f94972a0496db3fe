//! `postern demo`: the tutorial, walked through before one's eyes: an OAuth2 login to a vault, the secret at the end of a
//! reference, and a gateway that puts it into requests and follows when it changes. Every step shows the command that a
//! person would type, and does the same.

mod load;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use http::Method;
use load::{Connection, Seen};
use postern_client::{Client, Trust};
use postern_devstack::{Stack, StackOptions, WARNING};
use serde_json::{Value, json};
use tokio::process::Command;

use super::dev::{ask_vault, stopped, taken_ports};
use super::sample::{self, Sample};
use crate::report::{BOLD, DIM, GREEN, YELLOW};

const ROOT_TOKEN: &str = "root";
const EXPECTED: &str = "mypassword";
/// What the secret is changed to.
const CHANGED: &str = "newpassword";
const REFERENCE: &str = "{vault://hashicorp-vault/password/pass}";
/// What the tutorial prints, though it stores the key `pass`.
const AS_PRINTED: &str = "{vault://hashicorp-vault/password/pw1}";
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
      ttl: 1    # seconds for which a value holds; then it is read again
"#;

/// What comes below it for the gateway.
const SERVICES: &str = r#"services:
  - name: echo
    url: ${{ env "DECK_UPSTREAM" }}
    routes:
      - name: all
        paths: [/]
    plugins:
      - name: request-transformer
        config:
          add:
            headers: ["authorization:Bearer {vault://hashicorp-vault/password/pass}"]
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
    let file = walk.tutorial().await?;
    let gateway = walk.gateway(&file, !once).await?;
    walk.request(&gateway).await?;
    walk.rotation(&gateway).await?;
    if !once {
        walk.stay_up(&file, &gateway).await?;
    }
    gateway.stop().await?;
    walk.stack.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

impl Walk {
    async fn tutorial(&mut self) -> Result<PathBuf> {
        say(&format!("{YELLOW}{WARNING}{YELLOW:#}"))?;
        self.servers()?;
        self.jwt_method().await?;
        self.policy().await?;
        self.secret().await?;
        let file = self.kong_yaml()?;
        self.as_printed(&file).await?;
        self.resolve(&file).await?;
        Ok(file)
    }

    fn servers(&mut self) -> Result<()> {
        self.heading(
            "An identity provider with one client, a vault, and a service that echoes, are running",
        )?;
        for (port, what) in taken_ports(&self.stack) {
            say(&format!("  The usual port of {what} is taken; it listens on {port} instead."))?;
        }
        let Stack { vault, idp, upstream } = &self.stack;
        say(&format!("  {DIM}vault{DIM:#}             {}", vault.url()))?;
        say(&format!("  {DIM}identity provider{DIM:#} {}", idp.url()))?;
        say(&format!("  {DIM}client id{DIM:#}         {}", idp.client_id()))?;
        say(&format!("  {DIM}echo service{DIM:#}      {}", upstream.url()))
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
        let current =
            ask_vault(&self.client, &self.stack, Method::GET, "sys/policies/acl/default", None).await?;
        let current = current["data"]["policy"].as_str().context("the vault has no default policy")?;
        let rule = "path \"secret/*\" {\n  capabilities = [\"read\"]\n}\n";
        let command = "(vault policy read default; printf 'path \"secret/*\" { capabilities = [\"read\"] }') \\\n      \
                       | vault policy write default -";
        let policy = json!({"policy": format!("{current}\n{rule}")});
        self.vault(command, Method::PUT, "sys/policies/acl/default", policy).await
    }

    async fn secret(&mut self) -> Result<()> {
        self.heading("A secret is stored")?;
        self.store(EXPECTED).await
    }

    fn kong_yaml(&mut self) -> Result<PathBuf> {
        self.heading("kong.yaml says how to log in; it holds no credential")?;
        let file = self.directory.path().join("kong.yaml");
        std::fs::write(&file, KONG_YAML)?;
        show(KONG_YAML)?;
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

    async fn gateway(&mut self, file: &Path, usual_ports: bool) -> Result<Sample> {
        self.heading("A gateway starts. kong.yaml says now what passes it, and where the secret goes")?;
        std::fs::write(file, format!("{KONG_YAML}{SERVICES}"))?;
        show(SERVICES)?;
        let conf = sample::conf(usual_ports);
        std::fs::write(self.directory.path().join("postern.conf"), conf)?;
        say(&format!("  {GREEN}${GREEN:#} postern start -c postern.conf"))?;
        let gateway = Sample::start(self.directory.path(), self.variables()).await?;
        say(&format!("  {DIM}gateway{DIM:#}           {}", gateway.url()))?;
        Ok(gateway)
    }

    async fn request(&mut self, gateway: &Sample) -> Result<()> {
        self.heading("A request that knows no secret passes it; the service behind gets the secret")?;
        say(&format!("  {GREEN}${GREEN:#} curl {}/hello", gateway.url()))?;
        let echo = Connection::open(gateway.address()).await?.get("/hello").await?;
        let authorization = &echo["headers"]["authorization"];
        say(&format!("  the service got  {} {}", text(&echo["method"]), text(&echo["path"])))?;
        say(&format!("                   {BOLD}authorization: {}{BOLD:#}", text(authorization)))?;
        ensure!(
            *authorization == format!("Bearer {EXPECTED}"),
            "the header must have the value that is in the vault"
        );
        Ok(())
    }

    async fn rotation(&mut self, gateway: &Sample) -> Result<()> {
        self.heading("The secret is changed in the vault, while requests pass")?;
        let values = [&*format!("Bearer {EXPECTED}"), &*format!("Bearer {CHANGED}")];
        let seen = load::during(gateway.address(), "authorization", values, self.store(CHANGED)).await?;
        let Seen { old, new, failed, took, lasted } = &seen;
        say(&format!(
            "  {} requests in {:.1} s on {} connections: {old} had the old value, {new} the new one, {} failed",
            seen.all(),
            lasted.as_secs_f64(),
            load::CONNECTIONS,
            failed.len()
        ))?;
        for reason in failed.iter().take(3) {
            say(&format!("  {YELLOW}{reason}{YELLOW:#}"))?;
        }
        ensure!(failed.is_empty(), "no request may fail when a secret changes");
        let took = took.context("no request had the new value in time")?;
        say(&format!(
            "  {BOLD}{:.2} s{BOLD:#} from the write to the first request with the new value",
            took.as_secs_f64()
        ))?;
        ensure!(*old > 0, "the load must have begun before the change");
        say(&format!("\n{GREEN}The secret was changed under traffic, and no request failed.{GREEN:#}"))
    }

    async fn stay_up(&self, file: &Path, gateway: &Sample) -> Result<()> {
        let program = std::env::current_exe()?;
        say(&format!("\n{BOLD}Try next, in another terminal:{BOLD:#}"))?;
        for (name, value) in self.variables() {
            say(&format!("  export {name}={value}"))?;
        }
        say(&format!("  export VAULT_ADDR={} VAULT_TOKEN={ROOT_TOKEN}", self.stack.vault.url()))?;
        let (program, file, directory) = (program.display(), file.display(), self.directory.path().display());
        say(&format!("  curl {}/hello", gateway.url()))?;
        say("  vault kv put -mount=secret password pass=another     (or bao; then ask again)")?;
        say(&format!("  {program} vault get '{REFERENCE}' -f {file}"))?;
        say(&format!("  {program} vault explain '{REFERENCE}' -f {file}"))?;
        say(&format!("  {program} vault list -f {file}"))?;
        say(&format!("  {program} config check {file}"))?;
        say(&format!("  {program} reload -p {directory}     (after a change of {file}, or wait a second)"))?;
        say(&format!("\nThe gateway's log is {}.", sample::log(self.directory.path()).display()))?;
        say("Everything is gone when this ends. Ctrl-C ends it.")?;
        stopped().await
    }

    /// What the tutorial exports.
    fn variables(&self) -> [(&'static str, String); 6] {
        let Stack { vault, idp, upstream } = &self.stack;
        [
            ("DECK_HCV_HOST", vault.addr().ip().to_string()),
            ("DECK_HCV_PORT", vault.addr().port().to_string()),
            ("DECK_ISSUER", idp.url()),
            ("DECK_CLIENT_ID", idp.client_id().to_owned()),
            ("DECK_CLIENT_SECRET", idp.client_secret().to_owned()),
            ("DECK_UPSTREAM", upstream.url()),
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
        ask_vault(&self.client, &self.stack, method, path, Some(json)).await?;
        Ok(())
    }

    /// Writes the secret.
    async fn store(&self, value: &str) -> Result<()> {
        let command = format!("vault kv put -mount=secret password pass={value}");
        self.vault(&command, Method::PUT, "secret/data/password", json!({"data": {"pass": value}})).await
    }

    fn heading(&mut self, text: &str) -> Result<()> {
        self.step += 1;
        say(&format!("\n{BOLD}{}. {text}{BOLD:#}", self.step))
    }
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(anstream::stdout().lock(), "{text}")?)
}

fn show(yaml: &str) -> Result<()> {
    yaml.lines().try_for_each(|line| say(&format!("  {DIM}{line}{DIM:#}")))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
