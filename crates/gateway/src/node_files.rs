//! What a running node leaves in its prefix for the commands that talk to it: its process id, and what came of the last
//! reload.
//!
//! Owns: these files. Must not know: what is done with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use postern_model::Violation;
use postern_secrets::io_reason;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use crate::report::Failure;

/// The files of a node that runs. The process id goes when it ends.
#[derive(Debug)]
pub(crate) struct NodeFiles {
    pid: PathBuf,
    reload: PathBuf,
    is_ours: std::cell::Cell<bool>,
}

impl NodeFiles {
    fn at(prefix: &Path) -> Self {
        let directory = prefix.join("pids");
        Self {
            pid: directory.join("postern.pid"),
            reload: directory.join("reload.txt"),
            is_ours: std::cell::Cell::new(false),
        }
    }

    /// For a node that is about to run. The directories are made; another node of the same prefix may run, and is told to
    /// end by whoever wants that: a new one may begin beside it.
    pub(crate) fn claim(prefix: &Path) -> Result<Self> {
        let files = Self::at(prefix);
        for directory in [prefix.join("pids"), prefix.join("logs")] {
            std::fs::create_dir_all(&directory).map_err(|error| {
                Failure::new(
                    format!("cannot make {}: {}", directory.display(), io_reason(&error)),
                    "the setting prefix names a directory that the node may write to",
                )
            })?;
        }
        Ok(files)
    }

    /// It serves.
    pub(crate) fn ready(&self, pid: u32) -> Result<()> {
        std::fs::write(&self.pid, format!("{pid}\n"))?;
        self.is_ours.set(true);
        Ok(())
    }

    /// What came of a reload that was asked for.
    pub(crate) fn reloaded(&self, outcome: &Result<(), Vec<Violation>>) {
        let text = match outcome {
            Ok(()) => "ok\n".to_owned(),
            Err(violations) => violations.iter().map(|violation| format!("{violation}\n")).collect(),
        };
        let new = self.reload.with_extension("new");
        if let Err(error) = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &self.reload)) {
            tracing::warn!(error = io_reason(&error), "cannot say what came of the reload");
        }
    }

    /// The node that runs with this prefix.
    pub(crate) fn running(prefix: &Path) -> Result<(Self, Pid)> {
        let files = Self::at(prefix);
        let pid = files.named().filter(|pid| test_kill_process(*pid).is_ok());
        let pid = pid.ok_or_else(|| {
            Failure::new(
                format!("no node is running with the prefix {}", prefix.display()),
                "-p names another prefix; postern start starts one",
            )
        })?;
        Ok((files, pid))
    }

    /// The process that the file names.
    fn named(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(&self.pid).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Has the node read its configuration again, and waits for what comes of it.
    pub(crate) async fn reload(&self, pid: Pid, longest: Duration) -> Result<()> {
        let _ = std::fs::remove_file(&self.reload);
        kill_process(pid, Signal::HUP)?;
        let until = Instant::now() + longest;
        while Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
            match std::fs::read_to_string(&self.reload).as_deref() {
                Ok("ok\n") => return Ok(()),
                Ok(reasons) => {
                    let reasons = reasons.trim_end().replace('\n', "\n  ");
                    return Err(Failure::new(
                        format!("the node refused the configuration; the old one serves on\n  {reasons}"),
                        "postern config check says it with hints",
                    )
                    .into());
                }
                Err(_) => {}
            }
        }
        Err(Failure::new("the node did not answer in time", "its log says what it does").into())
    }

    /// Tells the node to end, and waits for it.
    pub(crate) async fn quit(&self, pid: Pid, longest: Duration) -> Result<()> {
        kill_process(pid, Signal::QUIT)?;
        let until = Instant::now() + longest;
        // A process that has ended is still there while its parent has not asked for its outcome, so its file counts too.
        while test_kill_process(pid).is_ok() && self.named() == Some(pid) {
            if Instant::now() > until {
                return Err(Failure::new("the node still has requests under way", "-t waits longer").into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for NodeFiles {
    fn drop(&mut self) {
        let is_ours = self.is_ours.get()
            && std::fs::read_to_string(&self.pid)
                .is_ok_and(|text| text.trim() == std::process::id().to_string());
        if is_ours {
            let _ = std::fs::remove_file(&self.pid);
        }
    }
}
