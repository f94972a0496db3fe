//! Starting OpenBao: dev mode, and TLS from a configuration file with init and unseal.
//!
//! Hands a ready [`OpenBao`] to `openbao.rs`. A port that another process took first is replaced by another.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{process::Command, time::sleep};

use super::{OpenBao, TlsFiles};
use crate::{
    search_path,
    server::{READY_WITHIN, Server, free_port},
};

/// [`crate::Audit`] asks for an audit device when a test wants one; OpenBao takes them from its configuration alone,
/// unless told otherwise.
const AUDIT_ON_REQUEST: &str = "unsafe_allow_api_audit_creation = true\n";
/// How often another port is tried.
pub(super) const TRIES: usize = 5;

pub(super) async fn dev() -> OpenBao {
    for _ in 0..TRIES {
        let port = free_port();
        let directory = TempDir::new().expect("a temporary directory");
        let config = write(directory.path(), "dev.hcl", AUDIT_ON_REQUEST);
        let mut command = bao_server(directory.path());
        command.arg("-config").arg(config);
        command.args(["-dev", "-dev-root-token-id=root", "-dev-no-store-token"]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        let mut server = Server::start("openbao", command, directory);
        // Its listener answers before `secret/` is mounted; this line comes after.
        let unseal_key = server
            .wait(async |log| {
                log.contains("OpenBao server started!").then_some(())?;
                Some(log.lines().find_map(|line| line.strip_prefix("Unseal Key: "))?.trim().to_owned())
            })
            .await;
        if let Some(unseal_key) = unseal_key {
            let root_token = "root".to_owned();
            return OpenBao { server, scheme: "http", port, admin_port: port, root_token, unseal_key };
        }
        give_up_unless_port_was_taken(&server);
    }
    panic!("OpenBao found its port taken {TRIES} times");
}

pub(super) async fn tls(files: TlsFiles) -> OpenBao {
    for _ in 0..TRIES {
        let (port, admin_port) = (free_port(), free_port());
        let directory = TempDir::new().expect("a temporary directory");
        let config = write_config(directory.path(), &files, port, admin_port);
        let mut command = bao_server(directory.path());
        command.arg("-config").arg(config);
        let mut server = Server::start("openbao", command, directory);
        let started = server.wait(async |log| log.contains("OpenBao server started!").then_some(())).await;
        if started.is_some() {
            let mut bao = OpenBao {
                server,
                scheme: "https",
                port,
                admin_port,
                root_token: String::new(),
                unseal_key: String::new(),
            };
            initialise(&mut bao).await;
            return bao;
        }
        give_up_unless_port_was_taken(&server);
    }
    panic!("OpenBao found its port taken {TRIES} times");
}

pub(super) fn bao_server(home: &Path) -> Command {
    let mut command = Command::new(OpenBao::binary());
    command.env_clear().env("PATH", search_path()).env("HOME", home).arg("server");
    command
}

fn write_config(directory: &Path, files: &TlsFiles, port: u16, admin_port: u16) -> std::path::PathBuf {
    let cert = write(directory, "server-cert.pem", &files.cert);
    let key = write(directory, "server-key.pem", &files.key);
    let config = format!(
        "storage \"inmem\" {{}}\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_cert_file = {cert:?}\n  tls_key_file = {key:?}\n}}\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:{admin_port}\"\n  tls_disable = true\n}}\n\
         api_addr = \"https://127.0.0.1:{port}\"\n\
         {AUDIT_ON_REQUEST}"
    );
    write(directory, "config.hcl", &config)
}

fn write(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("a file in the temporary directory");
    path
}

/// Init with one share, unseal, and mount what dev mode mounts.
pub(super) async fn initialise(bao: &mut OpenBao) {
    let shares = json!({"secret_shares": 1, "secret_threshold": 1});
    let (status, reply) = bao.request_as(None, "PUT", "sys/init", Some(&shares)).await;
    assert_eq!(status, 200, "init: {reply}");
    text(&reply["keys_base64"][0]).clone_into(&mut bao.unseal_key);
    text(&reply["root_token"]).clone_into(&mut bao.root_token);
    bao.unseal().await;
    wait_for(bao, "sys/health").await;
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    let (status, reply) = bao.request("POST", "sys/mounts/secret", Some(&kv)).await;
    assert_eq!(status, 204, "mount: {reply}");
    wait_for_kv(bao).await;
}

/// A new KV version 2 mount answers 400 while it upgrades itself.
pub(super) async fn wait_for_kv(bao: &OpenBao) {
    wait_for(bao, "secret/config").await;
}

/// After an unseal, a server on raft has to elect itself first.
async fn wait_for(bao: &OpenBao, path: &str) {
    let pause = Duration::from_millis(50);
    for _ in 0..READY_WITHIN.as_millis() / pause.as_millis() {
        let (status, _) = bao.request("GET", path, None).await;
        if status == 200 {
            return;
        }
        sleep(pause).await;
    }
    panic!("{path} did not become ready:\n{}", bao.log());
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text in OpenBao's reply")
}

pub(super) fn give_up_unless_port_was_taken(server: &Server) {
    let log = server.log();
    assert!(log.contains("address already in use"), "OpenBao ended before it was ready:\n{log}");
}
