//! Gateways that fail or lie: told in decK's words, never believed, never a panic.

use std::time::Duration;

use postern_admin::client::carry_out::{Pace, carry_out};
use postern_admin::client::plan::Goal;
use postern_admin::client::report::{Report, dropped};
use postern_admin::client::{self, Problems};
use tokio::io::AsyncWriteExt as _;

use crate::mock::{Fault, Mock, gateway};
use crate::sync::{FILE, plan, scope};

const THREE: &str = "_format_version: '3.0'\nservices: [{ name: svc1, host: h }]\nroutes: [{ name: r, paths: [/] }]\nplugins: [{ name: key-auth }]";

/// Errors, and what was dropped.
async fn run(mock: &Mock, address: &str, yaml: &str, parallelism: usize) -> (Vec<String>, Vec<String>) {
    let gateway = gateway(address, None);
    let plan = plan(&gateway, yaml, &scope(), Goal::Exactly).await.unwrap();
    mock.asked();
    let outcome = carry_out(&gateway, &plan, Pace { parallelism, pause: Duration::ZERO }, &|_| {}).await;
    assert_eq!(outcome.len(), plan.len(), "something is said of each step");
    let report = Report::of(outcome);
    (report.errors.clone(), report.dropped.iter().map(|step| dropped(step)).collect())
}

#[tokio::test]
async fn the_first_failure_stops_and_the_rest_is_dropped() {
    let cases = [
        (
            409,
            r#"{"message":"UNIQUE violation detected on '{name=\"svc1\"}'"}"#,
            r#"HTTP status 409 (message: "UNIQUE violation detected on '{name=\"svc1\"}'")"#,
        ),
        (
            500,
            r#"{"message":"An unexpected error occurred"}"#,
            r#"HTTP status 500 (message: "An unexpected error occurred")"#,
        ),
        (
            502,
            "<html>bad</html>",
            r#"HTTP status 502 (message: "<failed to parse response body: it is no JSON>")"#,
        ),
        (302, "", r#"HTTP status 302 (message: "a redirect, which is not followed")"#),
        (200, "", "/services/ID: the answer is no JSON (line 1, column 0)"),
        (200, "[]", "services/ID: expected an object, got something else"),
    ];
    for (status, body, expected) in cases {
        let (mock, address) = Mock::start().await;
        mock.fail("PUT /services", Fault::Answer(status, body.to_owned()));
        let (errors, dropped) = run(&mock, &address, THREE, 10).await;
        let id = mock.asked()[0].line.rsplit('/').next().unwrap().to_owned();
        assert_eq!(
            errors,
            [format!("while processing event: Create service svc1 failed: {}", expected.replace("ID", &id))]
        );
        assert_eq!(dropped, ["Dropped creation route r", "Dropped creation plugin key-auth (global)"]);
    }
}

#[tokio::test]
async fn what_is_under_way_is_finished() {
    let (mock, address) = Mock::start().await;
    mock.fail("PUT /services", Fault::Answer(409, "{}".to_owned()));
    let four = "_format_version: '3.0'\nservices: [{ name: a, host: h }, { name: b, host: h }, { name: c, host: h }, { name: d, host: h }]";
    let (errors, dropped) = run(&mock, &address, four, 2).await;
    assert!((1..=2).contains(&errors.len()), "{errors:?}");
    assert_eq!(errors.len() + dropped.len(), 4);
}

#[tokio::test]
async fn credentials_do_not_come_back_in_errors() {
    let (mock, address) = Mock::start().await;
    let message = r#"{"message":"UNIQUE violation detected on '{key=\"alices-own-key\"}'"}"#;
    mock.fail("PUT /consumers/", Fault::Answer(409, message.to_owned()));
    let yaml = "_format_version: '3.0'\nconsumers: [{ id: a, username: alice, keyauth_credentials: [{ key: alices-own-key }] }]";
    let (errors, _) = run(&mock, &address, yaml, 1).await;
    assert!(errors[0].contains("UNIQUE"), "{errors:?}");
    // The consumer has no credential in it; its credential does.
    mock.with(|inner| inner.faults.clear());
    mock.fail("PUT /consumers/a/key-auth", Fault::Answer(409, message.to_owned()));
    let (errors, _) = run(&mock, &address, yaml, 1).await;
    assert_eq!(
        errors,
        [
            r#"while processing event: Create key-auth [masked] for consumer alice failed: HTTP status 409 (message: "UNIQUE violation detected on '{key=\"***\"}'")"#
        ]
    );
}

#[tokio::test]
async fn lies_about_lists() {
    let cases = [
        (r#"{"data":[],"offset":"x"}"#, "reading services: services: an `offset` comes twice"),
        (r#"{"data":[],"offset":5}"#, "reading services: services: the `offset` is no text"),
        (r#"{"data":5}"#, "reading services: services: the answer has no list `data`"),
        (r#"{"data":[5]}"#, "reading services: services: expected an object, got something else"),
        (r#"{"data":[{"id":"../x"}]}"#, "services: an entity has no usable `id`"),
        (r#"{"data":[{"name":"x"}]}"#, "services: an entity has no usable `id`"),
        ("[]", "reading services: services: expected an object, got something else"),
        ("no", "reading services: /services: the answer is no JSON (line 1, column 2)"),
    ];
    for (body, expected) in cases {
        let (mock, address) = Mock::start().await;
        mock.fail("GET /services", Fault::Answer(200, body.to_owned()));
        let error = plan(&gateway(&address, None), THREE, &scope(), Goal::Exactly).await.unwrap_err();
        assert_eq!(error, Problems(vec![expected.to_owned()]), "{body}");
    }
    let (mock, address) = Mock::start().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    mock.fail("GET /services", Fault::Answer(200, format!(r#"{{"data":{deep}}}"#)));
    let error = plan(&gateway(&address, None), THREE, &scope(), Goal::Exactly).await.unwrap_err();
    assert!(error.0[0].contains("the answer is no JSON"), "{error}");
}

#[tokio::test]
async fn an_empty_offset_is_the_end_and_an_empty_table_a_list() {
    for body in [r#"{"data":[],"offset":""}"#, r#"{"data":{},"next":null}"#] {
        let (mock, address) = Mock::start().await;
        mock.fail("GET /services", Fault::Answer(200, body.to_owned()));
        assert_eq!(plan(&gateway(&address, None), THREE, &scope(), Goal::Exactly).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn refusals_of_lists_are_tolerated_where_gateways_have_none_of_these() {
    let (mock, address) = Mock::start().await;
    mock.fail("GET /vaults", Fault::Answer(403, "{}".to_owned()));
    mock.fail("GET /filter-chains", Fault::Answer(400, "{}".to_owned()));
    assert!(plan(&gateway(&address, None), THREE, &scope(), Goal::Exactly).await.is_ok());
    mock.fail("GET /routes", Fault::Answer(403, r#"{"message":"no"}"#.to_owned()));
    let error = plan(&gateway(&address, None), THREE, &scope(), Goal::Exactly).await.unwrap_err();
    assert_eq!(
        error.0,
        [
            "reading routes: HTTP status 403 (message: \"no\") (is --kong-admin-token, or --headers with a token, right?)"
        ]
    );
}

#[tokio::test]
async fn nothing_is_written_before_everything_is_known() {
    for (yaml, expected) in [
        (
            "plugins: [{ name: nobody-has-this }]",
            "schema of plugin nobody-has-this: HTTP status 404 (message: \"Not found\")",
        ),
        ("services: [{ name: a, hosst: h }]", "kong.yaml:2:12: unknown field hosst; did you mean host?"),
    ] {
        let (mock, address) = Mock::start().await;
        let yaml = format!("_format_version: '3.0'\n{yaml}");
        let error = plan(&gateway(&address, None), &yaml, &scope(), Goal::Exactly).await.unwrap_err();
        assert_eq!(error.0, [expected]);
        assert_eq!(mock.writes().len(), 0);
    }
}

#[tokio::test]
async fn versions() {
    for (body, expected) in [
        (r#"{"version":"3.9.0"}"#, Ok("3.9.0")),
        (r#"{"version":"3.13.0.1-enterprise-edition"}"#, Ok("3.13.0.1-enterprise-edition")),
        (r#"{"version":"2.8.1"}"#, Err("Kong 2.8.1 is too old: 3.0 or later is needed")),
        (r#"{"version":3.9}"#, Err("the gateway says no version that is known: is this an Admin API?")),
        ("{}", Err("the gateway says no version that is known: is this an Admin API?")),
        ("<html>", Err("asking the gateway: /: the answer is no JSON (line 1, column 1)")),
    ] {
        let (mock, address) = Mock::start().await;
        mock.fail("GET /", Fault::Answer(200, body.to_owned()));
        let version = client::version(&gateway(&address, None)).await;
        assert_eq!(version, expected.map(ToOwned::to_owned).map_err(Problems::one), "{body}");
    }
}

#[tokio::test]
async fn connections_that_break_or_say_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
        }
    });
    let error = client::version(&gateway(&address, None)).await.unwrap_err();
    assert!(error.0[0].contains("broke:"), "{error}");

    let (mock, address) = Mock::start().await;
    mock.fail("PUT /services", Fault::Hang);
    let (errors, dropped) = run(&mock, &address, FILE, 1).await;
    assert!(errors[0].contains("Create service") && errors[0].contains("within 5 seconds"), "{errors:?}");
    assert!(dropped.len() > 5);
}
