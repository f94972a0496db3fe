//! A real PostgreSQL server of a test: made in a temporary directory, on a loopback port, and gone with the test.
//!
//! Owns: its files and its process, which ends with the thread that started it, however that ends. PostgreSQL does not
//! run as root; where the tests do, it runs as `nobody`. Must not know: who uses it, and for what.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{net::TcpStream, process::Command, time::sleep};

use crate::{
    Outcome, TlsFiles, outcome, search_path,
    server::{Server, free_port},
};

/// How often another port is tried, or the same again when its memory is still in use.
const TRIES: usize = 20;

/// A running PostgreSQL.
pub struct Postgres {
    server: Server,
    port: u16,
    settings: Vec<String>,
    databases: AtomicU32,
}

impl Postgres {
    /// The user who may do everything.
    pub const USER: &str = "postgres";
    /// Its password.
    pub const PASSWORD: &str = "the password of postgres";

    /// A server without TLS.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start() -> Self {
        Self::with(None).await
    }

    /// A server that shows this certificate to who wants TLS.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn tls(files: TlsFiles) -> Self {
        Self::with(Some(files)).await
    }

    async fn with(tls: Option<TlsFiles>) -> Self {
        let port = free_port();
        let directory = TempDir::new().expect("a temporary directory");
        give_away(directory.path());
        make(directory.path()).await;
        let mut settings = vec![
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
        ];
        if let Some(files) = tls {
            for (name, text) in [("tls.crt", &files.cert), ("tls.key", &files.key)] {
                let path = directory.path().join("data").join(name);
                fs::write(&path, text).expect("a file in the temporary directory");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
                give_away(&path);
            }
            settings.extend(["ssl=on", "ssl_cert_file=tls.crt", "ssl_key_file=tls.key"].map(str::to_owned));
        }
        let server = Server::start("postgres", command(directory.path(), &settings), directory);
        let mut postgres = Self { server, port, settings, databases: AtomicU32::new(0) };
        postgres.ready().await;
        postgres
    }

    /// The port, of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// An empty database; its name.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// Runs statements as the user who may do everything; what they print.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn sql(&self, database: &str, sql: &str) -> String {
        let mut command = Command::new(programs().join("psql"));
        command
            .env_clear()
            .env("PATH", search_path())
            .env("PGPASSWORD", Self::PASSWORD)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", Self::USER])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        let outcome = outcome::run(command, Duration::from_secs(60)).await;
        outcome.ok().stdout.trim().to_owned()
    }

    /// Ends the server and all that it does at once, as a crash would. Its port refuses connections from then on.
    pub async fn kill(&mut self) {
        let children = self.children();
        self.server.kill().await;
        // They would notice by themselves, and until then go on answering.
        let _ = std::process::Command::new("kill").arg("-KILL").args(children).output();
    }

    /// Starts it again after [`Postgres::kill`], with the same files and port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        self.server.start_again(command(self.server.directory(), &self.settings));
        self.ready().await;
    }

    /// Lets it stand still: connections are taken by the kernel, and nobody answers.
    pub fn stop(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`Postgres::stop`].
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// A signal to the server, and to all of its children.
    fn signal(&self, signal: &str) {
        // The parent first: it must not wonder about its children.
        self.server.signal(signal);
        // One that has just ended gets none.
        let _ = std::process::Command::new("kill").arg(signal).args(self.children()).output();
    }

    /// The processes that it has started.
    fn children(&self) -> Vec<String> {
        let parent = self.server.pid();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        children.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until it takes connections. One that was killed leaves its memory for a moment, in which it does not start.
    async fn ready(&mut self) {
        let port = self.port;
        for _ in 0..TRIES {
            let open = async |log: &str| {
                let said = log.rsplit("starting PostgreSQL").next()?;
                said.contains("database system is ready to accept connections").then_some(())?;
                TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
            };
            if self.server.wait(open).await.is_some() {
                return;
            }
            sleep(Duration::from_millis(200)).await;
            self.server.start_again(command(self.server.directory(), &self.settings));
        }
        panic!("PostgreSQL did not start:\n{}", self.server.log());
    }
}

/// Makes the files of a server.
async fn make(directory: &Path) {
    let password = directory.join("password");
    fs::write(&password, Postgres::PASSWORD).expect("a file in the temporary directory");
    give_away(&password);
    let mut command = unprivileged("initdb");
    command
        .args(["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=scram-sha-256"])
        .args(["-U", Postgres::USER])
        .arg("--pwfile")
        .arg(password)
        .arg("-D")
        .arg(directory.join("data"))
        .current_dir(directory);
    let outcome: Outcome = outcome::run(command, Duration::from_secs(120)).await;
    outcome.ok();
}

fn command(directory: &Path, settings: &[String]) -> Command {
    let mut command = unprivileged("postgres");
    command.arg("-D").arg(directory.join("data")).current_dir(directory);
    settings.iter().for_each(|setting| _ = command.args(["-c", setting]));
    command
}

/// A program of PostgreSQL that runs as somebody who is not root, and is killed when the thread that started it ends.
fn unprivileged(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.env_clear().env("PATH", search_path()).arg("--pdeathsig=KILL");
    if root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]);
    }
    command.arg(programs().join(program));
    command
}

/// Where the programs of the newest PostgreSQL are.
///
/// # Panics
/// When it is not installed; the message says how to install it.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian =
        versions.map(|version| version.path().join("bin")).filter(|path| path.join("postgres").exists());
    let newest = debian.max_by_key(|path| {
        let version = path.parent().and_then(Path::file_name).and_then(|version| version.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    let path = search_path();
    let elsewhere = std::env::split_paths(&path).find(|path| path.join("postgres").exists());
    newest.or(elsewhere).expect("PostgreSQL is not there: run `make tools` (it is never skipped)")
}

/// Makes a file the property of who runs the server.
fn give_away(path: &Path) {
    const NOBODY: u32 = 65534;
    if root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
}

fn root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
