//! Every plugin with values at, beyond and far beyond each rule: what the field lists accept can be made and runs.
//!
//! Owns: what must hold; `postern_model::generated` has what is tried. Must not know: any plugin. A configuration takes the way that one
//! takes over the Admin API: checked, kept with every default, and read again. One value after the other is wrong in a
//! configuration that is right; then several at random. `GENERATE=n` tries all of the former, not every fourth, and n of the
//! latter; `SEED=n` tries others of these.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};
use postern_model::check::{check, rows};
use postern_model::generated::{Change, changes};
use postern_model::{Kind, Snapshot};
use serde_json::{Map, Value as Json, json};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::*;
use crate::examples;
use crate::node::Node;
use crate::prepared::Living;
use crate::renewal::Renewal;
use crate::state::State;
use crate::view::{Request, Response, Source, Summary};

/// Where plugins are made. Nobody drives the runtime: what would ask somebody else ends there.
struct Place<'a> {
    runtime: &'a Runtime,
    node: &'a Arc<Node>,
}

/// What came of a configuration.
#[derive(Debug, PartialEq)]
enum Outcome {
    Refused,
    Runs,
    /// It was accepted, and then that.
    Fails(String),
}

#[test]
fn what_is_accepted_can_be_made() {
    let registry = Registry::bundled();
    let (runtime, node) =
        (Builder::new_current_thread().enable_all().build().unwrap(), Arc::new(Node::default()));
    let place = &Place { runtime: &runtime, node: &node };
    let mut failures = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    let mut tell = |outcome: Outcome, plugin: &str, changes: &[&Change]| match outcome {
        Outcome::Runs => accepted += 1,
        Outcome::Refused => refused += 1,
        Outcome::Fails(reason) => {
            let changed: Vec<String> = changes.iter().map(|change| change.shown()).collect();
            failures.push(format!("{plugin}: {reason}; with {}", changed.join(" and ")));
        }
    };
    let plugins: Vec<_> = registry
        .0
        .iter()
        .map(|definition| (definition, example(definition), changes(definition.schema.config.fields)))
        .collect();
    let how_many = number("GENERATE");
    for (definition, base, changes) in &plugins {
        let outcome = attempt(definition, base, place);
        assert_eq!(outcome, Outcome::Runs, "the example of {}", definition.schema.name);
        for (_, change) in
            changes.iter().enumerate().filter(|(index, _)| how_many.is_some() || index % 4 == 0)
        {
            let config = change.applied_to(base.clone());
            tell(attempt(definition, &config, place), definition.schema.name, &[change]);
        }
    }
    let seed = number("SEED").unwrap_or(15);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..how_many.unwrap_or(4_000) {
        let (definition, base, changes) = &plugins[random.usize(..plugins.len())];
        let some: Vec<&Change> =
            (0..random.usize(2..=5)).map(|_| Change::any(changes, |end| random.usize(..end))).collect();
        let config = some.iter().fold(base.clone(), |config, change| change.applied_to(config));
        tell(attempt(definition, &config, place), definition.schema.name, &some);
    }
    println!("{accepted} accepted, {refused} refused");
    let count = failures.len();
    let mut plugins: Vec<&str> = failures.iter().filter_map(|failure| failure.split(':').next()).collect();
    plugins.sort_unstable();
    plugins.dedup();
    let shown: String = failures.iter().take(400).map(|failure| format!("\n  {failure}")).collect();
    assert!(
        failures.is_empty(),
        "{count} configurations of {} plugins are accepted and cannot be served (seed {seed}):{shown}",
        plugins.len()
    );
    assert!(accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
}

/// A number for the test, from outside.
#[expect(clippy::disallowed_methods, reason = "how long a test runs is not the gateway's matter")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The example of a plugin, with every default.
fn example(definition: &Definition) -> Json {
    let yaml = examples::of(definition.schema.name).unwrap().replace('\n', "\n    ");
    let mut literal = String::new();
    // A reference would be filled in later.
    for (index, piece) in yaml.split("{vault://").enumerate() {
        match piece.split_once('}') {
            Some((_, rest)) if index > 0 => literal.extend(["a-secret", rest]),
            _ => literal.push_str(piece),
        }
    }
    let document = format!("_format_version: '3.0'\nplugins:\n  - {literal}");
    let document = postern_model::read(document.as_bytes(), &|_| None).unwrap();
    let checked = check(document, &Registry::bundled()).unwrap();
    checked.snapshot.plugins.iter().next().unwrap().record.record("config").unwrap().to_json()
}

/// Checks a configuration as the Admin API does, makes the plugin and has a request through it.
fn attempt(definition: &'static Definition, config: &Json, place: &Place<'_>) -> Outcome {
    let body = json!({"name": definition.schema.name, "config": config});
    let Json::Object(body) = body else { unreachable!() };
    match catch_unwind(AssertUnwindSafe(|| served(definition, &body, place))) {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Fails("a panic".to_owned()),
    }
}

fn served(definition: &'static Definition, body: &Map<String, Json>, place: &Place<'_>) -> Outcome {
    let registry = Registry::bundled();
    let Some(kind) = Kind::named("plugins") else { unreachable!() };
    let Ok(mut checked) = kind.check(body, &registry) else { return Outcome::Refused };
    checked.body.insert("id".to_owned(), Uuid::from_u128(7).to_string().into());
    let snapshot = match rows([("plugins", &checked.body)], &registry) {
        Ok((snapshot, _)) => snapshot,
        Err(violations) => return Outcome::Fails(format!("it reads back as {violations:?}")),
    };
    match made(definition, &snapshot, place) {
        Ok(()) => Outcome::Runs,
        Err(reason) => Outcome::Fails(reason),
    }
}

fn made(definition: &'static Definition, snapshot: &Snapshot, place: &Place<'_>) -> Result<(), String> {
    let entry = snapshot.plugins.iter().next().ok_or("it is not there")?;
    // What holds a reference is read when that is filled in.
    let Some(plugin) = &entry.value else { return Ok(()) };
    let clock = Clock::at(1_700_000_000);
    let context = Context { id: entry.id, clock: &clock, node: &place.node.facts };
    let prepared = (definition.make)(&plugin.config, &context)?;
    let state = Arc::new(State::default());
    let living = Living {
        id: entry.id,
        state: &state,
        node: place.node,
        renewal: &Renewal::default(),
        io: place.runtime.handle(),
    };
    let plugin = prepared.commit(&living);
    let _in_it = place.runtime.enter();
    let mut request =
        Request::for_test().to("/a/b?jwt=1&apikey=x&session_logout=true").with("origin", "http://a.example");
    request.headers.insert("x-a", HeaderValue::from_static("1"));
    request.method = http::Method::POST;
    request.body = Some("{\"a\": 1}".into());
    request.headers.insert("content-type", HeaderValue::from_static("application/json"));
    let _ = plugin.rewrite(&mut request);
    let _ = plugin.wants_body(&request);
    let _ = plugin.access(&mut request);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-kong-limit", HeaderValue::from_static("pages=1"));
    let mut response = Response { status: StatusCode::OK, headers, source: Source::Upstream };
    plugin.response(&request, &mut response);
    if let Some(mut filter) = plugin.body_filter(&request, &response) {
        let _ = filter.chunk("{\"a\": 1}".into());
        let _ = filter.end();
    }
    plugin.log(&request, &Summary::for_test());
    Ok(())
}
