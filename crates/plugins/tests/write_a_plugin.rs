//! The worked example of CONTRIBUTING.md, "Write a plugin": what a plugin is, in one file, with its test.
//!
//! Owns: an example that is compiled and run. A real one lives in `src/bundled/` and has a line in `src/registry.rs`.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Text, Value};
use postern_plugins::plugin::{Answer, Plugin, Step};
use postern_plugins::prepared::Prepared;
use postern_plugins::registry::{Context, Definition, Phases};
use postern_plugins::view::{Request, Response, Source};
use postern_secrets::clock::Clock;
use serde::Deserialize;
use uuid::Uuid;

// 1. What can be configured. This list drives decoding, defaults, checks and documentation.

static SCHEMA: PluginSchema = PluginSchema {
    name: "doorbell",
    priority: 700,
    version: "1.0.0",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Lets nobody in who does not ring.",
};

const FIELDS: &[Field] = &[
    Field::string("bell").required().default_text("x-ring").doc("The header that rings."),
    Field::string("greeting").rules(&[Rule::LengthMax(80)]).doc("What the response says to those who rang."),
];

// 2. Where it takes part. It is not called in other phases.

const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, response: true, rewrite: false, body_filter: false, log: false },
    make,
};

// 3. From a configuration to a plugin. References are resolved by now; prepare here what every request needs.

#[derive(Deserialize)]
struct Config {
    bell: Text,
    greeting: Option<Text>,
}

struct Doorbell {
    bell: HeaderName,
    greeting: Option<HeaderValue>,
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    // Say which field is wrong, never its value: it may have come out of a vault.
    let bell = HeaderName::try_from(config.bell.as_str()).map_err(|_| "bell: not the name of a header")?;
    let greeting = config.greeting.map(|text| HeaderValue::from_str(&text)).transpose();
    let greeting = greeting.map_err(|_| "greeting: cannot stand in a header")?;
    // What keeps counts, queues or connections takes them over in `Prepared::at_commit`.
    Ok(Prepared::ready(Doorbell { bell, greeting }))
}

// 4. What it does.

impl Plugin for Doorbell {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        if request.headers.remove(&self.bell).is_some() {
            return Step::Continue;
        }
        Answer::message(StatusCode::FORBIDDEN, "Please ring").into()
    }

    fn response(&self, _: &Request, response: &mut Response) {
        if let (Some(greeting), Source::Upstream) = (&self.greeting, response.source) {
            response.headers.insert("x-greeting", greeting.clone());
        }
    }
}

// 5. What it is tested for: a table of requests.

fn plugin(greeting: Option<&str>) -> Box<dyn Plugin> {
    let greeting = greeting.map_or(Value::Null, |text| Value::Text(text.into()));
    let config = Record::new(vec![("bell", Value::Text("x-ring".into())), ("greeting", greeting)]);
    let context = Context { id: Uuid::nil(), clock: &Clock::system(), node: &Arc::default() };
    let prepared =
        (DEFINITION.make)(&config, &context).expect("a configuration that satisfies the field list");
    prepared.into_ready().expect("it takes nothing over")
}

#[test]
fn only_those_who_ring_come_in() {
    for (request, comes_in) in
        [(Request::for_test().with("X-Ring", "1"), true), (Request::for_test().with("x-knock", "1"), false)]
    {
        let mut request = request;
        let plugin = plugin(None);
        assert_eq!(matches!(plugin.access(&mut request), Step::Continue), comes_in);
        assert!(!request.headers.contains_key("x-ring"), "the upstream must not hear it");
    }
}

#[test]
fn the_upstreams_response_greets() {
    for (source, greets) in [(Source::Upstream, true), (Source::Plugin, false)] {
        let mut response = Response { status: StatusCode::OK, headers: HeaderMap::new(), source };
        plugin(Some("hello")).response(&Request::for_test(), &mut response);
        assert_eq!(response.headers.contains_key("x-greeting"), greets);
    }
}

#[test]
fn a_greeting_that_cannot_be_sent_is_refused_without_being_shown() {
    let config =
        Record::new(vec![("bell", Value::Text("x".into())), ("greeting", Value::Text("a\nb".into()))]);
    let context = Context { id: Uuid::nil(), clock: &Clock::system(), node: &Arc::default() };
    assert_eq!(
        (DEFINITION.make)(&config, &context).err().as_deref(),
        Some("greeting: cannot stand in a header")
    );
}
