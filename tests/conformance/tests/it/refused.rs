//! A refused configuration has changed nothing, whatever kind of change was in it: under traffic, by every way in, on the wire
//! and in the status. Each change is shown to be visible when the same configuration is accepted.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use postern_conformance::{
    Gateway, Postern, Recorder, Redis, Reply,
    ask::{PATIENCE, Way, becomes, get, request},
    ca::{Ca, Issued},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

/// What is in effect: the configuration before the change, or the one with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Old,
    New,
}
use Side::{New, Old};

/// One of two things.
fn of<T>(pair: &[T; 2], side: Side) -> &T {
    &pair[usize::from(side == New)]
}

const KEY: (&str, &str) = ("apikey", "alice-key");

/// A request that all configurations here let pass. No two are the same to a server that is asked about tokens.
fn asked() -> http::Request<postern_conformance::ask::Body> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let token = format!("Bearer token-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    request("GET", "localhost", "/", &[KEY, ("authorization", &token)], "")
}

/// Traffic of which nothing may fail.
struct Traffic {
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<usize>,
}

impl Traffic {
    fn start(gateway: &Gateway) -> Self {
        let (done, way) = (Arc::<AtomicBool>::default(), Way::http(gateway.http));
        let until = Arc::clone(&done);
        let task = tokio::spawn(async move {
            let mut count = 0;
            let mut connection = way.open().await.expect("a connection");
            while !until.load(Ordering::Relaxed) {
                let got = connection.ask(asked()).await.expect("an answer");
                assert_eq!(got.status, 200, "request {count}: {}", got.text());
                count += 1;
            }
            count
        });
        Self { done, task }
    }

    async fn end(self) {
        self.done.store(true, Ordering::Relaxed);
        let count = self.task.await.expect("traffic without a failure");
        assert!(count > 0, "there was traffic");
    }
}

async fn status(gateway: &Gateway) -> Value {
    let mut status = Way::http(gateway.status).ask(get("localhost", "/status")).await.expect("a page").json();
    let is_refused = !status["configuration"]["refused"].is_null();
    json!({
        "hash": status["configuration_hash"], "number": status["configuration"]["number"], "is_refused": is_refused,
        "broken": status["configuration"]["broken_count"], "secrets": status["secrets"].take(),
    })
}

/// The configuration with an error that is seen by nobody but who makes it: a key that is not the certificate's.
fn with_error(mut document: Value) -> Value {
    let ca = Ca::new("somebody");
    let (one, two) = (ca.issue(&["one.test"]), ca.issue(&["two.test"]));
    let wrong = json!({"cert": one.chain, "key": two.key, "snis": [{"name": "wrong.test"}]});
    match document["certificates"].as_array_mut() {
        Some(certificates) => certificates.push(wrong),
        None => document["certificates"] = json!([wrong]),
    }
    document
}

/// Starts with the configuration of the old side; has the new one refused by the watched file, `POST /config` and `postern
/// reload`; then has it accepted. `seen` says, by what happens on the wire, which of them is in effect; `untouched` is whether
/// nothing has gone where only the new one goes.
async fn refused(
    document: impl Fn(Side) -> Value,
    seen: impl AsyncFn(&Gateway) -> Side,
    untouched: impl Fn() -> bool,
) {
    let text = |side, is_wrong| {
        let mut document = document(side);
        document["_format_version"] = "3.0".into();
        if is_wrong { with_error(document).to_string() } else { document.to_string() }
    };
    let mut gateway = Postern::gateway(&text(Old, false), &[]).await;
    let traffic = Traffic::start(&gateway);
    assert_eq!(seen(&gateway).await, Old, "at the start");
    let mut before = status(&gateway).await;
    assert_eq!(before["is_refused"], false);
    before["is_refused"] = true.into();
    let wrong = text(New, true);

    for way in ["the watched file", "POST /config", "postern reload"] {
        match way {
            "the watched file" => {
                assert!(!gateway.reload(&wrong).await, "it is accepted:\n{}", gateway.log());
                let log = gateway.log();
                assert!(log.contains("certificates["), "it is refused for another reason:\n{log}");
            }
            "POST /config" => {
                let admin = gateway.admin.expect("an Admin API");
                let body = json!({ "config": wrong }).to_string();
                let headers = [("content-type", "application/json")];
                let got = Way::http(admin)
                    .ask(request("POST", &admin.to_string(), "/config", &headers, body))
                    .await;
                assert_eq!(got.expect("an answer").status, 400);
            }
            _ => {
                let reload = Postern::command()
                    .arg("reload")
                    .env("POSTERN_PREFIX", gateway.directory())
                    .env("POSTERN_DECLARATIVE_CONFIG", gateway.configuration());
                reload.run().await.fails_with(1);
            }
        }
        assert_eq!(seen(&gateway).await, Old, "after {way}");
        assert!(untouched(), "{way}: something went where only the refused configuration goes");
        assert_eq!(status(&gateway).await, before, "{way}");
    }

    // All of this can be seen where it does take effect.
    assert!(gateway.reload(&text(New, false)).await, "{}", gateway.log());
    let changed = async { becomes("the change is in effect", async || seen(&gateway).await == New).await };
    timeout(PATIENCE, changed).await.expect("in time");
    traffic.end().await;
}

fn url(recorder: &Recorder) -> String {
    format!("http://127.0.0.1:{}", recorder.port())
}

fn services(upstream: &Recorder, plugins: Value) -> Value {
    json!([{"name": "s", "url": url(upstream), "routes": [{"name": "r", "paths": ["/"]}], "plugins": plugins}])
}

/// One plugin, with its configuration for each side.
fn with_plugin(upstream: &Recorder, name: &str, config: impl Fn(Side) -> Value) -> impl Fn(Side) -> Value {
    move |side| json!({"services": services(upstream, json!([{"name": name, "config": config(side)}]))})
}

async fn pair() -> [Recorder; 2] {
    [Recorder::start().await, Recorder::start().await]
}

/// To whom something is sent because of requests. What was under way for the old one may still arrive there.
async fn receives(gateway: &Gateway, receivers: &[Recorder; 2]) -> Side {
    let counts = || receivers.each_ref().map(Recorder::requests);
    let before = counts();
    assert_eq!(Way::http(gateway.http).ask(asked()).await.expect("an answer").status, 200);
    becomes("somebody receives it", async || counts() != before).await;
    if counts()[1] > before[1] { New } else { Old }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_of_a_log() {
    let (upstream, logs) = (Recorder::start().await, pair().await);
    let config =
        |side| json!({"http_endpoint": url(of(&logs, side)), "queue": {"max_coalescing_delay": 0.01}});
    let document = with_plugin(&upstream, "http-log", config);
    refused(document, async |gateway| receives(gateway, &logs).await, || logs[1].connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_of_traces() {
    let (upstream, traces) = (Recorder::start().await, pair().await);
    let config = |side| {
        let endpoint = format!("{}/v1/traces", url(of(&traces, side)));
        json!({"traces_endpoint": endpoint, "sampling_rate": 1, "queue": {"max_coalescing_delay": 0.01}})
    };
    let document = with_plugin(&upstream, "opentelemetry", config);
    refused(document, async |gateway| receives(gateway, &traces).await, || traces[1].connections() == 0)
        .await;
}

fn json_reply(body: &Value) -> Reply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Reply { headers, ..Reply::new(200, body.to_string()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_that_is_asked_about_tokens() {
    let (upstream, servers) = (Recorder::start().await, pair().await);
    servers.iter().for_each(|server| server.answers(json_reply(&json!({"active": true}))));
    let config =
        |side| json!({"introspection_url": url(of(&servers, side)), "authorization_value": "Basic x"});
    let document = with_plugin(&upstream, "oauth2-introspection", config);
    refused(document, async |gateway| receives(gateway, &servers).await, || servers[1].connections() == 0)
        .await;
}

/// A header of a request as it came to the upstream: for which side its value stands.
async fn arrives(gateway: &Gateway, upstream: &Recorder, header: &str, values: [&str; 2]) -> Side {
    upstream.take();
    assert_eq!(Way::http(gateway.http).ask(asked()).await.expect("an answer").status, 200);
    let seen = upstream.take().pop().expect("a request");
    let value = seen.headers[header].to_str().expect("text").to_owned();
    match values.iter().position(|known| *known == value) {
        Some(0) => Old,
        Some(_) => New,
        None => panic!("{header}: {value}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_that_gives_tokens() {
    let (upstream, servers) = (Recorder::start().await, pair().await);
    for (server, token) in servers.iter().zip(["old", "new"]) {
        server.answers(json_reply(&json!({"access_token": token, "token_type": "Bearer", "expires_in": 2})));
    }
    let config = |side| {
        let oauth =
            json!({"token_endpoint": url(of(&servers, side)), "client_id": "a", "client_secret": "b"});
        json!({"oauth": oauth, "cache": {"eagerly_expire": 1}})
    };
    let seen = async |gateway: &Gateway| {
        arrives(gateway, &upstream, "authorization", ["Bearer old", "Bearer new"]).await
    };
    refused(with_plugin(&upstream, "upstream-oauth", config), seen, || servers[1].connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_targets_of_an_upstream() {
    let targets = pair().await;
    let document = |side| {
        let port = of(&targets, side).port();
        json!({
            "services": [{"name": "s", "host": "u", "routes": [{"name": "r", "paths": ["/"]}]}],
            "upstreams": [{
                "name": "u", "targets": [{"target": format!("127.0.0.1:{port}")}],
                "healthchecks": {"active": {
                    "http_path": "/health", "healthy": {"interval": 0.05}, "unhealthy": {"interval": 0.05},
                }},
            }],
        })
    };
    // One that is probed would see it without any request of a client.
    refused(document, async |gateway| receives(gateway, &targets).await, || targets[1].connections() == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_checks_of_an_upstream() {
    let target = Recorder::start().await;
    let paths = ["/old-health", "/new-health"];
    let document = |side| {
        json!({
            "services": [{"name": "s", "host": "u", "routes": [{"name": "r", "paths": ["/"]}]}],
            "upstreams": [{
                "name": "u", "targets": [{"target": format!("127.0.0.1:{}", target.port())}],
                "healthchecks": {"active": {
                    "http_path": of(&paths, side), "healthy": {"interval": 0.05}, "unhealthy": {"interval": 0.05},
                }},
            }],
        })
    };
    let probes = AtomicUsize::new(0);
    let seen = async |_: &Gateway| {
        // The third from now on began after now.
        let (mut new, mut count) = (false, 0);
        becomes("it is probed", async || {
            for seen in target.take() {
                count += usize::from(seen.target.ends_with("-health"));
                new = seen.target == paths[1] || new && seen.target != paths[0];
                probes.fetch_add(usize::from(seen.target == paths[1]), Ordering::Relaxed);
            }
            count >= 3
        })
        .await;
        if new { New } else { Old }
    };
    refused(document, seen, || probes.load(Ordering::Relaxed) == 0).await;
}

/// A directory for each side, whose file `secret` says which.
fn directories() -> [TempDir; 2] {
    ["old", "new"].map(|value| {
        let directory = TempDir::new().expect("a directory");
        fs::write(directory.path().join("secret"), value).expect("a file");
        directory
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault() {
    // Moved; moved and renamed.
    for names in [["files", "files"], ["files", "others"]] {
        let (upstream, directories) = (Recorder::start().await, directories());
        let document = |side| {
            let (name, directory) = (of(&names, side), of(&directories, side).path());
            let add = json!({"add": {"headers": [format!("x-secret:{{vault://{name}/secret}}")]}});
            json!({
                "vaults": [{"name": "fs", "prefix": name, "config": {"prefix": directory}}],
                "services": services(&upstream, json!([{"name": "request-transformer", "config": add}])),
            })
        };
        let seen = async |gateway: &Gateway| arrives(gateway, &upstream, "x-secret", ["old", "new"]).await;
        refused(document, seen, || true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_on_the_network() {
    let (upstream, vaults) = (Recorder::start().await, pair().await);
    for (vault, value) in vaults.iter().zip(["old", "new"]) {
        vault.answers(json_reply(&json!({"data": {"pass": value}})));
    }
    let document = |side| {
        let add = json!({"add": {"headers": ["x-secret:{vault://own/password/pass}"]}});
        json!({
            "vaults": [{"name": "hcv", "prefix": "own", "config": {
                "host": "127.0.0.1", "port": of(&vaults, side).port(), "token": "t", "ttl": 1,
            }}],
            "services": services(&upstream, json!([{"name": "request-transformer", "config": add}])),
        })
    };
    let seen = async |gateway: &Gateway| {
        // Whom the node asks from now on; a candidate that may take effect asks for its own values, of course.
        let counts = || vaults.each_ref().map(Recorder::requests);
        let before = counts();
        becomes("a vault is asked again", async || {
            let now = counts();
            now[0] >= before[0] + 2 || now[1] >= before[1] + 2
        })
        .await;
        let asked = if counts()[1] == before[1] { Old } else { New };
        let arrived = arrives(gateway, &upstream, "x-secret", ["old", "new"]).await;
        assert_eq!(arrived, asked, "who is asked gives the value");
        asked
    };
    refused(document, seen, || true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_redis_of_a_limit() {
    let (upstream, redis, other) =
        (Recorder::start().await, Redis::start("s3cret").await, Recorder::start().await);
    let config = |side| {
        let port = if side == Old { redis.port() } else { other.port() };
        let reached = json!({"host": "127.0.0.1", "port": port, "username": "gateway", "password": "s3cret"});
        json!({"hour": 1_000_000, "policy": "redis", "redis": reached})
    };
    let seen = async |gateway: &Gateway| {
        let before = redis.counted().await;
        assert_eq!(Way::http(gateway.http).ask(asked()).await.expect("an answer").status, 200);
        let mut side = Old;
        becomes("it is counted", async || {
            if other.connections() > 0 {
                side = New;
            }
            side == New || redis.counted().await > before
        })
        .await;
        side
    };
    refused(with_plugin(&upstream, "rate-limiting", config), seen, || other.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_of_sessions() {
    let upstream = Recorder::start().await;
    let document = |side| {
        let secret = of(&["0ld-s3cret-of-the-sessions", "n3w-s3cret-of-the-sessions"], side);
        json!({
            "services": services(&upstream, json!([{"name": "session", "config": {"secret": secret}}])),
            "consumers": [
                {"username": "alice", "keyauth_credentials": [{"key": KEY.1}]},
                {"username": "nobody", "plugins": [{"name": "request-termination", "config": {"status_code": 403}}]},
            ],
            "plugins": [{"name": "key-auth", "config": {"anonymous": "nobody"}}],
        })
    };
    // Two that have never heard of a change: they say by what secret a cookie was sealed, and seal some for the other.
    let judge = async |side| {
        let mut document = document(side);
        document["_format_version"] = "3.0".into();
        Postern::gateway(&document.to_string(), &[]).await
    };
    let judges = [judge(Old).await, judge(New).await];
    let sealed = async |gateway: &Gateway| {
        let got = Way::http(gateway.http).ask(asked()).await.expect("an answer");
        let cookie = got.header("set-cookie").expect("a session");
        cookie.split(';').next().expect("a cookie").to_owned()
    };
    let opens = async |gateway: &Gateway, cookie: &str| {
        let asked = request("GET", "localhost", "/", &[("cookie", cookie)], "");
        Way::http(gateway.http).ask(asked).await.expect("an answer").status == 200
    };
    let of_new = sealed(&judges[1]).await;
    let seen = async |gateway: &Gateway| {
        let own = sealed(gateway).await;
        assert!(opens(gateway, &own).await, "it opens its own");
        let by = [opens(&judges[0], &own).await, opens(&judges[1], &own).await];
        match (by, opens(gateway, &of_new).await) {
            ([true, false], false) => Old,
            ([false, true], true) => New,
            other => panic!("half of the change is in effect: {other:?}"),
        }
    };
    refused(document, seen, || true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate() {
    let (upstream, ca) = (Recorder::start().await, Ca::new("a root"));
    let issued: [Issued; 2] = [ca.issue(&["a.test"]), ca.issue(&["a.test"])];
    let document = |side| {
        let shown = of(&issued, side);
        json!({
            "services": services(&upstream, json!([])),
            "certificates": [{"cert": shown.chain, "key": shown.key, "snis": [{"name": "a.test"}]}],
        })
    };
    let seen = async |gateway: &Gateway| {
        let shown = Way::https(gateway.https, "a.test").open().await.expect("a handshake").certificates;
        match issued.iter().position(|known| super::gateway_tls::der(known) == shown[0]) {
            Some(0) => Old,
            Some(_) => New,
            None => panic!("another certificate"),
        }
    };
    refused(document, seen, || true).await;
}
