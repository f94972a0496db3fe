//! `postern start` and the commands about a node that runs: what a person does with it from the first start to its end.

use std::fs;

use postern_conformance::http::{Body, send};
use postern_conformance::{DevStack, Gateway, Outcome, Postern};
use serde_json::Value;

/// `check`, `health`, `version`, `reload` (taken and refused), `SIGHUP`, `quit`.
#[tokio::test]
async fn a_node_and_the_commands_about_it() {
    let stack = DevStack::start().await;
    let mut gateway = Postern::gateway(&routes(&stack, "/one"), &[]).await;
    assert_eq!(get(&gateway, "/one").await.0, 200);
    assert_eq!(get(&gateway, "/two").await.0, 404);

    let health = command(&gateway, &["health"]).await.ok();
    assert_eq!(health.line(), format!("the node is ready (process {})", gateway.pid()));
    let version = command(&gateway, &["version"]).await.ok();
    assert_eq!(version.line(), env!("CARGO_PKG_VERSION"));
    let all = command(&gateway, &["version", "-a"]).await.ok();
    assert!(all.stdout.starts_with(&version.stdout) && all.stdout.len() > version.stdout.len(), "{all}");
    let check = command(&gateway, &["check"]).await.ok();
    assert_eq!(check.line(), format!("configuration at {} is valid", gateway.configuration().display()));

    // A new configuration is taken, and a bad one refused with its place while the old one serves.
    replace(&gateway, &routes(&stack, "/two"));
    assert_eq!(command(&gateway, &["reload"]).await.ok().line(), "reloaded");
    assert_eq!((get(&gateway, "/one").await.0, get(&gateway, "/two").await.0), (404, 200));
    replace(&gateway, BAD);
    let reload = command(&gateway, &["reload"]).await.fails_with(1);
    let reload =
        reload.stderr_has(&["the node refused the configuration; the old one serves on", BAD_REASON]);
    assert!(reload.stderr.contains("Hint: postern config check says it with hints"), "{reload}");
    let check = command(&gateway, &["check"]).await.fails_with(1).stderr_has(&["kong.yaml:4:", BAD_REASON]);
    assert!(check.stdout.is_empty(), "{check}");
    assert_eq!((get(&gateway, "/one").await.0, get(&gateway, "/two").await.0), (404, 200));
    let status = status(&gateway).await;
    assert!(status["configuration"]["refused"].to_string().contains(BAD_REASON), "{status}");

    // Looking again is asked for by a signal, too, changed or not.
    replace(&gateway, &routes(&stack, "/three"));
    gateway.signal("-HUP");
    until(async || get(&gateway, "/three").await.0 == 200).await;

    // It has used connections to its upstream, and kept them: they are no requests under way.
    let quit = command(&gateway, &["quit", "-t", "10"]).await.ok();
    assert_eq!(quit.line(), "ended");
    gateway.ended().await;
    for gone in ["health", "reload", "quit"] {
        let outcome = command(&gateway, &[gone]).await.fails_with(1);
        outcome.stderr_has(&["no node is running with the prefix", "Hint: "]);
    }
}

/// Nobody has to ask: the file is watched, also where another is put in its place.
#[tokio::test]
async fn the_file_is_watched() {
    let stack = DevStack::start().await;
    let mut gateway = Postern::gateway(&routes(&stack, "/one"), &[]).await;
    assert!(gateway.reload(&routes(&stack, "/two")).await);
    assert_eq!((get(&gateway, "/one").await.0, get(&gateway, "/two").await.0), (404, 200));
    assert!(!gateway.reload(BAD).await);
    assert_eq!((get(&gateway, "/one").await.0, get(&gateway, "/two").await.0), (404, 200));
    assert!(gateway.reload(&routes(&stack, "/one")).await);
    assert_eq!((get(&gateway, "/one").await.0, get(&gateway, "/two").await.0), (200, 404));
}

/// A pipe in its place is refused like any other bad file: nobody waits for somebody who writes into it.
#[tokio::test]
async fn a_pipe_in_place_of_the_file_is_refused() {
    let stack = DevStack::start().await;
    let mut gateway = Postern::gateway(&routes(&stack, "/one"), &[]).await;
    let pipe = gateway.directory().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is everywhere");
    assert!(made.success());
    fs::rename(&pipe, gateway.configuration()).expect("a file");
    until(async || status(&gateway).await["configuration"]["refused"].is_array()).await;
    let told = status(&gateway).await["configuration"]["refused"].to_string();
    assert!(told.contains("it is a pipe, not a file"), "{told}");
    command(&gateway, &["reload"]).await.fails_with(1).stderr_has(&["it is a pipe, not a file"]);
    assert_eq!(get(&gateway, "/one").await.0, 200);
    assert!(gateway.reload(&routes(&stack, "/two")).await, "the watch goes on");
    assert_eq!((get(&gateway, "/one").await.0, get(&gateway, "/two").await.0), (404, 200));
}

/// A service of systemd's type `notify`, as `packaging/postern.service` is: it is told when it serves, and when it ends.
#[tokio::test]
async fn the_service_manager_is_told() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).expect("a socket");
    let path = path.to_str().expect("a path that is text");
    let mut gateway = Postern::gateway(EMPTY, &[("NOTIFY_SOCKET", path)]).await;
    let told = async || {
        let mut buffer = [0; 64];
        let read = tokio::time::timeout(std::time::Duration::from_secs(30), socket.recv(&mut buffer)).await;
        let length = read.expect("it is told something").expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
    };
    assert_eq!(told().await, "READY=1");
    gateway.signal("-TERM");
    assert_eq!(told().await, "STOPPING=1");
    gateway.ended().await;
}

/// A first start fails closed, and says where and what to do.
#[tokio::test]
async fn what_does_not_start() {
    let reference = "{vault://env/no-such-thing}";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case<'_>; 4] = [
        (BAD, &[], &["the configuration in ", "kong.yaml:4:", BAD_REASON]),
        ("services: [", &[], &["kong.yaml:2:1: broken YAML"]),
        (
            EMPTY,
            &[("ssl_cert", reference), ("ssl_cert_key", "/nowhere")],
            &[
                "failed to dereference '{vault://env/no-such-thing}': ",
                "could not get value from external vault",
                "for config option 'ssl_cert'",
                "Hint: ",
            ],
        ),
        (EMPTY, &[("proxy_access_log_format", "xml")], &["proxy_access_log_format: expected text or json"]),
    ];
    for (yaml, settings, expected) in cases {
        let log = Gateway::try_start(yaml, settings).await.err().expect("it must not start");
        for text in expected {
            assert!(log.contains(text), "{text:?} is not in:\n{log}");
        }
        assert!(!log.contains("\"serving\""), "{log}");
    }
}

/// What needs a secret that is not there answers 503; all else serves; and it heals when the secret comes.
#[tokio::test]
async fn a_missing_secret_closes_its_routes_only() {
    let stack = DevStack::start().await;
    let secrets = tempfile::TempDir::new().expect("a temporary directory");
    let port = stack.info.upstream.rsplit(':').next().expect("a port");
    let (url, directory) = (&stack.info.upstream, secrets.path().display());
    let yaml = format!(
        r#"_format_version: "3.0"
vaults:
- {{ name: fs, prefix: files, config: {{ prefix: "{directory}" }} }}
services:
- name: plain
  url: {url}
  routes: [{{ name: plain, paths: [/plain] }}]
- name: by-plugin
  url: {url}
  routes: [{{ name: by-plugin, paths: [/plugin] }}]
  plugins:
  - {{ name: request-transformer, config: {{ add: {{ headers: ["x-key:Key {{vault://files/key}}"] }} }} }}
- name: by-host
  host: "{{vault://files/host}}"
  port: {port}
  routes: [{{ name: by-host, paths: [/host] }}]
"#
    );
    let gateway = Postern::gateway(&yaml, &[]).await;
    assert_eq!(get(&gateway, "/plain").await.0, 200);
    for closed in ["/plugin", "/host"] {
        let (status, body) = get(&gateway, closed).await;
        assert_eq!(status, 503, "{closed}: {body}");
        assert!(!body.to_string().contains("vault"), "clients learn nothing of vaults: {body}");
    }
    assert_eq!(status(&gateway).await["secrets"]["unresolved"], 2);

    fs::write(secrets.path().join("key"), "first").expect("a file");
    until(async || get(&gateway, "/plugin").await.0 == 200).await;
    assert_eq!(get(&gateway, "/plugin").await.1["headers"]["x-key"], "Key first");
    assert_eq!(get(&gateway, "/host").await.0, 503);
    fs::write(secrets.path().join("host"), "127.0.0.1").expect("a file");
    until(async || get(&gateway, "/host").await.0 == 200).await;

    // A change is followed without a reload.
    fs::write(secrets.path().join("key"), "second").expect("a file");
    until(async || get(&gateway, "/plugin").await.1["headers"]["x-key"] == "Key second").await;
    assert_eq!(status(&gateway).await["secrets"]["fresh"], 2);
    assert!(!gateway.log().contains("a new configuration"), "{}", gateway.log());
}

/// `postern dev --gateway`: a gateway that can be tried at once.
#[tokio::test]
async fn a_gateway_to_play_with() {
    let mut stack = DevStack::with_gateway().await;
    let hello = format!("{}/hello", stack.info.gateway.as_deref().expect("the address of a gateway"));
    let (status, echo) = send("GET", &hello, &[], Body::None).await.expect("an answer");
    assert_eq!((status, &echo["headers"]["x-api-key"]), (200, &Value::from("mypassword")));
    // It does not outlive whoever started it, not even one that could not tell it to end.
    stack.kill().await;
    until(async || send("GET", &hello, &[], Body::None).await.is_err()).await;
}

/// The demo ends with a secret that changes under traffic; it fails if a request does.
#[tokio::test]
async fn the_demo() {
    let demo = Postern::command().args(["demo", "--once"]).limit(std::time::Duration::from_secs(180));
    let outcome = demo.run().await.ok();
    let end = outcome.stdout.split("\n10. ").nth(1).unwrap_or_else(|| panic!("{outcome}"));
    let lines: Vec<&str> = end.lines().collect();
    let ["The secret is changed in the vault, while requests pass", put, counts, time, "", last] = lines[..]
    else {
        panic!("{end}");
    };
    assert_eq!(put, "  $ vault kv put -mount=secret password pass=newpassword");
    assert_eq!(last, "The secret was changed under traffic, and no request failed.");
    let numbers: Vec<f64> = counts.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let [all, _seconds, connections, old, new, failed] = numbers[..] else { panic!("{counts}") };
    assert!(old > 0.0 && new > 0.0 && all == old + new, "{counts}");
    assert_eq!((connections, failed), (4.0, 0.0), "{counts}");
    let seconds = time.trim().strip_suffix(" s from the write to the first request with the new value");
    assert!(seconds.is_some_and(|seconds| seconds.parse::<f64>().is_ok()), "{time}");
    for said in ["The tutorial works, from end to end.", "authorization: Bearer mypassword"] {
        assert!(outcome.stdout.contains(said), "{outcome}");
    }
}

const EMPTY: &str = "_format_version: '3.0'\n";
const BAD: &str = "_format_version: '3.0'\nservices:\n- name: a\n  url: ftp://127.0.0.1\n";
const BAD_REASON: &str = "services[0].protocol";

fn routes(stack: &DevStack, path: &str) -> String {
    let url = &stack.info.upstream;
    format!("{EMPTY}services:\n- name: a\n  url: {url}\n  routes:\n  - {{ name: r, paths: ['{path}'] }}\n")
}

fn replace(gateway: &Gateway, yaml: &str) {
    let new = gateway.directory().join("kong.yaml.new");
    fs::write(&new, yaml).expect("a file");
    fs::rename(&new, gateway.configuration()).expect("a file");
}

/// Runs `postern` with the settings of a node, as a person would.
async fn command(gateway: &Gateway, arguments: &[&str]) -> Outcome {
    Postern::command()
        .args(arguments)
        .env("POSTERN_PREFIX", gateway.directory())
        .env("POSTERN_DECLARATIVE_CONFIG", gateway.configuration())
        .env("POSTERN_STATUS_LISTEN", gateway.status.to_string())
        .run()
        .await
}

async fn get(gateway: &Gateway, path: &str) -> (u16, Value) {
    let url = format!("http://{}{path}", gateway.http);
    send("GET", &url, &[], Body::None).await.expect("an answer")
}

async fn status(gateway: &Gateway) -> Value {
    let url = format!("http://{}/status", gateway.status);
    send("GET", &url, &[], Body::None).await.expect("an answer").1
}

/// Asks again and again; the machine may be busy.
async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it did not come to that within 30 s");
}
