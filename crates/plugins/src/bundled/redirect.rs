//! `redirect`: the client is told where to go instead.
//!
//! Owns: the address that it is told. Must not know: what is there. Whether the client's own path is kept in it, the
//! operator says; its host is never the client's choice.

use bytes::Bytes;
use http::header::{HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use postern_model::field::{Check, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Value};
use serde::Deserialize;
use url::Url;

use super::rules;
use crate::plugin::{Answer, AnswerBody, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "redirect",
    priority: 779,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema { fields: FIELDS, checks: &[Check::Custom(path_has_a_place)] },
    doc: "Sends clients to another address.",
};

const FIELDS: &[Field] = &[
    Field::integer("status_code")
        .required()
        .default_int(301)
        .rules(&[Rule::Between(100.0, 599.0), Rule::Custom(rules::status)])
        .doc("The status of the answer, from 200: one below it ends no request."),
    Field::string("location")
        .required()
        .rules(&[Rule::Custom(absolute)])
        .doc("The address, with scheme and host: `https://example.com/there?q=1`."),
    Field::boolean("keep_incoming_path")
        .default_bool(false)
        .doc("Whether path and query are the request's own, in place of those in `location`."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

fn absolute(value: &Value) -> Result<(), String> {
    let Value::Text(text) = value else { return Ok(()) };
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => (scheme, rest),
        _ => ("", text.as_str()),
    };
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
    let host = authority.map(|authority| authority.rsplit_once('@').map_or(authority, |(_, host)| host));
    if host.is_none_or(|host| host.is_empty() || host.starts_with(':')) {
        return Err("missing host in url".to_owned());
    }
    if scheme.is_empty() {
        return Err("missing scheme in url".to_owned());
    }
    rules::is_header_value(text)
}

/// Another path and query go only into an address that can be taken apart.
fn path_has_a_place(config: &Record) -> Result<(), (&'static str, String)> {
    let keeps = matches!(config.get("keep_incoming_path"), Some(Value::Boolean(true)));
    match config.text("location") {
        Some(location) if keeps && with_host(location).is_none() => {
            Err(("location", "missing host in url".to_owned()))
        }
        _ => Ok(()),
    }
}

fn with_host(location: &str) -> Option<Url> {
    Url::parse(location).ok().filter(Url::has_host)
}

#[derive(Deserialize)]
struct Config {
    status_code: u16,
    location: String,
    keep_incoming_path: Option<bool>,
}

struct Redirect {
    status: StatusCode,
    location: Location,
}

enum Location {
    /// As it is written.
    Fixed(HeaderValue),
    /// With another path and query.
    Around(Box<Url>),
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let Config { status_code, location, keep_incoming_path } = config.read()?;
    // hyper, as HTTP, takes a status below 200 for one that another follows.
    let status = StatusCode::from_u16(status_code).ok().filter(|status| !status.is_informational());
    let location = if keep_incoming_path == Some(true) {
        Location::Around(Box::new(with_host(&location).ok_or("location: not a URL with a host")?))
    } else {
        let value = HeaderValue::try_from(location);
        Location::Fixed(value.map_err(|_| "location: cannot stand in a header")?)
    };
    Ok(Prepared::ready(Redirect {
        status: status.ok_or("status_code: expected a status from 200 to 599")?,
        location,
    }))
}

impl Plugin for Redirect {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        let location = match &self.location {
            Location::Fixed(value) => Some(value.clone()),
            Location::Around(url) => around(url, request),
        };
        let Some(location) = location else {
            return Answer::message(StatusCode::BAD_REQUEST, "Bad request").into();
        };
        let headers = HeaderMap::from_iter([(LOCATION, location)]);
        let body = AnswerBody::Bytes(Bytes::from_static(b"redirecting"));
        Answer { status: self.status, headers, body }.into()
    }
}

/// The address with the client's path and query. They are written behind the host, so they cannot become a part of it.
fn around(url: &Url, request: &Request) -> Option<HeaderValue> {
    let mut url = url.clone();
    url.set_path(request.client_path());
    url.set_query(request.query.as_deref().filter(|query| !query.is_empty()));
    HeaderValue::try_from(String::from(url)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::{access, check};

    async fn told(config: &Json, request: &mut Request) -> (u16, String) {
        let plugin = crate::testing::make(&SCHEMA.config, make, config);
        let answer = access(&*plugin, request).await.unwrap();
        let AnswerBody::Bytes(body) = &answer.body else { panic!("{:?}", answer.body) };
        assert_eq!((&**body, answer.headers.len()), (b"redirecting".as_slice(), 1));
        (answer.status.as_u16(), answer.headers[LOCATION].to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn the_location_is_as_it_is_written() {
        let config = json!({"location": "https://example.com/a b?x=1#f"});
        let request = &mut Request::for_test().to("/p?q=1");
        assert_eq!(told(&config, request).await, (301, "https://example.com/a b?x=1#f".to_owned()));
        let config = json!({"location": "https://example.com", "status_code": 308});
        assert_eq!(told(&config, request).await, (308, "https://example.com".to_owned()));
    }

    #[tokio::test]
    async fn path_and_query_may_be_kept() {
        for (location, target, expected) in [
            ("https://example.com", "/", "https://example.com/"),
            (
                "https://example.com/some?a=b",
                "/status/200?keep=this",
                "https://example.com/status/200?keep=this",
            ),
            ("https://example.com/some?a=b#f", "/p", "https://example.com/p#f"),
            ("https://example.com/some?a=b", "/p?", "https://example.com/p"),
            ("https://me@example.com:444/", "/p", "https://me@example.com:444/p"),
            ("https://example.com", "/a%2Fb%20c", "https://example.com/a%2Fb%20c"),
            ("https://example.com", "//evil.test/x", "https://example.com//evil.test/x"),
            ("https://example.com", "/\\evil.test", "https://example.com//evil.test"),
            ("https://example.com", "@evil.test", "https://example.com/@evil.test"),
            ("https://example.com", "/p?q=\"<a>'&b=#c", "https://example.com/p?q=%22%3Ca%3E%27&b=%23c"),
        ] {
            let config = json!({"location": location, "keep_incoming_path": true, "status_code": 302});
            let request = &mut Request::for_test().to(target);
            assert_eq!(told(&config, request).await, (302, expected.to_owned()), "{location} {target}");
        }
    }

    #[tokio::test]
    async fn the_path_is_the_clients_whatever_the_upstream_would_get() {
        let mut request = Request::for_test().to("/before/x");
        request.set_path("/after".to_owned());
        let config = json!({"location": "http://a.test", "keep_incoming_path": true});
        assert_eq!(told(&config, &mut request).await.1, "http://a.test/before/x");
    }

    proptest! {
        #[test]
        fn no_client_chooses_the_host(path in "\\PC*", query in "\\PC*") {
            let url = Url::parse("https://example.com:8443/x").unwrap();
            let mut request = Request::for_test().to(&path);
            request.query = Some(query);
            let told = around(&url, &request).unwrap();
            let told = Url::parse(told.to_str().unwrap()).unwrap();
            prop_assert_eq!(told.origin(), url.origin());
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (location, complaint) in [
            ("https://example.com/x", None),
            ("https://[::1]:80", None),
            ("example.com", Some("missing host in url")),
            ("/there", Some("missing host in url")),
            ("https:///there", Some("missing host in url")),
            ("https://me@:80/", Some("missing host in url")),
            ("//example.com", Some("missing scheme in url")),
        ] {
            let said = check(&SCHEMA.config, &json!({ "location": location })).err();
            let complaint = complaint.map(|complaint| format!("location: {complaint}"));
            assert!(said.is_none() == complaint.is_none(), "{location}: {said:?}");
            assert!(said.is_none_or(|said| complaint.unwrap().ends_with(&said)), "{location}");
        }
        for config in [
            json!({"location": "https://a.test", "status_code": 101}),
            json!({"location": "https://a.test/\n"}),
            json!({"location": "https://a b.test/", "keep_incoming_path": true}),
        ] {
            assert!(crate::testing::refusal(&SCHEMA.config, make, &config).is_some(), "{config}");
        }
    }
}
