//! What is wrong with a document, and where.
//!
//! Owns: the shape and the one-line form of a violation. Must not know: what a document is made of. Data goes on
//! to whoever prints it; the file's name is theirs to add.

mod report;

use std::fmt::{self, Display, Formatter};

pub(crate) use report::{Report, make_presentable};

/// Whether a violation refuses the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document cannot take effect.
    Error,
    /// The document can take effect, but probably not as meant.
    Warning,
}

/// A place in the file as written; both numbers start at 1, columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Whether the document is refused for it.
    pub severity: Severity,
    /// The field, such as `vaults[0].config.port`; empty for the document as a whole.
    pub path: String,
    /// Where it stands, unless it concerns the file as a whole.
    pub position: Option<Position>,
    /// What is wrong. Never holds a value that came out of the environment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Violation {
    /// An error that refuses the document.
    pub fn error(path: impl Into<String>, position: Option<Position>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, path: path.into(), position, message: message.into(), hint: None }
    }

    /// A warning.
    pub fn warning(path: impl Into<String>, position: Option<Position>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, position, message) }
    }

    /// The same violation with a next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same violation with a next step, where there is one.
    #[must_use]
    pub fn with_hint_if(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }

    /// One line with the file's name in front, as editors and terminals link it:
    /// `kong.yaml:12:7: vaults[0].config.port: expected an integer, got a string`. A warning says so after the
    /// position. The hint is the caller's to print, where there is room for it.
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl Display + 'a {
        Located { file: Some(file), violation: self }
    }
}

/// `12:7: vaults[0].config.port: expected an integer, got a string`.
impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Located { file: None, violation: self }.fmt(f)
    }
}

struct Located<'a> {
    file: Option<&'a str>,
    violation: &'a Violation,
}

impl Display for Located<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Violation { severity, path, position, message, .. } = self.violation;
        match (self.file, position) {
            (Some(file), Some(position)) => write!(f, "{file}:{position}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(position)) => write!(f, "{position}: ")?,
            (None, None) => {}
        }
        if *severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_with_and_without_a_file() {
        let position = Some(Position { line: 12, column: 7 });
        let error = Violation::error("vaults[0].config.port", position, "expected an integer, got a string");
        assert_eq!(error.to_string(), "12:7: vaults[0].config.port: expected an integer, got a string");
        assert_eq!(
            error.in_file("kong.yaml").to_string(),
            "kong.yaml:12:7: vaults[0].config.port: expected an integer, got a string"
        );
        let warning = Violation::warning("", None, "mixed forms").with_hint("choose one");
        assert_eq!(warning.in_file("kong.yaml").to_string(), "kong.yaml: warning: mixed forms");
    }
}
