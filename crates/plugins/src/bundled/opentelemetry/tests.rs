//! Traces from a request to a collector that reads them.

use http::StatusCode as HttpStatus;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde_json::{Value as Json, json};

use super::*;
use crate::logging::own::{Line, Severity};
use crate::testing::server::Server;
use crate::testing::{access, check};
use crate::view::Try;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn plugin(config: &Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, config)
}

fn attribute<'a>(attributes: &'a [KeyValue], name: &str) -> &'a Value {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {attributes:?}"));
    found.value.as_ref().and_then(|value| value.value.as_ref()).unwrap()
}

fn string(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

/// A request to an upstream of which the first peer failed.
async fn exchange(plugin: &dyn Plugin, request: &mut Request) {
    access(plugin, request).await;
    let attempt = |last: u8, started, failure| Try {
        address: ([192, 0, 2, last], 80).into(),
        started: Duration::from_millis(started),
        took: Duration::ZERO,
        failure,
    };
    let tries = [attempt(8, 1, Some(HttpStatus::BAD_GATEWAY)), attempt(9, 2, None)];
    plugin.log(request, &Summary { tries: &tries, ..Summary::for_test() });
}

#[tokio::test]
async fn a_trace_hangs_on_what_the_client_began() {
    let server = Server::answering(&[]).await;
    let plugin = plugin(&json!({
        "traces_endpoint": format!("http://127.0.0.1:{}/v1/traces", server.port),
        "headers": {"Authorization": "Bearer t0ken"},
        "resource_attributes": {"service.name": "edge", "team": "a"},
        "sampling_rate": 1, "queue": {"max_coalescing_delay": 0.01},
        "http_response_header_for_traceid": "X-Trace",
    }));
    let mut request = Request::for_test().with("traceparent", PARENT).with("tracestate", "a=1");
    exchange(&*plugin, &mut request).await;

    let (head, body) = server.requests(1).await.remove(0);
    assert!(head.starts_with("post /v1/traces ") && head.contains("authorization: bearer t0ken"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let export = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let [all] = export.resource_spans.as_slice() else { panic!("{export:?}") };
    let resource = &all.resource.as_ref().unwrap().attributes;
    assert_eq!(attribute(resource, "service.name"), &string("edge"));
    assert_eq!(attribute(resource, "team"), &string("a"));
    let [root, failed, asked] = all.scope_spans[0].spans.as_slice() else { panic!("{export:?}") };
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!([root, failed, asked].iter().all(|span| span.trace_id == trace));
    assert_eq!(root.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!((root.name.as_str(), root.kind), ("kong", SpanKind::Server as i32));
    assert_eq!(attribute(&root.attributes, "http.status_code"), &Value::IntValue(200));
    assert_eq!(root.end_time_unix_nano - root.start_time_unix_nano, 3_000_000);
    assert_eq!((&failed.parent_span_id, &asked.parent_span_id), (&root.span_id, &root.span_id));
    assert_eq!(failed.status.as_ref().unwrap().code, StatusCode::Error as i32);
    assert_eq!(attribute(&failed.attributes, "net.peer.ip"), &string("192.0.2.8"));
    assert_eq!(failed.end_time_unix_nano, asked.start_time_unix_nano);

    // What the upstream does is a child of the attempt that reached it.
    let span = u64::from_be_bytes(asked.span_id.as_slice().try_into().unwrap());
    let sent = request.header("traceparent").unwrap();
    assert_eq!(sent, format!("00-0af7651916cd43dd8448eb211c80319c-{span:016x}-01"));
    assert_eq!(request.header("tracestate"), Some("a=1"));
    let mut response = Response {
        status: HttpStatus::OK,
        headers: http::HeaderMap::new(),
        source: crate::view::Source::Upstream,
    };
    plugin.response(&request, &mut response);
    assert_eq!(response.headers["x-trace"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn credentials_are_in_no_span_and_in_no_record() {
    let server = Server::answering(&[]).await;
    let endpoint = format!("http://127.0.0.1:{}/", server.port);
    let plugin = plugin(&json!({
        "traces_endpoint": endpoint, "access_logs_endpoint": endpoint, "sampling_rate": 1,
        "queue": {"max_coalescing_delay": 0.01},
    }));
    let mut request = Request::for_test().with("authorization", "Bearer s3cr3t");
    access(&*plugin, &mut request).await;
    let target = http::Uri::from_static("/a?apikey=s3cr3t&b=2");
    plugin.log(&request, &Summary { target: &target, ..Summary::for_test() });
    let mut records = 0;
    for (_, body) in server.requests(2).await {
        let text = String::from_utf8_lossy(&body);
        assert!(!text.contains("s3cr3t") && text.contains("apikey=***&b=2"), "{text}");
        if let Ok(export) = ExportLogsServiceRequest::decode(body.as_slice())
            && let Some(record) = export.resource_logs[0].scope_logs[0].log_records.first()
            && record.body.is_some()
        {
            records += 1;
            assert_eq!(attribute(&record.attributes, "log.type"), &string("access"));
            assert_eq!(record.trace_id.len(), 16);
            let Some(Value::StringValue(object)) = record.body.as_ref().and_then(|body| body.value.as_ref())
            else {
                panic!("{record:?}")
            };
            assert_eq!(serde_json::from_str::<Json>(object).unwrap()["response"]["status"], 200);
        }
    }
    assert_eq!(records, 1);
}

#[tokio::test]
async fn the_gateways_own_log_goes_out_too() {
    let server = Server::answering(&[]).await;
    let node: Arc<crate::node::Node> = Arc::default();
    let config = json!({
        "logs_endpoint": format!("http://127.0.0.1:{}/", server.port), "queue": {"max_coalescing_delay": 0.05},
    });
    let plugin = crate::testing::make_on(&SCHEMA.config, make, &config, &node);
    let fields = [("route", "r".to_owned()), ("request_id", "1f".to_owned())];
    let (severity, source) = (Severity::Warn, Some(("src/a.rs", 7)));
    let line = Line { severity, target: "postern_proxy", source, message: "closed", fields: &fields };
    node.own_log.tell(&line);
    // What is told of sending would be sent, and told of.
    node.own_log.tell(&Line { target: "postern_plugins::logging::queue", ..line });
    let (_, body) = server.requests(1).await.remove(0);
    let export = ExportLogsServiceRequest::decode(body.as_slice()).unwrap();
    let [record] = export.resource_logs[0].scope_logs[0].log_records.as_slice() else { panic!("{export:?}") };
    assert_eq!(
        (record.severity_text.as_str(), &record.body),
        ("WARN", &Some(export::body("closed".to_owned())))
    );
    assert_eq!(attribute(&record.attributes, "log.type"), &string("runtime"));
    assert_eq!(attribute(&record.attributes, "route"), &string("r"));
    assert_eq!(attribute(&record.attributes, "request.id"), &string("1f"));
    assert_eq!(attribute(&record.attributes, "introspection.source"), &string("src/a.rs"));
    assert_eq!(attribute(&record.attributes, "introspection.current.line"), &Value::IntValue(7));
    drop(plugin);
}

#[tokio::test]
async fn metrics_are_sums_in_kongs_names() {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;

    let server = Server::answering(&[]).await;
    let plugin = plugin(&json!({"metrics": {
        "endpoint": format!("http://127.0.0.1:{}/", server.port), "push_interval": 0.2,
        "enable_request_metrics": true, "enable_latency_metrics": true, "enable_bandwidth_metrics": true,
        "enable_consumer_attribute": true,
    }}));
    let mut request = Request::for_test();
    request.service = Some(Arc::default());
    let consumer = crate::directory::Consumer::new(uuid::Uuid::from_u128(7), Some("ann".to_owned()), None);
    request.consumer = Some(Arc::new(consumer));
    request.method = http::Method::from_bytes(b"BREW").unwrap();
    let summary = Summary { sent: 300, ..Summary::for_test() };
    plugin.log(&request, &summary);
    plugin.log(&request, &summary);
    let (_, body) = server.requests(1).await.remove(0);
    let export = ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
    let metrics = &export.resource_metrics[0].scope_metrics[0].metrics;
    let names: Vec<_> = metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
    let expected = [
        ("http.server.request.count", "{request}"),
        ("http.server.request.size", "By"),
        ("http.server.response.size", "By"),
        ("kong.latency.total", "s"),
        ("kong.latency.internal", "s"),
        ("kong.latency.upstream", "s"),
    ];
    assert_eq!(names, expected);
    let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative");
    let [point] = sum.data_points.as_slice() else { panic!("{sum:?}") };
    assert_eq!(point.value, Some(Number::AsInt(2)));
    for (name, value) in [
        ("kong.auth.consumer.name", "ann"),
        ("kong.response.source", "upstream"),
        ("http.request.method", "_OTHER"),
        ("kong.workspace.name", "default"),
    ] {
        assert_eq!(attribute(&point.attributes, name), &string(value));
    }
    assert_eq!(attribute(&point.attributes, "kong.response.status_code"), &Value::IntValue(200));
    let Some(Data::Histogram(sizes)) = &metrics[2].data else { panic!("{metrics:?}") };
    let [point] = sizes.data_points.as_slice() else { panic!("{sizes:?}") };
    assert_eq!((point.count, point.bucket_counts.len()), (2, point.explicit_bounds.len() + 1));
    assert!(point.sum.unwrap() >= 600.0);
    let Some(Data::Histogram(latency)) = &metrics[3].data else { panic!("{metrics:?}") };
    let [point] = latency.data_points.as_slice() else { panic!("{latency:?}") };
    // Twice 3 milliseconds, of all consumers together.
    assert_eq!((point.sum, point.explicit_bounds[2]), (Some(0.006), 0.005));
    assert_eq!(point.bucket_counts[2], 2);
    assert!(point.attributes.iter().all(|one| one.key != "kong.auth.consumer.name"));
}

/// Whether a request with this parent is recorded, by what goes on to the upstream.
async fn recorded(config: Json, parent: Option<&str>) -> bool {
    let plugin = plugin(&config);
    let mut request = Request::for_test();
    if let Some(parent) = parent {
        request = request.with("traceparent", parent);
    }
    access(&*plugin, &mut request).await;
    request.header("traceparent").unwrap().ends_with("-01")
}

#[tokio::test]
async fn who_decides_what_is_recorded() {
    let no = PARENT.replace("-01", "-00");
    let config = |rate: f64, strategy: &str| json!({"sampling_rate": rate, "sampling_strategy": strategy});
    let (drop, follow) = ("parent_drop_probability_fallback", "parent_probability_fallback");
    for (rate, strategy, parent, expected) in [
        (1.0, drop, None, true),
        (0.0, drop, None, false),
        (1.0, drop, Some(no.as_str()), false),
        (0.0, drop, Some(PARENT), false),
        (0.0, follow, Some(PARENT), true),
        (1.0, follow, Some(no.as_str()), false),
        (1.0, follow, None, true),
    ] {
        assert_eq!(recorded(config(rate, strategy), parent).await, expected, "{rate} {strategy} {parent:?}");
    }
    let half = plugin(&config(0.5, drop));
    let mut count = 0;
    for _ in 0..1000 {
        let mut request = Request::for_test();
        access(&*half, &mut request).await;
        count += usize::from(request.header("traceparent").unwrap().ends_with("-01"));
    }
    assert!((350..650).contains(&count), "{count}");
}

#[tokio::test]
async fn which_headers_go_on() {
    let b3 = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1";
    // Headers of the configuration, what came, what goes on, what does not.
    type Case = (Json, &'static [&'static str], &'static [&'static str], &'static [&'static str]);
    let cases: [Case; 7] = [
        (json!({}), &[], &["traceparent"], &["b3"]),
        (json!({}), &["b3"], &["b3"], &["traceparent"]),
        (json!({"header_type": "jaeger"}), &["traceparent"], &["traceparent", "uber-trace-id"], &["b3"]),
        (json!({"header_type": "ignore"}), &["b3"], &["traceparent"], &[]),
        (
            json!({"propagation": {"extract": ["b3"], "inject": ["w3c", "datadog"], "clear": ["b3"]}}),
            &["b3"],
            &["traceparent", "x-datadog-trace-id"],
            &["b3"],
        ),
        (json!({"propagation": {"extract": ["w3c"], "inject": []}}), &["b3"], &["b3"], &["traceparent"]),
        (
            json!({"propagation": {"extract": [], "inject": ["preserve"], "default_format": "gcp"}}),
            &["traceparent"],
            &["traceparent", "x-cloud-trace-context"],
            &[],
        ),
    ];
    for (config, came, on, not) in cases {
        let plugin = plugin(&config);
        let mut request = Request::for_test();
        for name in came {
            request = request.with(name, if *name == "b3" { b3 } else { PARENT });
        }
        access(&*plugin, &mut request).await;
        assert!(on.iter().all(|name| request.headers.contains_key(*name)), "{config}: {:?}", request.headers);
        assert!(
            !not.iter().any(|name| request.headers.contains_key(*name)),
            "{config}: {:?}",
            request.headers
        );
    }
    // What is not looked for does not count.
    let plugin = plugin(&json!({"propagation": {"extract": [], "inject": ["w3c"]}}));
    let mut request = Request::for_test().with("traceparent", PARENT);
    access(&*plugin, &mut request).await;
    assert!(!request.header("traceparent").unwrap().contains("0af7651916cd43dd8448eb211c80319c"));
}

#[test]
fn what_is_refused() {
    for config in [
        json!({"traces_endpoint": "collector:4318"}),
        json!({"http_response_header_for_traceid": "a b"}),
        json!({"headers": {"a b": "c"}}),
    ] {
        assert!(check(&SCHEMA.config, &config).is_err(), "{config}");
    }
}
