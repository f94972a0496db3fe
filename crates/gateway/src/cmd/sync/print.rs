//! What a run prints: a line for each entity, the summary, errors, and a bar on a terminal.
//!
//! Owns: colours, and that the bar and the lines do not get into each other's way. Must not know: what the lines say.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use postern_admin::client::Problems;
use postern_admin::client::carry_out::Event;
use postern_admin::client::plan::{Action, Step};
use postern_admin::client::report::{self, Report};

use crate::cli::deck::Output;
use crate::report::{GREEN, RED, YELLOW, printable};

/// In characters.
const BAR: usize = 30;

/// Prints one run.
pub(super) struct Printer {
    is_json: bool,
    is_silent: bool,
    has_bar: bool,
    ended: Cell<usize>,
    all: Cell<usize>,
}

impl Printer {
    pub(super) fn new(output: &Output) -> Self {
        Self {
            is_json: output.json_output,
            is_silent: output.silence_events,
            has_bar: std::io::stderr().is_terminal(),
            ended: Cell::new(0),
            all: Cell::new(0),
        }
    }

    /// A line, unless scripts read.
    pub(super) fn line(&self, text: &str) -> Result<()> {
        if !self.is_json {
            writeln!(anstream::stdout().lock(), "{}", printable(text))?;
        }
        Ok(())
    }

    /// So many steps are to come.
    pub(super) fn begin(&self, steps: usize) {
        self.all.set(steps);
        self.bar();
    }

    /// A step begins or ends.
    pub(super) fn event(&self, event: &Event<'_>) {
        match event {
            Event::Begins(step) => {
                self.clear();
                self.step(step);
                self.bar();
            }
            Event::Ends(_) => {
                self.ended.set(self.ended.get() + 1);
                self.bar();
            }
        }
    }

    /// No steps are to come.
    pub(super) fn end(&self) {
        self.clear();
        self.all.set(0);
    }

    /// What is done to an entity. When stdout is gone, the work goes on.
    pub(super) fn step(&self, step: &Step) {
        if self.is_json || self.is_silent {
            return;
        }
        let mut out = anstream::stdout().lock();
        let headline = printable(&report::headline(step)).replace('\n', " ");
        let _ = match step.action {
            Action::Create => writeln!(out, "{GREEN}{headline}{GREEN:#}"),
            Action::Delete => writeln!(out, "{RED}{headline}{RED:#}"),
            Action::Update => writeln!(out, "{YELLOW}{headline}{YELLOW:#}  {{"),
        };
        if step.action == Action::Update {
            for line in report::difference(step) {
                let line = printable(&line);
                let _ = match line.chars().next() {
                    Some('+') => writeln!(out, "{GREEN}{line}{GREEN:#}"),
                    Some('-') => writeln!(out, "{RED}{line}{RED:#}"),
                    _ => writeln!(out, "{line}"),
                };
            }
            let _ = writeln!(out, " }}\n");
        }
    }

    /// What came of it.
    pub(super) fn report(&self, report: &Report<'_>) -> Result<()> {
        if self.is_json {
            return super::println(&report.json());
        }
        for warning in &report.warnings {
            writeln!(anstream::stderr().lock(), "{YELLOW}{}{YELLOW:#}", printable(warning))?;
        }
        for step in report.dropped.iter().filter(|_| !self.is_silent) {
            self.line(&report::dropped(step))?;
        }
        self.line(&report.summary())?;
        if !report.errors.is_empty() {
            errors(&Problems(report.errors.clone()))?;
        }
        Ok(())
    }

    /// The run did not come to any steps. Scripts get their object all the same.
    pub(super) fn failed(&self, error: anyhow::Error) -> Result<ExitCode> {
        if !self.is_json {
            return Err(error);
        }
        let errors = match error.downcast::<Problems>() {
            Ok(Problems(problems)) => problems,
            Err(error) => vec![error.to_string()],
        };
        super::println(&Report { errors, ..Report::default() }.json())?;
        Ok(ExitCode::FAILURE)
    }

    fn bar(&self) {
        let (ended, all) = (self.ended.get(), self.all.get());
        if self.has_bar && all > 0 {
            let filled = BAR * ended / all;
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r[{:<BAR$}] {ended}/{all}", "=".repeat(filled));
            let _ = out.flush();
        }
    }

    fn clear(&self) {
        if self.has_bar && self.all.get() > 0 {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\x1b[2K");
            let _ = out.flush();
        }
    }
}

/// Everything that went wrong, as decK says it.
pub(super) fn errors(problems: &Problems) -> Result<()> {
    let shown = Problems(problems.0.iter().map(|problem| printable(problem)).collect());
    writeln!(anstream::stderr().lock(), "{RED}Error:{RED:#} {shown}")?;
    Ok(())
}
