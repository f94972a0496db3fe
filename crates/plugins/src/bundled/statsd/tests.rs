//! What a server gets.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::testing::{check, make as plugin};
use crate::view::{RouteInfo, ServiceInfo};

const SOON: Duration = Duration::from_secs(10);

fn request() -> Request {
    let mut request = Request::for_test();
    request.service = Some(Arc::new(ServiceInfo {
        id: Uuid::from_u128(1),
        name: Some("my.service".to_owned()),
        ..ServiceInfo::default()
    }));
    request.route = Some(Arc::new(RouteInfo { id: Uuid::from_u128(2), ..RouteInfo::default() }));
    let consumer = Consumer::new(Uuid::from_u128(3), Some("ann|c\n".to_owned()), Some("a:1".to_owned()));
    request.consumer = Some(Arc::new(consumer));
    request
}

/// What a plugin with this configuration sends of a request, a datagram each.
async fn sent(mut config: Json, request: &Request, number: usize) -> Vec<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    config["host"] = "127.0.0.1".into();
    config["port"] = socket.local_addr().unwrap().port().into();
    let plugin = plugin(&SCHEMA.config, make, &config);
    plugin.log(request, &Summary::for_test());
    let mut packets = Vec::new();
    for _ in 0..number {
        let mut buffer = [0; 65536];
        let length = timeout(SOON, socket.recv(&mut buffer)).await.expect("a datagram").unwrap();
        packets.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    let more = timeout(Duration::from_millis(50), socket.recv(&mut [0; 16])).await;
    assert!(more.is_err(), "more than {number} packets");
    packets
}

#[tokio::test]
async fn all_metrics_in_kongs_names() {
    let service = "kong.service.my_service";
    let expected = [
        format!("{service}.request.count:1|c"),
        format!("{service}.latency:3|ms"),
        format!("{service}.request.size:18|c"),
        format!("{service}.status.200:1|c"),
        format!("{service}.response.size:19|c"),
        format!("{service}.user.uniques:a_1|s"),
        format!("{service}.user.a_1.request.count:1|c"),
        format!("{service}.upstream_latency:1|ms"),
        format!("{service}.kong_latency:1|ms"),
        format!("{service}.user.a_1.status.200:1|c"),
        format!("{service}.workspace.default.status.200:1|c"),
        "kong.route.00000000-0000-0000-0000-000000000002.user.a_1.status.200:1|c".to_owned(),
    ];
    assert_eq!(sent(json!({}), &request(), expected.len()).await, expected);
    // Packed.
    assert_eq!(sent(json!({"udp_packet_size": 65507}), &request(), 1).await, [expected.join("\n")]);
    let packets = sent(json!({"udp_packet_size": 100}), &request(), 7).await;
    assert!(packets.iter().all(|packet| packet.len() <= 100));
}

fn one(name: &str, kind: &str, more: Json) -> Json {
    let mut metric = json!({"name": name, "stat_type": kind, "sample_rate": 1});
    metric.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    metric
}

#[tokio::test]
async fn each_field_changes_what_is_sent() {
    let count = |more: Json| json!([one("request_count", "counter", more)]);
    let users = |more: Json| json!([one("status_count_per_user", "counter", more)]);
    let cases = [
        (json!({"metrics": count(json!({})), "prefix": "a.b"}), "a.b.service.my_service.request.count:1|c"),
        (
            json!({"metrics": count(json!({})), "hostname_in_prefix": true}),
            "kong.node.localhost.service.my_service.request.count:1|c",
        ),
        (
            json!({"metrics": count(json!({"service_identifier": "service_id"}))}),
            "kong.service.00000000-0000-0000-0000-000000000001.request.count:1|c",
        ),
        (
            json!({"metrics": count(json!({})), "service_identifier_default": "service_host"}),
            "kong.service.00000000-0000-0000-0000-000000000001.request.count:1|c",
        ),
        (
            json!({"metrics": users(json!({"consumer_identifier": "username"}))}),
            "kong.service.my_service.user.ann_c_.status.200:1|c",
        ),
        (
            json!({"metrics": users(json!({})), "consumer_identifier_default": "consumer_id"}),
            "kong.service.my_service.user.00000000-0000-0000-0000-000000000003.status.200:1|c",
        ),
        (
            json!({"metrics": users(json!({})), "allow_status_codes": ["100-199", "200-204"]}),
            "kong.service.my_service.user.a_1.status.200:1|c",
        ),
        (json!({"metrics": [one("latency", "gauge", json!({}))]}), "kong.service.my_service.latency:3|g"),
        (json!({"metrics": [one("latency", "histogram", json!({}))]}), "kong.service.my_service.latency:3|h"),
        (json!({"metrics": [one("latency", "meter", json!({}))]}), "kong.service.my_service.latency:3|m"),
    ];
    for (config, expected) in cases {
        assert_eq!(sent(config, &request(), 1).await, [expected]);
    }
    let tags = "service{}my_service,route{}00000000-0000-0000-0000-000000000002,consumer{}a_1,workspace{}default,status{}200";
    for (style, expected) in [
        ("dogstatsd", format!("kong.status:1|c|#{}", tags.replace("{}", ":"))),
        ("influxdb", format!("kong.status,{}:1|c", tags.replace("{}", "="))),
        ("librato", format!("kong.status#{}:1|c", tags.replace("{}", "="))),
        ("signalfx", format!("kong.status[{}]:1|c", tags.replace("{}", "="))),
    ] {
        assert_eq!(
            sent(json!({"metrics": users(json!({})), "tag_style": style}), &request(), 1).await,
            [expected]
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_sent() {
    let mut nobody = request();
    nobody.consumer = None;
    assert_eq!(sent(json!({}), &nobody, 8).await.len(), 8);
    let status =
        json!({"metrics": [one("status_count", "counter", json!({}))], "allow_status_codes": ["400-499"]});
    assert!(sent(status, &nobody, 0).await.is_empty());
    let none = json!({"metrics": [one("shdict_usage", "gauge", json!({}))]});
    assert!(sent(none, &nobody, 0).await.is_empty());
    let unmatched = json!({"metrics": [one("request_count", "counter", json!({}))]});
    assert_eq!(sent(unmatched, &Request::for_test(), 1).await, ["kong.global.unmatched.request.count:1|c"]);
}

#[tokio::test]
async fn a_part_of_the_requests_is_enough() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let plugin = plugin(
        &SCHEMA.config,
        make,
        &json!({
            "host": "127.0.0.1", "port": socket.local_addr().unwrap().port(),
            "metrics": [one("request_count", "counter", json!({"sample_rate": 0.5}))],
            "queue": {"max_batch_size": 1000, "max_coalescing_delay": 0.05}, "udp_packet_size": 65000,
        }),
    );
    let request = request();
    (0..400).for_each(|_| plugin.log(&request, &Summary::for_test()));
    let mut buffer = [0; 65536];
    let length = timeout(SOON, socket.recv(&mut buffer)).await.expect("a datagram").unwrap();
    let lines = String::from_utf8(buffer[..length].to_vec()).unwrap();
    assert!(lines.lines().all(|line| line.ends_with("request.count:1|c|@0.5")), "{lines}");
    assert!((120..280).contains(&lines.lines().count()), "{}", lines.lines().count());
}

#[tokio::test]
async fn over_tcp_each_is_a_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = json!({
        "host": "127.0.0.1", "port": port, "use_tcp": true,
        "metrics": [one("request_count", "counter", json!({})), one("latency", "timer", json!({}))],
    });
    let plugin = plugin(&SCHEMA.config, make, &config);
    plugin.log(&request(), &Summary::for_test());
    let (mut stream, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    let expected = "kong.service.my_service.request.count:1|c\nkong.service.my_service.latency:3|ms\n";
    let mut buffer = vec![0; expected.len()];
    timeout(SOON, stream.read_exact(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(buffer).unwrap(), expected);
}

#[test]
fn what_is_refused() {
    for (config, message) in [
        (json!({"allow_status_codes": ["200"]}), "expected a range"),
        (json!({"allow_status_codes": ["299-200"]}), "expected a range"),
        (
            json!({"metrics": [{"name": "latency", "stat_type": "counter"}]}),
            "sample_rate: required field missing",
        ),
        (
            json!({"metrics": [{"name": "unique_users", "stat_type": "timer"}]}),
            "stat_type: value must be set",
        ),
    ] {
        let said = check(&SCHEMA.config, &config).unwrap_err();
        assert!(said.contains(message), "{said}");
    }
}
