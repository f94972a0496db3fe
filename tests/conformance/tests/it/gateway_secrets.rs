//! Secrets in traffic: they change without a restart, fail closed where they are missing or mean nothing, heal by
//! themselves, and are told to nobody but those they are for.

use std::{fs, path::Path};

use postern_conformance::{
    Canary, Gateway, Postern, Recorder,
    ask::{Way, becomes, get},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Puts a file in place at once, as secrets' agents do.
fn write(directory: &Path, name: &str, content: &str) {
    let new = directory.join(format!(".{name}.new"));
    fs::write(&new, content).expect("a file of the vault");
    fs::rename(new, directory.join(name)).expect("a file of the vault");
}

fn config(directory: &Path, mut config: Value) -> String {
    config["_format_version"] = "3.0".into();
    config["vaults"] = json!([{"name": "fs", "prefix": "files", "config": {"prefix": directory}}]);
    config.to_string()
}

/// All that the gateway has said to anybody but an upstream.
async fn said(gateway: &Gateway) -> String {
    let mut said = gateway.log() + &gateway.access_log();
    for page in ["/metrics", "/status", "/status/ready"] {
        said += &Way::http(gateway.status).ask(get("localhost", page)).await.expect("a status page").text();
    }
    said
}

fn with_header(upstream: &Recorder, reference: &str) -> Value {
    json!([
        {
            "name": "with", "url": format!("http://127.0.0.1:{}", upstream.port()),
            "routes": [{"name": "with-a-secret", "paths": ["/with"]}],
            "plugins": [{
                "name": "request-transformer",
                "config": {"add": {"headers": [format!("authorization:Bearer {reference}")]}},
            }],
        },
        {
            "name": "without", "url": format!("http://127.0.0.1:{}", upstream.port()),
            "routes": [{"name": "without-a-secret", "paths": ["/without"]}],
        },
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_follows_its_secret_and_nobody_else_learns_it() {
    let (directory, mut canary) = (TempDir::new().expect("a directory"), Canary::new());
    let token = |canary: &mut Canary, label: &str| {
        canary.secret(label).chars().filter(char::is_ascii_alphanumeric).collect::<String>()
    };
    let (first, second) = (token(&mut canary, "the first token"), token(&mut canary, "the second token"));
    write(directory.path(), "token", &first);
    let upstream = Recorder::start().await;
    let yaml = config(directory.path(), json!({"services": with_header(&upstream, "{vault://files/token}")}));
    let gateway = Postern::gateway(&yaml, &[("log_level", "debug")]).await;
    // One connection all the time: a changed secret closes nothing.
    let mut connection = Way::http(gateway.http).open().await.expect("a connection");
    let mut answers = String::new();
    let mut seen = async || {
        let got = connection.ask(get("localhost", "/with")).await.expect("an answer");
        answers += &format!("{:?} {}", got.headers, got.text());
        assert_eq!(got.status, 200, "{}", got.text());
        let seen = upstream.take().pop().expect("a request");
        seen.headers["authorization"].to_str().expect("text").to_owned()
    };
    assert_eq!(seen().await, format!("Bearer {first}"));
    write(directory.path(), "token", &second);
    becomes("the header follows its secret", async || seen().await == format!("Bearer {second}")).await;
    write(directory.path(), "token", "no\nheader");
    // A value that cannot be used changes nothing: the last good one serves, and it is told why.
    becomes("it is told", async || gateway.log().contains("the old value serves on")).await;
    assert_eq!(seen().await, format!("Bearer {second}"));
    fs::remove_file(directory.path().join("token")).expect("a file of the vault");
    assert_eq!(seen().await, format!("Bearer {second}"));
    let all = said(&gateway).await + &answers;
    for secret in [first, second] {
        assert!(!all.contains(&secret), "{secret} is in what was said:\n{all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_secret_a_route_is_closed_and_opens_by_itself() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    let yaml = config(directory.path(), json!({"services": with_header(&upstream, "{vault://files/late}")}));
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    let got = way.ask(get("localhost", "/with")).await.expect("an answer");
    assert_eq!(got.status, 503);
    for word in ["vault", "late", "secret", "reference", "request-transformer"] {
        assert!(!got.text().contains(word), "{}", got.text());
    }
    assert!(upstream.take().is_empty(), "the upstream was asked");
    assert_eq!(way.ask(get("localhost", "/without")).await.expect("an answer").status, 200);
    let log = gateway.log();
    for word in ["{vault://files/late}", "with-a-secret", "request-transformer", "requests fail closed"] {
        assert!(log.contains(word), "{word} is not in\n{log}");
    }
    write(directory.path(), "late", "now");
    becomes("the route opens", async || {
        way.ask(get("localhost", "/with")).await.expect("an answer").status == 200
    })
    .await;
    let seen = upstream.take().pop().expect("a request");
    assert_eq!(seen.headers["authorization"], "Bearer now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_none_fails_closed() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    write(directory.path(), "host", "no host: at all/");
    let yaml = config(
        directory.path(),
        json!({"services": [
            {
                "name": "s", "host": "{vault://files/host}", "port": upstream.port(),
                "routes": [{"name": "r", "paths": ["/by-secret"]}],
            },
            {
                "name": "t", "host": "127.0.0.1", "port": upstream.port(),
                "routes": [{"name": "q", "paths": ["/plain"]}],
            },
        ]}),
    );
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    let status = async |path: &str| way.ask(get("localhost", path)).await.expect("an answer").status;
    assert_eq!(status("/by-secret").await, 503);
    assert_eq!(status("/plain").await, 200);
    assert!(gateway.log().contains("services[0]"), "{}", gateway.log());
    assert!(!gateway.log().contains("no host: at all"), "{}", gateway.log());
    write(directory.path(), "host", "127.0.0.1");
    becomes("the service is found", async || status("/by-secret").await == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_a_secret_lets_in_when_it_is_there() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    write(directory.path(), "key", "first-key");
    let yaml = config(
        directory.path(),
        json!({
            "services": [{
                "name": "s", "url": format!("http://127.0.0.1:{}", upstream.port()),
                "routes": [{"name": "r", "paths": ["/"]}], "plugins": [{"name": "key-auth"}],
            }],
            "consumers": [{"username": "alice", "keyauth_credentials": [{"key": "{vault://files/key}"}]}],
        }),
    );
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    let status = async |key: &str| {
        let target = format!("/?apikey={key}");
        way.ask(get("localhost", &target)).await.expect("an answer").status
    };
    assert_eq!(status("first-key").await, 200);
    assert_eq!(status("second-key").await, 401);
    write(directory.path(), "key", "second-key");
    becomes("the new key lets in", async || status("second-key").await == 200).await;
    assert_eq!(status("first-key").await, 401);
}
