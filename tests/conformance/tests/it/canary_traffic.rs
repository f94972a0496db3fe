//! A value from a vault on its way through traffic: every plugin that can put one somewhere, every place, every output.
//!
//! The value arrives where the plugin puts it, byte for byte, whatever looks like a template in it; and it is in no log, access
//! line, trace, metric or status.

use std::fs;
use std::path::Path;

use postern_conformance::ask::{Way, becomes, get, request};
use postern_conformance::{Gateway, Postern, Recorder};
use serde_json::{Value, json};

/// With what would be a template, what URLs, forms and JSON escape, and a core that no escaping changes.
const VALUE: &str = "CANARY9f3a$(headers.x_evil)b c\"d%e'f";
const CORE: &str = "CANARY9f3a";
/// The same for places that take less.
const WORD: &str = "CANARY9f3a-word";

/// The plugin, its configuration, and whether its value reaches the upstream.
fn cases() -> Vec<(&'static str, Value, bool)> {
    let value = |start: &str| format!("{start}{{vault://files/value}}");
    let word = |start: &str| format!("{start}{{vault://files/word}}");
    vec![
        ("request-transformer", json!({"add": {"headers": [value("x-any:")]}}), true),
        ("request-transformer", json!({"add": {"headers": [value("x-any:k $(headers.host) ")]}}), true),
        (
            "request-transformer",
            json!({"append": {"headers": [value("user-agent:"), value("referer:")]}}),
            true,
        ),
        ("request-transformer", json!({"replace": {"headers": [value("user-agent:")]}}), true),
        ("request-transformer", json!({"add": {"querystring": [value("page:")]}}), true),
        ("request-transformer", json!({"add": {"querystring": [word("") + ":1"]}}), true),
        ("request-transformer", json!({"replace": {"uri": word("/p/") + "/x"}}), true),
        ("request-transformer", json!({"replace": {"uri": value("/p/")}}), true),
        ("request-transformer", json!({"add": {"body": [value("a:")]}}), true),
        ("response-transformer", json!({"add": {"headers": [value("x-any:")]}}), false),
        ("response-transformer", json!({"add": {"json": [value("a:")]}}), false),
        ("request-termination", json!({"status_code": 418, "message": value("")}), false),
        (
            "request-termination",
            json!({"status_code": 418, "body": value(""), "content_type": "text/plain"}),
            false,
        ),
        ("redirect", json!({"status_code": 302, "location": word("http://example.test/")}), false),
        (
            "correlation-id",
            json!({"header_name": word("x-"), "generator": "uuid", "echo_downstream": true}),
            true,
        ),
        ("rate-limiting", json!({"minute": 1000, "policy": "local", "error_message": value("")}), false),
        ("cors", json!({"origins": [word("https://") + ".test"], "exposed_headers": [word("x-")]}), false),
    ]
}

#[tokio::test]
async fn a_value_from_a_vault_is_in_no_log_whatever_plugin_put_it_wherever() {
    let (upstream, sink) = (Recorder::start().await, Recorder::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("value"), VALUE).expect("a file");
    fs::write(directory.path().join("word"), WORD).expect("a file");
    fs::write(directory.path().join("path"), format!("/{WORD}")).expect("a file");
    let logged = directory.path().join("file.log");
    let yaml = configuration(directory.path(), &upstream, &sink, &logged);
    for format in ["text", "json"] {
        let settings =
            [("proxy_access_log_format", format), ("tracing_sampling_rate", "1"), ("log_level", "debug")];
        let gateway = Postern::gateway(&yaml, &settings).await;
        let _ = fs::remove_file(&logged);
        let (count, way) = (cases().len() + 1, Way::http(gateway.http));
        for index in 0..count {
            let path = format!("/{index}");
            let case = index.to_string();
            let headers = [
                ("x-case", case.as_str()),
                ("content-type", "application/x-www-form-urlencoded"),
                ("x-evil", "EVIL"),
                ("user-agent", "me"),
            ];
            let got = way.ask(request("POST", "localhost", &path, &headers, "b=1")).await.expect("an answer");
            assert_ne!(got.status, 503, "{path}: {}\n{}", got.text(), gateway.log());
            assert!(!got.text().contains("EVIL"), "{path}: {}", got.text());
        }
        let seen = upstream.take();
        let arrived = |index: usize, seen: &[postern_conformance::Seen]| {
            let mark = index.to_string();
            let of = seen.iter().find(|seen| seen.headers.get("x-case").is_some_and(|case| *case == *mark));
            of.map(|seen| {
                format!("{} {:?} {}", seen.target, seen.headers, String::from_utf8_lossy(&seen.body))
            })
        };
        for (index, (plugin, config, reaches)) in cases().into_iter().enumerate() {
            let text = arrived(index, &seen).unwrap_or_default();
            assert_eq!(
                text.to_lowercase().contains(&CORE.to_lowercase()),
                reaches,
                "{plugin} {config}: {text}"
            );
            assert!(!text.replace("\"x-evil\": \"EVIL\"", "").contains("EVIL"), "{plugin} {config}: {text}");
        }
        judge(&gateway, &logged, &sink, count).await;
    }
}

/// Every output, once all that belongs to these requests is there.
async fn judge(gateway: &Gateway, logged: &Path, sink: &Recorder, count: usize) {
    let read = || fs::read_to_string(logged).unwrap_or_default();
    becomes("the file-log is whole", async || read().lines().count() == count).await;
    becomes("the access log is whole", async || gateway.access_log().lines().count() == count).await;
    let mut sent: Vec<(String, Vec<u8>)> = Vec::new();
    becomes("the others are delivered", async || {
        sent.extend(sink.take().into_iter().map(|seen| (seen.target.clone(), seen.body.to_vec())));
        let of = |target: &str| sent.iter().filter(|(known, _)| known == target).count();
        of("/http") == count && of("/traces") > 0 && of("/logs") > 0
    })
    .await;
    for path in ["/metrics", "/status"] {
        let got = Way::http(gateway.status).ask(get("localhost", path)).await.expect("an answer");
        sent.push((path.to_owned(), got.body.to_vec()));
    }
    sent.push(("file-log".to_owned(), read().into_bytes()));
    sent.push(("access log".to_owned(), gateway.access_log().into_bytes()));
    sent.push(("own log".to_owned(), gateway.log().into_bytes()));
    assert!(read().contains("***"));
    for (output, bytes) in sent {
        let text = String::from_utf8_lossy(&bytes);
        if let Some(at) = text.to_lowercase().find(&CORE.to_lowercase()) {
            let around: String =
                text.chars().skip(text[..at].chars().count().saturating_sub(200)).take(400).collect();
            panic!("{output} shows the value: ...{around}...");
        }
    }
}

fn configuration(vault: &Path, upstream: &Recorder, sink: &Recorder, logged: &Path) -> String {
    let url = format!("http://127.0.0.1:{}", upstream.port());
    let to = |path: &str| format!("http://127.0.0.1:{}/{path}", sink.port());
    let mut services: Vec<_> = cases()
        .into_iter()
        .enumerate()
        .map(|(index, (name, config, _))| {
            json!({
                "name": format!("s{index}"), "url": url,
                "routes": [{"name": format!("r{index}"), "paths": [format!("~/{index}$")]}],
                "plugins": [
                    {"name": name, "config": config},
                ],
            })
        })
        .collect();
    // The path of a service, which is part of what is sent to the upstream.
    services.push(json!({
        "name": "by-path", "host": "127.0.0.1", "port": upstream.port(), "path": "{vault://files/path}",
        "routes": [{"name": "by-path", "paths": [format!("~/{}$", cases().len())]}],
    }));
    let otel = json!({
        "traces_endpoint": to("traces"), "logs_endpoint": to("logs"), "sampling_rate": 1.0,
        "queue": {"max_coalescing_delay": 0.05},
    });
    json!({
        "_format_version": "3.0",
        "vaults": [{"name": "fs", "prefix": "files", "config": {"prefix": vault}}],
        "services": services,
        "plugins": [
            {"name": "file-log", "config": {"path": logged}},
            {"name": "http-log", "config": {"http_endpoint": to("http"), "queue": {"max_batch_size": 1}}},
            {"name": "opentelemetry", "config": otel},
            {"name": "prometheus", "config": {"status_code_metrics": true, "latency_metrics": true}},
        ],
    })
    .to_string()
}
