//! Credentials of plugins by reference: they rotate under load, close what they guard while they are missing, and open it by
//! themselves when they come. The credentials of consumers, and those that the gateway shows to others.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_conformance::{
    Gateway, Postern, Recorder, Redis,
    ask::{Way, becomes, get},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

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

fn service(upstream: &Recorder, plugin: Value) -> Value {
    json!([{
        "name": "s", "url": format!("http://127.0.0.1:{}", upstream.port()),
        "routes": [{"name": "r", "paths": ["/"]}], "plugins": [plugin],
    }])
}

async fn status(way: &Way, headers: &[(&str, &str)]) -> u16 {
    let mut request = get("localhost", "/");
    request.headers_mut().insert("date", http::HeaderValue::from_static(DATE));
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    way.ask(request).await.expect("an answer").status
}

/// Tokens that were signed with `first-secret-of-32-characters-xx` and `other-secret-of-32-characters-xx`, by
/// `{"alg":"HS256","typ":"JWT"}.{"iss":"alice"}`.
const TOKENS: [(&str, &str); 2] = [
    (
        "first-secret-of-32-characters-xx",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhbGljZSJ9.g9AX8RHdis2x5AQ1mZadQw47v8CO6yS1Mc1mKNoXsvU",
    ),
    (
        "other-secret-of-32-characters-xx",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhbGljZSJ9.eM3V-PG31_nrKkWd3zD7EhXs1HqaTI4s2LbNexHHtJU",
    ),
];

/// When requests say they were sent; [`SIGNATURES`] are of it.
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// HMAC-SHA-256 of `date: ` and [`DATE`] with `f1rst-s3cret` and with `s3cond-s3cret`.
const SIGNATURES: [&str; 2] =
    ["+FH85QkXgFFYeDCZyGQBjDq/IJ9f6seRx3SnafEaijk=", "v48MT+x1bbzPhq5ocK0E/KBtpHNnDPCKHbUrkY2BkT4="];

/// A secret, and what is shown by who knows it: header and value.
type Shown = (String, &'static str, String);

/// Plugins, the consumer's part, and what is shown for each of two secrets.
fn credentials() -> Vec<(Value, Value, [Shown; 2])> {
    let consumer = |field: &str, credential: Value| {
        let mut consumer = json!({"username": "alice"});
        consumer[field] = json!([credential]);
        consumer
    };
    let reference = "{vault://files/secret}";
    let pair = |password: &str| STANDARD.encode(format!("alice:{password}"));
    let shown = |header, of: &dyn Fn(&str) -> String| {
        ["f1rst-s3cret", "s3cond-s3cret"].map(|secret| (secret.to_owned(), header, of(secret)))
    };
    vec![
        (
            json!({"name": "key-auth"}),
            consumer("keyauth_credentials", json!({"key": reference})),
            shown("apikey", &|secret| secret.to_owned()),
        ),
        (
            json!({"name": "basic-auth"}),
            consumer("basicauth_credentials", json!({"username": "alice", "password": reference})),
            shown("authorization", &|secret| format!("Basic {}", pair(secret))),
        ),
        (
            json!({"name": "jwt"}),
            consumer("jwt_secrets", json!({"key": "alice", "secret": reference})),
            TOKENS.map(|(secret, token)| (secret.to_owned(), "authorization", format!("Bearer {token}"))),
        ),
        (
            // Signatures of long ago are as good as new ones here.
            json!({"name": "hmac-auth", "config": {"clock_skew": 10_000_000_000_u64}}),
            consumer("hmacauth_credentials", json!({"username": "alice", "secret": reference})),
            [("f1rst-s3cret", SIGNATURES[0]), ("s3cond-s3cret", SIGNATURES[1])].map(|(secret, signature)| {
                let shown = format!(
                    r#"hmac username="alice", algorithm="hmac-sha256", headers="date", signature="{signature}""#
                );
                (secret.to_owned(), "authorization", shown)
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_of_a_consumer_rotates_under_load() {
    for (plugin, consumer, [(first, header, shown), (second, _, shown_next)]) in credentials() {
        let directory = TempDir::new().expect("a directory");
        let upstream = Recorder::start().await;
        write(directory.path(), "secret", &first);
        let yaml = config(
            directory.path(),
            json!({"services": service(&upstream, plugin.clone()), "consumers": [consumer]}),
        );
        let gateway = Postern::gateway(&yaml, &[]).await;
        let way = Way::http(gateway.http);
        assert_eq!(status(&way, &[(header, &shown)]).await, 200, "{plugin}");
        assert_eq!(status(&way, &[(header, &shown_next)]).await, 401, "{plugin}");
        // One of the two is right at any time: no request with both ways open is ever refused for long.
        write(directory.path(), "secret", &second);
        let refused = AtomicU32::new(0);
        becomes("the new secret is in use", async || {
            let (old, new) =
                (status(&way, &[(header, &shown)]).await, status(&way, &[(header, &shown_next)]).await);
            if old != 200 && new != 200 {
                refused.fetch_add(1, Ordering::Relaxed);
            }
            new == 200
        })
        .await;
        assert!(refused.load(Ordering::Relaxed) <= 1, "{plugin}: a time in which neither was right");
        assert_eq!(status(&way, &[(header, &shown)]).await, 401, "{plugin}: the old one is none any more");
        no_secret_is_told(&gateway, &[&first, &second]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_is_missing_lets_nobody_in() {
    for (plugin, consumer, [(first, header, shown), _]) in credentials() {
        let directory = TempDir::new().expect("a directory");
        let upstream = Recorder::start().await;
        let yaml = config(
            directory.path(),
            json!({"services": service(&upstream, plugin.clone()), "consumers": [consumer]}),
        );
        let gateway = Postern::gateway(&yaml, &[]).await;
        let way = Way::http(gateway.http);
        assert_eq!(status(&way, &[(header, &shown)]).await, 401, "{plugin}");
        assert!(upstream.take().is_empty(), "{plugin}: the upstream was asked");
        write(directory.path(), "secret", &first);
        becomes("it is known", async || status(&way, &[(header, &shown)]).await == 200).await;
    }
}

/// A server that takes any request with this `Authorization`, and answers others with 401.
async fn guarded(right: Arc<std::sync::Mutex<String>>, body: &'static str) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (port, taken) = (listener.local_addr().expect("a port").port(), Arc::<AtomicU32>::default());
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (right, count) = (Arc::clone(&right), Arc::clone(&count));
            tokio::spawn(async move {
                let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    all.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&all).into_owned();
                    let Some((head, sent)) = text.split_once("\r\n\r\n") else { continue };
                    let head = head.to_ascii_lowercase();
                    let length =
                        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                    if sent.len() < length.unwrap_or(0) {
                        continue;
                    }
                    let wanted =
                        format!("authorization: {}", right.lock().expect("a lock").to_ascii_lowercase());
                    let is_right = head.lines().any(|line| line == wanted);
                    count.fetch_add(u32::from(is_right), Ordering::Relaxed);
                    let (status, body) = if is_right { (200, body) } else { (401, "") };
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    all.clear();
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_old_credential_is_shown_the_new_one_at_once() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    let right = Arc::new(std::sync::Mutex::new("Basic first".to_owned()));
    let (port, _) = guarded(Arc::clone(&right), r#"{"active": true}"#).await;
    write(directory.path(), "introspection", "Basic first");
    let plugin = json!({"name": "oauth2-introspection", "config": {
        "introspection_url": format!("http://127.0.0.1:{port}/"), "authorization_value": "{vault://files/introspection}",
    }});
    let yaml = config(directory.path(), json!({"services": service(&upstream, plugin)}));
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    assert_eq!(status(&way, &[("authorization", "Bearer one")]).await, 200);
    // What was read a moment ago is not read again: the other side refuses what the vault says.
    sleep(Duration::from_millis(1200)).await;
    *right.lock().expect("a lock") = "Basic second".to_owned();
    write(directory.path(), "introspection", "Basic second");
    // Each asks about a token of its own, so nothing is remembered.
    for number in 0..20 {
        let token = format!("Bearer other-{number}");
        assert_eq!(status(&way, &[("authorization", &token)]).await, 200, "{number}");
    }
    no_secret_is_told(&gateway, &["Basic first", "Basic second"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_that_wait_go_out_with_the_new_credential() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    let right = Arc::new(std::sync::Mutex::new("Bearer second".to_owned()));
    let (port, taken) = guarded(right, "").await;
    write(directory.path(), "token", "Bearer first");
    let plugin = json!({"name": "http-log", "config": {
        "http_endpoint": format!("http://127.0.0.1:{port}/"),
        "headers": {"authorization": "{vault://files/token}"},
    }});
    let yaml = config(directory.path(), json!({"services": service(&upstream, plugin)}));
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    for _ in 0..5 {
        assert_eq!(status(&way, &[]).await, 200, "a log holds nobody up");
    }
    sleep(Duration::from_millis(200)).await;
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    write(directory.path(), "token", "Bearer second");
    becomes("all five arrive", async || taken.load(Ordering::Relaxed) == 5).await;
    no_secret_is_told(&gateway, &["Bearer first", "Bearer second"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_wait_go_out_with_the_new_credential() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    let right = Arc::new(std::sync::Mutex::new("Bearer second".to_owned()));
    let (port, taken) = guarded(right, "").await;
    write(directory.path(), "token", "Bearer first");
    let plugin = json!({"name": "opentelemetry", "config": {
        "traces_endpoint": format!("http://127.0.0.1:{port}/v1/traces"), "sampling_rate": 1,
        "headers": {"authorization": "{vault://files/token}"},
        "queue": {"max_coalescing_delay": 0.1, "max_retry_delay": 0.2},
    }});
    let yaml = config(directory.path(), json!({"services": service(&upstream, plugin)}));
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    assert_eq!(status(&way, &[]).await, 200, "a trace holds nobody up");
    sleep(Duration::from_millis(400)).await;
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    write(directory.path(), "token", "Bearer second");
    becomes("the span arrives", async || taken.load(Ordering::Relaxed) > 0).await;
    no_secret_is_told(&gateway, &["Bearer first", "Bearer second"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_for_an_upstream_are_got_with_the_new_secret_at_once() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("gateway:{secret}")));
    let right = Arc::new(std::sync::Mutex::new(basic("f1rst-s3cret")));
    let (port, taken) = guarded(
        Arc::clone(&right),
        r#"{"access_token": "t0k3n-of-the-upstream", "token_type": "Bearer", "expires_in": 2}"#,
    )
    .await;
    write(directory.path(), "secret", "f1rst-s3cret");
    let plugin = json!({"name": "upstream-oauth", "config": {
        "oauth": {
            "token_endpoint": format!("http://127.0.0.1:{port}/token"),
            "client_id": "gateway", "client_secret": "{vault://files/secret}",
        },
        "client": {"auth_method": "client_secret_basic"},
        "cache": {"eagerly_expire": 1},
    }});
    let yaml = config(directory.path(), json!({"services": service(&upstream, plugin)}));
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    assert_eq!(status(&way, &[]).await, 200);
    let before = taken.load(Ordering::Relaxed);
    // What was read a moment ago is not read again.
    sleep(Duration::from_millis(1200)).await;
    *right.lock().expect("a lock") = basic("s3cond-s3cret");
    write(directory.path(), "secret", "s3cond-s3cret");
    becomes("tokens were got with the new secret", async || {
        assert_eq!(status(&way, &[]).await, 200, "one that need not have failed");
        taken.load(Ordering::Relaxed) >= before + 2
    })
    .await;
    let shown = upstream.take();
    assert!(shown.iter().all(|seen| seen.headers["authorization"] == "Bearer t0k3n-of-the-upstream"));
    no_secret_is_told(&gateway, &["f1rst-s3cret", "s3cond-s3cret", "t0k3n-of-the-upstream"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_of_sessions_ends_none() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    write(directory.path(), "secret", "f1rst-s3cret-of-the-sessions");
    let yaml = config(
        directory.path(),
        json!({
            "services": service(&upstream, json!({"name": "session", "config": {"secret": "{vault://files/secret}"}})),
            "consumers": [
                {"username": "alice", "keyauth_credentials": [{"key": "alice-key"}]},
                {"username": "nobody", "plugins": [{"name": "request-termination", "config": {"status_code": 403}}]},
            ],
            "plugins": [{"name": "key-auth", "config": {"anonymous": "nobody"}}],
        }),
    );
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    let cookie = async || {
        let mut request = get("localhost", "/");
        request.headers_mut().insert("apikey", http::HeaderValue::from_static("alice-key"));
        let answer = way.ask(request).await.expect("an answer");
        let cookie = answer.headers.get("set-cookie").expect("a session").to_str().expect("text");
        cookie.split(';').next().expect("a cookie").to_owned()
    };
    let first = cookie().await;
    assert_eq!((status(&way, &[("cookie", &first)]).await, status(&way, &[]).await), (200, 403));
    write(directory.path(), "secret", "s3cond-s3cret-of-the-sessions");
    sleep(Duration::from_millis(1500)).await;
    for _ in 0..50 {
        assert_eq!(status(&way, &[("cookie", &first)]).await, 200, "a rotation ends no session");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(&way, &[("cookie", &cookie().await)]).await, 200);
    no_secret_is_told(&gateway, &["f1rst-s3cret", "s3cond-s3cret", &first]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_a_redis_rotates_under_load() {
    let directory = TempDir::new().expect("a directory");
    let upstream = Recorder::start().await;
    let redis = Redis::start("f1rst-s3cret").await;
    write(directory.path(), "password", "f1rst-s3cret");
    let reached = json!({
        "host": "127.0.0.1", "port": redis.port(), "username": "gateway", "password": "{vault://files/password}",
    });
    let mut services = service(
        &upstream,
        json!({"name": "rate-limiting", "config": {
            "hour": 1_000_000, "policy": "redis", "fault_tolerant": false, "redis": reached,
        }}),
    );
    services[0]["plugins"].as_array_mut().expect("a list").push(json!({
        "name": "response-ratelimiting", "config": {
            "limits": {"a": {"hour": 1_000_000}}, "policy": "redis", "fault_tolerant": false, "redis": reached,
        },
    }));
    let yaml = config(directory.path(), json!({"services": services}));
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    assert_eq!(status(&way, &[]).await, 200);
    for password in ["s3cond-s3cret", "th1rd-s3cret"] {
        // What was read a moment ago is not read again.
        sleep(Duration::from_millis(1200)).await;
        write(directory.path(), "password", password);
        redis.rotate(password).await;
        for number in 0..200 {
            assert_eq!(status(&way, &[]).await, 200, "{number} after {password}: {}", gateway.log());
        }
    }
    no_secret_is_told(&gateway, &["f1rst-s3cret", "s3cond-s3cret", "th1rd-s3cret"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_cannot_be_right_closes_its_route_and_is_named() {
    for (name, settings, blamed) in [
        ("http-log", json!({"http_endpoint": "{vault://files/late}"}), "http_endpoint"),
        (
            "oauth2-introspection",
            json!({"introspection_url": "{vault://files/late}", "authorization_value": "a"}),
            "introspection_url",
        ),
        (
            "upstream-oauth",
            json!({"oauth": {"token_endpoint": "{vault://files/late}", "client_id": "a", "client_secret": "b"}}),
            "token_endpoint",
        ),
        ("opentelemetry", json!({"traces_endpoint": "{vault://files/late}"}), "traces_endpoint"),
    ] {
        let directory = TempDir::new().expect("a directory");
        let upstream = Recorder::start().await;
        write(directory.path(), "late", "n0-url-at-all");
        let plugin = json!({"name": name, "config": settings});
        let yaml = config(directory.path(), json!({"services": service(&upstream, plugin)}));
        let gateway = Postern::gateway(&yaml, &[]).await;
        let way = Way::http(gateway.http);
        assert_eq!(status(&way, &[]).await, 503, "{name}");
        assert!(upstream.take().is_empty(), "{name}: the upstream was asked");
        let log = gateway.log();
        assert!(log.contains(blamed) && !log.contains("n0-url"), "{name}: {log}");
        write(directory.path(), "late", "http://127.0.0.1:1/");
        becomes("it opens", async || status(&way, &[]).await != 503).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_credential_a_plugin_closes_its_route() {
    let url = "http://127.0.0.1:1/";
    for (name, settings) in [
        ("http-log", json!({"http_endpoint": "{vault://files/late}"})),
        (
            "oauth2-introspection",
            json!({"introspection_url": url, "authorization_value": "{vault://files/late}"}),
        ),
        (
            "upstream-oauth",
            json!({"oauth": {"token_endpoint": url, "client_id": "a", "client_secret": "{vault://files/late}"}}),
        ),
        ("session", json!({"secret": "{vault://files/late}"})),
        (
            "opentelemetry",
            json!({"traces_endpoint": url, "headers": {"authorization": "{vault://files/late}"}}),
        ),
        (
            "rate-limiting",
            json!({"minute": 5, "policy": "redis", "redis": {"host": "127.0.0.1", "password": "{vault://files/late}"}}),
        ),
    ] {
        let directory = TempDir::new().expect("a directory");
        let upstream = Recorder::start().await;
        let plugin = json!({"name": name, "config": settings});
        let yaml = config(directory.path(), json!({"services": service(&upstream, plugin)}));
        let gateway = Postern::gateway(&yaml, &[]).await;
        let way = Way::http(gateway.http);
        assert_eq!(status(&way, &[]).await, 503, "{name}");
        assert!(upstream.take().is_empty(), "{name}: the upstream was asked");
        assert!(gateway.log().contains("{vault://files/late}"), "{name}: {}", gateway.log());
        write(directory.path(), "late", "http://127.0.0.1:1/");
        becomes("it opens", async || status(&way, &[]).await != 503).await;
    }
}

/// Neither logs nor pages hold a secret.
async fn no_secret_is_told(gateway: &Gateway, secrets: &[&str]) {
    let mut said = gateway.log() + &gateway.access_log();
    said += &Way::http(gateway.status).ask(get("localhost", "/metrics")).await.expect("metrics").text();
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} is in what was said:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_own_log_goes_to_a_collector_without_secrets() {
    let directory = TempDir::new().expect("a directory");
    let (upstream, collector) = (Recorder::start().await, Recorder::start().await);
    write(directory.path(), "token", "Bearer t0k3n-of-the-collector");
    let services =
        service(&upstream, json!({"name": "key-auth", "config": {"anonymous": "{vault://files/absent}"}}));
    let yaml = config(
        directory.path(),
        json!({
            "services": services,
            "plugins": [{"name": "opentelemetry", "config": {
                "logs_endpoint": format!("http://127.0.0.1:{}/v1/logs", collector.port()),
                "headers": {"authorization": "{vault://files/token}"},
                "queue": {"max_coalescing_delay": 0.05},
            }}],
        }),
    );
    let gateway = Postern::gateway(&yaml, &[]).await;
    let way = Way::http(gateway.http);
    assert_eq!(status(&way, &[("apikey", "k3y-of-a-client")]).await, 503);
    let mut told = String::new();
    becomes("the collector is told why", async || {
        for seen in collector.take() {
            assert_eq!((seen.target.as_str(), seen.method.as_str()), ("/v1/logs", "POST"));
            assert_eq!(seen.headers["authorization"], "Bearer t0k3n-of-the-collector");
            told.push_str(&String::from_utf8_lossy(&seen.body));
        }
        told.contains("requests fail closed") && told.contains("{vault://files/absent}")
    })
    .await;
    assert!(!told.contains("t0k3n") && !told.contains("k3y-of"), "{told}");
    no_secret_is_told(&gateway, &["t0k3n-of-the-collector", "k3y-of-a-client"]).await;
}
