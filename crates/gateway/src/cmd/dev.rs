//! `postern dev`: the dev stack until Ctrl-C, alone or with a gateway in front.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use http::Method;
use http::header::HeaderName;
use postern_client::{Client, Outgoing, Trust};
use postern_devstack::{Stack, StackOptions, WARNING};
use postern_secrets::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;
use zeroize::Zeroizing;

use super::sample::{self, Sample};
use super::vault::println;
use crate::cli::Dev;
use crate::report::{BOLD, YELLOW};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

/// The token of the vault comes from the environment, and the header from the vault.
const KONG_YAML: &str = r#"_format_version: "3.0"
vaults:
  - name: hcv
    prefix: dev
    config:
      host: ${{ env "DECK_VAULT_HOST" }}
      port: ${{ env "DECK_VAULT_PORT" }}
      protocol: http
      kv: v2
      auth_method: token
      token: "{vault://env/vault-token}"
      ttl: 1
services:
  - name: echo
    url: ${{ env "DECK_UPSTREAM" }}
    routes:
      - name: all
        paths: [/]
    plugins:
      - name: request-transformer
        config:
          add:
            headers: ["x-api-key:{vault://dev/password/pass}"]
"#;

/// Starts the stack and says how to use it.
pub(super) async fn dev(dev: Dev) -> Result<ExitCode> {
    let stack = Stack::start(StackOptions {
        vault_port: dev.vault_port,
        idp_port: dev.idp_port,
        upstream_port: dev.upstream_port,
        root_token: dev.root_token,
        client_id: dev.client_id,
        client_secret: dev.client_secret,
    })
    .await?;
    let mut err = anstream::stderr().lock();
    writeln!(err, "{YELLOW}{WARNING}{YELLOW:#}")?;
    for (taken, what) in taken_ports(&stack) {
        writeln!(err, "The usual port of {what} is taken; it listens on {taken} instead.")?;
    }
    drop(err);
    let gateway = if dev.gateway { Some(gateway(&stack, !dev.json).await?) } else { None };
    if dev.json {
        print_json(&stack, gateway.as_ref())?
    } else {
        print(&stack, gateway.as_ref())?
    }
    stopped().await?;
    if let Some((gateway, _directory)) = gateway {
        gateway.stop().await?;
    }
    stack.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Waits until somebody ends this: Ctrl-C, or a polite `kill`.
pub(super) async fn stopped() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

/// The ports that were chosen because the usual ones are taken.
pub(super) fn taken_ports(stack: &Stack) -> Vec<(u16, &'static str)> {
    let Stack { vault, idp, upstream } = stack;
    let servers = [
        (vault.port_was_taken(), vault.addr().port(), "the vault"),
        (idp.port_was_taken(), idp.addr().port(), "the identity provider"),
        (upstream.port_was_taken(), upstream.addr().port(), "the upstream"),
    ];
    servers.into_iter().filter(|(taken, ..)| *taken).map(|(_, port, what)| (port, what)).collect()
}

/// One request to the vault of the stack, as root.
pub(super) async fn ask_vault(
    client: &Client,
    stack: &Stack,
    method: Method,
    path: &str,
    json: Option<Value>,
) -> Result<Value> {
    let url = Url::parse(&format!("{}/v1/{path}", stack.vault.url()))?;
    let mut outgoing =
        Outgoing::new(method, url).secret_header(TOKEN, &Secret::from(stack.vault.root_token()))?;
    if let Some(json) = json {
        outgoing = outgoing.body("application/json", Zeroizing::new(json.to_string()), &[]);
    }
    let reply = client.send(outgoing).await?;
    ensure!(reply.is_success(), "the vault answered {} to {path}: {}", reply.status, reply.shown());
    Ok(serde_json::from_slice(reply.body()).unwrap_or(Value::Null))
}

/// A gateway in front of the echo service, with a secret to begin with. A person wants the ports of the documentation, a
/// program any that are free.
async fn gateway(stack: &Stack, usual_ports: bool) -> Result<(Sample, TempDir)> {
    let secret = json!({"data": {"pass": "mypassword"}});
    let client = Client::new(&Trust::none(), true);
    ask_vault(&client, stack, Method::PUT, "secret/data/password", Some(secret)).await?;
    let directory = tempfile::Builder::new().prefix("postern-dev-").tempdir()?;
    std::fs::write(directory.path().join("kong.yaml"), KONG_YAML)?;
    std::fs::write(directory.path().join("postern.conf"), sample::conf(usual_ports))?;
    let address = stack.vault.addr();
    let variables = [
        ("DECK_VAULT_HOST", address.ip().to_string()),
        ("DECK_VAULT_PORT", address.port().to_string()),
        ("DECK_UPSTREAM", stack.upstream.url()),
        ("VAULT_TOKEN", stack.vault.root_token().to_owned()),
    ];
    Ok((Sample::start(directory.path(), variables).await?, directory))
}

fn print(stack: &Stack, gateway: Option<&(Sample, TempDir)>) -> Result<()> {
    let Stack { vault, idp, upstream } = stack;
    let mut out = anstream::stdout().lock();
    let mut line = |name: &str, value: &str| writeln!(out, "  {name:16}{value}");
    line("vault", &vault.url())?;
    line("root token", vault.root_token())?;
    line("unseal key", vault.unseal_key())?;
    line("issuer", &idp.url())?;
    line("token endpoint", &idp.token_endpoint())?;
    line("jwks url", &idp.jwks_url())?;
    line("audience", &idp.audience())?;
    line("client id", idp.client_id())?;
    line("client secret", idp.client_secret())?;
    line("upstream", &upstream.url())?;
    if let Some((gateway, directory)) = gateway {
        line("gateway", &gateway.url())?;
        line("its files", &directory.path().display().to_string())?;
    }
    writeln!(out, "\n{BOLD}For the bao or vault command line:{BOLD:#}")?;
    writeln!(out, "  export VAULT_ADDR={} VAULT_TOKEN={}", vault.url(), vault.root_token())?;
    writeln!(out, "  export BAO_ADDR=$VAULT_ADDR BAO_TOKEN=$VAULT_TOKEN")?;
    match gateway {
        Some((gateway, _)) => {
            writeln!(out, "\n{BOLD}Through the gateway, with a header x-api-key from the vault:{BOLD:#}")?;
            writeln!(out, "  curl {}/hello", gateway.url())?;
            writeln!(out, "  vault kv put -mount=secret password pass=another     (then ask again)")?;
        }
        None => writeln!(out, "\n--gateway starts a gateway in front of the upstream, too.")?,
    }
    writeln!(out, "\nEverything is gone when this ends. Ctrl-C ends it.")?;
    Ok(())
}

fn print_json(stack: &Stack, gateway: Option<&(Sample, TempDir)>) -> Result<()> {
    let Stack { vault, idp, upstream } = stack;
    let facts = json!({
        "vault_addr": vault.url(), "root_token": vault.root_token(), "unseal_key": vault.unseal_key(),
        "issuer": idp.url(), "token_endpoint": idp.token_endpoint(), "jwks_url": idp.jwks_url(),
        "audience": idp.audience(), "client_id": idp.client_id(), "client_secret": idp.client_secret(),
        "upstream": upstream.url(), "gateway": gateway.map(|(gateway, _)| gateway.url()),
    });
    println(&facts.to_string())
}
