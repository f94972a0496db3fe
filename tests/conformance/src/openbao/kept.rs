//! OpenBao whose data outlives its process, and which writes down every request: for tests that kill, stop and
//! restart it ([`crate::Audit::kept`] counts).
//!
//! Hands a ready [`OpenBao`] to `openbao.rs`. Storage is raft on disk; the audit device is a file.

use std::{fmt::Write as _, fs, path::Path};

use tempfile::TempDir;
use tokio::process::Command;

use super::{OpenBao, TlsFiles, start};
use crate::server::{Server, free_port};

impl OpenBao {
    /// A server with its data on disk and an audit device, initialised and unsealed, with KV version 2 at `secret/`.
    /// It speaks plain HTTP on [`OpenBao::port`]; with `tls`, also TLS on [`OpenBao::tls_port`].
    ///
    /// # Panics
    /// When OpenBao is not installed or does not start.
    pub async fn kept(tls: Option<TlsFiles>) -> Self {
        for _ in 0..start::TRIES {
            let (port, tls_port, cluster) = (free_port(), free_port(), free_port());
            let directory = TempDir::new().expect("a temporary directory");
            write_config(directory.path(), tls.as_ref(), port, tls_port, cluster);
            let mut server = Server::start("openbao", command(directory.path()), directory);
            if server.wait(started).await.is_some() {
                let mut bao = Self {
                    server,
                    scheme: "http",
                    port,
                    admin_port: port,
                    root_token: String::new(),
                    unseal_key: String::new(),
                };
                start::initialise(&mut bao).await;
                return bao;
            }
            start::give_up_unless_port_was_taken(&server);
        }
        panic!("OpenBao found its port taken {} times", start::TRIES);
    }

    /// The port on which a server of [`OpenBao::kept`] speaks TLS.
    ///
    /// # Panics
    /// When it speaks no TLS.
    pub fn tls_port(&self) -> u16 {
        let text = fs::read_to_string(self.directory().join("tls-port")).expect("a server with TLS");
        text.trim().parse().expect("a port")
    }

    /// Starts a server of [`OpenBao::kept`] again after [`OpenBao::kill`]: the same ports and data, unsealed.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        // Its readiness is read from the log, which goes on growing.
        let before = self.log().len();
        let command = command(self.directory());
        self.server.start_again(command);
        self.server.ready(async |log: &str| started(&log[before..]).await).await;
        self.unseal().await;
        self.active().await;
    }

    /// Waits until it leads and its KV engine answers, as some time after an unseal.
    ///
    /// # Panics
    /// When it does not.
    pub async fn active(&self) {
        start::wait_for_kv(self).await;
    }

    /// Stops the process where it is (SIGSTOP): connections stay open, and nothing answers.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn stop(&self) {
        self.server.signal("-STOP");
    }

    /// Lets a stopped process go on (SIGCONT).
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn go_on(&self) {
        self.server.signal("-CONT");
    }
}

fn command(directory: &Path) -> Command {
    let mut command = start::bao_server(directory);
    command.arg("-config").arg(directory.join("config.hcl"));
    command
}

async fn started(log: &str) -> Option<()> {
    log.contains("OpenBao server started!").then_some(())
}

fn write_config(directory: &Path, tls: Option<&TlsFiles>, port: u16, tls_port: u16, cluster: u16) {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).expect("a file in the temporary directory");
        path
    };
    let data = directory.join("data");
    fs::create_dir(&data).expect("a folder in the temporary directory");
    let audit = directory.join("audit.log");
    let mut config = format!(
        "storage \"raft\" {{\n  path = {data:?}\n  node_id = \"one\"\n  performance_multiplier = 1\n}}\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_disable = true\n}}\n\
         api_addr = \"http://127.0.0.1:{port}\"\ncluster_addr = \"http://127.0.0.1:{cluster}\"\n\
         audit \"file\" \"requests\" {{\n  options {{\n    file_path = {audit:?}\n  }}\n}}\n"
    );
    if let Some(files) = tls {
        let cert = write("server-cert.pem", &files.cert);
        let key = write("server-key.pem", &files.key);
        write("tls-port", &tls_port.to_string());
        // Writing to a text cannot fail.
        let _ = write!(
            config,
            "listener \"tcp\" {{\n  address = \"127.0.0.1:{tls_port}\"\n  tls_cert_file = {cert:?}\n  tls_key_file = {key:?}\n}}\n"
        );
    }
    write("config.hcl", &config);
}
