//! The flavour `expressions`.

use serde_json::{Value, json};

use super::{Asked, asked, route};
use crate::{Flavour, Match, Router};

fn find(routes: &[Value], asked: &Asked) -> Option<Match> {
    let routes: Vec<_> = routes.iter().map(route).collect();
    Router::new(routes.iter().enumerate(), Flavour::Expressions).unwrap().find(&asked.facts())
}

fn matches(expression: &str, asked: &Asked) -> bool {
    find(&[json!({"expression": expression})], asked).is_some()
}

#[test]
fn fields() {
    let request = asked("GET h.com:8080/a/b%20c/d?x=1&y=a+b&x=2&z", &["x-a: 1", "X-A: 2"])
        .tls(Some("s.com"))
        .from("10.0.0.1:5000")
        .to("10.0.0.2:8443");
    let cases = [
        (r#"http.method == "GET""#, true),
        (r#"http.host == "h.com""#, true),
        (r#"http.host =^ ".com""#, true),
        (r#"http.path ^= "/a/b c""#, true),
        (r#"http.path.segments.0 == "a""#, true),
        (r#"http.path.segments.0_1 == "a/b c""#, true),
        (r#"http.path.segments.9 == "a""#, false),
        ("http.path.segments.len == 3", true),
        (r#"any(http.headers.x_a) == "2""#, true),
        (r#"http.headers.x_a == "2""#, false),
        (r#"http.headers.nope == "2""#, false),
        (r#"any(http.queries.x) == "2""#, true),
        (r#"http.queries.y == "a b""#, true),
        (r#"http.queries.z == """#, true),
        (r#"net.protocol == "https""#, true),
        ("net.port == 8080", true),
        ("net.dst.port == 8443", true),
        ("net.dst.ip == 10.0.0.2", true),
        ("net.src.ip in 10.0.0.0/8 && net.src.port == 5000", true),
        (r#"tls.sni == "s.com""#, true),
        (r#"!(http.method == "GET") || http.host == "x""#, false),
    ];
    for (expression, expected) in cases {
        assert_eq!(matches(expression, &request), expected, "{expression}");
    }
}

#[test]
fn priority_and_protocols() {
    let routes = [
        json!({"expression": r#"http.path ^= "/a""#, "priority": 1}),
        json!({"expression": r#"http.path ~ "^/a/(?P<n>\\d+)""#, "priority": 2, "protocols": ["http"]}),
        json!({"expression": r#"http.path ^= "/a""#, "priority": 1}),
        json!({"expression": r#"http.path ^= "/t""#, "protocols": ["https"]}),
        json!({"paths": ["/a", "/b"], "hosts": ["h"], "protocols": ["http"]}),
    ];
    let found = find(&routes, &asked("GET h/a/12/x", &[])).unwrap();
    assert_eq!((found.route, found.path), (1, Some(5)));
    assert_eq!((found.captures.get(1), found.captures.name("n")), (Some("12"), Some("12")));
    let found = find(&routes, &asked("GET h/a/12/x", &[]).tls(None)).unwrap();
    assert_eq!((found.route, found.path), (0, Some(2)), "the other speaks http only");
    assert!(found.captures.is_empty(), "what lost leaves nothing behind");
    assert!(find(&routes, &asked("GET h/t", &[])).unwrap().needs_https);
    assert_eq!(
        find(&routes, &asked("GET h/b", &[])).unwrap().route,
        4,
        "routes without expression come last"
    );
    assert_eq!(find(&routes, &asked("GET h/b", &[]).tls(None)), None);
}

#[test]
fn what_does_not_compile_is_named_and_not_quoted() {
    let deep = format!("{}a == 1{}", "(".repeat(100), ")".repeat(100));
    let cases = [
        ("http.path == s3cret", "expression: not understood at 1:14 (line:character)"),
        ("s3cret.nope == 1", "expression: Unknown LHS field"),
        ("http.path.segments.1_0 == \"a\"", "illformed http.path.segments"),
        ("http.path.segments.01 == \"a\"", "illformed http.path.segments"),
        (&deep, "levels"),
        ("http.path ~ \"(s3cret\"", "expression: not understood"),
    ];
    for (expression, expected) in cases {
        let routes = [route(&json!({"expression": expression}))];
        let wrong = Router::new(routes.iter().enumerate(), Flavour::Expressions).unwrap_err();
        assert!(wrong[0].1.contains(expected) && !wrong[0].1.contains("s3"), "{}", wrong[0].1);
    }
}
