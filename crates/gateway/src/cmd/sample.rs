//! A gateway in a process of its own, for `postern demo` and `postern dev --gateway`: this very program, started as a
//! person would, from files in a directory.
//!
//! Owns: its `postern.conf`, its process and its end. Must not know: what its kong.yaml says.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// A debug build on a busy machine needs a moment.
const READY_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(40);
const LOG: &str = "gateway.log";

/// A running gateway. Its process ends when this is dropped; [`Sample::stop`] lets requests finish.
pub(super) struct Sample {
    child: Child,
    address: SocketAddr,
}

/// What is in the `postern.conf` of a gateway that listens on its usual ports, or on free ones.
pub(super) fn conf(usual_ports: bool) -> String {
    let port = |usual| if usual_ports && TcpListener::bind(("127.0.0.1", usual)).is_ok() { usual } else { 0 };
    format!(
        "declarative_config = kong.yaml\n\
         prefix = .\n\
         proxy_listen = 127.0.0.1:{}\n\
         status_listen = 127.0.0.1:{}\n\
         admin_listen = 127.0.0.1:{}\n",
        port(8000),
        port(8007),
        port(8001)
    )
}

impl Sample {
    /// Runs `postern start -c postern.conf` in a directory that has this file, with these environment variables and no
    /// others: a setting of the person's own must not change what is shown. Returns when it serves.
    pub(super) async fn start(
        directory: &Path,
        variables: impl IntoIterator<Item = (&str, String)>,
    ) -> Result<Self> {
        let log = directory.join(LOG);
        let file = std::fs::File::create(&log)?;
        let mut command = Command::new(std::env::current_exe()?);
        // Nobody would find a gateway that a killed demo has left behind.
        command
            .args(["start", "--with-parent", "-c", "postern.conf"])
            .current_dir(directory)
            .env_clear()
            .envs(variables);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let mut child = command.spawn()?;
        let until = Instant::now() + READY_WITHIN;
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(address) = said.lines().find_map(serving) {
                return Ok(Self { child, address });
            }
            if child.try_wait()?.is_some() || Instant::now() > until {
                bail!("the gateway does not serve; this is what it says:\n{}", said.trim_end());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL, without a slash at its end.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Tells it to end, and waits until it has.
    pub(super) async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // It may have ended in between, by the same Ctrl-C.
            let _ = kill_process(pid, Signal::TERM);
        }
        let status = timeout(ENDS_WITHIN, self.child.wait()).await.context("the gateway does not end")??;
        anyhow::ensure!(status.success(), "the gateway ended with {status}");
        Ok(())
    }
}

/// The log of a gateway in this directory.
pub(super) fn log(directory: &Path) -> PathBuf {
    directory.join(LOG)
}

/// The address in the log's line that says that it serves.
fn serving(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let proxy = line["proxy"].as_str().filter(|_| line["message"] == "serving")?;
    proxy.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_in_the_log() {
        let line = r#"{"level":"INFO","message":"serving","proxy":"[127.0.0.1:8000]","status":"[]"}"#;
        assert_eq!(serving(line), Some(SocketAddr::from(([127, 0, 0, 1], 8000))));
        for other in ["", "serving", r#"{"message":"ended","proxy":"[127.0.0.1:8000]"}"#] {
            assert_eq!(serving(other), None, "{other}");
        }
    }
}
