//! A real OpenBao server of a test, in dev mode or with TLS, and the ways to prepare and disturb it.
//!
//! `openbao/start.rs` starts the process; `openbao/kept.rs` starts one that can be restarted. Prepare a server as a person would, with [`OpenBao::cli`]; ask for
//! exact replies with [`OpenBao::request`].

mod kept;
mod start;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    Outcome,
    http::{Body, send},
    outcome, search_path,
    server::Server,
    tool,
};

/// A running OpenBao.
pub struct OpenBao {
    server: Server,
    scheme: &'static str,
    port: u16,
    /// Plain HTTP, for this harness: it must reach a server whose certificate is wrong on purpose.
    admin_port: u16,
    root_token: String,
    unseal_key: String,
}

/// The certificate that a TLS server shows.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// PEM: the server's certificate first, then the intermediates it sends along.
    pub cert: String,
    /// PEM: the private key.
    pub key: String,
}

impl OpenBao {
    /// `bao server -dev` on a free port: unsealed, KV version 2 at `secret/`, root token `root`.
    ///
    /// # Panics
    /// When OpenBao is not installed or does not start.
    pub async fn dev() -> Self {
        start::dev().await
    }

    /// A server from a configuration file with TLS, initialised and unsealed, with KV version 2 at `secret/`
    /// as in dev mode.
    ///
    /// # Panics
    /// When OpenBao is not installed or does not start.
    pub async fn tls(files: TlsFiles) -> Self {
        start::tls(files).await
    }

    /// The `bao` program.
    ///
    /// # Panics
    /// When it is not installed; the message says how to install it.
    pub fn binary() -> PathBuf {
        tool("bin/bao")
    }

    /// `http://127.0.0.1:PORT`, or `https://`.
    pub fn addr(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// `http` or `https`, as in a vault entity's `protocol`.
    pub fn protocol(&self) -> &'static str {
        self.scheme
    }

    /// The port, of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The token that may do everything.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The one share that unseals it.
    pub fn unseal_key(&self) -> &str {
        &self.unseal_key
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// The server's own temporary directory, for files that should live as long as it does.
    pub fn directory(&self) -> &Path {
        self.server.directory()
    }

    /// Runs the `bao` command line as root against this server (over plain HTTP also when it serves TLS).
    ///
    /// # Panics
    /// When it does not end within a minute. A refusal is an [`Outcome`]: use [`Outcome::ok`].
    pub async fn cli<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Outcome {
        cli(self.directory(), &self.admin_addr(), &self.root_token, None, arguments).await
    }

    /// Runs the `bao` command line as root over TLS, trusting the certificates in `ca_file` and no others.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub async fn cli_over_tls<A: AsRef<OsStr>>(&self, ca_file: &Path, arguments: &[A]) -> Outcome {
        cli(self.directory(), &self.addr(), &self.root_token, Some(ca_file), arguments).await
    }

    fn admin_addr(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// One request with the root token; `path` is below `/v1/`. Returns status and JSON.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.request_as(Some(&self.root_token), method, path, body).await
    }

    /// One request with another token, or none.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn request_as(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let url = format!("{}/v1/{path}", self.admin_addr());
        let headers: Vec<_> = token.map(|token| ("x-vault-token", token)).into_iter().collect();
        let body = body.map_or(Body::None, Body::Json);
        send(method, &url, &headers, body)
            .await
            .unwrap_or_else(|error| panic!("OpenBao did not answer {method} {url}: {error}\n{}", self.log()))
    }

    /// Seals it: every request but status and unseal gets 503.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn seal(&self) {
        let (status, reply) = self.request("PUT", "sys/seal", None).await;
        assert!(status == 204 || status == 200, "seal: {status} {reply}");
    }

    /// Unseals it again.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn unseal(&self) {
        let (status, reply) = self.request("PUT", "sys/unseal", Some(&json!({"key": self.unseal_key}))).await;
        assert!(status == 200 && reply["sealed"] == false, "unseal: {status} {reply}");
    }

    /// Ends the server at once, as a crash would. Its port refuses connections from then on.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }
}

/// Runs the `bao` command line in a clean environment.
pub(crate) async fn cli<A: AsRef<OsStr>>(
    home: &Path,
    addr: &str,
    token: &str,
    ca_file: Option<&Path>,
    arguments: &[A],
) -> Outcome {
    let mut command = Command::new(OpenBao::binary());
    command
        .env_clear()
        .env("PATH", search_path())
        // The token helper looks below HOME.
        .env("HOME", home)
        .env("BAO_ADDR", addr)
        .env("BAO_TOKEN", token)
        .args(arguments);
    if let Some(ca_file) = ca_file {
        command.env("BAO_CACERT", ca_file);
    }
    outcome::run(command, Duration::from_secs(60)).await
}
