//! `postern config check`: every violation, with path and line. The same code that a start runs. And
//! `postern config schema`: what editors need to know. And `postern config settings`: what can be set.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use postern_client::Trust;
use postern_model::{Severity, Snapshot, Violation};
use postern_plugins::registry::Registry;
use serde_json::json;

use super::vault::println;
use crate::boot::{load, settings_violations, trust_here};
use crate::cli::Options;
use crate::report::{DIM, Failure, GREEN, RED, Refused, YELLOW, printable};
use crate::serve;
use crate::settings::Settings;

/// What was found in one place.
struct Finding {
    file: String,
    violations: Vec<Violation>,
}

/// Checks a document, and the settings around it.
pub(super) async fn check(options: &Options, file: Option<PathBuf>, json: bool) -> Result<ExitCode> {
    let settings = Settings::load(options)?;
    let of_settings =
        Finding { file: "settings".to_owned(), violations: settings_violations(&settings).await? };
    let of_file = match load(&settings, file.as_deref()).await {
        Ok(Some(loaded)) => {
            let mut violations = loaded.checked.warnings;
            violations.extend(made(&settings, &loaded.checked.snapshot).await?);
            Finding { file: loaded.name, violations }
        }
        Err(error) => match error.downcast::<Refused>() {
            Ok(Refused { file, violations }) => Finding { file, violations },
            Err(error) => return Err(error),
        },
        Ok(None) if options.conf.is_some() => {
            Finding { file: "declarative_config".to_owned(), violations: Vec::new() }
        }
        Ok(None) => {
            return Err(Failure::new(
                "there is nothing to check",
                "name a file, as in `postern config check kong.yaml`, or set declarative_config",
            )
            .into());
        }
    };
    let findings = [of_settings, of_file];
    let errors = count(&findings, Severity::Error);
    if json {
        print_json(&findings)?
    } else {
        print(&findings)?
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a start would say beyond what the document says by itself.
async fn made(settings: &Settings, snapshot: &Snapshot) -> Result<Vec<Violation>> {
    // Whom to trust says the machine that will serve; here, what cannot be had is as good as nobody.
    let trust = trust_here(settings).await.unwrap_or_else(|_| Trust::none());
    Ok(serve::problems(settings, &trust, snapshot)?)
}

/// Prints what editors need to know of kong.yaml, with the plugins of this build.
pub(super) fn schema() -> Result<ExitCode> {
    let schema = postern_model::schema::json_schema(&Registry::bundled());
    println(&serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a kong.conf with every setting.
pub(super) fn settings() -> Result<ExitCode> {
    println(crate::settings::sample::sample().trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings
        .iter()
        .flat_map(|finding| &finding.violations)
        .filter(|violation| violation.severity == severity)
        .count()
}

/// Violations are the outcome of this command, so they go to stdout; the summary too.
fn print(findings: &[Finding]) -> Result<()> {
    let mut out = anstream::stdout().lock();
    for Finding { file, violations } in findings {
        for violation in violations {
            let style = if violation.severity == Severity::Error { RED } else { YELLOW };
            writeln!(out, "{style}{}{style:#}", printable(&violation.in_file(file).to_string()))?;
            if let Some(hint) = &violation.hint {
                writeln!(out, "    {DIM}{}{DIM:#}", printable(hint))?;
            }
        }
    }
    let name = &findings[findings.len() - 1].file;
    match (count(findings, Severity::Error), count(findings, Severity::Warning)) {
        (0, 0) => writeln!(out, "{GREEN}{name}: valid{GREEN:#}")?,
        (0, warnings) => {
            writeln!(out, "{GREEN}{name}: valid{GREEN:#}, with {}", plural(warnings, "warning"))?
        }
        (errors, 0) => writeln!(out, "{RED}{name}: {}{RED:#}", plural(errors, "error"))?,
        (errors, warnings) => {
            writeln!(
                out,
                "{RED}{name}: {}, {}{RED:#}",
                plural(errors, "error"),
                plural(warnings, "warning")
            )?;
        }
    }
    Ok(())
}

fn print_json(findings: &[Finding]) -> Result<()> {
    let violations = findings.iter().flat_map(|finding| {
        finding.violations.iter().map(|violation| {
            json!({
                "file": finding.file,
                "line": violation.position.map(|position| position.line),
                "column": violation.position.map(|position| position.column),
                "path": violation.path,
                "severity": if violation.severity == Severity::Error { "error" } else { "warning" },
                "message": violation.message,
                "hint": violation.hint,
            })
        })
    });
    let valid = count(findings, Severity::Error) == 0;
    println(&serde_json::to_string_pretty(&json!({
        "valid": valid, "violations": violations.collect::<Vec<_>>(),
    }))?)
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
