//! The table: bound, figure, whether it holds; and what is worth knowing beside it.

use std::fmt::Display;
use std::io::Write as _;

use crate::Failure;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    /// One row of the table.
    pub(crate) fn row(&mut self, what: &str, bound: &str, figure: impl Display, holds: bool) {
        let verdict = if holds { "holds" } else { "**falls short**" };
        self.rows.push(format!("| {what} | {bound} | {figure} | {verdict} |"));
        progress(&format!("{what}: {figure} ({verdict})"));
    }

    /// Something worth knowing beside the table.
    pub(crate) fn note(&mut self, note: impl Display) {
        self.notes.push(format!("- {note}"));
        progress(&note.to_string());
    }

    /// Prints all of it as Markdown.
    pub(crate) fn print(&self, openbao: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "| what | bound | figure | |\n| --- | --- | --- | --- |")?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
        writeln!(out)?;
        self.notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
        writeln!(out, "\nMachine: {}. postern {}, {openbao}.", machine()?, env!("CARGO_PKG_VERSION"))?;
        Ok(())
    }
}

/// Tells on standard error how far it is.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Tells what ended the benchmark.
pub(crate) fn fail(error: &Failure) {
    let _ = writeln!(std::io::stderr(), "scale: {error}");
}

fn machine() -> Result<String, Failure> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let model = model.map_or("unknown CPU", |(_, model)| model);
    Ok(format!("{model}, {cores} cores, Linux {}, load {load} at the end", kernel.trim()))
}
