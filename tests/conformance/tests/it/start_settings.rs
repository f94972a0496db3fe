//! Settings that decide whether a node starts, what it has then, and what its commands and signals say and do.

use std::fs;

use postern_conformance::ask::{Way, becomes, get, request};
use postern_conformance::{Gateway, Outcome, Postern};
use serde_json::Value;

const EMPTY: &str = "_format_version: '3.0'\n";
const NO_CONFIGURATION: &str = "00000000000000000000000000000000";
/// Answers by itself, so that no upstream is needed.
const ANSWERS: &str = "_format_version: '3.0'\nservices:\n- name: a\n  url: http://127.0.0.1:9\n  routes:\n  \
    - {name: r, paths: [/a]}\n  plugins:\n  - {name: request-termination, config: {status_code: 204}}\n";

/// `admin_listen` as Kong's own default writes it, and `status_listen` likewise: a certificate is made where none is set.
#[tokio::test]
async fn the_nodes_own_listeners_speak_tls_without_a_certificate() {
    let flags = "http2 ssl reuseport backlog=16384";
    let listen = format!("127.0.0.1:0 {flags}");
    let gateway = Postern::gateway(EMPTY, &[("admin_listen", &listen), ("status_listen", &listen)]).await;
    for (address, path) in
        [(gateway.admin.expect("an Admin API"), "/status"), (gateway.status, "/status/ready")]
    {
        let got = Way::https(address, "localhost").ask(get("localhost", path)).await.expect("an answer");
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        Way::http(address)
            .ask(get("localhost", path))
            .await
            .expect_err("TLS is spoken there, and nothing else");
    }
}

/// As Kong: without a file, a node without a database is empty until something loads a configuration, and says so by a hash of
/// zeros, which controllers look for.
#[tokio::test]
async fn without_a_file_it_starts_empty_and_post_config_fills_it() {
    let gateway = Postern::gateway("", &[("database", "off"), ("declarative_config", "")]).await;
    let hash = async || json(&gateway, gateway.status, "/status").await["configuration_hash"].clone();
    let admin = gateway.admin.expect("an Admin API");
    assert_eq!(hash().await, NO_CONFIGURATION);
    assert_eq!(json(&gateway, admin, "/status").await["configuration_hash"], NO_CONFIGURATION);
    let proxy = async || Way::http(gateway.http).ask(get("a", "/a")).await.expect("an answer").status;
    assert_eq!(proxy().await, 404);

    let post = request("POST", "localhost", "/config", &[("content-type", "text/yaml")], ANSWERS);
    let posted = Way::http(admin).ask(post).await.expect("an answer");
    assert_eq!(posted.status, 201, "{}", posted.text());
    assert_eq!(proxy().await, 204);
    assert_ne!(hash().await, NO_CONFIGURATION);
    // There is no file to read again: what was loaded stays.
    command(&gateway, &["reload"]).await.ok();
    assert_eq!(proxy().await, 204);
}

/// `check` and `config check` say what `start` says.
#[tokio::test]
async fn an_admin_api_open_to_everybody_is_refused_by_every_command() {
    let said = "anyone who can reach 0.0.0.0:0 could change the configuration";
    let log =
        Gateway::try_start(EMPTY, &[("admin_listen", "0.0.0.0:0")]).await.err().expect("it must not start");
    assert!(log.contains(said), "{log}");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("kong.yaml");
    fs::write(&file, EMPTY).expect("a file");
    let file = file.to_str().expect("text");
    for (arguments, token, fails) in [
        (&["check"][..], "", true),
        (&["config", "check", file][..], "", true),
        (&["check"][..], "a-token-of-some-length", false),
        (&["config", "check", file][..], "a-token-of-some-length", false),
    ] {
        let outcome = Postern::command()
            .args(arguments)
            .env("POSTERN_PREFIX", directory.path())
            .env("POSTERN_DECLARATIVE_CONFIG", file)
            .env("POSTERN_ADMIN_LISTEN", "0.0.0.0:0")
            .env("POSTERN_ADMIN_TOKEN", token)
            .run()
            .await;
        let outcome = if fails { outcome.fails_with(1) } else { outcome.ok() };
        assert_eq!(format!("{}{}", outcome.stdout, outcome.stderr).contains(said), fails, "{outcome}");
    }
}

/// A prefix that cannot be written to is no reason not to serve.
#[tokio::test]
async fn a_prefix_that_cannot_be_written_to() {
    // Below a file, so that it holds for whoever runs the tests.
    let gateway = Postern::gateway(ANSWERS, &[("prefix", "/dev/null/prefix")]).await;
    let got = Way::http(gateway.http).ask(get("a", "/a")).await.expect("an answer");
    assert_eq!(got.status, 204);
    assert!(gateway.log().contains("the node cannot write to its prefix"), "{}", gateway.log());
    becomes("the access log is on standard output", async || gateway.log().contains("GET /a HTTP/1.1")).await;
}

/// The second node on a prefix says who has it; one that is to replace the first may start beside it.
#[tokio::test]
async fn two_nodes_on_one_prefix() {
    let mut first = Postern::gateway(ANSWERS, &[]).await;
    let prefix = first.directory().to_str().expect("text").to_owned();
    let log = Gateway::try_start(ANSWERS, &[("prefix", &prefix)]).await.err().expect("it must not start");
    assert!(log.contains(&format!("(process {})", first.pid())) && log.contains("--take-over"), "{log}");
    let second = Gateway::take_over(ANSWERS, &[("prefix", &prefix)]).await.expect("it starts");
    first.signal("-QUIT");
    first.ended().await;
    assert_eq!(Way::http(second.http).ask(get("a", "/a")).await.expect("an answer").status, 204);
    // The lock passes to the second.
    becomes("the second has the prefix", async || {
        Gateway::try_start(ANSWERS, &[("prefix", &prefix)])
            .await
            .err()
            .is_some_and(|log| log.contains(&format!("(process {})", second.pid())))
    })
    .await;
}

/// logrotate's usual hook, and a reload.
#[tokio::test]
async fn signals_open_log_files_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let plugin = directory.path().join("file.log");
    let yaml = format!("{ANSWERS}  - {{name: file-log, config: {{path: '{}'}}}}\n", plugin.display());
    let gateway = Postern::gateway(&yaml, &[]).await;
    let logs = [gateway.directory().join("logs/access.log"), plugin];
    let ask = async || Way::http(gateway.http).ask(get("a", "/a")).await.expect("an answer").status;
    let lines = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    gateway.signal("-USR2");
    for (round, signal) in ["-USR1", "-HUP"].into_iter().enumerate() {
        assert_eq!(ask().await, 204);
        for log in &logs {
            becomes("the line is written", async || lines(log) == 1).await;
            fs::rename(log, log.with_extension(format!("{round}"))).expect("a file");
        }
        let told = |log: &str| log.matches("log files are opened again").count();
        gateway.signal(signal);
        becomes("the signal is heard", async || told(&gateway.log()) > round).await;
    }
    assert_eq!(ask().await, 204);
    for log in &logs {
        becomes("the line is written", async || lines(log) == 1).await;
        assert_eq!((lines(&log.with_extension("0")), lines(&log.with_extension("1"))), (1, 1));
    }
}

/// At the default log level: who changed what, and who was refused; never what was sent.
#[tokio::test]
async fn the_audit_log_tells_of_writes_and_refusals() {
    let token = "a-token-of-some-length";
    for file in [None, Some("logs/audit.log")] {
        let gateway = Postern::gateway(
            "",
            &[
                ("database", "sqlite"),
                ("declarative_config", ""),
                ("admin_token", token),
                ("admin_audit_log", file.unwrap_or("log")),
            ],
        )
        .await;
        let admin = Way::http(gateway.admin.expect("an Admin API"));
        let ask = async |method: &str, path: &str, token: &str, body: &str| {
            let headers = [("admin-token", token), ("content-type", "application/json")];
            admin
                .ask(request(method, "localhost", path, &headers, body.to_owned()))
                .await
                .expect("an answer")
                .status
        };
        assert_eq!(ask("PUT", "/consumers/ann", token, r#"{"custom_id": "s3cr3t-value"}"#).await, 200);
        assert_eq!(ask("GET", "/consumers/ann", token, "").await, 200);
        assert_eq!(ask("GET", "/services", "wrong", "").await, 401);
        let read = || match file {
            None => gateway.log(),
            Some(file) => fs::read_to_string(gateway.directory().join(file)).unwrap_or_default(),
        };
        let lines = || -> Vec<Value> {
            let text = read();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.filter(|line| line["method"].is_string()).collect()
        };
        becomes("both lines are there", async || lines().len() >= 2).await;
        let told: Vec<_> = lines()
            .iter()
            .map(|line| (line["method"].clone(), line["status"].clone(), line["who"] == "nobody"))
            .collect();
        assert_eq!(told, [("PUT".into(), 200.into(), false), ("GET".into(), 401.into(), true)], "{}", read());
        assert!(read().contains("/consumers/ann") && !read().contains("s3cr3t-value"), "{}", read());
    }
}

async fn json(_: &Gateway, address: std::net::SocketAddr, path: &str) -> Value {
    Way::http(address).ask(get("localhost", path)).await.expect("an answer").json()
}

/// Runs `postern` with the settings of a node, as a person would.
async fn command(gateway: &Gateway, arguments: &[&str]) -> Outcome {
    Postern::command().args(arguments).env("POSTERN_PREFIX", gateway.directory()).run().await
}
