//! What is hashed, value by value.

use http::header::{HeaderMap, HeaderValue};

use super::*;

/// A request, as far as hashing looks at it.
struct Request {
    consumer: Option<Uuid>,
    ip: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    path: &'static str,
    query: Option<&'static str>,
    capture: Option<&'static str>,
}

const PLAIN: Request =
    Request { consumer: None, ip: "192.0.2.1", headers: Vec::new(), path: "/", query: None, capture: None };

fn key(hash_on: HashOn, hash_fallback: HashOn, request: &Request) -> Key {
    let upstream = Upstream {
        algorithm: Algorithm::ConsistentHashing,
        hash_on,
        hash_fallback,
        hash_on_header: Some("X-User".into()),
        hash_fallback_header: Some("X-Other".into()),
        hash_on_cookie: Some("sid".into()),
        hash_on_cookie_path: Some("/shop".into()),
        hash_on_query_arg: Some("q".into()),
        hash_fallback_query_arg: Some("q2".into()),
        hash_on_uri_capture: Some("id".into()),
        hash_fallback_uri_capture: Some("id2".into()),
        ..upstream()
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(*name, HeaderValue::from_static(value));
    }
    Hashing::new(&upstream).key(&HashInput {
        consumer: request.consumer,
        ip: request.ip.parse().unwrap(),
        headers: &headers,
        path: request.path,
        query: request.query,
        capture: &|name| request.capture.filter(|_| name == "id"),
    })
}

#[test]
fn each_source_sees_its_value_and_nothing_else() {
    let consumer = |byte: u8| Some(Uuid::from_bytes([byte; 16]));
    let header = |value| vec![("x-user", value)];
    let cookie = |value| vec![("cookie", value)];
    // The first two differ in what is hashed, the third differs from the first in everything else.
    for (source, first, second, same) in [
        (
            HashOn::Consumer,
            Request { consumer: consumer(1), ..PLAIN },
            Request { consumer: consumer(2), ..PLAIN },
            Request { consumer: consumer(1), ip: "192.0.2.9", path: "/b", ..PLAIN },
        ),
        (HashOn::Ip, PLAIN, Request { ip: "2001:db8::1", ..PLAIN }, Request { path: "/b", ..PLAIN }),
        (
            HashOn::Header,
            Request { headers: header("a"), ..PLAIN },
            Request { headers: header("b"), ..PLAIN },
            Request { headers: header("a"), ip: "192.0.2.9", ..PLAIN },
        ),
        (
            HashOn::Cookie,
            Request { headers: cookie("a=1; sid=abc"), ..PLAIN },
            Request { headers: cookie("a=1; sid=abd"), ..PLAIN },
            Request { headers: cookie("sid=abc; b=2"), ..PLAIN },
        ),
        (HashOn::Path, PLAIN, Request { path: "/b", ..PLAIN }, Request { query: Some("q=1"), ..PLAIN }),
        (
            HashOn::QueryArg,
            Request { query: Some("q=a&x=1"), ..PLAIN },
            Request { query: Some("q=b&x=1"), ..PLAIN },
            Request { query: Some("x=2&%71=%61"), ..PLAIN },
        ),
        (
            HashOn::UriCapture,
            Request { capture: Some("7"), ..PLAIN },
            Request { capture: Some("8"), ..PLAIN },
            Request { capture: Some("7"), path: "/b", ..PLAIN },
        ),
    ] {
        let hash = |request: &Request| key(source, HashOn::None, request).hash();
        assert!(hash(&first).is_some(), "{source:?}");
        assert_ne!(hash(&first), hash(&second), "{source:?}");
        assert_eq!(hash(&first), hash(&same), "{source:?}");
    }
}

#[test]
fn the_fallback_is_used_where_there_is_no_value() {
    let other = Request { headers: vec![("x-other", "v")], query: Some("q2=v"), ..PLAIN };
    for (first, second, found) in [
        (HashOn::Header, HashOn::Ip, true),
        (HashOn::Consumer, HashOn::Header, true),
        (HashOn::UriCapture, HashOn::QueryArg, true),
        (HashOn::QueryArg, HashOn::UriCapture, false),
        (HashOn::Consumer, HashOn::None, false),
        (HashOn::None, HashOn::Ip, false),
    ] {
        assert_eq!(key(first, second, &other).hash().is_some(), found, "{first:?}, then {second:?}");
    }
}

#[test]
fn query_arguments_in_any_order() {
    let hash = |query| key(HashOn::QueryArg, HashOn::None, &Request { query: Some(query), ..PLAIN }).hash();
    assert_eq!(hash("q=a&q=b"), hash("q=b&x=1&q=a"));
    assert_ne!(hash("q=a&q=b"), hash("q=a"));
    assert_eq!(hash("q2=a"), None);
}

#[test]
fn a_cookie_is_made_where_there_is_none_and_leads_to_the_same_place() {
    let made = key(HashOn::Cookie, HashOn::None, &PLAIN);
    let text = made.set_cookie().unwrap().to_str().unwrap().to_owned();
    let (pair, rest) = text.split_once("; ").unwrap();
    assert_eq!(rest, "Path=/shop; SameSite=Lax; HttpOnly");
    assert!(pair.starts_with("sid="), "{pair}");
    let back: &'static str = pair.to_owned().leak();
    let next = key(HashOn::Cookie, HashOn::None, &Request { headers: vec![("cookie", back)], ..PLAIN });
    assert_eq!(next.hash(), made.hash());
    assert_eq!(next.set_cookie(), None);
    let another = key(HashOn::Cookie, HashOn::None, &PLAIN);
    assert_ne!(another.hash(), made.hash());
    // An empty cookie is none.
    let empty = Request { headers: vec![("cookie", "sid=")], ..PLAIN };
    assert!(key(HashOn::Consumer, HashOn::Cookie, &empty).set_cookie().is_some());
}

#[test]
fn hashes_are_the_same_for_ever() {
    // Nodes of different versions share the traffic of one upstream; a new hash would move every value.
    let hash = key(HashOn::Path, HashOn::None, &Request { path: "/orders", ..PLAIN }).hash();
    assert_eq!(hash, Some(3903732498331292674));
}

#[tokio::test(start_paused = true)]
async fn a_value_stays_with_its_peer_while_others_fall() {
    let upstream = Upstream {
        algorithm: Algorithm::ConsistentHashing,
        hash_on: HashOn::Path,
        healthchecks: HealthChecks {
            passive: Passive {
                unhealthy: Unhealthy { tcp_failures: 1, ..upstream().healthchecks.passive.unhealthy },
                ..upstream().healthchecks.passive
            },
            ..upstream().healthchecks
        },
        ..upstream()
    };
    let of = targets(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1), ("10.0.0.4:80", 1)]);
    let balancer = Balancer::upstream(&upstream, &of, None, &control(&Names::default()));
    let headers = HeaderMap::new();
    let go = || -> Vec<_> {
        (0..400)
            .map(|i| {
                let path = format!("/{i}");
                let input = HashInput {
                    consumer: None,
                    ip: "192.0.2.1".parse().unwrap(),
                    headers: &headers,
                    path: &path,
                    query: None,
                    capture: &|_| None,
                };
                picked(&balancer, &balancer.key(&input)).unwrap()
            })
            .collect()
    };
    let before = go();
    assert_eq!(counts(&before).len(), 4);
    assert_eq!(go(), before);
    balancer.set_health("10.0.0.2:80".parse().unwrap(), false);
    for _ in 0..2 {
        let during = go();
        for (before, during) in before.iter().zip(&during) {
            assert!(before == during || before == "10.0.0.2:80");
        }
        let moved: Vec<_> =
            before.iter().zip(&during).filter(|(a, b)| a != b).map(|(_, b)| b.clone()).collect();
        assert_eq!(counts(&moved).len(), 3, "its values go to all others, not to one");
        // The second time with the set that was made anew.
        settle().await;
    }
    balancer.set_health("10.0.0.2:80".parse().unwrap(), true);
    assert_eq!(go(), before);
}
