//! `postern vault get` and `postern vault list`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use postern_secrets::Reference;
use postern_secrets::resolve::VaultInfo;
use postern_secrets::trail::Trail;
use serde_json::json;

use crate::boot::boot;
use crate::cli::{self, Document, Options};
use crate::report::{BOLD, Failure, RED, printable};

/// Prints the value and a newline, and nothing else.
pub(super) async fn get(
    options: &Options,
    reference: Option<String>,
    document: &Document,
) -> Result<ExitCode> {
    let Some(reference) = reference else {
        let message = format!(
            "the 'get' command needs a <reference> argument\n{} vault get <reference>",
            cli::program()
        );
        return Err(Failure::new(message, "for example: {vault://env/home}").into());
    };
    let reference = parse(&reference)?;
    let mut booted = boot(options, document.file.as_deref()).await?;
    let value = booted.resolver_with(Some(reference.name()))?.resolve(&reference, &Trail::off()).await?;
    let mut out = std::io::stdout().lock();
    out.write_all(value.expose().as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A reference as typed: whole, or without `{vault://` and `}`.
pub(super) fn parse(typed: &str) -> Result<Reference> {
    // With a brace it is meant to be whole, and one that is not closed is told as such.
    if typed.starts_with('{') {
        return Ok(Reference::parse(typed)?);
    }
    Ok(Reference::parse(&format!("{{vault://{typed}}}"))?)
}

/// Lists the vaults: name, kind, place, and what is wrong with them.
pub(super) async fn list(options: &Options, json: bool, document: &Document) -> Result<ExitCode> {
    let mut booted = boot(options, document.file.as_deref()).await?;
    booted.resolver_with(None)?;
    let description = |name| booted.description(name).map(str::to_owned);
    let rows: Vec<Row> =
        booted.resolver.vaults().map(|info| Row::new(&info, description(info.name))).collect();
    if json {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        println(&serde_json::to_string_pretty(&rows)?)?;
    } else {
        print_table(&rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Row {
    name: String,
    kind: &'static str,
    place: String,
    description: String,
    problem: Option<String>,
}

impl Row {
    fn new(info: &VaultInfo<'_>, description: Option<String>) -> Self {
        let problem = info.settings.err().map(|errors| {
            let texts = errors.iter().map(|error| format!("{}: {}", error.field, error.message));
            texts.collect::<Vec<_>>().join("; ")
        });
        // A default vault's name is its kind.
        let kind = info.settings.map(|settings| settings.kind().name());
        Self {
            name: info.name.to_owned(),
            kind: kind.unwrap_or_default(),
            place: info.origin.place.clone(),
            description: description.unwrap_or_default(),
            problem,
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name, "kind": self.kind, "configured_in": self.place, "description": self.description,
            "problem": self.problem,
        })
    }
}

fn print_table(rows: &[Row]) -> Result<()> {
    let width = |of: fn(&Row) -> &str, title: &str| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0).max(title.len())
    };
    let name = width(|row| &row.name, "NAME");
    let place = width(|row| &row.place, "CONFIGURED IN");
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{:name$}  KIND  {:place$}  DESCRIPTION{BOLD:#}", "NAME", "CONFIGURED IN")?;
    for row in rows {
        let description = printable(&row.description);
        let line = format!("{:name$}  {:4}  {:place$}  {description}", row.name, row.kind, row.place);
        writeln!(out, "{}", line.trim_end())?;
        if let Some(problem) = &row.problem {
            writeln!(out, "{:name$}  {RED}{}{RED:#}", "", printable(problem))?;
        }
    }
    Ok(())
}

/// One line on stdout; an error when nobody reads it.
pub(super) fn println(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_whole_and_the_short_form() {
        for typed in ["{vault://env/a/b?x=1#2}", "env/a/b?x=1#2"] {
            assert_eq!(parse(typed).unwrap().to_string(), "{vault://env/a/b?x=1#2}");
        }
        assert_eq!(parse("vault://env/x").unwrap().name(), "vault");
        assert_eq!(parse("{vault://env/x").unwrap_err().to_string(), "not a reference [{vault://env/x]");
        assert_eq!(parse("env").unwrap_err().to_string(), "reference url is missing path [{vault://env}]");
    }
}
