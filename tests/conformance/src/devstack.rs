//! `postern dev` as a server of a test: the product's own dev stack, started as a user starts it.

use std::ffi::OsStr;

use serde::Deserialize;
use tempfile::TempDir;

use crate::{Outcome, Postern, openbao, server::Server};

/// A running dev stack and what it said of itself.
pub struct DevStack {
    server: Server,
    /// What `postern dev --json` printed.
    pub info: DevStackInfo,
}

/// Addresses and credentials of the dev stack; the names are those of `postern dev --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct DevStackInfo {
    /// `http://127.0.0.1:PORT`
    pub vault_addr: String,
    /// The token that may do everything.
    pub root_token: String,
    /// The one share that unseals it.
    pub unseal_key: String,
    /// `iss` of the tokens.
    pub issuer: String,
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// Where the signing keys are published.
    pub jwks_url: String,
    /// An audience that the identity provider knows.
    pub audience: String,
    /// The client; its tokens have the subject `<client_id>@clients`.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The echo service: `http://127.0.0.1:PORT`
    pub upstream: String,
    /// The gateway in front of it, if there is one.
    pub gateway: Option<String>,
}

impl DevStack {
    /// Starts it on free ports.
    ///
    /// # Panics
    /// When the `postern` binary is not built, or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts it with a gateway in front of the echo service.
    ///
    /// # Panics
    /// When the `postern` binary is not built, or does not start.
    pub async fn with_gateway() -> Self {
        Self::start_with(&["--gateway"]).await
    }

    async fn start_with(arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut command = Postern::bare_command(directory.path());
        command.args(["dev", "--json", "--vault-port", "0", "--idp-port", "0", "--upstream-port", "0"]);
        // It is killed in the end, and cannot tidy up.
        command.args(arguments).env("TMPDIR", directory.path());
        let mut server = Server::start("postern-dev", command, directory);
        let info = server
            .ready(async |log| log.lines().find_map(|line| serde_json::from_str::<DevStackInfo>(line).ok()))
            .await;
        Self { server, info }
    }

    /// Runs the real `bao` command line as root against its vault.
    ///
    /// # Panics
    /// When it does not end within a minute. A refusal is an [`Outcome`]: use [`Outcome::ok`].
    pub async fn cli<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Outcome {
        openbao::cli(self.server.directory(), &self.info.vault_addr, &self.info.root_token, None, arguments)
            .await
    }

    /// What it has printed, logs included.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }
}
