//! `postern start` with its Admin API, as a server of a test: on a database or a file, on free ports, ended and started
//! again at will.
//!
//! Owns: the process, where it listens now, and how decK's commands and requests reach it. Must not know: what is
//! configured. `gateway.rs` is the same for those who give it a file and nothing else.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Outcome, Postern, Postgres,
    ask::{Got, Way, request},
    server::Server,
};

/// A running node. It ends when it is dropped.
pub struct Node {
    server: Server,
    settings: Vec<(String, String)>,
    /// Where traffic goes in.
    pub proxy: SocketAddr,
    /// Where `/status` and `/metrics` are.
    pub status: SocketAddr,
    /// The Admin API.
    pub admin: SocketAddr,
}

impl Node {
    /// On SQLite, in a directory of its own. Settings are named as in kong.conf, variables in capitals.
    ///
    /// # Panics
    /// With the log, when it does not start.
    pub async fn sqlite(settings: &[(&str, &str)]) -> Self {
        Self::start(&with(settings, &[("database", "sqlite")])).await
    }

    /// On a database of PostgreSQL, whose tables it makes.
    ///
    /// # Panics
    /// With the log, when it does not start.
    pub async fn postgres(server: &Postgres, database: &str, settings: &[(&str, &str)]) -> Self {
        let port = server.port().to_string();
        let own = [
            ("database", "postgres"),
            ("pg_port", &port),
            ("pg_user", Postgres::USER),
            ("pg_password", Postgres::PASSWORD),
            ("pg_database", database),
        ];
        let settings = with(&own, settings);
        let mut up = Postern::command().args(["migrations", "up"]);
        for (name, value) in &settings {
            up = up.env(variable(name), value);
        }
        up.run().await.ok();
        Self::start(&settings).await
    }

    /// Without a database: with this `kong.yaml`.
    ///
    /// # Panics
    /// With the log, when it does not start.
    pub async fn db_less(yaml: &str, settings: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("kong.yaml");
        fs::write(&path, yaml).expect("a configuration file");
        let settings = with(settings, &[("declarative_config", path.to_str().expect("a path that is text"))]);
        Self::begin(directory, settings).await.unwrap_or_else(|log| panic!("the node ended:\n{log}"))
    }

    async fn start(settings: &[(String, String)]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self::begin(directory, settings.to_vec()).await.unwrap_or_else(|log| panic!("the node ended:\n{log}"))
    }

    /// With these settings, which may be wrong.
    ///
    /// # Errors
    /// What it printed, when it ended instead of serving.
    pub async fn try_start(settings: &[(&str, &str)]) -> Result<Self, String> {
        let directory = TempDir::new().expect("a temporary directory");
        Self::begin(directory, with(&[("database", "sqlite")], settings)).await
    }

    async fn begin(directory: TempDir, settings: Vec<(String, String)>) -> Result<Self, String> {
        let command = command(directory.path(), &settings);
        let mut server = Server::start("postern-start", command, directory);
        let Some([proxy, status, admin]) = server.wait(async |log| serving(log, 0)).await else {
            return Err(server.log());
        };
        Ok(Self { server, settings, proxy, status, admin })
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it goes on.
    pub async fn end(&mut self) {
        self.server.signal("-TERM");
        assert!(self.server.wait(async |_| None::<()>).await.is_none(), "nothing is waited for but the end");
    }

    /// Starts it again after it ended, with the same files and settings, on other ports.
    ///
    /// # Panics
    /// With the log, when it does not start.
    pub async fn start_again(&mut self) {
        let before = self.log().matches(SERVING).count();
        self.server.start_again(command(self.server.directory(), &self.settings));
        [self.proxy, self.status, self.admin] = self.server.ready(async |log| serving(log, before)).await;
    }

    /// All that it has printed.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Its prefix.
    pub fn directory(&self) -> &Path {
        self.server.directory()
    }

    /// Its `kong.yaml`, if it has one.
    pub fn configuration(&self) -> PathBuf {
        self.directory().join("kong.yaml")
    }

    /// A command that speaks to its Admin API: `sync`, `dump`.
    pub fn deck(&self, command: &str) -> Postern {
        Postern::command().env("DECK_KONG_ADDR", format!("http://{}", self.admin)).arg(command)
    }

    /// `sync` and its like with this file, and no line missing from what came out.
    pub async fn with_file(&self, command: &str, yaml: &str, more: &[&str]) -> Outcome {
        self.deck(command).args(more).file("kong.yaml", yaml).arg("kong.yaml").run().await
    }

    /// Any command, with the settings of the node, as a person has them in the environment.
    pub fn command(&self) -> Postern {
        let mut postern = Postern::command().env("POSTERN_PREFIX", self.directory());
        for (name, value) in &self.settings {
            postern = postern.env(variable(name), value);
        }
        postern
    }

    /// A request to the Admin API. `Null` stands for no body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let got =
            self.try_ask(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        (got.status, got.json())
    }

    /// The same, where there may be none.
    ///
    /// # Errors
    /// No answer.
    pub async fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Got, String> {
        let json: &[(&str, &str)] =
            if body.is_null() { &[] } else { &[("content-type", "application/json")] };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Way::http(self.admin).ask(request(method, &self.admin.to_string(), path, json, body)).await
    }

    /// `GET`, and what it must bring.
    ///
    /// # Panics
    /// When it is not 200.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, &Value::Null).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// `PUT`, which must succeed.
    ///
    /// # Panics
    /// When it is not 200.
    pub async fn put(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask("PUT", path, body).await;
        assert_eq!(status, 200, "PUT {path} {body}: {answer}");
        answer
    }

    /// A request through the proxy.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn through(&self, path: &str) -> Got {
        let answer = Way::http(self.proxy).ask(crate::ask::get("localhost", path)).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()))
    }
}

/// A round of CRUD by aio-kong against an Admin API at this address.
///
/// # Errors
/// What the client says is wrong.
///
/// # Panics
/// When it is not installed, or does not end.
pub async fn aio_kong(url: &str) -> Result<(), String> {
    let script = crate::checkout().join("tests/conformance/aio-kong/check.py");
    let mut python = Command::new(crate::tool("aio-kong/bin/python"));
    python.arg(script).arg(url).kill_on_drop(true);
    let ended = tokio::time::timeout(crate::ask::PATIENCE, python.output()).await.expect("an end in time");
    let output = ended.expect("a program that runs");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

const SERVING: &str = "\"message\":\"serving\"";

fn with(settings: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn variable(name: &str) -> String {
    match name.chars().any(char::is_uppercase) {
        true => name.to_owned(),
        false => format!("POSTERN_{}", name.to_uppercase()),
    }
}

fn command(directory: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Postern::bare_command(directory);
    command
        .arg("start")
        .env("POSTERN_PREFIX", directory)
        .env("POSTERN_PROXY_LISTEN", "127.0.0.1:0")
        .env("POSTERN_STATUS_LISTEN", "127.0.0.1:0")
        .env("POSTERN_ADMIN_LISTEN", "127.0.0.1:0")
        .env("POSTERN_NGINX_WORKER_PROCESSES", "1");
    for (name, value) in settings {
        command.env(variable(name), value);
    }
    command
}

/// Where it listens, by the line of the log that says so, after so many earlier ones.
fn serving(log: &str, before: usize) -> Option<[SocketAddr; 3]> {
    let line = log.lines().filter(|line| line.contains(SERVING)).nth(before)?;
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| {
        let list = line[name].as_str()?.trim_matches(['[', ']']);
        list.split(", ").next()?.parse().ok()
    };
    Some([address("proxy")?, address("status")?, address("admin")?])
}
