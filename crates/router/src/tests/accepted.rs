//! Routes with values at, beyond and far beyond each rule: what the field list accepts can be found by, alone and among others.

use postern_model::Kind;
use postern_model::check::rows;
use postern_model::entity::Route;
use postern_model::generated::changes;
use serde_json::{Value as Json, json};

use crate::{Flavour, Router};

/// A route as it takes effect; `None` where it is refused.
fn accepted(fields: &Json) -> Option<Route> {
    let plugins = Vec::new();
    let mut row = Kind::named("routes").unwrap().check(fields.as_object()?, &plugins).ok()?.body;
    row.insert("id".to_owned(), json!("11111111-2222-4333-8444-555555555555"));
    let (snapshot, _) = rows([("routes", &row)], &plugins).unwrap_or_else(|why| panic!("{fields}: {why:?}"));
    snapshot.routes.iter().next()?.value.clone()
}

fn compiled(route: &Route, flavour: Flavour) -> Result<Router, String> {
    Router::new([(0, route)], flavour).map_err(|wrong| wrong[0].1.clone())
}

#[test]
fn what_the_field_list_accepts_compiles() {
    let mut routes = Vec::new();
    let mut failures = Vec::new();
    let bases = [
        json!({"paths": ["/a"]}),
        json!({"hosts": ["a.example"], "paths": ["~/a/\\d+"], "methods": ["GET"], "headers": {"x-a": ["b"]},
               "snis": ["a.example"]}),
    ];
    for base in &bases {
        for change in changes(Kind::named("routes").unwrap().fields()) {
            let Some(route) = accepted(&change.applied_to(base.clone())) else { continue };
            // Whether expressions may be used, and what they mean, the field list cannot say.
            if route.expression.is_some() {
                continue;
            }
            for flavour in [Flavour::TraditionalCompatible, Flavour::Expressions] {
                if let Err(reason) = compiled(&route, flavour) {
                    failures.push(format!("{reason}; with {}", change.shown()));
                }
            }
            routes.push(route);
        }
    }
    assert!(failures.is_empty(), "accepted, and no route:\n  {}", failures.join("\n  "));
    assert!(routes.len() > 200, "{}", routes.len());
    assert!(
        Router::new(routes.iter().enumerate(), Flavour::TraditionalCompatible).is_ok(),
        "all of them together"
    );
}

#[test]
fn paths_that_no_request_can_have_are_refused() {
    for (path, is_fine) in [
        ("/", true),
        ("/a/..", true),
        ("/a/%2e%2E/b", true),
        ("/..", false),
        ("/../a", false),
        ("/a/../..", false),
        ("/%2e%2e/", false),
        ("/%2E./a", false),
        ("/%00", false),
        ("/a%00b", false),
        ("~/a{1,9}", true),
        ("~/\\d{1,999999}", false),
        ("~/(\\w{99}){99}", false),
    ] {
        assert_eq!(accepted(&json!({"paths": [path]})).is_some(), is_fine, "{path}");
    }
    for values in [json!(["~*("]), json!(["a", "~*("]), json!(["~*\\d{1,999999}", "b"])] {
        assert!(accepted(&json!({"headers": {"x-a": values}})).is_none(), "{values}");
    }
}

/// Each is small enough, and all of them are not.
#[test]
fn many_large_expressions_are_too_many() {
    let large = |number: usize| format!("/{number}/\\w{{40}}");
    let paths = |many: usize| (0..many).map(|number| format!("~{}", large(number))).collect::<Vec<_>>();
    let few = accepted(&json!({"paths": paths(2)})).unwrap();
    assert!(compiled(&few, Flavour::TraditionalCompatible).is_ok());
    let many = accepted(&json!({"paths": paths(24)})).unwrap();
    let reason = compiled(&many, Flavour::TraditionalCompatible).unwrap_err();
    assert!(reason.contains("too big together"), "{reason}");
    if cfg!(feature = "expressions") {
        let all = |many: usize| {
            let predicates = (0..many).map(|number| format!("http.path ~ r#\"{}\"#", large(number)));
            predicates.collect::<Vec<_>>().join(" || ")
        };
        let route = |many: usize| accepted(&json!({"expression": all(many)})).unwrap();
        assert!(compiled(&route(2), Flavour::Expressions).is_ok());
        let reason = compiled(&route(24), Flavour::Expressions).unwrap_err();
        assert!(reason.contains("too big together"), "{reason}");
    }
}

#[cfg(feature = "expressions")]
#[test]
fn expressions_are_refused_or_compile() {
    let right = "http.path ^= \"/a\"";
    let route = |expression: &str| accepted(&json!({"expression": expression}));
    assert!(compiled(&route(right).unwrap(), Flavour::Expressions).is_ok());
    let other = compiled(&route(right).unwrap(), Flavour::TraditionalCompatible);
    assert!(other.is_err_and(|reason| reason.contains("router_flavor")), "used, or refused");
    for expression in [
        "",
        " ",
        "(",
        ")",
        "()",
        "!",
        "a",
        "http.path",
        "http.path ==",
        "== \"a\"",
        "http.path == a",
        "http.path == \"a",
        "http.path == 1",
        "http.path == 10.0.0.1",
        "net.port == \"80\"",
        "net.port == 80.5",
        "net.port ^= 80",
        "net.port == 99999999999999999999",
        "net.src.ip == 10.0.0.0/33",
        "net.src.ip in \"10.0.0.0/8\"",
        "net.src.ip == ::1::",
        "nope == 1",
        "http.path ~ \"(\"",
        "http.path ~ \"\\\\d{1,999999}\"",
        "http.path ~ r#\"(?=a)\"#",
        "http.path = \"a\"",
        "http.path == \"a\" &&",
        "http.path == \"a\" and http.path == \"b\"",
        "lower(http.path",
        "lower(net.port) == 1",
        "upper(http.path) == \"A\"",
        "http.path.segments.a == \"a\"",
        "http.path.segments.1_0 == \"a\"",
        "http.path == \"\\q\"",
        "\0",
        "http.path == \"\0",
    ] {
        let Some(route) = route(expression) else { continue };
        assert!(compiled(&route, Flavour::Expressions).is_err(), "{expression}");
    }
    for change in changes(Kind::named("routes").unwrap().fields()) {
        if let Some(route) = accepted(&change.applied_to(json!({"expression": right}))) {
            // Whatever it says, it is told.
            let _ = compiled(&route, Flavour::Expressions);
        }
    }
}
