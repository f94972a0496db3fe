//! `postern start` as a server of a test: the gateway with a configuration, on free ports, in a directory of its own.
//!
//! Knows where it listens, and what a person would look at: its log, its process. What is sent to it is the test's.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Postern, server::Server};

/// A running gateway. It ends when it is dropped.
pub struct Gateway {
    server: Server,
    /// HTTP/1.1.
    pub http: SocketAddr,
    /// HTTP/1.1, and HTTP/2 from the first byte.
    pub h2c: SocketAddr,
    /// TLS, with HTTP/2 by ALPN.
    pub https: SocketAddr,
    /// Where `/status` and `/metrics` are.
    pub status: SocketAddr,
    /// Where the Admin API is, unless it was told to be nowhere.
    pub admin: Option<SocketAddr>,
}

/// The file with the configuration, in the gateway's directory.
const CONFIGURATION: &str = "kong.yaml";
/// Below the prefix, which is the gateway's directory too.
const ACCESS_LOG: &str = "logs/access.log";
const APPLIED: &str = "a new configuration is in effect";
const REFUSED: &str = "a new configuration was refused";

impl Postern {
    /// Starts a gateway that serves this `kong.yaml`. Settings are named as in kong.conf:
    /// `("nginx_proxy_client_header_timeout", "500ms")`; one that is not a setting of the gateway's is set in its
    /// environment as it is, if it is in capitals. There is one worker unless told, so that what depends on which
    /// worker takes a connection is the same each time.
    ///
    /// # Panics
    /// With the log, when it does not start.
    pub async fn gateway(yaml: &str, settings: &[(&str, &str)]) -> Gateway {
        Gateway::try_start(yaml, settings)
            .await
            .unwrap_or_else(|log| panic!("the gateway ended before it was ready:\n{log}"))
    }
}

impl Gateway {
    /// Like [`Postern::gateway`], for configurations that may be wrong.
    ///
    /// # Errors
    /// What it printed, when it ended instead of serving.
    pub async fn try_start(yaml: &str, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start(yaml, settings, &[]).await
    }

    /// Like [`Gateway::try_start`], beside a gateway of the same prefix.
    ///
    /// # Errors
    /// What it printed, when it ended instead of serving.
    pub async fn take_over(yaml: &str, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start(yaml, settings, &["--take-over"]).await
    }

    async fn start(yaml: &str, settings: &[(&str, &str)], arguments: &[&str]) -> Result<Self, String> {
        let directory = TempDir::new().expect("a temporary directory");
        fs::write(directory.path().join(CONFIGURATION), yaml).expect("a configuration file");
        let mut command = command(directory.path(), settings);
        command.args(arguments);
        let mut server = Server::start("postern-start", command, directory);
        let Some((proxy, status, admin)) = server.wait(async |log| log.lines().find_map(serving)).await
        else {
            return Err(server.log());
        };
        let [http, h2c, https] = proxy[..] else {
            panic!("a gateway with other listeners than the harness asked for:\n{}", server.log());
        };
        Ok(Self { server, http, h2c, https, status: status[0], admin: admin.first().copied() })
    }

    /// All that it has printed; a JSON object a line.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// The lines of its access log so far. They are written some milliseconds after a response.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.directory().join(ACCESS_LOG)).unwrap_or_default()
    }

    /// Its prefix, where the configuration is too.
    pub fn directory(&self) -> &Path {
        self.server.directory()
    }

    /// The file with the configuration.
    pub fn configuration(&self) -> PathBuf {
        self.directory().join(CONFIGURATION)
    }

    /// Puts another configuration in place of the file, as an editor would, and waits until the gateway has judged
    /// it. Whether it took effect.
    ///
    /// # Panics
    /// When the gateway ends, or does not notice.
    pub async fn reload(&mut self, yaml: &str) -> bool {
        let count = |log: &str, text| log.matches(text).count();
        let before = self.log();
        let (applied, refused) = (count(&before, APPLIED), count(&before, REFUSED));
        let new = self.directory().join("kong.yaml.new");
        fs::write(&new, yaml).expect("a configuration file");
        fs::rename(&new, self.configuration()).expect("a configuration file");
        self.server
            .ready(async |log| {
                let done = |text, before| count(log, text) > before;
                (done(APPLIED, applied) || done(REFUSED, refused)).then(|| done(APPLIED, applied))
            })
            .await
    }

    /// Sends a signal: `-TERM`.
    pub fn signal(&self, signal: &str) {
        self.server.signal(signal);
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it goes on.
    pub async fn ended(&mut self) {
        let never = self.server.wait(async |_| None::<()>).await;
        assert!(never.is_none(), "nothing is waited for but the end");
    }

    /// The id of its process.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// How much memory its process has now, in KiB.
    ///
    /// # Panics
    /// When it has ended, or this is not Linux.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a living process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }
}

fn command(directory: &Path, settings: &[(&str, &str)]) -> Command {
    const LISTEN: &str = "127.0.0.1:0, 127.0.0.1:0 http2, 127.0.0.1:0 ssl http2";
    let mut command = Postern::bare_command(directory);
    command
        .arg("start")
        .env("POSTERN_DECLARATIVE_CONFIG", directory.join(CONFIGURATION))
        .env("POSTERN_PREFIX", directory)
        .env("POSTERN_PROXY_LISTEN", LISTEN)
        .env("POSTERN_STATUS_LISTEN", "127.0.0.1:0")
        .env("POSTERN_ADMIN_LISTEN", "127.0.0.1:0")
        .env("POSTERN_NGINX_WORKER_PROCESSES", "1");
    for (name, value) in settings {
        match name.chars().any(char::is_uppercase) {
            true => command.env(name, value),
            false => command.env(format!("POSTERN_{}", name.to_uppercase()), value),
        };
    }
    command
}

/// The addresses in the log's line that says that it serves: of the proxy, of the status, of the Admin API.
fn serving(line: &str) -> Option<(Vec<SocketAddr>, Vec<SocketAddr>, Vec<SocketAddr>)> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["message"] != "serving" {
        return None;
    }
    let addresses = |name: &str| {
        let list = line[name].as_str()?.trim_matches(['[', ']']);
        list.split(", ")
            .filter(|address| !address.is_empty())
            .map(|address| address.parse().ok())
            .collect::<Option<Vec<SocketAddr>>>()
    };
    Some((addresses("proxy")?, addresses("status")?, addresses("admin")?))
}
