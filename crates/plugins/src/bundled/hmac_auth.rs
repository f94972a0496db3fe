//! `hmac-auth`: who sends a request is told by a signature of parts of it.
//!
//! Owns: which parts are signed, that they are fresh and whole, and what is answered otherwise. Must not know: keys; the
//! directory does. `params` reads the header that has the signature. Texts, order and headers are Kong's.
//!
//! What is not signed may be anybody's: whoever wants the date or the body to be the signer's names `date` and `digest` in
//! `enforce_headers`. One thing is stricter than in Kong: where a request has both `Date` and `X-Date` and only one is
//! signed, only that one counts, or a fresh date beside an old signature would make it new.

pub(crate) mod params;

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, DATE, HeaderName, HeaderValue, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use postern_model::field::{Field, HTTP_AND_WS_PROTOCOLS, PluginSchema, Rule, Schema, TEXT};
use postern_model::{Record, Text};
use serde::Deserialize;
use uuid::Uuid;

use self::params::Params;
use super::rules;
use crate::directory::Consumer;
use crate::directory::signers::Hash;
use crate::identity;
use crate::plugin::{Answer, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;
use postern_secrets::clock::Clock;

const X_DATE: HeaderName = HeaderName::from_static("x-date");
const DIGEST: HeaderName = HeaderName::from_static("digest");

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "hmac-auth",
    priority: 1030,
    version: "3.9.1",
    protocols: HTTP_AND_WS_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Lets those through who sign their requests, and tells the upstream who they are.",
};

const FIELDS: &[Field] = &[
    Field::boolean("hide_credentials")
        .required()
        .default_bool(false)
        .doc("Whether the signature is kept from the upstream."),
    Field::number("clock_skew")
        .default_int(300)
        .rules(&[Rule::Above(0.0)])
        .doc("The seconds by which the date of a request may differ from the time here."),
    Field::string("anonymous")
        .doc("The identifier or name of a consumer for requests without a right signature."),
    Field::boolean("validate_request_body")
        .required()
        .default_bool(false)
        .doc("Whether the header `Digest` must be that of the body."),
    Field::array("enforce_headers", &TEXT).default_empty().doc(
        "What a signature must cover: names of headers, `@request-target`, `request-line`. \
         Name `date` or `x-date` against replays, and `digest` against changed bodies.",
    ),
    Field::array("algorithms", &ALGORITHM)
        .default_texts(&["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"])
        .doc("The algorithms by which requests may be signed."),
    Field::string("realm")
        .rules(&[Rule::Custom(rules::header_value)])
        .doc("What `WWW-Authenticate` calls this place."),
];

const ALGORITHM: Field =
    Field::string("").rules(&[Rule::OneOf(&["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"])]);

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    hide_credentials: bool,
    clock_skew: Option<f64>,
    anonymous: Option<Text>,
    validate_request_body: bool,
    enforce_headers: Option<Vec<String>>,
    algorithms: Option<Vec<String>>,
    realm: Option<String>,
}

struct HmacAuth {
    hide_credentials: bool,
    /// In seconds.
    clock_skew: f64,
    anonymous: Option<Text>,
    validate_request_body: bool,
    enforced: Vec<String>,
    algorithms: Vec<Hash>,
    challenge: HeaderValue,
    clock: Clock,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let algorithms = config.algorithms.unwrap_or_default();
    let algorithms = algorithms.iter().map(|name| Hash::named(name)).collect::<Option<_>>();
    let challenge = match &config.realm {
        Some(realm) => HeaderValue::try_from(format!("hmac realm=\"{realm}\"")),
        None => Ok(HeaderValue::from_static("hmac")),
    };
    Ok(Prepared::ready(HmacAuth {
        hide_credentials: config.hide_credentials,
        clock_skew: config.clock_skew.unwrap_or(300.0),
        anonymous: config.anonymous,
        validate_request_body: config.validate_request_body,
        enforced: config.enforce_headers.unwrap_or_default(),
        algorithms: algorithms.ok_or("algorithms: not a known algorithm")?,
        challenge: challenge.map_err(|_| "realm: cannot stand in a header")?,
        clock: context.clock.clone(),
    }))
}

/// Why a request is refused.
#[derive(Clone, Copy)]
struct Refusal(&'static str);

const UNSIGNED: Refusal = Refusal("Unauthorized");
const NOT_VERIFIED: Refusal = Refusal("HMAC signature cannot be verified");
const NO_DATE: Refusal = Refusal(
    "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication",
);
const NO_MATCH: Refusal = Refusal("HMAC signature does not match");

impl Plugin for HmacAuth {
    fn wants_body(&self, request: &Request) -> bool {
        self.validate_request_body && !self.is_done(request)
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        if self.is_done(request) {
            return Step::Continue;
        }
        match (self.authenticate(request), &self.anonymous) {
            (Ok(()), _) => Step::Continue,
            (Err(_), Some(name)) => identity::anonymous(request, name),
            (Err(Refusal(message)), None) => Answer::message(StatusCode::UNAUTHORIZED, message)
                .with_header(WWW_AUTHENTICATE, self.challenge.clone())
                .into(),
        }
    }
}

impl HmacAuth {
    /// With `anonymous`, one of several authentication plugins is enough.
    fn is_done(&self, request: &Request) -> bool {
        self.anonymous.is_some() && request.credential.is_some()
    }

    fn authenticate(&self, request: &mut Request) -> Result<(), Refusal> {
        let shown = [PROXY_AUTHORIZATION, AUTHORIZATION].map(|header| request.headers.get(header).cloned());
        let [proxy, own] = shown.each_ref().map(|value| {
            value.as_ref().and_then(|value| Params::read(std::str::from_utf8(value.as_bytes()).ok()?))
        });
        let is_proxy = proxy.is_some();
        let params = proxy.or(own);
        let verified = match &params {
            _ if shown.iter().all(Option::is_none) => Err(UNSIGNED),
            params if !self.is_fresh(&request.headers, params.as_ref()) => Err(NO_DATE),
            None => Err(NOT_VERIFIED),
            Some(params) => self.verify(request, params),
        };
        if self.hide_credentials {
            request.headers.remove(PROXY_AUTHORIZATION);
            // Where it was not looked at, it may be for the upstream.
            if !is_proxy {
                request.headers.remove(AUTHORIZATION);
            }
        }
        let (consumer, id, identifier) = verified?;
        identity::authenticated(request, consumer, id, identifier);
        Ok(())
    }

    fn verify(&self, request: &Request, params: &Params<'_>) -> Result<Known, Refusal> {
        let hash = Hash::named(params.algorithm).filter(|hash| self.algorithms.contains(hash));
        let hash = hash.ok_or(NOT_VERIFIED)?;
        if !self.enforced.iter().all(|name| params.signs(name)) {
            return Err(NOT_VERIFIED);
        }
        let signer = request.directory.signers().find(params.username).ok_or(NOT_VERIFIED)?;
        let message = signed(request, &params.headers).ok_or(NO_MATCH)?;
        if !signer.verify(hash, &message, &params.signature) {
            return Err(NO_MATCH);
        }
        if self.validate_request_body && !is_whole(request) {
            return Err(NO_MATCH);
        }
        Ok((Arc::clone(&signer.consumer), signer.id, signer.identifier.clone()))
    }

    /// Whether one of the dates is about now. Where one is signed, those that are not do not count.
    fn is_fresh(&self, headers: &HeaderMap, params: Option<&Params<'_>>) -> bool {
        let signs = |name: &HeaderName| params.is_some_and(|params| params.signs(name.as_str()));
        let some_signed = signs(&X_DATE) || signs(&DATE);
        [X_DATE, DATE]
            .iter()
            .filter(|name| !some_signed || signs(name))
            .filter_map(|name| only(headers, name)?.to_str().ok())
            .any(|date| self.is_now(date))
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far from 2^53")]
    fn is_now(&self, date: &str) -> bool {
        let date = httpdate::parse_http_date(date).ok().and_then(|date| date.duration_since(UNIX_EPOCH).ok());
        date.is_some_and(|date| (date.as_secs() as f64 - self.clock.now() as f64).abs() <= self.clock_skew)
    }
}

/// Who it is, and by which credential.
type Known = (Arc<Consumer>, Uuid, Option<HeaderValue>);

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// What is signed, in lines; `None` where a header is not there. The two that are no headers stand without their names.
fn signed(request: &Request, names: &[&str]) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(256);
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            message.push(b'\n');
        }
        match *name {
            "@request-target" => {
                message.extend(request.method.as_str().to_ascii_lowercase().as_bytes());
                message.push(b' ');
                target(request, &mut message);
            }
            "request-line" => {
                message.extend(request.method.as_str().as_bytes());
                message.push(b' ');
                target(request, &mut message);
                message.extend(format!(" {:?}", request.client.version).as_bytes());
            }
            name => header(&request.headers, name, &mut message)?,
        }
    }
    Some(message)
}

/// `name: value`; of several values, all with commas between.
fn header(headers: &HeaderMap, name: &str, message: &mut Vec<u8>) -> Option<()> {
    let name = HeaderName::try_from(name).ok()?;
    message.extend(name.as_str().as_bytes());
    message.push(b':');
    let mut values = headers.get_all(&name).iter().peekable();
    values.peek()?;
    for (at, value) in values.enumerate() {
        message.extend(if at == 0 { &b" "[..] } else { &b", "[..] });
        message.extend(value.as_bytes());
    }
    Some(())
}

/// What the client asked for: path and query.
fn target(request: &Request, message: &mut Vec<u8>) {
    message.extend(request.client_path().as_bytes());
    if let Some(query) = &request.query {
        message.push(b'?');
        message.extend(query.as_bytes());
    }
}

/// Whether `Digest` is that of the body. Without a body there needs be none.
fn is_whole(request: &Request) -> bool {
    let body = request.body.as_deref().unwrap_or_default();
    if !request.headers.contains_key(DIGEST) {
        return body.is_empty();
    }
    let expected = format!("SHA-256={}", STANDARD.encode(digest(&SHA256, body)));
    only(&request.headers, &DIGEST).is_some_and(|shown| shown.as_bytes() == expected.as_bytes())
}

#[cfg(test)]
mod tests;
