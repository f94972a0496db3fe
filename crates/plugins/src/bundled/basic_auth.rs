//! `basic-auth`: who sends a request is told by a name and a password (RFC 7617).
//!
//! Owns: reading the header, and what is answered without a right password. Must not know: which passwords are right;
//! the directory does. A check that takes long runs beside the worker (`slow`). Texts and headers are Kong's.

mod attempts;
mod slow;

use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::StatusCode;
use http::header::{
    AUTHORIZATION, HeaderName, HeaderValue, PROXY_AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use postern_model::field::{Check as Together, Field, HTTP_AND_WS_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Text, Value};
use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use self::attempts::Attempts;
use self::slow::SlowChecks;
use super::{redis, rules};
use crate::directory::{Check, Consumer};
use crate::identity;
use crate::plugin::{Answer, Outcome, Plugin, Step};
use crate::prepared::Prepared;
use crate::redis::connect::Failure;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "basic-auth",
    priority: 1100,
    version: "3.9.1",
    protocols: HTTP_AND_WS_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[Together::Custom(redis_is_named)] },
    doc: "Lets those through who know a password, and tells the upstream who they are.",
};

const FIELDS: &[Field] = &[
    Field::string("anonymous")
        .doc("The identifier or name of a consumer for requests without a right password."),
    Field::boolean("hide_credentials")
        .required()
        .default_bool(false)
        .doc("Whether the password is kept from the upstream."),
    Field::string("realm")
        .required()
        .default_text("service")
        .rules(&[Rule::Custom(rules::header_value)])
        .doc("What `WWW-Authenticate` calls this place."),
    Field::record(
        "brute_force_protection",
        &[
            Field::string("strategy")
                .default_text("off")
                .rules(&[Rule::OneOf(&["cluster", "memory", "off", "redis"]), Rule::Custom(strategy)])
                .doc("Where wrong passwords are counted by name: `memory`, in this node's; `redis`, for several nodes together."),
            Field::record("redis", &REDIS).doc("The Redis, for `strategy: redis`."),
        ],
    )
    .doc("Slows those down who try passwords."),
];

const REDIS: [Field; 17] = redis::with_groups(false);

/// Kong's counts in its own database.
fn strategy(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(strategy) if &**strategy == "cluster" => {
            Err("counts in the database are not supported; use redis or memory".to_owned())
        }
        _ => Ok(()),
    }
}

fn redis_is_named(config: &Record) -> Result<(), (&'static str, String)> {
    let Some(protection) = config.record("brute_force_protection") else { return Ok(()) };
    redis::groups_are_whole(protection, "brute_force_protection.redis")?;
    match protection.text("strategy") {
        Some("redis") => redis::is_named(protection, "brute_force_protection.redis.host"),
        _ => Ok(()),
    }
}

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    anonymous: Option<Text>,
    hide_credentials: bool,
    realm: String,
    brute_force_protection: Option<Protection>,
}

#[derive(Deserialize)]
struct Protection {
    strategy: Option<String>,
    redis: Option<redis::Config>,
}

struct BasicAuth {
    anonymous: Option<Text>,
    hide_credentials: bool,
    challenge: HeaderValue,
    slow: Arc<SlowChecks>,
    /// Where wrong passwords are counted.
    attempts: Option<Attempts>,
    clock: Clock,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let Config { anonymous, hide_credentials, realm, brute_force_protection } = config.read()?;
    let attempts = match brute_force_protection {
        Some(Protection { strategy: Some(strategy), redis }) if strategy == "redis" => {
            let redis = redis.ok_or("brute_force_protection: redis: required field missing")?;
            Some(Some(redis.settings(context)?))
        }
        Some(Protection { strategy: Some(strategy), .. }) if strategy == "memory" => Some(None),
        _ => None,
    };
    let challenge = HeaderValue::try_from(format!("Basic realm=\"{realm}\""));
    let challenge = challenge.map_err(|_| "realm: cannot stand in a header")?;
    let clock = context.clock.clone();
    Ok(Prepared::at_commit(move |living| BasicAuth {
        anonymous,
        hide_credentials,
        challenge,
        // One for the whole node: what it bounds is the node's.
        slow: living.state.of(Uuid::nil(), SlowChecks::default),
        attempts: attempts.map(|redis| match redis {
            Some(redis) => Attempts::there(redis, living),
            None => Attempts::here(clock.clone(), living),
        }),
        clock,
    }))
}

/// A name and a password, as a request shows them.
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) password: Zeroizing<Vec<u8>>,
}

/// Who it is, if the password is right.
struct Claim {
    consumer: Arc<Consumer>,
    credential: Uuid,
    identifier: Option<HeaderValue>,
}

impl Claim {
    fn accept(self, request: &mut Request) {
        identity::authenticated(request, self.consumer, self.credential, self.identifier);
    }
}

impl Plugin for BasicAuth {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        // With `anonymous`, one of several authentication plugins is enough.
        if self.anonymous.is_some() && request.credential.is_some() {
            return Step::Continue;
        }
        let Some(shown) = self.shown(request) else { return self.refuse(request) };
        if let Some(attempts) = &self.attempts {
            return Step::Wait(Box::pin(self.try_once(attempts, shown, request)));
        }
        match begin(request, &shown) {
            (Check::Right, Some(claim)) => {
                claim.accept(request);
                Step::Continue
            }
            (Check::Slow(check), claim) => Step::Wait(Box::pin(async move {
                let is_right = self.slow.run(check, shown.password, &self.clock).await;
                match claim.filter(|_| is_right) {
                    Some(claim) => claim.accept(request),
                    None => return outcome(self.refuse(request)),
                }
                Outcome::Continue
            })),
            _ => self.refuse(request),
        }
    }
}

/// Looks a name up, and its password, as far as that takes no time.
fn begin(request: &Request, shown: &Shown) -> (Check, Option<Claim>) {
    let passwords = request.directory.passwords();
    let found = passwords.find(&shown.name);
    let claim = found.map(|found| Claim {
        consumer: Arc::clone(&found.consumer),
        credential: found.id,
        identifier: found.identifier.clone(),
    });
    (passwords.check(found, &shown.password), claim)
}

/// Of a step that takes no time.
fn outcome(step: Step<'_>) -> Outcome {
    match step {
        Step::Answer(answer) => Outcome::Answer(answer),
        _ => Outcome::Continue,
    }
}

/// Nobody knows how many wrong passwords there were.
fn unknown(attempts: &Attempts, failure: &Failure, request: &Request) -> Outcome {
    attempts.complain(request, failure);
    let answer = Answer::message(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred");
    Outcome::Answer(Box::new(answer))
}

impl BasicAuth {
    /// The same where wrong passwords are counted.
    async fn try_once(&self, attempts: &Attempts, shown: Shown, request: &mut Request) -> Outcome {
        match attempts.wait(&shown.name).await {
            Ok(0) => {}
            Ok(wait) => return self.too_many(wait, request),
            Err(failure) => return unknown(attempts, &failure, request),
        }
        let name = shown.name.clone();
        let claim = match begin(request, &shown) {
            (Check::Right, claim) => claim,
            (Check::Slow(check), claim) => {
                let is_right = self.slow.run(check, shown.password, &self.clock).await;
                claim.filter(|_| is_right)
            }
            _ => None,
        };
        if let Some(claim) = claim {
            claim.accept(request);
            return Outcome::Continue;
        }
        match attempts.failed(&name).await {
            Ok(0) => outcome(self.refuse(request)),
            Ok(wait) => self.too_many(wait, request),
            Err(failure) => unknown(attempts, &failure, request),
        }
    }

    /// With `anonymous`, others may still say who it is.
    fn too_many(&self, wait: u32, request: &mut Request) -> Outcome {
        match &self.anonymous {
            Some(name) => outcome(identity::anonymous(request, name)),
            None => {
                let answer = Answer::message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
                Outcome::Answer(Box::new(answer.with_header(RETRY_AFTER, HeaderValue::from(wait))))
            }
        }
    }

    fn refuse<'a>(&self, request: &mut Request) -> Step<'a> {
        match &self.anonymous {
            Some(name) => identity::anonymous(request, name),
            None => Answer::message(StatusCode::UNAUTHORIZED, "Unauthorized")
                .with_header(WWW_AUTHENTICATE, self.challenge.clone())
                .into(),
        }
    }

    /// What `Proxy-Authorization` shows, if somebody has that name; otherwise what `Authorization` shows.
    fn shown(&self, request: &mut Request) -> Option<Shown> {
        let first = self.take(request, PROXY_AUTHORIZATION);
        match first {
            Some(first) if request.directory.passwords().find(&first.name).is_some() => Some(first),
            _ => self.take(request, AUTHORIZATION),
        }
    }

    fn take(&self, request: &mut Request, header: HeaderName) -> Option<Shown> {
        let shown = request.headers.get(&header).and_then(read);
        if self.hide_credentials {
            request.headers.remove(header);
        }
        shown
    }
}

/// `Basic`, in any case that Kong takes, and name and password in base64, with or without its padding.
pub(crate) fn read(value: &HeaderValue) -> Option<Shown> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let text = value.to_str().ok()?.trim();
    let (scheme, encoded) = text.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(BASE64.decode(encoded.trim_start()).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':').filter(|at| *at > 0)?;
    let name = String::from_utf8_lossy(&decoded[..colon]).into_owned();
    Some(Shown { name, password: Zeroizing::new(decoded[colon + 1..].to_vec()) })
}

#[cfg(test)]
mod tests;
