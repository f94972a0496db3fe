//! Every login of `hcv`, and what becomes of its tokens: against a real OpenBao, and AppRole against the dev vault too.
//!
//! How often a server was asked is judged by the server: OpenBao's audit device, the dev vault's counters.

mod approle;
mod cert;
mod kubernetes;
mod lossy;
mod server;
mod tokens;
mod wrapping;

use std::sync::Arc;
use std::time::Duration;

use postern_client::Trust;
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, ResolveError, Resolver};
use postern_secrets::trail::Trail;
use postern_secrets::{Kind, Reference, Settings};
use serde_json::{Value, json};
use server::Server;

/// What every test reads.
const REFERENCE: &str = "{vault://hcv/password/pass}";

/// A resolver with one vault, `hcv`.
fn resolver(trust: &Trust, config: &Value) -> Resolver {
    let settings = Settings::from_entity(Kind::Hcv, config.as_object().expect("a configuration"));
    Resolver::new(Env::new([]), trust.clone()).with_vault("hcv", settings, Origin::new("test"))
}

/// The same, where nothing has to be trusted.
fn plain(config: &Value) -> Arc<Resolver> {
    Arc::new(resolver(&Trust::none(), config))
}

/// A vault's configuration: these fields, and where the server is.
fn config(port: u16, login: Value) -> Value {
    merged(json!({"host": "127.0.0.1", "port": port, "kv": "v2"}), login)
}

/// An object with the members of another over its own.
fn merged(mut base: Value, own: Value) -> Value {
    let Value::Object(own) = own else { panic!("not an object: {own}") };
    base.as_object_mut().expect("an object").extend(own);
    base
}

async fn resolve(resolver: &Resolver, reference: &str) -> Result<String, ResolveError> {
    let reference = Reference::parse(reference).expect("a reference");
    resolver.resolve(&reference, &Trail::off()).await.map(|value| value.expose().to_owned())
}

/// The secret, or what is said of it, the hint included.
async fn get(resolver: &Resolver) -> Result<String, String> {
    resolve(resolver, REFERENCE).await.map_err(|error| told(&error))
}

fn told(error: &ResolveError) -> String {
    format!("{error}\n{}", error.hint().unwrap_or_default())
}

#[track_caller]
fn assert_value(got: Result<String, String>) {
    assert_eq!(got.as_deref(), Ok("mypassword"));
}

#[track_caller]
fn assert_told(got: Result<String, String>, texts: &[&str]) {
    let error = got.expect_err("this cannot work");
    for text in texts {
        assert!(error.contains(text), "{text:?} is not in: {error}");
    }
}

/// Waits until something holds, and tells how long that took.
async fn eventually(what: &str, holds: impl AsyncFn() -> bool) -> Duration {
    let started = tokio::time::Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(30), "still not: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}
