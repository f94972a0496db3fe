//! `postern secrets status` and `refresh`: how the references of a running node stand, by its Admin API. No value is ever
//! shown: the node does not give any.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use http::Method;
use postern_admin::client::gateway::Gateway;
use serde_json::{Map, Value as Json, json};

use super::sync::Environment;
use super::vault::println;
use crate::cli::SecretsQuery;
use crate::report::{GREEN, RED, YELLOW, printable};

/// Prints a line for each reference, or one JSON array. The exit code is 1 while one has no usable value.
pub(super) async fn status(query: SecretsQuery) -> Result<ExitCode> {
    let gateway = connect(&query)?;
    let wanted = |secret: &Map<String, Json>| {
        let is = |field: &str, given: &Option<String>| {
            given.as_deref().is_none_or(|given| secret.get(field).and_then(Json::as_str) == Some(given))
        };
        is("state", &query.state) && is("vault", &query.vault)
    };
    let mut secrets = gateway.list(&["secrets"], &[]).await?;
    secrets.retain(wanted);
    if query.json {
        println(&serde_json::to_string_pretty(&secrets)?)?;
    } else {
        print(&secrets)?;
    }
    let is_usable = |secret: &Map<String, Json>| matches!(text(secret, "state"), "fresh" | "stale");
    Ok(if secrets.iter().all(is_usable) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Has the node read references again, now; then says how they stand.
pub(super) async fn refresh(query: SecretsQuery) -> Result<ExitCode> {
    let gateway = connect(&query)?;
    let path: &[&str] = match &query.vault {
        Some(vault) => &["vaults", vault, "refresh"],
        None => &["secrets", "refresh"],
    };
    gateway.write(Method::POST, path, &json!({}), &[]).await?;
    status(query).await
}

fn connect(query: &SecretsQuery) -> Result<Gateway> {
    let environment = Environment::read();
    let workspace = query.admin.workspace.clone();
    environment.connect(&query.admin, workspace)
}

fn print(secrets: &[Map<String, Json>]) -> Result<()> {
    let mut out = anstream::stdout().lock();
    for secret in secrets {
        let state = text(secret, "state");
        let style = match state {
            "fresh" => GREEN,
            "stale" => YELLOW,
            _ => RED,
        };
        let number = |field: &str| secret.get(field).and_then(Json::as_f64);
        write!(out, "{style}{state:11}{style:#} {}", printable(text(secret, "reference")))?;
        if let Some(age) = number("age_seconds") {
            write!(out, "  read {age:.0} s ago")?;
        }
        if let Some(next) = number("next_refresh_seconds") {
            write!(out, "  next in {next:.0} s")?;
        }
        writeln!(out)?;
        let error = secret.get("last_error").and_then(Json::as_object);
        for field in ["message", "hint"] {
            if let Some(words) = error.and_then(|error| error.get(field)).and_then(Json::as_str) {
                writeln!(out, "            {}", printable(words))?;
            }
        }
    }
    if secrets.is_empty() {
        writeln!(out, "no references")?;
    }
    Ok(())
}

fn text<'a>(secret: &'a Map<String, Json>, field: &str) -> &'a str {
    secret.get(field).and_then(Json::as_str).unwrap_or_default()
}
