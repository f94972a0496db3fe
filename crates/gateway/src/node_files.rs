//! What a running node leaves in its prefix for the commands that talk to it: its process id, and what came of the last
//! reload.
//!
//! Owns: these files. Must not know: what is done with them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use postern_model::Violation;
use postern_secrets::io_reason;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use crate::report::Failure;

/// The files of a node that runs. The process id goes when it ends.
#[derive(Debug)]
pub(crate) struct NodeFiles {
    pid: PathBuf,
    reload: PathBuf,
    is_ours: std::cell::Cell<bool>,
    /// The prefix can be written to.
    are_written: bool,
    /// Held for as long as the node runs.
    lock: Option<File>,
}

impl NodeFiles {
    fn at(prefix: &Path) -> Self {
        let directory = prefix.join("pids");
        Self {
            pid: directory.join("postern.pid"),
            reload: directory.join("reload.txt"),
            is_ours: std::cell::Cell::new(false),
            are_written: true,
            lock: None,
        }
    }

    /// For a node that is about to run. Where the prefix cannot be written to, the node runs without these files. With
    /// `take_over`, another node may run with the same prefix, and is ended later by whoever wants that.
    ///
    /// # Errors
    /// Another node runs with this prefix.
    pub(crate) fn claim(prefix: &Path, take_over: bool) -> Result<Self> {
        let mut files = Self::at(prefix);
        for directory in [prefix.join("pids"), prefix.join("logs")] {
            if let Err(error) = std::fs::create_dir_all(&directory) {
                tracing::warn!(
                    directory = %directory.display(),
                    error = io_reason(&error),
                    "the node cannot write to its prefix: it runs without a process id file, so reload, quit and health do not find it"
                );
                files.are_written = false;
                return Ok(files);
            }
        }
        files.lock(prefix, take_over)?;
        Ok(files)
    }

    /// The kernel releases the lock when the process ends, however that happens.
    fn lock(&mut self, prefix: &Path, take_over: bool) -> Result<()> {
        let path = prefix.join("pids").join("postern.lock");
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = match opened {
            Ok(lock) => lock,
            Err(error) => {
                tracing::warn!(path = %path.display(), error = io_reason(&error), "cannot lock the prefix");
                return Ok(());
            }
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => self.lock = Some(lock),
            Err(Errno::WOULDBLOCK) if take_over => {
                // Ours as soon as the other has ended; the thread ends with the process.
                std::thread::spawn(move || {
                    let locked = flock(&lock, FlockOperation::LockExclusive);
                    if locked.is_ok() {
                        loop {
                            std::thread::park();
                        }
                    }
                });
            }
            Err(Errno::WOULDBLOCK) => {
                let who = self
                    .named()
                    .map_or_else(String::new, |pid| format!(" (process {})", pid.as_raw_nonzero()));
                return Err(Failure::new(
                    format!("a node is running with the prefix {} already{who}", prefix.display()),
                    "postern quit ends it; -p names another prefix; --take-over starts beside it",
                )
                .into());
            }
            // File systems without locks.
            Err(error) => {
                tracing::warn!(path = %path.display(), error = io_reason(&error.into()), "cannot lock the prefix");
            }
        }
        Ok(())
    }

    /// Whether the prefix can be written to.
    pub(crate) fn are_written(&self) -> bool {
        self.are_written
    }

    /// It serves.
    pub(crate) fn ready(&self, pid: u32) -> Result<()> {
        if !self.are_written {
            return Ok(());
        }
        std::fs::write(&self.pid, format!("{pid}\n"))?;
        self.is_ours.set(true);
        Ok(())
    }

    /// What came of a reload that was asked for.
    pub(crate) fn reloaded(&self, outcome: &Result<(), Vec<Violation>>) {
        if !self.are_written {
            return;
        }
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
