//! `postern dev`: the dev stack, alone, until Ctrl-C.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use postern_devstack::{Stack, StackOptions, WARNING};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::vault::println;
use crate::cli::Dev;
use crate::report::{BOLD, YELLOW};

/// Starts the stack and says how to use it.
pub(super) async fn dev(dev: Dev) -> Result<ExitCode> {
    let stack = Stack::start(StackOptions {
        vault_port: dev.vault_port,
        idp_port: dev.idp_port,
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
    if dev.json {
        print_json(&stack)?
    } else {
        print(&stack)?
    }
    stopped().await?;
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
    let vault = (stack.vault.port_was_taken(), stack.vault.addr().port(), "the vault");
    let idp = (stack.idp.port_was_taken(), stack.idp.addr().port(), "the identity provider");
    [vault, idp].into_iter().filter(|(taken, ..)| *taken).map(|(_, port, what)| (port, what)).collect()
}

fn print(stack: &Stack) -> Result<()> {
    let (vault, idp) = (&stack.vault, &stack.idp);
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
    writeln!(out, "\n{BOLD}For the bao or vault command line:{BOLD:#}")?;
    writeln!(out, "  export VAULT_ADDR={} VAULT_TOKEN={}", vault.url(), vault.root_token())?;
    writeln!(out, "  export BAO_ADDR=$VAULT_ADDR BAO_TOKEN=$VAULT_TOKEN")?;
    writeln!(out, "\nEverything is gone when this ends. Ctrl-C ends it.")?;
    Ok(())
}

fn print_json(stack: &Stack) -> Result<()> {
    let (vault, idp) = (&stack.vault, &stack.idp);
    let facts = json!({
        "vault_addr": vault.url(), "root_token": vault.root_token(), "unseal_key": vault.unseal_key(),
        "issuer": idp.url(), "token_endpoint": idp.token_endpoint(), "jwks_url": idp.jwks_url(),
        "audience": idp.audience(), "client_id": idp.client_id(), "client_secret": idp.client_secret(),
    });
    println(&facts.to_string())
}
