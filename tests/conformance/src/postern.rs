//! The program under test: the real `postern` binary in a clean environment and a directory of its own.
//!
//! Hands what came out to [`Outcome`]. The binary must be built before (`make test` does it): a test that
//! built it would hide how long that takes and fight for cargo's lock.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Outcome, outcome, search_path};

/// One or more runs of `postern` in one directory. `run` may be called again: files stay.
pub struct Postern {
    directory: TempDir,
    environment: BTreeMap<OsString, OsString>,
    arguments: Vec<OsString>,
    /// Files that the test wrote, which are not the program's doing.
    given: BTreeMap<PathBuf, Vec<u8>>,
    limit: Duration,
    memory: Option<u64>,
}

impl Postern {
    /// A command with no arguments, an empty environment but for `PATH` and `HOME`, in a new directory.
    ///
    /// # Panics
    /// When the binary is not built; the message says how to build it.
    pub fn command() -> Self {
        Self {
            directory: TempDir::new().expect("a temporary directory"),
            environment: BTreeMap::new(),
            arguments: Vec::new(),
            given: BTreeMap::new(),
            limit: Duration::from_secs(60),
            memory: None,
        }
    }

    /// The binary, in the folder where this test was built.
    ///
    /// # Panics
    /// When it is not built.
    pub fn binary() -> PathBuf {
        // target/debug/deps/it-0123 -> target/debug/postern
        let test = std::env::current_exe().expect("the path of this test");
        let profile = test.ancestors().nth(2).expect("a test sits in target/<profile>/deps");
        let binary = profile.join(format!("postern{}", std::env::consts::EXE_SUFFIX));
        let build = if profile.ends_with("release") { " --release" } else { "" };
        assert!(binary.exists(), "{} is not there: run `cargo build -p postern{build}`", binary.display());
        binary
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Writes a file into the working directory; `name` may contain folders.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn file(mut self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Self {
        let path = self.directory.path().join(name.as_ref());
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder for the file");
        fs::write(&path, content.as_ref()).expect("a file in the working directory");
        self.given.insert(name.as_ref().to_owned(), content.as_ref().to_owned());
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// How long a run may take; a minute unless told.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// How much address space a run may take, in MiB. A program that wants more is ended by a signal.
    #[must_use]
    pub fn memory(mut self, mebibytes: u64) -> Self {
        self.memory = Some(mebibytes);
        self
    }

    /// The working directory, for paths in arguments and configuration.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not end within the limit.
    pub async fn run(&self) -> Outcome {
        let mut command = match self.memory {
            None => Self::bare_command(self.directory.path()),
            Some(mebibytes) => Self::limited_command(self.directory.path(), mebibytes),
        };
        command.envs(&self.environment).args(&self.arguments);
        let mut outcome = outcome::run(command, self.limit).await;
        outcome.files = read_tree(self.directory.path());
        outcome.files.retain(|path, content| self.given.get(path) != Some(content));
        outcome
    }

    /// The shell is the portable way to a limit without unsafe code; `exec` puts the binary in its place.
    fn limited_command(directory: &Path, mebibytes: u64) -> Command {
        let script = format!("ulimit -v {} && exec \"$0\" \"$@\"", mebibytes * 1024);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).arg(Self::binary());
        command.env_clear().env("PATH", search_path()).env("HOME", directory).current_dir(directory);
        command
    }

    /// The binary with a clean environment, for `DevStack` and for tests that hold on to the process.
    pub fn bare_command(directory: &Path) -> Command {
        let mut command = Command::new(Self::binary());
        command.env_clear().env("PATH", search_path()).env("HOME", directory).current_dir(directory);
        command
    }
}

/// Every file below `root`, by path within it.
fn read_tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            // A link is read as the file it names; a folder behind a link is not entered, so no cycles.
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if let Ok(content) = fs::read(&path) {
                files.insert(path.strip_prefix(root).expect("below the root").to_owned(), content);
            }
        }
    }
    files
}
