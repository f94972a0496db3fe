//! What a finished program left behind: exit code, both outputs, and the files it wrote.
//!
//! Knows nothing of how the program was started. `canary.rs` searches it; tests assert on it.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

/// A program that ended by itself.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output, with replacement characters where it was not UTF-8.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// Files in its directory that it created or changed, by path within the directory.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Outcome {
    /// Asserts exit code 0, and hands itself on.
    ///
    /// # Panics
    /// With both outputs when the program failed.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.code == 0, "expected success, got {self}");
        self
    }

    /// Asserts the exit code, and hands itself on.
    ///
    /// # Panics
    /// With both outputs when the code differs.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        assert!(self.code == code, "expected exit code {code}, got {self}");
        self
    }

    /// Asserts that standard error contains all of these texts.
    ///
    /// # Panics
    /// With both outputs and the first text that is missing.
    #[track_caller]
    pub fn stderr_has(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "stderr lacks {text:?}: {self}");
        }
        self
    }

    /// Standard output without the newline at its end.
    pub fn line(&self) -> &str {
        self.stdout.strip_suffix('\n').unwrap_or(&self.stdout)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "exit code {}", self.code)?;
        writeln!(out, "--- stdout\n{}", self.stdout)?;
        write!(out, "--- stderr\n{}", self.stderr)
    }
}

/// Runs `command` to its end, killing it after `limit`.
///
/// # Panics
/// When it does not start, or does not end in time.
pub(crate) async fn run(mut command: Command, limit: Duration) -> Outcome {
    let name = Path::new(command.as_std().get_program()).display().to_string();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(limit, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => panic!("{name} did not start: {error}"),
        Err(_) => panic!("{name} did not end within {limit:?}: {:?}", command.as_std()),
    };
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        files: BTreeMap::new(),
    }
}
