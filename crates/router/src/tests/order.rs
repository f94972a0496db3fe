//! Which of several routes wins. The winner is the first of each list; it is also tried as the last.

use serde_json::{Value, json};

use super::{asked, find};

#[test]
fn kongs_order() {
    let cases: &[(&str, Value)] = &[
        (
            "more kinds of rule before anything else",
            json!([{"methods": ["GET"], "paths": ["/"]}, {"hosts": ["h.com"]}, {"paths": ["~/a/b"], "regex_priority": 9}]),
        ),
        (
            "each kind counts once",
            json!([{"headers": {"x": ["1"]}, "paths": ["/"]}, {"headers": {"x": ["1"], "y": ["2"]}}]),
        ),
        ("a plain host before wildcards", json!([{"hosts": ["h.com"]}, {"hosts": ["*.com"]}])),
        (
            "one wildcard among the hosts is enough",
            json!([{"hosts": ["h.com"]}, {"hosts": ["h.com", "*.org"]}]),
        ),
        (
            "plain hosts before more headers",
            json!([{"hosts": ["h.com"], "headers": {"x": ["1"]}}, {"hosts": ["*.com"], "headers": {"x": ["1"], "y": ["2"]}}]),
        ),
        (
            "more headers before regular expressions",
            json!([
                {"headers": {"x": ["1"], "y": ["2"]}, "paths": ["/"]},
                {"headers": {"x": ["1"]}, "paths": ["~/a"]},
            ]),
        ),
        ("regular expressions before prefixes", json!([{"paths": ["~/a"]}, {"paths": ["/a/b"]}])),
        (
            "regex_priority among regular expressions, also below zero",
            json!([{"paths": ["~/a"], "regex_priority": 2}, {"paths": ["~/a/b"]}, {"paths": ["~/a/b/c"], "regex_priority": -1}]),
        ),
        (
            "regex_priority is nothing to prefixes",
            json!([{"paths": ["/a/b"]}, {"paths": ["/a"], "regex_priority": 5}]),
        ),
        ("longer prefixes first", json!([{"paths": ["/a/b"]}, {"paths": ["/a"]}, {"paths": ["/"]}])),
        (
            "each path of a route has its own place",
            json!([{"paths": ["/", "/a/b/c"]}, {"paths": ["/zz/zz/zz/zz", "/a/b"]}, {"paths": ["/a"]}]),
        ),
    ];
    for (name, routes) in cases {
        let mut routes = routes.as_array().unwrap().clone();
        let request = asked("GET h.com/a/b/c", &["x: 1", "y: 2"]);
        assert_eq!(find(&routes, &request).unwrap().route, 0, "{name}");
        routes.reverse();
        assert_eq!(find(&routes, &request).unwrap().route, routes.len() - 1, "{name}, reversed");
        // The order of those that lose is right, too.
        routes.pop();
        assert_eq!(find(&routes, &request).unwrap().route, routes.len() - 1, "{name}, without the winner");
    }
}

#[test]
fn of_equals_the_earlier_wins() {
    let routes = [json!({"paths": ["/b"]}), json!({"paths": ["/a"]}), json!({"paths": ["/a"]})];
    assert_eq!(find(&routes, &asked("GET h/a", &[])).unwrap().route, 1);
}
