//! Requests before and after.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::*;
use crate::testing::{access, check};

async fn transform(config: Json, mut request: Request) -> Request {
    let plugin = crate::testing::make(&SCHEMA.config, make, &config);
    assert!(access(&*plugin, &mut request).await.is_none());
    request
}

fn headers(request: &Request) -> String {
    let mut lines: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines.join("; ")
}

#[tokio::test]
async fn headers_are_changed_in_order() {
    for (config, expected) in [
        (json!({"remove": {"headers": ["X-A", "host"]}}), "host: example.com; x-b: 1; x-b: 2"),
        (json!({"rename": {"headers": ["x-b:X-C"]}}), "host: example.com; x-a: a; x-c: 1; x-c: 2"),
        (json!({"rename": {"headers": ["x-b:x-a"]}}), "host: example.com; x-a: 1; x-a: 2"),
        (
            json!({"rename": {"headers": ["x-none:x-a", "x-a:X-A", "host:x-h"]}}),
            "host: example.com; x-a: a; x-b: 1; x-b: 2",
        ),
        (json!({"replace": {"headers": ["x-b:n", "x-c:n", "host:other"]}}), "host: other; x-a: a; x-b: n"),
        (
            json!({"add": {"headers": ["x-a:n", "x-c:v:w", "host:other"]}}),
            "host: example.com; x-a: a; x-b: 1; x-b: 2; x-c: v:w",
        ),
        (
            json!({"append": {"headers": ["x-a:n", "x-c:n", "host:other"]}}),
            "host: example.com; x-a: a; x-a: n; x-b: 1; x-b: 2; x-c: n",
        ),
        // Removed, so there is nothing to rename or replace, and it can be added.
        (
            json!({"remove": {"headers": ["x-a"]}, "rename": {"headers": ["x-a:x-z"]}, "replace": {"headers": ["x-a:r"]},
                   "add": {"headers": ["x-a:added"]}, "append": {"headers": ["x-a:more"]}}),
            "host: example.com; x-a: added; x-a: more; x-b: 1; x-b: 2",
        ),
        (
            json!({"add": {"headers": ["x-c:$(headers.x_a)-$(query_params.q or 'none')"]}}),
            "host: example.com; x-a: a; x-b: 1; x-b: 2; x-c: a-none",
        ),
        // What a template sees is what came.
        (
            json!({"remove": {"headers": ["x-a"]}, "add": {"headers": ["x-c:$(headers.x_a)"]}}),
            "host: example.com; x-b: 1; x-b: 2; x-c: a",
        ),
    ] {
        let request = Request::for_test()
            .with("host", "example.com")
            .with("x-a", "a")
            .with("x-b", "1")
            .with("x-b", "2");
        assert_eq!(headers(&transform(config.clone(), request).await), expected, "{config}");
    }
}

#[tokio::test]
async fn queries_are_changed_in_order() {
    for (config, query, expected) in [
        (json!({"remove": {"querystring": ["a"]}}), "a=1&b=%7e&a=2", Some("b=%7e")),
        (json!({"remove": {"querystring": ["a"]}}), "a=1", None),
        (json!({"rename": {"querystring": ["a:c d"]}}), "a=%7e&b&a", Some("c%20d=%7e&b&c%20d")),
        (json!({"rename": {"querystring": ["a:b"]}}), "a=1&b=2", Some("b=1")),
        (json!({"replace": {"querystring": ["a:x&y", "c:z"]}}), "b=1&a=1&a=2", Some("b=1&a=x%26y")),
        (json!({"add": {"querystring": ["a:9", "c:9"]}}), "a=1", Some("a=1&c=9")),
        (json!({"append": {"querystring": ["a:9", "c:9"]}}), "a=1", Some("a=1&a=9&c=9")),
        (json!({"add": {"querystring": ["c:$(query_params.a)"]}}), "a=%26", Some("a=%26&c=%26")),
        (json!({"add": {"querystring": ["a:1"]}}), "", Some("a=1")),
        (json!({"add": {"headers": ["a:1"]}}), "x=%7e&&y", Some("x=%7e&&y")),
    ] {
        let request = Request::for_test().to(&format!("/?{query}"));
        assert_eq!(transform(config.clone(), request).await.query.as_deref(), expected, "{config} {query}");
    }
}

#[tokio::test]
async fn bodies_are_changed_in_order() {
    let all = json!({
        "remove": {"body": ["r"]}, "rename": {"body": ["o:n"]}, "replace": {"body": ["p:P", "none:x"]},
        "add": {"body": ["a:A", "p:x"]}, "append": {"body": ["l:L"]}
    });
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = |parts: &[(&str, &str)]| {
        parts.iter().map(|(name, value)| part(name, value)).collect::<String>() + "--b--\r\n"
    };
    for (kind, body, expected) in [
        (
            "application/json",
            r#"{"r":1,"o":1.50,"p":2,"l":"x"}"#.to_owned(),
            r#"{"p":"P","l":["x","L"],"n":1.50,"a":"A"}"#.to_owned(),
        ),
        ("application/json", r#"{"l":[1, 2]}"#.into(), r#"{"l":[1,2,"L"],"a":"A","p":"x"}"#.into()),
        ("application/json", String::new(), r#"{"a":"A","p":"x","l":["L"]}"#.into()),
        ("application/json", "[1]".into(), "[1]".into()),
        ("application/json", "{".into(), "{".into()),
        ("application/x-www-form-urlencoded", "r=1&o=%7e&p=1&l=1".into(), "n=%7e&p=P&l=1&a=A&l=L".into()),
        (
            "multipart/form-data; boundary=b",
            multipart(&[("r", "1"), ("o", "2"), ("p", "3")]),
            multipart(&[("n", "2"), ("p", "P"), ("a", "A")]),
        ),
        ("text/plain", "r=1".into(), "r=1".into()),
    ] {
        let mut request = Request::for_test().with("content-type", kind);
        request.set_body(Bytes::from(body.clone()));
        let plugin = crate::testing::make(&SCHEMA.config, make, &all);
        assert_eq!(plugin.wants_body(&request), kind != "text/plain");
        let request = transform(all.clone(), request).await;
        let got = String::from_utf8(request.body.clone().unwrap_or_default().to_vec()).unwrap();
        assert_eq!(got, expected, "{kind} {body}");
        assert_eq!(request.header("content-length"), Some(&*expected.len().to_string()));
    }
}

#[tokio::test]
async fn path_and_method_are_changed() {
    let mut request = Request::for_test().to("/old?q=1").with("x-p", "a?b c");
    request.captures = vec![("1".to_owned(), "one".to_owned())];
    let config =
        json!({"replace": {"uri": "/new/$(uri_captures[1])/$(headers.x_p)/é?z=2"}, "http_method": "PUT"});
    let request = transform(config, request).await;
    assert_eq!(request.path, "/new/one/a%3Fb%20c/%C3%A9");
    assert_eq!(request.client_path(), "/old");
    assert_eq!(request.query.as_deref(), Some("z=2&q=1"));
    assert_eq!(request.method, Method::PUT);

    let mut form = Request::for_test().to("/?q=1").with("content-type", "application/x-www-form-urlencoded");
    form.method = Method::POST;
    form.body = Some(Bytes::from_static(b"a=1&q=2&c"));
    let form = transform(json!({"http_method": "GET"}), form).await;
    assert_eq!((form.method, form.query.as_deref()), (Method::GET, Some("q=1&a=1&q=2&c")));
}

#[test]
fn configurations_that_cannot_be_meant_are_refused() {
    for (config, expected) in [
        (json!({"add": {"headers": ["x:$(headers.a)"], "body": ["a:b"]}, "remove": {"body": ["a"]}}), None),
        (json!({"http_method": "get"}), Some("invalid value: expected uppercase letters")),
        (json!({"add": {"body": ["a"]}}), Some("key 'a' has no value")),
        (json!({"add": {"headers": ["a:"]}}), Some("key 'a' has no value")),
        (json!({"add": {"headers": ["a b:c"]}}), Some("'a b' is not a valid header")),
        (json!({"rename": {"headers": ["a:b c"]}}), Some("'b c' is not a valid header")),
        (json!({"remove": {"headers": ["a b"]}}), Some("'a b' is not a valid header")),
        (json!({"replace": {"uri": "/$(os.time())"}}), Some("not supported yet")),
        (json!({"append": {"querystring": ["a:$(1 + 1)"]}}), Some("not supported yet")),
    ] {
        let complaint = check(&SCHEMA.config, &config).err();
        let fits = match (&complaint, expected) {
            (Some(complaint), Some(expected)) => complaint.starts_with(expected),
            (complaint, expected) => complaint.is_none() && expected.is_none(),
        };
        assert!(fits, "{config}: {complaint:?}");
    }
}
