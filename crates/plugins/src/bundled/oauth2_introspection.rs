//! `oauth2-introspection`: whether an access token is active, by asking the server that issued it (RFC 7662).
//!
//! Owns: where a token stands, what is answered without one, and what the upstream is told about it. Must not know: how the
//! server is asked (`server`), what of its answer is kept (`verdict`). A token is never in a log, and in the cache only as
//! its hash.

mod server;
mod verdict;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT, Type};
use postern_model::{Record, Text, Value};
use postern_secrets::Secret;
use postern_secrets::hashed::Hashed;
use quick_cache::sync::Cache;
use serde::Deserialize;
use uuid::Uuid;

use self::server::{Present, Server};
use self::verdict::Verdict;
use super::rules;
use crate::identity;
use crate::plugin::{Answer, AnswerBody, Outcome, Plugin, Step};
use crate::prepared::{Living, Prepared};
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;
use crate::view::args::{self, Found};
use crate::view::body::Form;
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "oauth2-introspection",
    priority: 1700,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Lets requests in whose access token is active, by the word of the server that issued it.",
};

const FIELDS: &[Field] = &[
    Field::string("introspection_url")
        .required()
        .rules(&[Rule::Custom(rules::http_url)])
        .doc("Where tokens are introspected."),
    Field::string("authorization_value")
        .required()
        .secret()
        .rules(&[Rule::Custom(rules::header_value)])
        .doc("Who we are to it: the value of `Authorization`, as `Basic ...`."),
    Field::string("token_type_hint").doc("The hint that goes with each token."),
    Field::number("ttl")
        .required()
        .default_int(30)
        .doc("Seconds for which an answer holds, until the token ends at most; 0 for as long as it does."),
    Field::integer("timeout").default_int(10_000).doc("Milliseconds for an introspection."),
    Field::integer("keepalive").default_int(60_000).doc("Milliseconds for which an idle connection is kept."),
    Field::boolean("hide_credentials")
        .required()
        .default_bool(false)
        .doc("Whether the token is taken out of the request before the upstream sees it."),
    Field::boolean("run_on_preflight")
        .required()
        .default_bool(true)
        .doc("Whether `OPTIONS` requests need a token as well."),
    Field::string("anonymous")
        .default_text("")
        .doc("A consumer's identifier or name for requests without an active token."),
    Field::boolean("introspect_request")
        .required()
        .default_bool(false)
        .doc("Whether the server is told the request's path and method, which its answer may depend on."),
    Field::new("custom_introspection_headers", Type::Map(&HEADER_NAME, &HEADER_VALUE))
        .required()
        .default_empty()
        .doc("Headers of each introspection."),
    Field::string("consumer_by")
        .required()
        .default_text("username")
        .rules(&[Rule::OneOf(&["client_id", "username"])])
        .doc("What names the consumer: `username` its name, or `client_id` its `custom_id`."),
    Field::array("custom_claims_forward", &CLAIM)
        .required()
        .default_empty()
        .doc("Members of the answer that the upstream is told as `X-Credential-{name}`."),
];

const HEADER_NAME: Field = TEXT.rules(&[Rule::Custom(rules::header_name)]);
const HEADER_VALUE: Field = rules::HEADER_VALUE.secret();
const CLAIM: Field = TEXT.rules(&[Rule::Custom(claim)]);

fn claim(value: &Value) -> Result<(), String> {
    rules::on_text(value, |name| told_as(name).map(drop))
}

/// The header that tells the upstream a claim.
fn told_as(claim: &str) -> Result<HeaderName, String> {
    let header = HeaderName::try_from(format!("x-credential-{}", claim.replace('_', "-")));
    header.map_err(|_| format!("'{claim}' cannot be part of a header's name"))
}

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

/// Answers that are kept; an answer takes some hundred bytes.
const KEPT: usize = 100_000;
/// Seconds for which a token that is not active is not asked about again.
const INACTIVE: f64 = 5.0;
/// A longer token is nobody's.
const LONGEST: usize = 16 * 1024;

#[derive(Deserialize)]
struct Config {
    introspection_url: String,
    authorization_value: Secret,
    token_type_hint: Option<String>,
    ttl: f64,
    timeout: i64,
    keepalive: i64,
    hide_credentials: bool,
    run_on_preflight: bool,
    anonymous: Option<Text>,
    introspect_request: bool,
    custom_introspection_headers: BTreeMap<String, Secret>,
    consumer_by: String,
    custom_claims_forward: Vec<String>,
}

struct Introspection {
    kept: Arc<Kept>,
    /// Of what an answer depends on: another configuration has answers of its own.
    terms: [u8; 32],
    ttl: f64,
    hide_credentials: bool,
    run_on_preflight: bool,
    anonymous: Option<Text>,
    introspect_request: bool,
    by_client_id: bool,
    /// The members that are told, and how.
    claims: Arc<Vec<(String, HeaderName)>>,
    clock: Clock,
}

/// What outlives a configuration.
struct Kept {
    answers: Cache<[u8; 32], Arc<Verdict>>,
    /// With the credentials of the present configuration.
    server: arc_swap::ArcSwapOption<Present>,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let mut claims = Vec::new();
    for name in verdict::STANDARD.iter().map(|name| (*name).to_owned()).chain(config.custom_claims_forward) {
        let header =
            told_as(&name).map_err(|_| "custom_claims_forward: cannot be part of a header's name")?;
        if !claims.iter().any(|(_, known)| *known == header) {
            claims.push((name, header));
        }
    }
    let hint = config.token_type_hint.as_deref().unwrap_or_default();
    let asked = Hashed::of("what a token is introspected for").field(&config.introspection_url).field(hint);
    let terms = claims.iter().fold(asked, |terms, (name, _)| terms.field(name)).end();
    let server = Server::new(
        &config.introspection_url,
        server::Terms {
            authorization: config.authorization_value,
            headers: config.custom_introspection_headers,
            hint: config.token_type_hint,
            timeout: milliseconds(config.timeout).max(Duration::from_millis(1)),
            idle: milliseconds(config.keepalive),
        },
        &context.node.trust,
    )?;
    let clock = context.clock.clone();
    Ok(Prepared::at_commit(move |living| Introspection {
        kept: Kept::asking(server, living),
        terms,
        ttl: config.ttl,
        hide_credentials: config.hide_credentials,
        run_on_preflight: config.run_on_preflight,
        anonymous: config.anonymous.filter(|name| !name.is_empty()),
        introspect_request: config.introspect_request,
        by_client_id: config.consumer_by == "client_id",
        claims: Arc::new(claims),
        clock,
    }))
}

/// Below zero is as zero, and a day as long as any longer time.
fn milliseconds(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or(0)).min(Duration::from_secs(86_400))
}

impl Kept {
    /// What the plugin has, asking this server from now on.
    fn asking(server: Server, living: &Living<'_>) -> Arc<Self> {
        let kept = living
            .state
            .of(living.id, || Self { answers: Cache::new(KEPT), server: arc_swap::ArcSwapOption::empty() });
        kept.server.store(Some(Arc::new(Present { server, renewal: living.renewal.clone() })));
        kept
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NoToken,
    /// In two places: which one counts is nothing to guess.
    TwoTokens,
    Inactive,
    /// The server could not be asked, or said nonsense.
    Unknown,
}

impl Plugin for Introspection {
    fn wants_body(&self, request: &Request) -> bool {
        self.runs(request) && Form::of(&request.headers).is_some()
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        // Whatever a client says of its own credential.
        for (_, header) in self.claims.iter() {
            request.headers.remove(header);
        }
        if !self.runs(request) {
            return Step::Continue;
        }
        let token = match self.token(request) {
            Ok(token) => token,
            Err(refusal) => return self.refuse(request, refusal),
        };
        let key = self.key(request, &token);
        // What is known needs nobody to be waited for.
        if let Some(verdict) = self.kept.answers.get(&key).filter(|verdict| verdict.holds(self.clock.now())) {
            return match self.admit(request, &verdict, key) {
                Ok(()) => Step::Continue,
                Err(refusal) => self.refuse(request, refusal),
            };
        }
        Step::Wait(Box::pin(async move {
            let admitted = match self.ask(request, &token, key).await {
                Ok(verdict) => self.admit(request, &verdict, key),
                Err(refusal) => Err(refusal),
            };
            match admitted.map_err(|refusal| self.refuse(request, refusal)) {
                Err(Step::Answer(answer)) => Outcome::Answer(answer),
                _ => Outcome::Continue,
            }
        }))
    }
}

impl Introspection {
    fn runs(&self, request: &Request) -> bool {
        let is_preflight = !self.run_on_preflight && request.method == Method::OPTIONS;
        // With `anonymous`, one of several authentication plugins is enough.
        let is_done = self.anonymous.is_some() && request.credential.is_some();
        !is_preflight && !is_done
    }

    /// The token, taken out of the request where it is to be hidden.
    fn token(&self, request: &mut Request) -> Result<Secret, Refusal> {
        let mut found: Vec<Secret> = Vec::new();
        let mut take = |place: Found<'_>| match place {
            Found::Once(Some(token)) if !token.is_empty() => {
                found.push(Secret::from(&*token));
                Ok(())
            }
            Found::Often => Err(Refusal::TwoTokens),
            _ => Ok(()),
        };
        let mut headers = request.headers.get_all(AUTHORIZATION).iter();
        let header = match (headers.next(), headers.next()) {
            (Some(only), None) => bearer(only),
            (Some(_), Some(_)) => return Err(Refusal::TwoTokens),
            (None, _) => None,
        };
        let in_header = header.is_some();
        take(header.map_or(Found::Nothing, |token| Found::Once(Some(Cow::Borrowed(token)))))?;
        if let Some(query) = &request.query {
            take(args::find(query, TOKEN))?;
        }
        let form = Form::of(&request.headers);
        if let (Some(form), Some(body)) = (&form, &request.body) {
            take(form.find(body, TOKEN))?;
        }
        let (token, more) = (found.pop(), !found.is_empty());
        if self.hide_credentials {
            if in_header {
                request.headers.remove(AUTHORIZATION);
            }
            if let Some(query) =
                request.query.as_ref().filter(|query| args::find(query, TOKEN) != Found::Nothing)
            {
                request.query = Some(args::without(query, TOKEN)).filter(|query| !query.is_empty());
            }
            if let (Some(form), Some(body)) = (form, &request.body)
                && form.find(body, TOKEN) != Found::Nothing
                && let Some(left) = form.without(body, TOKEN)
            {
                request.set_body(left);
            }
        }
        match token {
            _ if more => Err(Refusal::TwoTokens),
            None => Err(Refusal::NoToken),
            Some(token) if token.expose().len() > LONGEST => Err(Refusal::Inactive),
            Some(token) => Ok(token),
        }
    }

    /// What an answer is kept by: each part with its length, so that no two requests share one by the way they are cut.
    fn key(&self, request: &Request, token: &Secret) -> [u8; 32] {
        let asked = Hashed::of("an answer about a token").fixed(self.terms).field(token.expose());
        match self.introspect_request {
            true => asked.field(request.method.as_str()).field(request.client_path()).end(),
            false => asked.end(),
        }
    }

    /// Asks, once for all that ask at the same time.
    async fn ask(&self, request: &Request, token: &Secret, key: [u8; 32]) -> Result<Arc<Verdict>, Refusal> {
        let answers = &self.kept.answers;
        if answers.peek(&key).is_some_and(|verdict| !verdict.holds(self.clock.now())) {
            answers.remove(&key);
        }
        let asked = answers.get_or_insert_async(&key, async {
            let about = self.introspect_request.then(|| (request.client_path(), &request.method));
            let server = || self.kept.server.load_full();
            let reply = server::introspect(server, token, about).await.map_err(|reason| {
                tracing::warn!(request_id = %request.id, reason, "a token could not be introspected");
                Refusal::Unknown
            })?;
            let now = self.clock.now();
            let mut verdict = Verdict::of(&reply, &self.claims, now);
            verdict.keep(if verdict.active { self.ttl } else { INACTIVE }, now);
            Ok(Arc::new(verdict))
        });
        asked.await
    }

    fn admit(&self, request: &mut Request, verdict: &Verdict, key: [u8; 32]) -> Result<(), Refusal> {
        if !verdict.active {
            return Err(Refusal::Inactive);
        }
        let consumer = match self.by_client_id {
            true => verdict.client_id.as_deref().and_then(|id| request.directory.by_custom_id(id)),
            false => verdict.username.as_deref().and_then(|name| request.directory.by_username(name)),
        };
        // Tokens have no identifier of their own here; the hash serves those who count by credential.
        let credential = Uuid::from_slice(&key[..16]).unwrap_or_default();
        let identifier = verdict.username.as_deref().and_then(|name| HeaderValue::from_str(name).ok());
        match consumer.cloned() {
            Some(consumer) => identity::authenticated(request, consumer, credential, identifier),
            None => identity::without_consumer(request, credential, identifier),
        }
        for (name, value) in &verdict.headers {
            request.headers.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    fn refuse<'a>(&self, request: &mut Request, refusal: Refusal) -> Step<'a> {
        if let Some(name) = &self.anonymous {
            return identity::anonymous(request, name);
        }
        let (status, error, description) = match refusal {
            Refusal::NoToken => (401, "invalid_request", "The access token is missing"),
            Refusal::TwoTokens => (400, "invalid_request", "The access token must be in one place only"),
            Refusal::Inactive => (401, "invalid_token", "The access token is invalid or has expired"),
            Refusal::Unknown => {
                return Answer::message(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred")
                    .into();
            }
        };
        let challenge = match refusal {
            Refusal::NoToken => "Bearer realm=\"service\"".to_owned(),
            _ => format!("Bearer realm=\"service\" error=\"{error}\" error_description=\"{description}\""),
        };
        let body = serde_json::json!({"error": error, "error_description": description}).to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        // Made of the words above.
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED);
        Answer { status, headers, body: AnswerBody::Bytes(body.into()) }.into()
    }
}

const TOKEN: &str = "access_token";

/// What follows the word `Bearer`.
pub(crate) fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests;
