//! What a look-up costs. Not a test of speed: it prints (`cargo test --release -p postern-router -- --ignored
//! --nocapture speed`).

use std::hint::black_box;

use postern_model::entity::Route;
use serde_json::{Value, json};

use super::{asked, route, router};

type Shape = (&'static str, fn(usize) -> Value, fn(usize) -> String);

#[test]
#[ignore = "prints figures"]
#[expect(clippy::disallowed_methods, reason = "the wall clock is what is measured")]
fn speed() {
    let shapes: [Shape; 5] = [
        (
            "hosts",
            |n| json!({"hosts": [format!("h{n}.example.com")]}),
            |n| format!("GET h{n}.example.com/a/{n}/b"),
        ),
        (
            "wildcards",
            |n| json!({"hosts": [format!("*.h{n}.com")]}),
            |n| format!("GET x{n}.h{n}.com/a/{n}/b"),
        ),
        (
            "prefixes",
            |n| json!({"paths": [format!("/api/v1/s{n}/")]}),
            |n| format!("GET h/api/v1/s{n}/x/{n}"),
        ),
        (
            "mixed",
            |n| match n % 3 {
                0 => json!({"hosts": [format!("h{n}.com"), "*.org"], "paths": [format!("/s{n}"), "/x"]}),
                1 => json!({"paths": [format!("/s{n}")], "methods": ["GET", "POST"]}),
                _ => json!({"hosts": ["h.com"], "paths": [format!("/s{n}/t")], "headers": {"x": ["1"]}}),
            },
            |n| match n % 3 {
                0 => format!("GET h{n}.com/s{n}/u"),
                1 => format!("GET z.com/s{n}/u"),
                _ => format!("GET h.com/s{n}/t/u"),
            },
        ),
        ("regexes", |n| json!({"paths": [format!("~/s{n}/(?<id>\\d+)")]}), |n| format!("GET h/s{n}/{n}/x")),
    ];
    println!("{:10} {:>8} {:>12} {:>12}", "routes", "number", "found, ns", "missed, ns");
    for (name, fields, line) in shapes {
        for count in [1, 100, 10_000] {
            let routes: Vec<Route> = (0..count).map(|n| route(&fields(n))).collect();
            let router = router(&routes);
            let requests = |prefix: &str| -> Vec<_> {
                (0..20_000).map(|n| asked(&line(n % count).replacen(' ', prefix, 1), &["x: 1"])).collect()
            };
            let time = |requests: &[super::Asked], found: bool| {
                let mut best = f64::MAX;
                for _ in 0..5 {
                    let start = std::time::Instant::now();
                    for request in requests {
                        assert_eq!(black_box(router.find(&black_box(request.facts()))).is_some(), found);
                    }
                    best = best.min(start.elapsed().as_nanos() as f64 / requests.len() as f64);
                }
                best
            };
            let (hit, mut missed) = (requests(" "), requests(" "));
            for (n, miss) in missed.iter_mut().enumerate() {
                miss.host = format!("nobody{n}.test");
                miss.path = format!("/nowhere/{n}");
            }
            println!("{name:10} {count:>8} {:>12.0} {:>12.0}", time(&hit, true), time(&missed, false));
        }
    }
}
