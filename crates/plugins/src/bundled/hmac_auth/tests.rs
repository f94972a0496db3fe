//! Which signatures let a request through, what is answered otherwise, and what attackers try.

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{Method, Version};
use postern_model::entity::{self, Foreign, HmacauthCredential};
use serde_json::{Value as Json, json};

use super::*;
use crate::directory::{Directory, Source};
use crate::testing::{access, told};

const NOW: u64 = 1_700_000_000;
/// The same.
const DATE_NOW: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const DATE_OLD: &str = "Tue, 14 Nov 2023 22:08:19 GMT";

fn directory() -> Arc<Directory> {
    let consumer = |name: &str| entity::Consumer { username: Some(name.into()), custom_id: None, tags: None };
    let credential = |username: &str, secret: &str| HmacauthCredential {
        consumer: Foreign { id: Uuid::from_u128(1) },
        username: username.into(),
        secret: secret.into(),
    };
    Arc::new(Directory::new(Source {
        consumers: vec![(Uuid::from_u128(1), consumer("ann")), (Uuid::from_u128(2), consumer("nobody"))],
        hmacauth_credentials: vec![
            (Uuid::from_u128(21), credential("alice123", "secret")),
            (Uuid::from_u128(22), credential("kodok", "7hCgo4nzEIrmHHlzPcdGdaYEII5XCIGX")),
        ],
        ..Source::default()
    }))
}

fn plugin(config: Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, &config)
}

fn request(target: &str) -> Request {
    let mut request = Request::for_test().to(target);
    request.directory = directory();
    request
}

/// The value of the header, for this text.
fn signature(algorithm: &str, names: &str, text: &str) -> String {
    let hash = match algorithm {
        "hmac-sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "hmac-sha384" => hmac::HMAC_SHA384,
        "hmac-sha512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let tag = STANDARD.encode(hmac::sign(&hmac::Key::new(hash, b"secret"), text.as_bytes()));
    format!(r#"hmac username="alice123", algorithm="{algorithm}", headers="{names}", signature="{tag}""#)
}

/// With a signature of the date alone.
fn dated(target: &str) -> Request {
    let authorization = signature("hmac-sha256", "date", &format!("date: {DATE_NOW}"));
    request(target).with("date", DATE_NOW).with("authorization", &authorization)
}

async fn said(plugin: &dyn Plugin, request: &mut Request) -> String {
    let answer = access(plugin, request).await;
    if let Some(answer) = &answer {
        assert_eq!(answer.headers[WWW_AUTHENTICATE], "hmac");
    }
    assert_eq!(request.consumer.is_some(), answer.is_none());
    told(answer).map_or_else(String::new, |(status, message)| {
        assert_eq!(status, 401);
        message
    })
}

const OK: &str = "";

/// The example of Kong's documentation, and one that somebody published with its key and its log.
#[tokio::test]
async fn published_signatures_fit() {
    let at = |date: &str| {
        let seconds = httpdate::parse_http_date(date).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = Clock::at(seconds);
        crate::testing::make_in(&SCHEMA.config, make, &json!({}), &Arc::default(), &clock)
    };
    let date = "Thu, 22 Jun 2017 17:15:21 GMT";
    let authorization = r#"hmac username="alice123", algorithm="hmac-sha256", headers="date request-line", signature="ujWCGHeec9Xd6UD2zlyxiNMCiXnDOWeVFMu5VeRUxtw=""#;
    let mut documented = request("/requests").with("date", date).with("authorization", authorization);
    assert_eq!(said(&*at(date), &mut documented).await, OK);

    let date = "Sun, 20 Oct 2019 15:21:07 GMT";
    let authorization = r#"hmac username="kodok", algorithm="hmac-sha256", headers="date request-line", signature="0dlw8CsMix5snxulsVb5uKbPYAoHQVLdMoDRjgDSUtk=""#;
    let mut published = request("/ok").with("date", date).with("authorization", authorization);
    published.method = Method::POST;
    assert_eq!(said(&*at(date), &mut published).await, OK);
}

#[tokio::test]
async fn what_may_be_signed_and_what_was_changed_since() {
    let names = "Date host @request-target request-line x-many";
    let text = format!(
        "date: {DATE_NOW}\nhost: example.com\npost /a/b?c=%20d\nPOST /a/b?c=%20d HTTP/1.1\nx-many: 1, 2"
    );
    let signed = || {
        let mut request = request("/a/b?c=%20d")
            .with("date", DATE_NOW)
            .with("host", "example.com")
            .with("x-many", "1")
            .with("x-many", "2")
            .with("authorization", &signature("hmac-sha256", names, &text));
        request.method = Method::POST;
        request
    };
    let plugin = plugin(json!({}));
    assert_eq!(said(&*plugin, &mut signed()).await, OK);
    let mut routed = signed();
    routed.set_path("/b".to_owned());
    assert_eq!(said(&*plugin, &mut routed).await, OK, "what the client asked for is signed");
    type Tamper = (&'static str, fn(&mut Request));
    let changes: [Tamper; 8] = [
        ("method", |request| request.method = Method::PUT),
        ("path", |request| request.path = "/a/c".to_owned()),
        ("query", |request| request.query = Some("c=%20e".to_owned())),
        ("no query", |request| request.query = None),
        ("version", |request| request.client.version = Version::HTTP_2),
        ("host", |request| drop(request.headers.insert("host", HeaderValue::from_static("evil.com")))),
        ("one value more", |request| {
            let _ = request.headers.append("x-many", HeaderValue::from_static("3"));
        }),
        ("a header is gone", |request| drop(request.headers.remove("x-many"))),
    ];
    for (what, change) in changes {
        let mut request = signed();
        change(&mut request);
        assert_eq!(said(&*plugin, &mut request).await, "HMAC signature does not match", "{what}");
    }
}

#[tokio::test]
async fn which_signatures_are_refused() {
    let text = format!("date: {DATE_NOW}");
    let good = signature("hmac-sha256", "date", &text);
    let sha1 = signature("hmac-sha1", "date", &text);
    let plain = || json!({});
    let enforced = || json!({"enforce_headers": ["date", "@request-target"]});
    let (unauthorized, not_verified, no_match) =
        ("Unauthorized", "HMAC signature cannot be verified", "HMAC signature does not match");
    for (config, authorization, expected) in [
        (plain(), good.clone(), OK),
        (plain(), sha1.clone(), OK),
        (plain(), signature("hmac-sha384", "date", &text), OK),
        (plain(), signature("hmac-sha512", "date", &text), OK),
        (plain(), signature("hmac-md5", "date", &text), not_verified),
        (plain(), good.replace("hmac-sha256", "none"), not_verified),
        (plain(), good.replace("hmac-sha256", "hmac-sha1"), no_match),
        (json!({"algorithms": ["hmac-sha256"]}), sha1, not_verified),
        (plain(), good.replace("alice123", "eve"), not_verified),
        (plain(), good.replace("alice123", "kodok"), no_match),
        (plain(), good.replace("hmac username", "Basic username"), not_verified),
        (plain(), "hmac".to_owned(), not_verified),
        (plain(), good.split(", signature").next().unwrap().to_owned(), not_verified),
        (plain(), signature("hmac-sha256", "", ""), not_verified),
        (plain(), good.replace("headers=\"date\"", "headers=\"date date\""), no_match),
        (plain(), good.replace("headers=\"date\"", "headers=\"host\""), no_match),
        // What must be signed is not.
        (enforced(), good.clone(), not_verified),
        (enforced(), signature("hmac-sha256", "@request-target Date", &format!("get /\n{text}")), OK),
        (enforced(), good.replace("headers=\"date\"", "headers=\"date @request-target\""), no_match),
    ] {
        let mut request = request("/").with("date", DATE_NOW).with("authorization", &authorization);
        assert_eq!(said(&*plugin(config.clone()), &mut request).await, expected, "{config} {authorization}");
    }
    assert_eq!(said(&*plugin(json!({})), &mut request("/").with("date", DATE_NOW)).await, unauthorized);
    // A signature that is cut short.
    let tag = STANDARD
        .encode(&hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), text.as_bytes()).as_ref()[..16]);
    let cut =
        format!(r#"hmac username="alice123", algorithm="hmac-sha256", headers="date", signature="{tag}""#);
    let mut cut = request("/").with("date", DATE_NOW).with("authorization", &cut);
    assert_eq!(said(&*plugin(json!({})), &mut cut).await, no_match);
}

#[tokio::test]
async fn replays_are_refused() {
    let no_date = "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication";
    let sign = |names: &str, text: String| signature("hmac-sha256", names, &text);
    let old = || sign("date", format!("date: {DATE_OLD}"));
    let target = || sign("@request-target", "get /".to_owned());
    for (headers, authorization, expected) in [
        (vec![("date", DATE_OLD)], old(), no_date),
        // 300 seconds are allowed, to either side.
        (
            vec![("date", "Tue, 14 Nov 2023 22:08:20 GMT")],
            sign("date", "date: Tue, 14 Nov 2023 22:08:20 GMT".to_owned()),
            OK,
        ),
        (
            vec![("date", "Tue, 14 Nov 2023 22:18:20 GMT")],
            sign("date", "date: Tue, 14 Nov 2023 22:18:20 GMT".to_owned()),
            OK,
        ),
        (
            vec![("date", "Tue, 14 Nov 2023 22:18:21 GMT")],
            sign("date", "date: Tue, 14 Nov 2023 22:18:21 GMT".to_owned()),
            no_date,
        ),
        (vec![("date", DATE_NOW)], old(), "HMAC signature does not match"),
        // A fresh date that is not signed makes no old signature new.
        (vec![("date", DATE_OLD), ("x-date", DATE_NOW)], old(), no_date),
        (vec![("date", DATE_OLD), ("date", DATE_NOW)], old(), no_date),
        (vec![("date", DATE_OLD), ("x-date", DATE_NOW)], sign("x-date", format!("x-date: {DATE_NOW}")), OK),
        (vec![("x-date", DATE_NOW)], sign("X-Date", format!("x-date: {DATE_NOW}")), OK),
        (vec![], target(), no_date),
        (vec![("date", "yesterday")], target(), no_date),
        (vec![("date", "1700000000")], target(), no_date),
        // As in Kong, unless `enforce_headers` says otherwise.
        (vec![("date", DATE_NOW)], target(), OK),
    ] {
        let mut request = request("/").with("authorization", &authorization);
        for (name, value) in &headers {
            request = request.with(name, value);
        }
        assert_eq!(said(&*plugin(json!({})), &mut request).await, expected, "{headers:?} {authorization}");
    }
    assert_eq!(
        NOW,
        httpdate::parse_http_date(DATE_NOW).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs()
    );
    assert_eq!(
        said(
            &*plugin(json!({"clock_skew": 301})),
            &mut request("/").with("date", DATE_OLD).with("authorization", &old())
        )
        .await,
        OK
    );
}

#[tokio::test]
async fn the_body_is_what_was_signed() {
    let of_body = "SHA-256=uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=";
    let of_nothing = "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let no_match = "HMAC signature does not match";
    for (body, digest, expected) in [
        (Some("hello world"), Some(of_body), OK),
        (Some("hello world!"), Some(of_body), no_match),
        (Some(""), Some(of_body), no_match),
        (None, Some(of_body), no_match),
        (Some("hello world"), Some(of_nothing), no_match),
        (Some("hello world"), Some("SHA-256="), no_match),
        (Some("hello world"), Some(""), no_match),
        (Some("hello world"), None, no_match),
        (Some(""), Some(of_nothing), OK),
        (None, Some(of_nothing), OK),
        (Some(""), None, OK),
        (None, None, OK),
    ] {
        let plugin = plugin(json!({"validate_request_body": true}));
        let (names, text) = match digest {
            Some(digest) => ("date digest", format!("date: {DATE_NOW}\ndigest: {digest}")),
            None => ("date", format!("date: {DATE_NOW}")),
        };
        let mut request = request("/").with("date", DATE_NOW);
        request = request.with("authorization", &signature("hmac-sha256", names, &text));
        if let Some(digest) = digest {
            request = request.with("digest", digest);
        }
        assert!(plugin.wants_body(&request));
        request.body = body.map(|body| Bytes::from(body.to_owned()));
        assert_eq!(said(&*plugin, &mut request).await, expected, "{body:?} {digest:?}");
    }
    assert!(!plugin(json!({})).wants_body(&dated("/")));
    // Two digests: the upstream might read the other.
    let text = format!("date: {DATE_NOW}\ndigest: {of_body}, {of_nothing}");
    let mut request = request("/").with("date", DATE_NOW).with("digest", of_body).with("digest", of_nothing);
    request = request.with("authorization", &signature("hmac-sha256", "date digest", &text));
    request.body = Some(Bytes::from_static(b"hello world"));
    assert_eq!(said(&*plugin(json!({"validate_request_body": true})), &mut request).await, no_match);
}

#[tokio::test]
async fn where_the_signature_may_stand_and_how_it_is_hidden() {
    let good = signature("hmac-sha256", "date", &format!("date: {DATE_NOW}"));
    for (proxy, own, expected, left) in [
        (Some(&*good), None, OK, [false, false]),
        (None, Some(&*good), OK, [false, false]),
        (Some("Basic x"), Some(&*good), OK, [false, false]),
        // The other one is for the upstream.
        (Some(&*good), Some("Bearer x"), OK, [false, true]),
        (None, Some("Bearer x"), "HMAC signature cannot be verified", [false, false]),
    ] {
        for hide in [false, true] {
            let mut request = request("/").with("date", DATE_NOW);
            for (name, value) in [("proxy-authorization", proxy), ("authorization", own)] {
                if let Some(value) = value {
                    request = request.with(name, value);
                }
            }
            let before =
                ["proxy-authorization", "authorization"].map(|name| request.headers.contains_key(name));
            assert_eq!(said(&*plugin(json!({"hide_credentials": hide})), &mut request).await, expected);
            let after =
                ["proxy-authorization", "authorization"].map(|name| request.headers.contains_key(name));
            assert_eq!(after, if hide { left } else { before }, "{proxy:?} {own:?}");
        }
    }
}

#[tokio::test]
async fn the_upstream_is_told_who_it_is() {
    let mut known = dated("/").with("x-consumer-id", "forged").with("x-anonymous-consumer", "true");
    assert_eq!(said(&*plugin(json!({})), &mut known).await, OK);
    assert_eq!(known.header("x-consumer-id"), Some(&*Uuid::from_u128(1).to_string()));
    assert_eq!(known.header("x-consumer-username"), Some("ann"));
    assert_eq!(known.header("x-credential-identifier"), Some("alice123"));
    assert_eq!(known.header("x-anonymous-consumer"), None);
    assert_eq!(known.credential, Some(Uuid::from_u128(21)));

    let mut unknown = request("/").with("x-credential-identifier", "forged");
    assert!(access(&*plugin(json!({"anonymous": "nobody"})), &mut unknown).await.is_none());
    assert_eq!(unknown.header("x-consumer-username"), Some("nobody"));
    assert_eq!(unknown.header("x-credential-identifier"), None);
    assert!(unknown.credential.is_none());
    for (config, through) in [(json!({"anonymous": "nobody"}), true), (json!({}), false)] {
        let mut request = request("/");
        request.credential = Some(Uuid::from_u128(7));
        assert_eq!(access(&*plugin(config), &mut request).await.is_none(), through);
    }
    let answer = access(&*plugin(json!({"realm": "here"})), &mut request("/")).await.unwrap();
    assert_eq!(answer.headers[WWW_AUTHENTICATE], "hmac realm=\"here\"");
}
