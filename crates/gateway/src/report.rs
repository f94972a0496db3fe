//! What a person sees of failures and logs. Owns: the form of an error on the terminal. Must not know: why anything
//! failed; errors say that themselves, and hold no secrets.

use std::fmt::{self, Display, Formatter};
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use postern_model::Violation;
use postern_secrets::ReferenceError;
use postern_secrets::resolve::ResolveError;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::own_log::Told;

pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();

/// A failure with a hint of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

/// A configuration that was refused, with every reason.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Refused {
    /// The file, for people.
    pub(crate) file: String,
    /// What is wrong with it.
    pub(crate) violations: Vec<Violation>,
}

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration in {} cannot be used", self.file)?;
        for violation in &self.violations {
            write!(f, "\n  {}", violation.in_file(&self.file))?;
            if let Some(hint) = &violation.hint {
                write!(f, "\n      {hint}")?;
            }
        }
        Ok(())
    }
}

/// Logs go to stderr: errors only, or as much as was asked for.
pub(crate) fn start_logging(verbosity: u8) {
    let ours = match verbosity {
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let others = if verbosity > 2 { LevelFilter::TRACE } else { LevelFilter::ERROR };
    let targets = Targets::new().with_default(others).with_target("postern", ours);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(verbosity > 1);
    tracing_subscriber::registry().with(lines.with_filter(targets)).init();
}

/// A node tells what it does: text for a terminal, a JSON object a line for whatever else reads it.
pub(crate) fn start_node_logging(verbosity: u8, level: Option<LevelFilter>) {
    let ours = match verbosity {
        0 => level.unwrap_or(LevelFilter::INFO),
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let others = if verbosity > 2 { LevelFilter::TRACE } else { LevelFilter::ERROR };
    let targets = Targets::new()
        .with_default(others)
        .with_target("postern", ours)
        // Whatever the level: admin_audit_log says where it goes.
        .with_target("audit", ours.max(LevelFilter::INFO));
    let is_terminal = std::io::stderr().is_terminal();
    let registry = tracing_subscriber::registry().with(Told.with_filter(targets.clone()));
    if is_terminal {
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(verbosity > 1);
        registry.with(lines.with_filter(targets)).init();
    } else {
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
        registry.with(lines.with_filter(targets)).init();
    }
}

/// Says on stderr why a command failed, and what to do.
pub(crate) fn failure(error: &anyhow::Error) {
    let mut out = anstream::stderr().lock();
    let hint = hint(error).map(|hint| printable(&hint).replace('\n', "\n        "));
    // There is nobody left to tell when stderr is gone.
    let _ = writeln!(out, "{RED}Error:{RED:#} {}\n", printable(&error.to_string()));
    if let Some(hint) = hint {
        let _ = writeln!(out, "  {YELLOW}Hint:{YELLOW:#} {}", hint.trim_end());
    }
    let _ = writeln!(out, "  Run with --v (verbose) or --vv (debug) for more details");
}

/// What to do about an error, where it knows.
pub(crate) fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let resolve = || cause.downcast_ref::<ResolveError>().and_then(ResolveError::hint);
        let reference = || cause.downcast_ref::<ReferenceError>().map(|error| error.hint().to_owned());
        let failure = || cause.downcast_ref::<Failure>().and_then(|failure| failure.hint.clone());
        resolve().or_else(reference).or_else(failure)
    })
}

/// Text that may come from outside, without what could steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\r\nc\u{9b}d"), "a\u{fffd}[31mb\u{fffd}\nc\u{fffd}d");
    }
}
