//! `postern vault explain`: each step of a resolution, with its time and outcome. Never the value.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use postern_secrets::trail::{Step, Trail};
use serde_json::{Value, json};

use super::vault::{parse, println};
use crate::boot::boot;
use crate::cli::{Document, Options};
use crate::report::{self, DIM, GREEN, RED, YELLOW, printable};

/// Resolves a reference and tells how it went.
pub(super) async fn explain(
    options: &Options,
    typed: &str,
    json: bool,
    document: &Document,
) -> Result<ExitCode> {
    let trail = Trail::recording();
    let outcome = resolve(options, typed, document, &trail).await;
    let steps = trail.steps();
    if json {
        println(&serde_json::to_string_pretty(&as_json(typed, &steps, outcome.as_ref().err()))?)?;
    } else {
        print(&steps, outcome.as_ref().err())?;
    }
    Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn resolve(options: &Options, typed: &str, document: &Document, trail: &Trail) -> Result<()> {
    let mut step = trail.step("read the reference");
    let parsed = parse(typed).inspect(|reference| {
        step.fact("vault", reference.name());
        step.fact("resource", reference.resource());
        if let Some(key) = reference.key() {
            step.fact("key", key);
        }
        if let Some(version) = reference.version() {
            step.fact("version", version);
        }
    });
    let reference = step.done(parsed)?;
    let mut step = trail.step("read the configuration");
    let booted = boot(options, document.file.as_deref()).await.inspect(|booted| {
        let names: Vec<_> = booted.resolver.vaults().map(|info| info.name.to_owned()).collect();
        let file = booted.document.as_ref().map(|loaded| loaded.name.as_str());
        let is_kept = !booted.kept.vaults.is_empty() || !booted.kept.broken.is_empty();
        step.fact("file", file.unwrap_or(if is_kept { "the database" } else { "none" }));
        step.fact("vaults", names.join(", "));
    });
    let mut booted = booted;
    if let Ok(known) = &mut booted
        && let Err(error) = known.resolver_with(Some(reference.name()))
    {
        booted = Err(error);
    }
    let booted = step.done(booted)?;
    booted.resolver.resolve(&reference, trail).await?;
    Ok(())
}

fn print(steps: &[Step], error: Option<&anyhow::Error>) -> Result<()> {
    let mut out = anstream::stdout().lock();
    for step in steps {
        let (mark, style) = if step.failure.is_none() { ("ok", GREEN) } else { ("failed", RED) };
        let time = milliseconds(step.elapsed);
        writeln!(out, "{style}{mark:6}{style:#}  {}  {DIM}{time:.1} ms{DIM:#}", step.name)?;
        let width = step.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &step.facts {
            writeln!(out, "        {DIM}{name:width$}{DIM:#}  {}", printable(value))?;
        }
        if let Some(failure) = &step.failure {
            writeln!(out, "        {RED}{}{RED:#}", printable(failure).replace('\n', "\n        "))?;
        }
    }
    match error {
        None => writeln!(out, "{GREEN}The reference resolves.{GREEN:#} Its value is not shown here.")?,
        Some(error) => {
            writeln!(out, "{RED}The reference does not resolve:{RED:#} {}", printable(&error.to_string()))?;
            if let Some(hint) = report::hint(error) {
                writeln!(out, "{YELLOW}Hint:{YELLOW:#} {}", printable(&hint).trim_end())?;
            }
        }
    }
    Ok(())
}

fn as_json(typed: &str, steps: &[Step], error: Option<&anyhow::Error>) -> Value {
    let steps = steps.iter().map(|step| {
        let facts: serde_json::Map<String, Value> = step
            .facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        json!({
            "step": step.name, "ok": step.failure.is_none(), "milliseconds": milliseconds(step.elapsed),
            "facts": facts, "error": step.failure,
        })
    });
    json!({
        "reference": typed, "resolved": error.is_none(), "steps": steps.collect::<Vec<_>>(),
        "error": error.map(ToString::to_string), "hint": error.and_then(report::hint),
    })
}

/// With microseconds behind the point.
fn milliseconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}
