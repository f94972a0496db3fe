//! Nobody waits for a configuration that is being made: the compiler is held up on purpose, and everything else goes on.
//!
//! Where the compiler would begin, it reads a named pipe to its end; that is for builds with debug assertions only, and so are
//! these tests.
#![cfg(debug_assertions)]

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::Command,
};

use postern_conformance::{
    Gateway, Postern, Recorder, Redis, Reply,
    ask::{Got, Way, becomes, get, request},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// `O_NONBLOCK` of Linux: opening a pipe to write fails while nobody reads it.
const NON_BLOCKING: i32 = 0o4000;

/// What holds the compiler up.
struct Hold {
    directory: TempDir,
}

impl Hold {
    fn new() -> Self {
        Self { directory: TempDir::new().expect("a directory") }
    }

    fn pipe(&self) -> PathBuf {
        self.directory.path().join("hold")
    }

    /// From now on it is held.
    fn begin(&self) {
        let made = Command::new("mkfifo").arg(self.pipe()).status().expect("mkfifo is everywhere");
        assert!(made.success());
    }

    /// Waits until it is. It goes on when what this gives is dropped.
    async fn is_held(&self) -> File {
        let mut held = None;
        becomes("the compiler is held", async || {
            held = OpenOptions::new().write(true).custom_flags(NON_BLOCKING).open(self.pipe()).ok();
            held.is_some()
        })
        .await;
        // The next one shall not be held.
        fs::remove_file(self.pipe()).expect("the pipe");
        held.expect("an open pipe")
    }
}

async fn ask(way: &Way, path: &str) -> Got {
    way.ask(get("localhost", path)).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn number(gateway: &Gateway) -> u64 {
    let status = ask(&Way::http(gateway.status), "/status").await.json();
    status["configuration"]["number"].as_u64().expect("a number")
}

fn replace(gateway: &Gateway, yaml: &str) {
    let new = gateway.directory().join("kong.yaml.new");
    fs::write(&new, yaml).expect("a file");
    fs::rename(&new, gateway.configuration()).expect("a file");
}

fn routes(upstream: &Recorder, path: &str, plugins: &Value, vaults: &Value) -> String {
    let service = json!({
        "name": "s", "url": format!("http://127.0.0.1:{}", upstream.port()),
        "routes": [{"name": "r", "paths": ["/all", path]}], "plugins": plugins,
    });
    json!({"_format_version": "3.0", "services": [service], "vaults": vaults}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_on_while_a_configuration_is_made() {
    let (hold, files) = (Hold::new(), TempDir::new().expect("a directory"));
    let (upstream, logs, tokens) =
        (Recorder::start().await, Recorder::start().await, Recorder::start().await);
    let redis = Redis::start("s3cret").await;
    let secret = |value: &str| {
        let new = files.path().join(".new");
        fs::write(&new, value).expect("a file");
        fs::rename(new, files.path().join("secret")).expect("a file");
    };
    secret("first");
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let token = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 2}).to_string();
    tokens.answers(Reply { headers, ..Reply::new(200, token) });
    let to = |recorder: &Recorder| format!("http://127.0.0.1:{}/", recorder.port());
    let reached =
        json!({"host": "127.0.0.1", "port": redis.port(), "username": "gateway", "password": "s3cret"});
    let plugins = json!([
        {"name": "rate-limiting", "config": {
            "hour": 1_000_000, "policy": "redis", "fault_tolerant": false, "redis": reached,
        }},
        {"name": "http-log", "config": {"http_endpoint": to(&logs)}},
        {"name": "upstream-oauth", "config": {
            "oauth": {"token_endpoint": to(&tokens), "client_id": "a", "client_secret": "b"},
            "cache": {"eagerly_expire": 1},
        }},
        {"name": "request-transformer", "config": {"add": {"headers": ["x-secret:{vault://files/secret}"]}}},
    ]);
    let vaults = json!([{"name": "fs", "prefix": "files", "config": {"prefix": files.path()}}]);
    let pipe = hold.pipe();
    let settings = [("POSTERN_TEST_HOLD_COMPILER", pipe.to_str().expect("text"))];
    let gateway = Postern::gateway(&routes(&upstream, "/one", &plugins, &vaults), &settings).await;
    let (way, status) = (Way::http(gateway.http), Way::http(gateway.status));
    let admin = Way::http(gateway.admin.expect("an Admin API"));
    assert_eq!(ask(&way, "/all").await.status, 200);

    hold.begin();
    replace(&gateway, &routes(&upstream, "/two", &plugins, &vaults));
    let held = hold.is_held().await;
    // Somebody waits for an answer that only the compiler can give.
    let waiting = tokio::spawn({
        let (admin, config) = (admin.clone(), routes(&upstream, "/three", &plugins, &vaults));
        let (headers, body) =
            ([("content-type", "application/json")], json!({ "config": config }).to_string());
        async move { admin.ask(request("POST", &admin.address.to_string(), "/config", &headers, body)).await }
    });

    assert_eq!(ask(&status, "/status/ready").await.status, 200);
    assert_eq!(ask(&status, "/metrics").await.status, 200);
    assert_eq!(ask(&admin, "/services").await.status, 200);
    let (counted, logged) = (redis.counted().await, logs.requests());
    for _ in 0..20 {
        assert_eq!(ask(&way, "/all").await.status, 200);
    }
    becomes("Redis counts all of them", async || redis.counted().await >= counted + 20).await;
    becomes("logs arrive", async || logs.requests() > logged).await;
    let renewed = tokens.requests();
    becomes("tokens are renewed", async || {
        assert_eq!(ask(&way, "/all").await.status, 200);
        tokens.requests() >= renewed + 2
    })
    .await;
    secret("second");
    becomes("a secret that changed is used", async || {
        upstream.take();
        assert_eq!(ask(&way, "/all").await.status, 200);
        upstream.take().pop().expect("a request").headers["x-secret"] == "second"
    })
    .await;
    assert!(!waiting.is_finished() && number(&gateway).await == 1, "the compiler was held all the time");
    assert_eq!((ask(&way, "/one").await.status, ask(&way, "/two").await.status), (200, 404));

    drop(held);
    let posted = waiting.await.expect("a task").expect("an answer");
    assert_eq!(posted.status, 201, "{}", posted.text());
    assert_eq!(number(&gateway).await, 3, "one after the other");
    assert_eq!((ask(&way, "/one").await.status, ask(&way, "/three").await.status), (404, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ends_while_a_configuration_is_made() {
    let (hold, upstream) = (Hold::new(), Recorder::start().await);
    let pipe = hold.pipe();
    let settings = [("POSTERN_TEST_HOLD_COMPILER", pipe.to_str().expect("text"))];
    for signal in ["-TERM", "-QUIT", "-INT"] {
        let yaml = |path| routes(&upstream, path, &json!([]), &json!([]));
        let mut gateway = Postern::gateway(&yaml("/one"), &settings).await;
        hold.begin();
        replace(&gateway, &yaml("/two"));
        let held = hold.is_held().await;
        gateway.signal(signal);
        gateway.ended().await;
        let log = gateway.log();
        assert!(log.contains("\"message\":\"ended\"") && !log.contains("is in effect"), "{signal}: {log}");
        drop(held);
    }
}
