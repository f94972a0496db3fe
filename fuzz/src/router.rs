//! Routes and requests: the index finds what the slow matcher finds, and a path has one form.
//!
//! Owns: the language of the inputs, a line each: `h=a.com,*.b p=/a,~/b m=GET x=1 s=a.com r=2` is a route with hosts,
//! paths, methods, a header, server names and a regex_priority; `? GET a.com:81 /a/b x=1 s=a.com` is a request, over
//! TLS if it has a server name. Must not know: how the router works.

use http::{HeaderMap, HeaderValue, Method};
use postern_model::entity::route::PathHandling;
use postern_model::entity::{Protocol, Route};
use postern_router::plain::Plain;
use postern_router::{Facts, Flavour, Router, normalise, upstream_path};
use serde_json::{Map, Value, json};

/// More would only make the inputs slow.
const MAX_ROUTES: usize = 12;
const MAX_REGEX: usize = 24;

/// Random routes and requests: both matchers agree; the form of a path is its own form, and no path or route makes a
/// panic.
pub fn router(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (requests, routes): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("? "));
    let routes: Vec<Route> = routes.into_iter().take(MAX_ROUTES).filter_map(route).collect();
    // Those that do not compile are of no interest to the slow matcher.
    let compile = |route: &Route| Router::new([(0, route)], Flavour::TraditionalCompatible).is_ok();
    let routes: Vec<_> = routes.into_iter().filter(compile).collect();
    let router = Router::new(routes.iter().enumerate(), Flavour::TraditionalCompatible);
    let router = router.expect("each of the routes compiles");
    let plain = Plain::new(routes.iter().enumerate());
    for request in requests {
        ask(request, &routes, &router, &plain);
    }
}

fn ask(line: &str, routes: &[Route], router: &Router, plain: &Plain<'_>) -> Option<()> {
    let mut words = line[2..].split(' ');
    let method = words.next()?.parse::<Method>().ok()?;
    let host = words.next()?.to_ascii_lowercase();
    let (host, port) = host.rsplit_once(':').unwrap_or((&host, "80"));
    let path = normalise(words.next()?).ok()?;
    assert_eq!(normalise(&path).as_deref(), Ok(&*path), "a form that is not its own");
    assert!(!path.contains("//") && !path.contains("/./") && !path.contains("/../"), "{path:?}");
    let (mut headers, mut sni) = (HeaderMap::new(), None);
    for word in words {
        match word.split_once('=') {
            Some(("x", value)) => _ = headers.append("x", HeaderValue::from_str(value).ok()?),
            Some(("s", name)) => sni = Some(name.to_ascii_lowercase()),
            _ => {}
        }
    }
    let facts = Facts {
        method: &method,
        host,
        port: port.parse().ok()?,
        path: &path,
        query: None,
        headers: &headers,
        scheme: if sni.is_some() { Protocol::Https } else { Protocol::Http },
        sni: sni.as_deref(),
        source: None,
        destination: None,
    };
    let found = router.find(&facts);
    let fast = found.as_ref().map(|found| (found.route, found.path));
    assert_eq!(fast, plain.find(&facts), "{line:?} for {routes:?}");
    for (service, handling) in
        [(None, PathHandling::V0), (Some("/s"), PathHandling::V0), (Some("/s/"), PathHandling::V1)]
    {
        let matched = found.as_ref().and_then(|found| found.path);
        let sent = upstream_path(service, &path, matched, true, handling);
        assert!(!format!("{sent}/").contains("/../"), "{path:?} was sent as {sent:?}");
    }
    Some(())
}

fn route(line: &str) -> Option<Route> {
    let mut fields = Map::new();
    for word in line.split(' ') {
        let (key, list) = word.split_once('=')?;
        let list: Vec<&str> = list.split(',').collect();
        if list.iter().any(|item| item.starts_with('~') && item.len() > MAX_REGEX) {
            return None;
        }
        match key {
            "h" => fields.insert("hosts".to_owned(), json!(list)),
            "p" => fields.insert("paths".to_owned(), json!(list)),
            "m" => fields.insert("methods".to_owned(), json!(list)),
            "s" => fields.insert("snis".to_owned(), json!(list)),
            "x" => fields.insert("headers".to_owned(), json!({ "x": list })),
            "r" => fields.insert("regex_priority".to_owned(), json!(list.first()?.parse::<i8>().ok()?)),
            _ => return None,
        };
    }
    let mut all = json!({
        "protocols": ["http", "https"], "regex_priority": 0, "strip_path": true, "path_handling": "v0",
        "preserve_host": false, "https_redirect_status_code": 426, "request_buffering": true,
        "response_buffering": true,
    });
    all.as_object_mut()?.extend(fields);
    serde_json::from_value::<Route>(Value::clone(&all)).ok()
}
