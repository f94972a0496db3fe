//! A server process of a test: started with its output in a file, polled until ready, killed on drop.
//!
//! Knows no protocol; `openbao.rs`, `oidc.rs` and `devstack.rs` say how to start one and when it is ready.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// Two cores may be compiling and running other tests at the same time.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running child with a temporary directory of its own.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
    // Dropped after `child`: fields drop in order.
    directory: TempDir,
}

impl Server {
    /// Starts `command` with standard output and error going to a log file in `directory`.
    pub(crate) fn start(name: &'static str, command: Command, directory: TempDir) -> Self {
        let log = directory.path().join(format!("{name}.log"));
        let child = spawn(name, command, &log);
        Self { name, child, log, directory }
    }

    /// Starts `command` in place of a process that has ended, with the same log file and directory.
    pub(crate) fn start_again(&mut self, command: Command) {
        self.child = spawn(self.name, command, &self.log);
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    /// Sends a signal: `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = std::process::Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "{} got no {signal}", self.name);
    }

    /// The temporary directory that lives as long as the server.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Asks `ready` with the log again and again until it answers; `None` when the server ended first.
    ///
    /// # Panics
    /// With the log when the deadline passes.
    pub(crate) async fn wait<T>(&mut self, ready: impl AsyncFn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(answer) = ready(&self.log()).await {
                return Some(answer);
            }
            if self.child.try_wait().expect("the child can be asked").is_some() {
                return None;
            }
            assert!(
                Instant::now() < deadline,
                "{} was not ready within {READY_WITHIN:?}:\n{}",
                self.name,
                self.log()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Like [`Server::wait`], for servers that have no excuse to end.
    ///
    /// # Panics
    /// With the log when the server ends or the deadline passes.
    pub(crate) async fn ready<T>(&mut self, ready: impl AsyncFn(&str) -> Option<T>) -> T {
        match self.wait(ready).await {
            Some(answer) => answer,
            None => panic!("{} ended before it was ready:\n{}", self.name, self.log()),
        }
    }

    /// Ends the server at once, as a crash would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }
}

fn spawn(name: &str, mut command: Command, log: &Path) -> Child {
    let out = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
    let err = out.try_clone().expect("a second handle to the log file");
    // The pipe is never written: it closes when this process ends, even by a kill, and a server that watches it ends
    // too.
    command.stdin(Stdio::piped()).stdout(out).stderr(err).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| panic!("{name} did not start: {error}"))
}

/// A loopback port that is free now, and so is the next one (OpenBao takes it for its cluster listener).
/// Another process may be faster: callers try again with another.
pub(crate) fn free_port() -> u16 {
    for _ in 0..100 {
        let first = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
        let port = first.local_addr().expect("a bound port").port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
    panic!("no two neighbouring loopback ports are free");
}
