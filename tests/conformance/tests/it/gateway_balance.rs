//! Who of several targets is asked: by weight, by load, by what requests have in common; and who is left out until it
//! is well again.

use std::{collections::BTreeMap, time::Duration};

use postern_conformance::{
    Gateway, Postern, Recorder, Reply,
    ask::{Got, Way, becomes, get, request},
};
use serde_json::{Value, json};

struct Pair {
    a: Recorder,
    b: Recorder,
}

impl Pair {
    async fn start() -> Self {
        let (a, b) = (Recorder::start().await, Recorder::start().await);
        a.answers(Reply::new(200, "a"));
        b.answers(Reply::new(200, "b"));
        Self { a, b }
    }

    /// A gateway in front of both, with weights and the upstream's other fields.
    async fn behind(&self, weights: [u32; 2], upstream: Value) -> Gateway {
        let target =
            |port: u16, weight: u32| json!({"target": format!("127.0.0.1:{port}"), "weight": weight});
        let targets = json!([target(self.a.port(), weights[0]), target(self.b.port(), weights[1])]);
        behind(targets, upstream).await
    }
}

async fn behind(targets: Value, mut upstream: Value) -> Gateway {
    upstream["name"] = "pair".into();
    upstream["targets"] = targets;
    let yaml = json!({
        "_format_version": "3.0",
        "services": [{
            "name": "s", "host": "pair", "retries": 2,
            "routes": [{"name": "r", "paths": ["~/(?<tenant>[a-z0-9]+)"], "strip_path": false}],
        }],
        "upstreams": [upstream],
    });
    Postern::gateway(&yaml.to_string(), &[]).await
}

async fn ask(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Got {
    Way::http(gateway.http).ask(request("GET", "x.test", target, headers, "")).await.expect("an answer")
}

/// How often each answered, of so many requests.
async fn shares(gateway: &Gateway, requests: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares.entry(ask(gateway, "/x", &[]).await.text()).or_default() += 1;
    }
    shares
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_shares() {
    let pair = Pair::start().await;
    for algorithm in ["round-robin", "least-connections", "latency"] {
        let gateway = pair.behind([100, 0], json!({"algorithm": algorithm})).await;
        assert_eq!(shares(&gateway, 10).await, BTreeMap::from([("a".to_owned(), 10)]), "{algorithm}");
    }
    let gateway = pair.behind([30, 10], json!({})).await;
    let shares = shares(&gateway, 40).await;
    assert_eq!((shares["a"], shares["b"]), (30, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_with_less_to_do_is_asked() {
    let pair = Pair::start().await;
    let gateway = pair.behind([10, 10], json!({"algorithm": "least-connections"})).await;
    pair.a.answers(Reply { delay: Duration::from_secs(20), ..Reply::new(200, "a") });
    let address = gateway.http;
    let busy = tokio::spawn(async move {
        // Until one of them hangs in `a`.
        loop {
            Way::http(address).ask(get("x.test", "/x")).await.ok();
        }
    });
    becomes("a is busy", async || pair.a.requests() == 1).await;
    busy.abort();
    // The client is gone, so hold one open for sure.
    let address = gateway.http;
    let before = pair.a.requests();
    let held: Vec<_> = (0..2)
        .map(|_| tokio::spawn(async move { Way::http(address).ask(get("x.test", "/x")).await }))
        .collect();
    becomes("a has one more", async || pair.a.requests() > before).await;
    for _ in 0..8 {
        assert_eq!(ask(&gateway, "/x", &[]).await.text(), "b");
    }
    held.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_alike_goes_to_the_same_target() {
    let pair = Pair::start().await;
    type Make = fn(usize) -> (String, Vec<(&'static str, String)>);
    let cases: [(Value, Make); 5] = [
        (json!({"hash_on": "header", "hash_on_header": "x-who"}), |n| {
            ("/x".into(), vec![("x-who", n.to_string())])
        }),
        (json!({"hash_on": "cookie", "hash_on_cookie": "who"}), |n| {
            ("/x".into(), vec![("cookie", format!("a=b; who=w{n}"))])
        }),
        (json!({"hash_on": "path"}), |n| (format!("/path{n}"), vec![])),
        (json!({"hash_on": "query_arg", "hash_on_query_arg": "who"}), |n| {
            (format!("/x?who={n}&other=1"), vec![])
        }),
        (json!({"hash_on": "uri_capture", "hash_on_uri_capture": "tenant"}), |n| {
            (format!("/tenant{n}/rest"), vec![])
        }),
    ];
    for (fields, make) in cases {
        let mut upstream = fields.clone();
        upstream["algorithm"] = "consistent-hashing".into();
        let gateway = pair.behind([10, 10], upstream).await;
        let mut by_target = BTreeMap::<String, usize>::new();
        for n in 0..30 {
            let (target, headers) = make(n);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let first = ask(&gateway, &target, &headers).await.text();
            for _ in 0..2 {
                assert_eq!(ask(&gateway, &target, &headers).await.text(), first, "{fields} {n}");
            }
            *by_target.entry(first).or_default() += 1;
        }
        assert!(by_target.len() == 2, "{fields}: {by_target:?}");
    }
    // By address: all of ours are the same client, other addresses are others.
    let gateway = pair.behind([10, 10], json!({"algorithm": "consistent-hashing", "hash_on": "ip"})).await;
    assert_eq!(shares(&gateway, 6).await.len(), 1);
    let mut seen = Vec::new();
    for last in 2..32 {
        let from = Some(std::net::Ipv4Addr::new(127, 0, 0, last));
        let way = Way { from, ..Way::http(gateway.http) };
        seen.push(way.ask(get("x.test", "/x")).await.expect("an answer").text());
    }
    assert!(seen.contains(&"a".to_owned()) && seen.contains(&"b".to_owned()), "{seen:?}");
    // A client without the cookie is given one, and it leads to the same target.
    let fields = json!({
        "algorithm": "consistent-hashing", "hash_on": "cookie", "hash_on_cookie": "who",
        "hash_on_cookie_path": "/x",
    });
    let gateway = pair.behind([10, 10], fields).await;
    let got = ask(&gateway, "/x", &[]).await;
    let cookie = got.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("who=") && cookie.contains("Path=/x"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a cookie");
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "/x", &[("cookie", cookie)]).await.text(), got.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_resolved() {
    let pair = Pair::start().await;
    let targets = json!([{"target": format!("localhost:{}", pair.a.port())}]);
    let gateway = behind(targets, json!({})).await;
    assert_eq!(ask(&gateway, "/x", &[]).await.text(), "a");
    assert_eq!(pair.a.take().pop().expect("a request").host, format!("localhost:{}", pair.a.port()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fails_is_left_out_and_comes_back() {
    let pair = Pair::start().await;
    let gateway = pair
        .behind(
            [10, 10],
            json!({"healthchecks": {
                "passive": {"unhealthy": {"http_failures": 2, "http_statuses": [500]}},
                "active": {
                    "http_path": "/health",
                    "healthy": {"interval": 0, "successes": 2, "http_statuses": [200]},
                    "unhealthy": {"interval": 0.2},
                },
            }}),
        )
        .await;
    pair.a.answers(Reply::new(500, "broken"));
    let mut failed = 0;
    for _ in 0..20 {
        failed += usize::from(ask(&gateway, "/x", &[]).await.status == 500);
    }
    assert_eq!(failed, 2, "two failures are enough, and not too many");
    becomes("a is asked how it is", async || pair.a.take().iter().any(|seen| seen.target == "/health")).await;
    assert_eq!(shares(&gateway, 6).await, BTreeMap::from([("b".to_owned(), 6)]));
    let metrics = Way::http(gateway.status).ask(get("localhost", "/metrics")).await.expect("metrics").text();
    assert!(
        metrics.lines().any(|line| line.contains("target_health") && line.contains("unhealthy")),
        "{metrics}"
    );
    pair.a.answers(Reply::new(200, "a"));
    becomes("a comes back", async || ask(&gateway, "/x", &[]).await.text() == "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_reached_is_left_out() {
    let pair = Pair::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port");
    let targets = json!([
        {"target": format!("127.0.0.1:{}", pair.a.port())},
        {"target": closed.to_string()},
    ]);
    let gateway = behind(
        targets,
        json!({"healthchecks": {
            "passive": {"unhealthy": {"tcp_failures": 1}},
            "active": {
                "type": "tcp", "healthy": {"successes": 1}, "unhealthy": {"interval": 0.2},
            },
        }}),
    )
    .await;
    assert_eq!(shares(&gateway, 10).await, BTreeMap::from([("a".to_owned(), 10)]));
    assert_eq!(gateway.log().matches("an upstream failed").count(), 1, "{}", gateway.log());
    let back = Recorder::on(&closed.to_string(), None).await;
    becomes("it comes back", async || {
        ask(&gateway, "/x", &[]).await;
        !back.take().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_that_it_is_unwell_is_left_out() {
    let pair = Pair::start().await;
    pair.a.answers(Reply::new(503, "a"));
    let gateway = pair
        .behind(
            [10, 10],
            json!({"healthchecks": {"active": {
                "http_path": "/health", "headers": {"x-check": ["yes"]},
                "healthy": {"interval": 0.2, "successes": 1}, "unhealthy": {"interval": 0.2, "http_failures": 2},
            }}}),
        )
        .await;
    becomes("a is left out", async || {
        let shares = shares(&gateway, 6).await;
        shares.get("b") == Some(&6)
    })
    .await;
    let seen = pair.b.take();
    let check = seen.iter().find(|seen| seen.target == "/health").expect("a check");
    assert_eq!(check.headers["x-check"], "yes");
    pair.a.answers(Reply::new(200, "a"));
    becomes("a comes back", async || shares(&gateway, 6).await.len() == 2).await;
    // When nobody is well there is nobody to ask.
    pair.a.answers(Reply::new(503, "a"));
    pair.b.answers(Reply::new(503, "b"));
    becomes("nobody is left", async || {
        ask(&gateway, "/x", &[]).await.text().starts_with("failure to get a peer from the ring-balancer")
    })
    .await;
}
