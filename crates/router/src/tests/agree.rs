//! The index and the slow matcher say the same, for random routes and requests from small alphabets.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use super::{Asked, asked, route, router};
use crate::plain::Plain;

const HOSTS: &[&str] = &[
    "a.com", "b.com", "x.a.com", "*.com", "*.a.com", "*a.com", "a.*", "x.a.*", "*", "a.com:81", "*.com:81",
    "a.*:81",
];
const PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/ab",
    "/abc",
    "/b",
    "/%2F",
    "/é",
    "~/",
    "~/a",
    "~/a/\\d+",
    "~/(a|b)/b",
    "~/[ab]+$",
    "~.*b",
    "~(?i)/A",
    "~/é|/a/b",
    "~/ab?c",
    "~a",
];

fn list(from: &'static [&'static str], most: usize) -> impl Strategy<Value = Option<Vec<&'static str>>> {
    prop_oneof![2 => Just(None), 3 => subsequence(from, 1..=most).prop_shuffle().prop_map(Some)]
}

fn routes() -> impl Strategy<Value = Vec<Value>> {
    let ends: &[Value] =
        &[json!({"port": 5}), json!({"ip": "10.0.0.0/8"}), json!({"ip": "10.0.0.1", "port": 6})];
    let headers = prop_oneof![
        4 => Just(json!(null)),
        1 => Just(json!({"x": ["1", "2"]})),
        1 => Just(json!({"x": ["~*^[12]$"], "y": ["1"]})),
    ];
    let sources = prop_oneof![5 => Just(None), 1 => select(ends.to_vec()).prop_map(|end| Some(vec![end]))];
    let one = (
        list(HOSTS, 3),
        list(PATHS, 4),
        list(&["GET", "POST"], 1),
        headers,
        list(&["a.com", "*.com", "a.*"], 1),
        sources,
        -1..2i64,
    )
        .prop_map(|(hosts, paths, methods, headers, snis, sources, regex_priority)| {
            let mut fields = Map::new();
            if hosts.is_none() && paths.is_none() && methods.is_none() {
                fields.insert("paths".to_owned(), json!(["/a"]));
            } else {
                fields.insert("paths".to_owned(), json!(paths));
            }
            fields.insert("hosts".to_owned(), json!(hosts));
            fields.insert("methods".to_owned(), json!(methods));
            fields.insert("headers".to_owned(), headers);
            fields.insert("snis".to_owned(), json!(snis.filter(|snis| snis.len() + hosts.iter().len() == 2)));
            fields.insert("sources".to_owned(), json!(sources));
            fields.insert("regex_priority".to_owned(), json!(regex_priority));
            Value::Object(fields)
        });
    prop::collection::vec(one, 1..20)
}

fn request() -> impl Strategy<Value = Asked> {
    let path = prop::collection::vec(select(vec!["/", "a", "b", "c", "A", "1", "%2F", "é", "."]), 0..7);
    (
        select(vec!["GET", "POST", "PUT"]),
        select(vec![
            "a.com",
            "b.com",
            "x.a.com",
            "a.org",
            "a.com:81",
            "xa.com:81",
            "x.a.org:81",
            "com",
            ".com",
            "a.com.",
        ]),
        path,
        subsequence(vec!["x: 1", "x: 3", "y: 1"], 0..=3),
        select(vec![None, Some(None), Some(Some("a.com")), Some(Some("b.com"))]),
        select(vec![None, Some("10.0.0.1:5"), Some("10.0.0.1:6"), Some("11.0.0.1:7")]),
    )
        .prop_filter_map("a path that is refused", |(method, host, path, headers, tls, source)| {
            let path = format!("/{}", path.concat());
            crate::normalise(&path).ok()?;
            let mut asked = asked(&format!("{method} {host}{path}"), &headers);
            if let Some(sni) = tls {
                asked = asked.tls(sni);
            }
            Some(if let Some(source) = source { asked.from(source) } else { asked })
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fast_and_slow_agree(routes in routes(), requests in prop::collection::vec(request(), 1..40)) {
        let compiled: Vec<_> = routes.iter().map(route).collect();
        let router = router(&compiled);
        let plain = Plain::new(compiled.iter().enumerate());
        for request in requests {
            let fast = router.find(&request.facts()).map(|found| (found.route, found.path));
            let slow = plain.find(&request.facts());
            prop_assert_eq!(fast, slow, "{:?}\n{:?}", routes, request);
        }
    }
}
