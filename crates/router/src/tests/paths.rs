//! The one form of paths, and what the upstream is asked for.

use postern_model::entity::route::PathHandling::{self, V0, V1};
use proptest::prelude::*;

use crate::path::{decoded, undecoded_len};
use crate::{PathError, normalise, upstream_path};

#[test]
fn one_form() {
    let cases = [
        ("", Ok("/")),
        ("/", Ok("/")),
        ("/a/b.c/.well-known/..a", Ok("/a/b.c/.well-known/..a")),
        ("/%6Bey", Ok("/key")),
        ("//key", Ok("/key")),
        ("/./key", Ok("/key")),
        ("/x/%2e%2E/key", Ok("/key")),
        ("/x/.%2e/key", Ok("/key")),
        ("/%2E/key", Ok("/key")),
        ("/x//../key", Ok("/key")),
        ("/x/..//key", Ok("/key")),
        ("/a/", Ok("/a/")),
        ("/a//", Ok("/a/")),
        ("/a/.", Ok("/a/")),
        ("/a/b/..", Ok("/a/")),
        ("/a/..", Ok("/")),
        ("/...", Ok("/...")),
        ("/%2fkey", Ok("/%2Fkey")),
        ("/a%2f..%2fb", Ok("/a%2F..%2Fb")),
        ("/%25%36b", Ok("/%256b")),
        ("/%7e%7E~", Ok("/~~~")),
        ("/a b\"<>\\^`{|}", Ok("/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D")),
        ("/a\\..\\b", Ok("/a%5C..%5Cb")),
        ("/%5c", Ok("/%5C")),
        ("/é", Ok("/%C3%A9")),
        ("/%c3%a9", Ok("/%C3%A9")),
        ("/a?b#c", Ok("/a%3Fb%23c")),
        ("/a;v=1/b", Ok("/a;v=1/b")),
        ("/!$&'()*+,;=:@[]", Ok("/!$&'()*+,;=:@[]")),
        ("/%0d%0a", Ok("/%0D%0A")),
        ("/%", Err(PathError::BadEscape)),
        ("/%4", Err(PathError::BadEscape)),
        ("/%g1", Err(PathError::BadEscape)),
        ("/%+1", Err(PathError::BadEscape)),
        ("/a%00", Err(PathError::Nul)),
        ("/a\0", Err(PathError::Nul)),
        ("/..", Err(PathError::AboveRoot)),
        ("/a/../%2e%2e/b", Err(PathError::AboveRoot)),
        ("*", Err(PathError::NoSlash)),
        ("a", Err(PathError::NoSlash)),
    ];
    for (path, expected) in cases {
        assert_eq!(normalise(path).as_deref(), expected.as_ref().copied(), "{path:?}");
    }
}

#[test]
fn what_the_upstream_is_asked_for() {
    // Kong's documented table, and what its code does with slashes at the ends.
    let cases: &[(&str, &str, &str, bool, &str, &str)] = &[
        ("/s", "/fv0", "/fv0req", false, "/s/fv0req", "/sfv0req"),
        ("/s", "/fv0", "/fv0/req", false, "/s/fv0/req", "/sfv0/req"),
        ("/s", "/fv1", "/fv1req", true, "/s/req", "/sreq"),
        ("/s", "/fv1", "/fv1/req", true, "/s/req", "/s/req"),
        ("/s/", "/fv0", "/fv0req", false, "/s/fv0req", "/s/fv0req"),
        ("/s/", "/fv0", "/fv0/req", true, "/s/req", "/s/req"),
        ("/s/", "/fv0/", "/fv0/req", true, "/s/req", "/s/req"),
        ("/s", "/fv0/", "/fv0/req", true, "/s/req", "/sreq"),
        ("/s", "/fv0", "/fv0", true, "/s", "/s"),
        ("/s", "/fv0/", "/fv0/", true, "/s/", "/s"),
        ("/s/", "/fv0", "/fv0", true, "/s", "/s/"),
        ("/s/", "/fv0/", "/fv0/", true, "/s/", "/s/"),
        ("/", "/fv0", "/fv0", true, "/", "/"),
        ("/", "/fv0/", "/fv0/", true, "/", "/"),
        ("/", "/fv0", "/fv0/req", true, "/req", "/req"),
        ("/", "/", "/req", true, "/req", "/req"),
        ("/s", "/", "/", true, "/s", "/s"),
        ("/s", "/", "/", false, "/s", "/s"),
        ("/s/", "/", "/", false, "/s/", "/s/"),
        ("/s", "/", "/req", true, "/s/req", "/sreq"),
        ("/s", "/fv0", "/fv0..", true, "/s", "/s"),
        ("/s", "/fv0", "/fv0../admin", true, "/s/admin", "/sadmin"),
        ("/s/", "/fv0", "/fv0./admin", true, "/s/admin", "/s/admin"),
    ];
    for &(service, route, request, strip, v0, v1) in cases {
        let path = |handling: PathHandling| {
            upstream_path(Some(service), request, Some(route.len()), strip, handling)
        };
        let name = format!("{service} {route} {request} strip_path={strip}");
        assert_eq!(path(V0), v0, "{name} v0");
        assert_eq!(path(V1), v1, "{name} v1");
    }
    assert_eq!(upstream_path(None, "/a/b", None, true, V0), "/a/b");
    assert_eq!(upstream_path(None, "/a/b", Some(2), true, V0), "/b");
    assert_eq!(upstream_path(Some("/s"), "/a/b", None, true, V0), "/s/a/b");
}

fn spelling() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "/", "/", "a", "B", ".", "..", "%2e", "%2F", "%", "%4", "%61", "%c3", "%A9", "é", " ", "\\", "%00",
        ";", "%25",
    ]);
    prop::collection::vec(parts, 0..12).prop_map(|parts| format!("/{}", parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn twice_is_once(path in prop_oneof![spelling(), ".*"]) {
        let Ok(once) = normalise(&path) else { return Ok(()) };
        let again = normalise(&once);
        prop_assert_eq!(again.as_deref(), Ok(&*once));
        prop_assert!(once.starts_with('/') && !once.contains("//") && !once.contains("/./") && !once.contains("/../"));
        prop_assert!(once.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert!(http::uri::PathAndQuery::try_from(&*once).is_ok());
    }

    #[test]
    fn escaping_what_needs_none_changes_nothing(path in spelling(), which in any::<prop::sample::Index>()) {
        let Ok(once) = normalise(&path) else { return Ok(()) };
        let free: Vec<_> = once.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()).collect();
        // Not inside an escape.
        let free: Vec<_> = free.into_iter().filter(|(at, _)| !once[at.saturating_sub(2)..*at].contains('%')).collect();
        if free.is_empty() {
            return Ok(());
        }
        let (at, c) = free[which.index(free.len())];
        let spelled = format!("{}%{:02x}{}", &once[..at], u32::from(c), &once[at + 1..]);
        let again = normalise(&spelled);
        prop_assert_eq!(again.as_deref(), Ok(&*once));
    }

    #[test]
    fn the_decoded_form_leads_back(path in spelling(), cut in any::<prop::sample::Index>()) {
        let Ok(path) = normalise(&path) else { return Ok(()) };
        let plain = decoded(&path);
        let again = normalise(&plain);
        prop_assert_eq!(again.as_deref(), Ok(&*path));
        let cuts: Vec<_> = (0..=plain.len()).filter(|at| plain.is_char_boundary(*at)).collect();
        let cut = cuts[cut.index(cuts.len())];
        let raw = undecoded_len(&path, &plain, cut);
        // A cut inside an escape that stayed is no text to compare.
        if !plain[..cut].bytes().rev().take(2).any(|byte| byte == b'%') {
            prop_assert_eq!(decoded(&path[..raw]), &plain[..cut]);
        }
    }
}
