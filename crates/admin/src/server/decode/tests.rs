//! Bodies as a table: what comes of them, whichever way they are written.

use postern_model::field::{HTTP_PROTOCOLS, PluginSchema, Schema, TEXT};
use serde_json::json;

use super::*;

const PLUGIN: PluginSchema = PluginSchema {
    name: "cors",
    priority: 1,
    version: "1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema {
        fields: &[
            Field::integer("max_age"),
            Field::number("ratio"),
            Field::boolean("credentials"),
            Field::strings("origins"),
            Field::map("headers", &TEXT, &TEXT),
            Field::record("redis", &[Field::integer("port").shorthands(&["redis_port"])]),
        ],
        checks: &[],
    },
    doc: "",
};

const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");

fn form(kind: &str, body: &str) -> Result<Value, Unreadable> {
    let kind = Kind::named(kind).unwrap();
    entity(FORM, body.as_bytes(), kind, None, &vec![&PLUGIN]).map(Value::Object)
}

#[test]
fn forms_mean_what_their_fields_take() {
    let cases = [
        ("routes", "paths[]=/a&paths[]=/b", json!({"paths": ["/a", "/b"]})),
        ("routes", "paths[2]=/b&paths[10]=/c&paths[1]=/a", json!({"paths": ["/a", "/b", "/c"]})),
        ("routes", "hosts=a&hosts=b", json!({"hosts": ["a", "b"]})),
        ("routes", "hosts=a%2Cb", json!({"hosts": ["a,b"]})),
        ("routes", "service.id=x&strip_path=false", json!({"service": {"id": "x"}, "strip_path": false})),
        ("routes", "service.id=", json!({"service": null})),
        ("routes", "name=", json!({"name": null})),
        ("routes", "headers.x-a[]=1&headers[x.b]=2", json!({"headers": {"x-a": ["1"], "x.b": ["2"]}})),
        ("routes", "sources[1].ip=a&sources[1].port=1", json!({"sources": [{"ip": "a", "port": 1}]})),
        ("services", "port=80&retries=x&host=1", json!({"port": 80, "retries": "x", "host": "1"})),
        ("plugins", "name=cors&config.max_age=5", json!({"name": "cors", "config": {"max_age": 5}})),
        (
            "plugins",
            "name=cors&config.origins=a&config.redis_port=1&config.redis.port=2&config.credentials=true",
            json!({"name": "cors", "config":
                {"origins": ["a"], "redis_port": 1, "redis": {"port": 2}, "credentials": true}}),
        ),
        (
            "vaults",
            "name=hcv&config.port=1&tags=a",
            json!({"name": "hcv", "config": {"port": 1}, "tags": ["a"]}),
        ),
        ("certificates", "snis=a.b&cert=+%2B", json!({"snis": ["a.b"], "cert": " +"})),
        (
            "upstreams",
            "healthchecks.active.timeout=1.5",
            json!({"healthchecks": {"active": {"timeout": 1.5}}}),
        ),
        ("services", "", json!({})),
        ("services", "&&x", json!({"x": null})),
    ];
    for (kind, body, expected) in cases {
        assert_eq!(form(kind, body), Ok(expected), "{body}");
    }
}

#[test]
fn forms_that_are_none() {
    for body in ["a[=1", "a[]b=1", "a=1&a.b=2", "a.b=1&a=2", "a[]=1&a.b=2"] {
        assert!(matches!(form("services", body), Err(Unreadable::NotForm(_))), "{body}");
    }
    assert_eq!(form("services", "a=%00"), Err(Unreadable::Nul));
    assert_eq!(form("services", "a=%ff"), Err(Unreadable::NotUtf8));
    assert_eq!(form("services", &format!("a{}=1", ".b".repeat(DEPTH))), Err(Unreadable::TooDeep));
    assert_eq!(form("services", &"a=1&".repeat(PAIRS + 1)), Err(Unreadable::TooMany));
}

#[test]
fn json_has_one_meaning_and_bounds() {
    let read = |body: &[u8]| json::object(body);
    assert_eq!(
        read(b"{\"a\": [1, -1, 1.5, null, true, \"x\"]}").unwrap()["a"],
        json!([1, -1, 1.5, null, true, "x"])
    );
    for body in ["", "[]", "1", "{", "{}x", "{\"a\":}", "{\"a\":1e999}", "nul"] {
        assert_eq!(read(body.as_bytes()), Err(Unreadable::NotJson), "{body}");
    }
    assert_eq!(read(b"{\"a\":1,\"a\":1}"), Err(Unreadable::Twice));
    assert_eq!(read(b"{\"a\":{\"b\":1,\"\\u0062\":1}}"), Err(Unreadable::Twice));
    assert_eq!(read(b"{\"a\":\"\\u0000\"}"), Err(Unreadable::Nul));
    assert_eq!(read(b"{\"a\":\"\xff\"}"), Err(Unreadable::NotUtf8));
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(deep(DEPTH - 1).as_bytes()).is_ok());
    assert_eq!(read(deep(DEPTH).as_bytes()), Err(Unreadable::TooDeep));
    // Deeper than serde_json itself follows.
    assert_eq!(read(deep(100_000).as_bytes()), Err(Unreadable::TooDeep));
    let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(VALUES));
    assert_eq!(read(wide.as_bytes()), Err(Unreadable::TooMany));
}

#[test]
fn multipart() {
    let kind = Kind::named("certificates").unwrap();
    let read = |content_type: &str, body: &str| {
        entity(Some(content_type), body.as_bytes(), kind, None, &Vec::new()).map(Value::Object)
    };
    let body = "--xx\r\nContent-Disposition: form-data; name=\"cert\"; filename=\"c.pem\"\r\n\
        Content-Type: application/octet-stream\r\n\r\n-----BEGIN\r\n--x\r\n\r\n--xx\r\n\
        content-disposition: form-data; name=snis[]\r\n\r\na.b\r\n--xx--\r\n";
    let expected = json!({"cert": "-----BEGIN\r\n--x\r\n", "snis": ["a.b"]});
    assert_eq!(read("multipart/form-data; boundary=xx", body), Ok(expected.clone()));
    assert_eq!(read("Multipart/Form-Data; boundary=\"xx\"", body), Ok(expected));
    for (content_type, body) in [
        ("multipart/form-data", body),
        ("multipart/form-data; boundary=", body),
        ("multipart/form-data; boundary=yy", body),
        ("multipart/form-data; boundary=xx", &body[..body.len() - 6]),
        ("multipart/form-data; boundary=xx", "--xx\r\n\r\nno name\r\n--xx--"),
        ("multipart/form-data; boundary=xx", "--xx--xx"),
        ("multipart/form-data; boundary=xx", ""),
    ] {
        let read = read(content_type, body);
        let is_fine = body == "--xx--xx" && read == Ok(json!({}));
        assert!(is_fine || matches!(read, Err(Unreadable::NotForm(_))), "{content_type} {body:?}: {read:?}");
    }
}

#[test]
fn types_of_content() {
    let kind = Kind::named("services").unwrap();
    let read = |content_type: Option<&str>, body: &str| {
        entity(content_type, body.as_bytes(), kind, None, &Vec::new()).map(|body| body.len())
    };
    assert_eq!(read(None, ""), Ok(0));
    assert_eq!(read(None, "{}"), Err(Unreadable::MediaType));
    assert_eq!(read(Some("text/plain"), "{}"), Err(Unreadable::MediaType));
    assert_eq!(read(Some("application/jsonx"), "{}"), Err(Unreadable::MediaType));
    assert_eq!(read(Some("Application/JSON ; charset=utf-8"), "{\"a\":1}"), Ok(1));
    assert_eq!(read(Some("application/json"), ""), Ok(0));
}
