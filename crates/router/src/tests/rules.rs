//! What each kind of rule means.

use serde_json::{Value, json};

use super::{Asked, asked, find, route};
use crate::{Flavour, Router};

fn matches(fields: Value, asked: &Asked) -> bool {
    find(&[fields], asked).is_some()
}

#[test]
fn hosts() {
    let cases = [
        ("example.com", "example.com", true),
        ("Example.COM", "example.com", true),
        ("example.com", "example.com.", true),
        ("example.com.", "example.com", true),
        ("example.com", "a.example.com", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "a.example.com.", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "aexample.com", false),
        ("example.*", "example.com", true),
        ("example.*", "example.co.uk", true),
        ("example.*", "example.", false),
        ("example.*", "examples.com", false),
        ("*", "anything", true),
        ("example.com:8443", "example.com:8443", true),
        ("example.com:8443", "example.com", false),
        ("*.example.com:8443", "a.example.com:8443", true),
        ("example.*:8443", "example.com:80", false),
        ("[::1]", "[::1]", true),
        ("[::1]:81", "[::1]:81", true),
        ("[::1]:81", "[::1]:80", false),
    ];
    for (host, request, expected) in cases {
        let port = if request.ends_with(']') { ":80" } else { "" };
        let asked = asked(&format!("GET {request}{port}/"), &[]);
        assert_eq!(matches(json!({"hosts": [host]}), &asked), expected, "{host} for {request}");
    }
}

#[test]
fn paths() {
    let cases = [
        ("/a", "/a", Some(2)),
        ("/a", "/ab", Some(2)),
        ("/a", "/a/b", Some(2)),
        ("/a/", "/a", None),
        ("/a", "/A", None),
        ("/a b", "/a%20b/c", Some(6)),
        ("/é", "/%c3%a9/c", Some(7)),
        ("/a%2fb", "/a%2Fb", Some(6)),
        ("/a/b", "/a%2Fb", None),
        ("/a", "/./x/../%61", Some(2)),
        ("~/a/\\d+", "/a/12/b", Some(5)),
        ("~/a/\\d+$", "/a/12/b", None),
        ("~/\\d+", "/a/12", None),
        ("~^/a", "/a", Some(2)),
        ("~/a|/b", "/b/c", Some(2)),
        ("~/a|/b", "/x/b", None),
        ("~(?i)/admin", "/ADMIN/x", Some(6)),
        ("~/caf\u{e9}", "/caf%C3%A9/x", Some(10)),
        ("~/a b", "/a%20b", Some(6)),
        ("~/a%2Fb", "/a%2fb/c", Some(6)),
        ("~/\\w+/x", "/%C3%A9%C3%A9/x", Some(15)),
        ("~/é", "/é/%ff", Some(7)),
        ("~.*", "/%ff%fe", Some(7)),
        ("~", "/", Some(0)),
    ];
    for (path, request, expected) in cases {
        let found = find(&[json!({"paths": [path]})], &asked(&format!("GET h{request}"), &[]));
        assert_eq!(found.map(|found| found.path), expected.map(Some), "{path} for {request}");
    }
}

#[test]
fn the_first_of_several_regular_expressions_counts() {
    let routes = [json!({"paths": ["~/a/(?<x>b)", "~/a/(?<y>.*)", "/a/b/c"]})];
    let found = find(&routes, &asked("GET h/a/b/c", &[])).unwrap();
    assert_eq!((found.captures.name("x"), found.captures.name("y")), (Some("b"), None));
    assert_eq!(found.path, Some(4));
}

#[test]
fn captures_are_named_and_numbered() {
    let routes = [json!({"paths": ["~/u/(?<user>[^/]+)(/x)?/([0-9]+)"]})];
    let captures = find(&routes, &asked("GET h/u/j%C3%BCrgen%2f/7/y", &[])).unwrap().captures;
    let found: Vec<_> = captures.iter().collect();
    assert_eq!(found, [(0, None, "/u/jürgen%2F/7"), (1, Some("user"), "jürgen%2F"), (3, None, "7")]);
    assert_eq!(captures.get(2), None);
    let plain = find(&[json!({"paths": ["~/u/[a-z]+"]})], &asked("GET h/u/a", &[])).unwrap();
    assert!(plain.captures.is_empty());
}

#[test]
fn headers() {
    let cases: &[(Value, &[&str], bool)] = &[
        (json!({"x-a": ["1", "2"]}), &["x-a: 2"], true),
        (json!({"X-A": ["Val"]}), &["x-a: vAL"], true),
        (json!({"x-a": ["1"]}), &["x-a: 3", "x-a: 1"], true),
        (json!({"x-a": ["1"]}), &["x-a: 1, 2"], false),
        (json!({"x-a": ["1"]}), &[], false),
        (json!({"x-a": ["1"], "x-b": ["2"]}), &["x-a: 1"], false),
        (json!({"x-a": ["1"], "x-b": ["2"]}), &["x-a: 1", "x-b: 2"], true),
        (json!({"x-a": ["~*^v\\d+$"]}), &["x-a: V12"], true),
        (json!({"x-a": ["~*^v\\D+$"]}), &["x-a: v12"], false),
        (json!({"x-a": ["~*b"]}), &["x-a: aBc"], true),
    ];
    for (wanted, sent, expected) in cases {
        let asked = asked("GET h/", sent);
        assert_eq!(matches(json!({"headers": wanted}), &asked), *expected, "{wanted} for {sent:?}");
    }
}

#[test]
fn server_names() {
    let cases = [
        ("a.com", Some("a.com"), true),
        ("a.com.", Some("a.com"), true),
        ("a.com", Some("a.com."), true),
        ("a.com", Some("b.com"), false),
        ("a.com", None, false),
        ("*.a.com", Some("b.a.com"), true),
        ("*.a.com.", Some("b.a.com"), true),
        ("a.*", Some("a.org"), true),
    ];
    for (wanted, sni, expected) in cases {
        let request = asked("GET h/", &[]);
        assert!(matches(json!({"snis": [wanted]}), &request), "without TLS nobody asks for it");
        assert_eq!(matches(json!({"snis": [wanted]}), &request.tls(sni)), expected, "{wanted} for {sni:?}");
    }
}

#[test]
fn ends_of_the_connection() {
    let cases = [
        (json!({"ip": "10.0.0.1"}), "10.0.0.1:5", true),
        (json!({"ip": "10.1.2.3/8"}), "10.9.9.9:5", true),
        (json!({"ip": "10.0.0.0/8"}), "11.0.0.1:5", false),
        (json!({"ip": "10.0.0.1"}), "[::ffff:10.0.0.1]:5", true),
        (json!({"ip": "2001:db8::/32"}), "[2001:db8::1]:5", true),
        (json!({"port": 5}), "10.0.0.1:5", true),
        (json!({"ip": "10.0.0.1", "port": 6}), "10.0.0.1:5", false),
    ];
    for (wanted, end, expected) in cases {
        let request = asked("GET h/", &[]);
        assert!(!matches(json!({"sources": [wanted]}), &request), "nobody knows");
        assert_eq!(matches(json!({"sources": [wanted]}), &request.clone().from(end)), expected, "{wanted}");
        assert_eq!(matches(json!({"destinations": [wanted]}), &request.to(end)), expected, "{wanted}");
    }
}

#[test]
fn protocols_ask_for_a_redirect_only() {
    let cases = [
        (json!(["https"]), true),
        (json!(["https", "http"]), false),
        (json!(["http"]), false),
        (json!(["grpcs"]), true),
        (json!(["grpc", "grpcs"]), false),
    ];
    for (protocols, expected) in cases {
        let routes = [json!({"protocols": protocols, "paths": ["/"]})];
        let clear = asked("GET h/", &[]);
        assert_eq!(find(&routes, &clear).unwrap().needs_https, expected, "{protocols}");
        assert!(!find(&routes, &clear.tls(None)).unwrap().needs_https);
    }
    let stream = route(&json!({"protocols": ["tcp", "tls"], "sources": [{"port": 1}]}));
    let router = Router::new([(0, &stream)], Flavour::TraditionalCompatible).unwrap();
    assert_eq!(router.find(&asked("GET h/", &[]).from("1.1.1.1:1").facts()), None);
}

#[test]
fn what_does_not_compile_is_named_and_not_quoted() {
    let cases = [
        (json!({}), "no rule says which requests are meant"),
        (
            json!({"paths": ["/a", "~/(s3cret"]}),
            "paths[1]: no regular expression: unclosed group, at character 2",
        ),
        (json!({"paths": ["~/(?=s3cret)"]}), "look-around"),
        (json!({"paths": ["/s3cret%zz"]}), "paths[0]: the path has a % that"),
        (json!({"paths": ["~(s3cret{1000}){1000}"]}), "too big"),
        (json!({"methods": ["s3 cret"]}), "methods: not a method"),
        (json!({"headers": {"s3 cret": ["a"]}}), "headers: not a name"),
        (json!({"headers": {"a": ["~*(s3cret"]}}), "headers: no regular expression"),
        (json!({"sources": [{"ip": "s3cret"}]}), "sources[0].ip: neither"),
        (json!({"destinations": [{}]}), "destinations[0]: set"),
        (json!({"expression": "s3cret"}), "router_flavor = expressions"),
    ];
    for (fields, expected) in cases {
        let routes = [route(&json!({"paths": ["/fine"]})), route(&fields)];
        let wrong = Router::new(routes.iter().enumerate(), Flavour::TraditionalCompatible).unwrap_err();
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].0, 1);
        assert!(wrong[0].1.contains(expected) && !wrong[0].1.contains("s3"), "{}", wrong[0].1);
    }
}

#[test]
fn a_route_with_very_many_hosts_and_paths_is_found_too() {
    let hosts: Vec<_> = (0..100).map(|n| format!("h{n}.com")).collect();
    let paths: Vec<_> = (0..100).map(|n| format!("/p{n:03}")).collect();
    let routes = [json!({"paths": ["/p"]}), json!({"hosts": hosts, "paths": paths})];
    assert_eq!(find(&routes, &asked("GET h7.com/p042/x", &[])).unwrap().route, 1);
    assert_eq!(find(&routes, &asked("GET h7.com/p100", &[])).unwrap().route, 0);
    assert_eq!(find(&routes, &asked("GET other.com/p042", &[])).unwrap().route, 0);
}
