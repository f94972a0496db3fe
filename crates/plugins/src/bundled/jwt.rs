//! `jwt`: who sends a request is told by a signed token in the query, a cookie or a header.
//!
//! Owns: where a token is looked for, which of its claims count, and what is answered without one. Must not know: keys;
//! the directory does, and says by which algorithm they are used. `token` takes tokens apart. Texts, order and headers are
//! Kong's.

pub(crate) mod token;

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use postern_model::field::{Check, Default, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT};
use postern_model::{Record, Text, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use self::token::{Malformed, Token};
use super::rules::{self, HEADER_NAME};
use crate::directory::issuers::Unverified;
use crate::identity;
use crate::logging::redact::Unusual;
use crate::plugin::{Answer, AnswerBody, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;
use crate::view::{args, cookies};
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "jwt",
    priority: 1450,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[Check::Custom(maximum_needs_exp)] },
    doc: "Lets those through who show a signed token, and tells the upstream who they are.",
};

const FIELDS: &[Field] = &[
    Field::set("uri_param_names", &TEXT)
        .default_texts(&["jwt"])
        .doc("The names of query parameters where a token is looked for."),
    Field::set("cookie_names", &TEXT)
        .default_empty()
        .doc("The names of cookies where a token is looked for."),
    Field::string("key_claim_name")
        .default_text("iss")
        .doc("The claim, or else the member of the token's header, that names the credential."),
    Field::boolean("secret_is_base64")
        .required()
        .default_bool(false)
        .doc("Whether the secrets of credentials are written in base64."),
    Field::set("claims_to_verify", &CLAIM)
        .default(Default::None)
        .doc("The claims that are checked: `exp`, the end of a token, and `nbf`, its beginning."),
    Field::string("anonymous")
        .doc("The identifier or name of a consumer for requests without a right token."),
    Field::boolean("run_on_preflight")
        .required()
        .default_bool(true)
        .doc("Whether `OPTIONS` requests need a token too."),
    Field::number("maximum_expiration").default_int(0).rules(&[Rule::Between(0.0, 31_536_000.0)]).doc(
        "The seconds that a token may still be valid at most; 0 for any. Needs `exp` in `claims_to_verify`.",
    ),
    Field::set("header_names", &HEADER_NAME)
        .default_texts(&["authorization"])
        .doc("The names of headers where a token is looked for, behind the word `Bearer`."),
    Field::string("realm")
        .rules(&[Rule::Custom(rules::header_value)])
        .doc("What `WWW-Authenticate` calls this place."),
];

const CLAIM: Field = Field::string("").rules(&[Rule::OneOf(&["exp", "nbf"])]);

fn maximum_needs_exp(config: &Record) -> Result<(), (&'static str, String)> {
    let is_limited = match config.get("maximum_expiration") {
        Some(Value::Number(most)) => *most > 0.0,
        Some(Value::Integer(most)) => *most > 0,
        _ => false,
    };
    let claims = config.get("claims_to_verify").and_then(Value::as_list).unwrap_or_default();
    if !is_limited || claims.iter().any(|claim| claim.as_text() == Some("exp")) {
        return Ok(());
    }
    Err(("claims_to_verify", "expected to contain: exp".to_owned()))
}

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    uri_param_names: Option<Vec<String>>,
    cookie_names: Option<Vec<String>>,
    header_names: Option<Vec<String>>,
    key_claim_name: Option<String>,
    secret_is_base64: bool,
    claims_to_verify: Option<Vec<String>>,
    anonymous: Option<Text>,
    run_on_preflight: bool,
    maximum_expiration: Option<f64>,
    realm: Option<String>,
}

struct Jwt {
    parameters: Vec<String>,
    cookies: Vec<String>,
    headers: Vec<HeaderName>,
    unusual: Unusual,
    key_claim: String,
    secret_is_base64: bool,
    verifies_exp: bool,
    verifies_nbf: bool,
    /// In seconds from now.
    longest: Option<f64>,
    anonymous: Option<Text>,
    run_on_preflight: bool,
    /// To those who show no token.
    challenge: HeaderValue,
    /// To those who show a wrong one.
    challenge_with_error: HeaderValue,
    clock: Clock,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let headers = config.header_names.unwrap_or_default();
    let headers =
        headers.iter().map(|name| HeaderName::try_from(name.as_str())).collect::<Result<Vec<_>, _>>();
    let headers = headers.map_err(|_| "header_names: not the name of a header")?;
    let parameters = config.uri_param_names.unwrap_or_default();
    let verifies = |name: &str| config.claims_to_verify.iter().flatten().any(|claim| claim == name);
    let (challenge, with_error) = match &config.realm {
        Some(realm) => (format!("Bearer realm=\"{realm}\""), ", error=\"invalid_token\""),
        None => ("Bearer".to_owned(), " error=\"invalid_token\""),
    };
    let value = |text: String| HeaderValue::try_from(text).map_err(|_| "realm: cannot stand in a header");
    Ok(Prepared::ready(Jwt {
        unusual: Unusual::of(&headers, &parameters),
        parameters,
        cookies: config.cookie_names.unwrap_or_default(),
        headers,
        key_claim: config.key_claim_name.unwrap_or_else(|| "iss".to_owned()),
        secret_is_base64: config.secret_is_base64,
        verifies_exp: verifies("exp"),
        verifies_nbf: verifies("nbf"),
        longest: config.maximum_expiration.filter(|longest| *longest > 0.0),
        anonymous: config.anonymous,
        run_on_preflight: config.run_on_preflight,
        challenge_with_error: value(format!("{challenge}{with_error}"))?,
        challenge: value(challenge)?,
        clock: context.clock.clone(),
    }))
}

/// Why a request is refused.
enum Refusal {
    /// It shows no token.
    NoToken,
    /// It shows a wrong one, or several.
    Wrong(Cow<'static, str>),
    /// The token is right, but its time is not: claims, and what is wrong with each.
    Claims(Map<String, Json>),
}

fn wrong(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::Wrong(message.into())
}

impl Plugin for Jwt {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        self.unusual.mark(request);
        let is_preflight = !self.run_on_preflight && request.method == Method::OPTIONS;
        // With `anonymous`, one of several authentication plugins is enough.
        let is_done = self.anonymous.is_some() && request.credential.is_some();
        if is_preflight || is_done {
            return Step::Continue;
        }
        match (self.authenticate(request), &self.anonymous) {
            (Ok(()), _) => Step::Continue,
            (Err(_), Some(name)) => identity::anonymous(request, name),
            (Err(refusal), None) => self.answer(refusal).into(),
        }
    }
}

impl Jwt {
    fn answer(&self, refusal: Refusal) -> Answer {
        let challenge = match &refusal {
            Refusal::NoToken => &self.challenge,
            _ => &self.challenge_with_error,
        };
        let answer = match refusal {
            Refusal::NoToken => Answer::message(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Refusal::Wrong(message) => Answer::message(StatusCode::UNAUTHORIZED, message),
            Refusal::Claims(errors) => Answer {
                status: StatusCode::UNAUTHORIZED,
                headers: HeaderMap::from_iter([(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/json; charset=utf-8"),
                )]),
                body: AnswerBody::Bytes(Json::Object(errors).to_string().into()),
            },
        };
        answer.with_header(WWW_AUTHENTICATE, challenge.clone())
    }

    fn authenticate(&self, request: &mut Request) -> Result<(), Refusal> {
        let text = self.token(request)?;
        let token = Token::read(&text).map_err(|Malformed(reason)| wrong(format!("Bad token; {reason}")))?;
        let name = &self.key_claim;
        let key = match token.claims.get(name).or_else(|| token.header.get(name)) {
            None | Some(Json::Null | Json::Bool(false)) => {
                return Err(wrong(format!("No mandatory '{name}' in claims")));
            }
            Some(Json::String(key)) if !key.is_empty() => key,
            Some(_) => return Err(wrong(format!("Invalid '{name}' in claims"))),
        };
        let Some(issuer) = request.directory.issuers().find(key) else {
            return Err(wrong(format!("No credentials found for given '{name}'")));
        };
        // Before any key is touched: the credential says how its key is used, and nobody else.
        if token.algorithm != issuer.algorithm {
            return Err(wrong("Invalid algorithm"));
        }
        let verified = issuer.verify(self.secret_is_base64, token.signed.as_bytes(), &token.signature);
        verified.map_err(|unverified| match unverified {
            Unverified::NoKey => wrong("Invalid key/secret"),
            Unverified::Wrong => wrong("Invalid signature"),
        })?;
        self.check_time(&token.claims)?;
        let (consumer, id, identifier) = (Arc::clone(&issuer.consumer), issuer.id, issuer.identifier.clone());
        drop(text);
        identity::authenticated(request, consumer, id, identifier);
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far from 2^53")]
    fn check_time(&self, claims: &Map<String, Json>) -> Result<(), Refusal> {
        let now = self.clock.now() as f64;
        let mut errors = Map::new();
        let mut check = |name: &str, is_right: &dyn Fn(f64) -> bool, error: &str| {
            let error = match claims.get(name).and_then(Json::as_f64) {
                None => "must be a number",
                Some(time) if !is_right(time) => error,
                Some(_) => return,
            };
            errors.insert(name.to_owned(), error.into());
        };
        if self.verifies_exp {
            check("exp", &|exp| exp > now, "token expired");
        }
        if self.verifies_nbf {
            check("nbf", &|nbf| nbf <= now, "token not valid yet");
        }
        if let (Some(longest), true) = (self.longest, errors.is_empty()) {
            let is_near = claims.get("exp").and_then(Json::as_f64).is_some_and(|exp| exp - now <= longest);
            if !is_near {
                errors.insert("exp".to_owned(), "exceeds maximum allowed expiration".into());
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Refusal::Claims(errors)) }
    }

    /// The one token that a request shows. The same one in two places is one; of two, the upstream might read the other.
    fn token<'r>(&self, request: &'r Request) -> Result<Cow<'r, str>, Refusal> {
        let mut tokens = self.parameters(request).chain(self.cookies(request)).chain(self.headers(request));
        let token = tokens.next().ok_or(Refusal::NoToken)?;
        if tokens.any(|other| other != token) {
            return Err(wrong("Multiple tokens provided"));
        }
        drop(tokens);
        Ok(token)
    }

    fn parameters<'r>(&self, request: &'r Request) -> impl Iterator<Item = Cow<'r, str>> {
        let pairs = request.query.as_deref().into_iter().flat_map(args::pairs);
        pairs.filter_map(|(name, value)| {
            self.parameters
                .iter()
                .any(|known| *known == name)
                .then_some(value?)
                .filter(|value| !value.is_empty())
        })
    }

    fn cookies<'r>(&self, request: &'r Request) -> impl Iterator<Item = Cow<'r, str>> {
        let is_meant = |(name, value): &(&str, &str)| {
            !value.is_empty() && self.cookies.iter().any(|known| known == name)
        };
        cookies::pairs(&request.headers).filter(is_meant).map(|(_, value)| Cow::Borrowed(value))
    }

    fn headers<'r>(&self, request: &'r Request) -> impl Iterator<Item = Cow<'r, str>> {
        let values = self.headers.iter().flat_map(|name| request.headers.get_all(name));
        values.filter_map(|value| {
            let (scheme, token) = value.to_str().ok()?.trim().split_once([' ', '\t'])?;
            scheme.eq_ignore_ascii_case("bearer").then(|| Cow::Borrowed(token.trim_start()))
        })
    }
}

#[cfg(test)]
mod tests;
