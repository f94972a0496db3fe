//! Responses before and after.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::testing::check;
use crate::view::Source;

fn plugin(config: &Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, config)
}

fn response(headers: &[(&'static str, &'static str)]) -> Response {
    let header = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let mut map = HeaderMap::new();
    headers.iter().map(header).for_each(|(name, value)| {
        map.append(name, value);
    });
    Response { status: StatusCode::OK, headers: map, source: Source::Upstream }
}

fn lines(response: &Response) -> String {
    let mut lines: Vec<String> =
        response.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines.join("; ")
}

#[test]
fn headers_are_changed_in_order() {
    for (config, expected) in [
        (json!({"remove": {"headers": ["X-A", "x-none", "x-b:whatever"]}}), ""),
        (json!({"rename": {"headers": ["x-b:X-C", "x-none:x-d"]}}), "x-a: a; x-c: 1; x-c: 2"),
        (json!({"rename": {"headers": ["x-b:x-a"]}}), "x-a: 1; x-a: 2"),
        (json!({"rename": {"headers": ["x-a:X-A"]}}), "x-a: a; x-b: 1; x-b: 2"),
        (json!({"replace": {"headers": ["x-b:n", "x-c:n"]}}), "x-a: a; x-b: n"),
        (json!({"add": {"headers": ["x-a:n", "x-c::v:w"]}}), "x-a: a; x-b: 1; x-b: 2; x-c: v:w"),
        (json!({"append": {"headers": ["x-a:n", "x-c:n"]}}), "x-a: a; x-a: n; x-b: 1; x-b: 2; x-c: n"),
        // What was there when the response came is what counts.
        (json!({"remove": {"headers": ["x-a"]}, "add": {"headers": ["x-a:n"]}}), "x-b: 1; x-b: 2"),
        (
            json!({"remove": {"headers": ["x-a"]}, "replace": {"headers": ["x-a:n"]}}),
            "x-a: n; x-b: 1; x-b: 2",
        ),
        (
            json!({"remove": {"headers": ["x-a"]}, "rename": {"headers": ["x-a:x-c"]}}),
            "x-b: 1; x-b: 2; x-c: a",
        ),
        (
            json!({"rename": {"headers": ["x-a:x-c"]}, "add": {"headers": ["x-c:n"]}}),
            "x-b: 1; x-b: 2; x-c: n",
        ),
        (
            json!({"add": {"headers": ["x-c:n"]}, "append": {"headers": ["x-c:m"]}}),
            "x-a: a; x-b: 1; x-b: 2; x-c: n; x-c: m",
        ),
    ] {
        let mut response = response(&[("x-a", "a"), ("x-b", "1"), ("x-b", "2")]);
        plugin(&config).response(&Request::for_test(), &mut response);
        let mut expected: Vec<&str> = expected.split("; ").collect();
        expected.sort_unstable();
        assert_eq!(lines(&response), expected.join("; "), "{config}");
    }
}

/// What the client gets of a body that comes in these pieces; `None` where nobody looks into it.
fn filtered(
    plugin: &dyn Plugin,
    headers: &[(&'static str, &'static str)],
    pieces: &[Bytes],
) -> Option<Bytes> {
    let mut filter = plugin.body_filter(&Request::for_test(), &response(headers))?;
    let mut whole: Vec<u8> = Vec::new();
    for piece in pieces {
        whole.extend_from_slice(&filter.chunk(piece.clone()));
    }
    whole.extend_from_slice(&filter.end());
    Some(whole.into())
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn changed(config: &Json, body: &str) -> String {
    let body = Bytes::from(body.to_owned());
    String::from_utf8(filtered(&*plugin(config), JSON, &[body]).unwrap().to_vec()).unwrap()
}

#[test]
fn bodies_are_changed_in_order() {
    let all = json!({
        "remove": {"json": ["r"]}, "rename": {"json": ["o:n"]}, "replace": {"json": ["p:P", "none:x"]},
        "add": {"json": ["a:A", "p:x"]}, "append": {"json": ["l:L"]}
    });
    for (body, expected) in [
        (r#"{"r":1,"o":1.50,"p":2,"l":"x"}"#, r#"{"p":"P","l":["x","L"],"n":1.50,"a":"A"}"#),
        (r#"{"r":1, "r":2, "k" : [ ] , "l":[1, 2]}"#, r#"{"k":[ ],"l":[1,2,"L"],"a":"A","p":"x"}"#),
        // What is there, is there, whatever it is.
        (r#"{"a":null,"p":false,"l":null}"#, r#"{"a":null,"p":"P","l":["L"]}"#),
        (r#"{"n":1,"o":2,"a":0,"p":0,"l":{}}"#, r#"{"a":0,"p":"P","l":[{},"L"],"n":2}"#),
        ("[1]", "[1]"),
        ("7", "7"),
        ("{", "{"),
        ("", ""),
    ] {
        assert_eq!(changed(&all, body), expected, "{body}");
    }
    // Where nothing changes, not a byte does.
    let nothing =
        json!({"remove": {"json": ["x"]}, "rename": {"json": ["y:z", "a:a"]}, "replace": {"json": ["z:1"]}});
    assert_eq!(changed(&nothing, " {\"a\" : 1 }\n"), " {\"a\" : 1 }\n");
}

#[test]
fn values_have_types() {
    let json = ["s:1", "n:1.50", "m:-2e3", "p:+1", "b:true", "c:yes", "q:\"v\"", "t:a:b"];
    let types = ["string", "number", "number", "number", "boolean", "boolean", "string"];
    let expected = r#""s":"1","n":1.50,"m":-2e3,"p":1.0,"b":true,"c":false,"q":"\"v\"","t":"a:b""#;
    let add = json!({"add": {"json": json, "json_types": types}});
    assert_eq!(changed(&add, "{}"), format!("{{{expected}}}"));
    let replace = json!({"replace": {"json": json, "json_types": types}});
    assert_eq!(changed(&replace, r#"{"n":0,"b":[1]}"#), r#"{"n":1.50,"b":true}"#);
    let append = json!({"append": {"json": ["n:7", "n:x"], "json_types": ["number"]}});
    assert_eq!(changed(&append, r#"{"n":"a"}"#), r#"{"n":["a",7,"x"]}"#);
}

#[test]
fn only_json_is_looked_into() {
    let config = json!({"add": {"json": ["a:1"]}});
    let json_only = plugin(&config);
    for (headers, is_json) in [
        (JSON, true),
        (&[("content-type", "Application/JSON; charset=utf-8")], true),
        (&[("content-type", "application/problem+json; charset=utf-8")], true),
        (&[("content-type", "application/x-www-form-urlencoded, application/json")], true),
        (&[("content-type", "application/json"), ("content-encoding", "identity")], true),
        (&[("content-type", "application/json"), ("content-encoding", "gzip")], false),
        (
            &[
                ("content-type", "application/json"),
                ("content-encoding", "identity"),
                ("content-encoding", "br"),
            ],
            false,
        ),
        (&[("content-type", "application/jsonp")], false),
        (&[("content-type", "text/json")], false),
        (&[("content-type", "application/json-seq")], false),
        (&[("content-type", "json")], false),
        (&[("content-type", "application")], false),
        (&[], false),
    ] {
        let filtered = filtered(&*json_only, headers, &[Bytes::from_static(b"{}")]);
        assert_eq!(filtered, is_json.then(|| Bytes::from_static(b"{\"a\":\"1\"}")), "{headers:?}");
    }
    let headers_only = plugin(&json!({"add": {"headers": ["x:1"]}}));
    assert_eq!(filtered(&*headers_only, JSON, &[]), None);
}

#[test]
fn bodies_come_in_pieces_and_large_ones_pass() {
    let plugin = plugin(&json!({"remove": {"json": ["a"]}}));
    let pieces = ["{\"a", "\":1", "", ",\"b\":2}"].map(Bytes::from_static_str);
    assert_eq!(filtered(&*plugin, JSON, &pieces).unwrap(), "{\"b\":2}");

    let text = |spaces: usize| format!("{{\"a\":1{}}}", " ".repeat(spaces));
    let fits = text(body::SIZE_MAX - 7);
    assert_eq!(
        (fits.len(), filtered(&*plugin, JSON, &[fits.into()]).unwrap()),
        (body::SIZE_MAX, "{}".into())
    );
    let more: Bytes = text(body::SIZE_MAX - 6).into();
    let pieces = [more.slice(..100), more.slice(100..), Bytes::from_static(b" "), Bytes::from_static(b"\n")];
    let passed = filtered(&*plugin, JSON, &pieces).unwrap();
    assert!(passed == [&more[..], b" \n"].concat(), "{} bytes", passed.len());
    // Nothing of it is kept once it passes.
    let mut filter = plugin.body_filter(&Request::for_test(), &response(JSON)).unwrap();
    assert!(filter.chunk(more.clone()) == more && filter.chunk(Bytes::from_static(b"x")) == "x");
}

trait FromStaticStr {
    fn from_static_str(text: &'static str) -> Self;
}

impl FromStaticStr for Bytes {
    fn from_static_str(text: &'static str) -> Self {
        Self::from_static(text.as_bytes())
    }
}

#[test]
fn configurations_that_cannot_be_meant_are_refused() {
    for (config, expected) in [
        (json!({"remove": {"headers": ["x-a"], "json": ["a b"]}, "rename": {"headers": ["a:b"]}}), None),
        (json!({"add": {"json": ["a:0x", "b:1"], "json_types": ["string", "number"]}}), None),
        (json!({"add": {"headers": ["just_a_key"]}}), Some("invalid value: just_a_key")),
        (json!({"replace": {"json": ["just_a_key"]}}), Some("invalid value: just_a_key")),
        (json!({"append": {"headers": [":x"]}}), Some("invalid value: :x")),
        (json!({"add": {"json": ["a:"]}}), Some("key 'a' has no value")),
        (json!({"rename": {"headers": ["a:b c"]}}), Some("'b c' is not a valid header")),
        (json!({"rename": {"headers": ["a b:c"]}}), Some("'a b' is not a valid header")),
        (json!({"remove": {"headers": ["a b"]}}), Some("'a b' is not a valid header")),
        (json!({"add": {"headers": ["a b:c"]}}), Some("'a b' is not a valid header")),
        (
            json!({"append": {"headers": ["Content-Length:7"]}}),
            Some("'Content-Length' says how a response is framed, and cannot be set"),
        ),
        (
            json!({"rename": {"headers": ["a:transfer-encoding"]}}),
            Some("'transfer-encoding' says how a response is framed, and cannot be set"),
        ),
        (
            json!({"add": {"json": ["a:0x10"], "json_types": ["number"]}}),
            Some("add: the value of 'a' is not a number"),
        ),
        (
            json!({"append": {"json": ["a:inf"], "json_types": ["number"]}}),
            Some("append: the value of 'a' is not a number"),
        ),
    ] {
        assert_eq!(check(&SCHEMA.config, &config).err().as_deref(), expected, "{config}");
    }
    // What comes out of a vault.
    let config = json!({"add": {"headers": ["a:b\nc: d"]}});
    let said = crate::testing::refusal(&SCHEMA.config, make, &config);
    assert_eq!(said.as_deref(), Some("headers: a value cannot stand in a header"));
}

proptest! {
    #[test]
    fn any_body_passes_and_an_object_stays_one(body in "(\\{(\"[ab]\":(1|\"x\"|\\[1\\]|\\{\\}|null),){0,4}\"c\":1\\}|\\PC*)", cut in 0..40_usize) {
        let plugin = plugin(&json!({
            "remove": {"json": ["a"]}, "rename": {"json": ["b:d"]}, "append": {"json": ["e:1"]}
        }));
        let body = Bytes::from(body);
        let cut = cut.min(body.len());
        let passed = filtered(&*plugin, JSON, &[body.slice(..cut), body.slice(cut..)]).unwrap();
        match serde_json::from_slice::<serde_json::Map<String, Json>>(&body) {
            Ok(mut object) => {
                object.remove("a");
                if let Some(value) = object.remove("b") {
                    object.insert("d".to_owned(), value);
                }
                let mut list = match object.remove("e") {
                    Some(Json::Array(list)) => list,
                    Some(value @ (Json::String(_) | Json::Object(_))) => vec![value],
                    _ => Vec::new(),
                };
                list.push("1".into());
                object.insert("e".to_owned(), list.into());
                prop_assert_eq!(serde_json::from_slice::<serde_json::Map<String, Json>>(&passed).unwrap(), object);
            }
            Err(_) => prop_assert_eq!(passed, body),
        }
    }

    #[test]
    fn a_number_is_json(text in "[-+0-9.eE ]{0,8}|\\PC{0,6}") {
        if let Some(number) = body::number(&text) {
            prop_assert!(serde_json::from_str::<f64>(number.get()).is_ok(), "{}", number);
        }
    }
}
