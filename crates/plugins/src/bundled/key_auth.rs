//! `key-auth`: who sends a request is told by a key in a header, the query or the body.
//!
//! Owns: where the key is looked for, and what is answered without one. Must not know: which keys there are; the
//! directory does. Texts, order and headers are Kong's.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use postern_model::field::{Default, Field, HTTP_AND_WS_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Text};
use serde::Deserialize;

use super::rules::{self, HEADER_NAME};
use crate::identity;
use crate::logging::redact::Unusual;
use crate::plugin::{Answer, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;
use crate::view::args::{self, Found};
use crate::view::body::Form;
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "key-auth",
    priority: 1250,
    version: "3.9.1",
    protocols: HTTP_AND_WS_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Lets those through who show a key, and tells the upstream who they are.",
};

const FIELDS: &[Field] = &[
    Field::array("key_names", &HEADER_NAME)
        .required()
        .default_texts(&["apikey"])
        .doc("The names of headers, parameters and fields where a key is looked for, in this order."),
    Field::boolean("hide_credentials")
        .required()
        .default_bool(false)
        .doc("Whether the key is kept from the upstream."),
    Field::string("anonymous").doc("The identifier or name of a consumer for requests without a right key."),
    Field::boolean("key_in_header").required().default_bool(true).doc("Whether a key may stand in a header."),
    Field::boolean("key_in_query").required().default_bool(true).doc("Whether a key may stand in the query."),
    Field::boolean("key_in_body")
        .required()
        .default_bool(false)
        .doc("Whether a key may stand in the body: a form, a JSON object or a multipart form."),
    Field::boolean("run_on_preflight")
        .required()
        .default_bool(true)
        .doc("Whether `OPTIONS` requests need a key too."),
    Field::string("realm")
        .rules(&[Rule::Custom(rules::header_value)])
        .doc("What `WWW-Authenticate` calls this place."),
    Field::array("identity_realms", &IDENTITY_REALM)
        .default(Default::None)
        .unsupported("identity realms belong to Konnect")
        .doc("Where Konnect looks for consumers."),
];

const IDENTITY_REALM: Field = Field::record(
    "",
    &[
        Field::string("id").rules(&[Rule::Uuid]).doc("A realm."),
        Field::string("region").doc("Where it is."),
        Field::string("scope")
            .default_text("cp")
            .rules(&[Rule::OneOf(&["cp", "realm"])])
            .doc("What it spans."),
    ],
);

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    key_names: Vec<String>,
    hide_credentials: bool,
    anonymous: Option<Text>,
    key_in_header: bool,
    key_in_query: bool,
    key_in_body: bool,
    run_on_preflight: bool,
    realm: Option<String>,
}

struct KeyAuth {
    config: Config,
    /// The names of `config.key_names`, as headers have them.
    headers: Vec<HeaderName>,
    unusual: Unusual,
    challenge: HeaderValue,
    clock: Clock,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let headers = config.key_names.iter().map(|name| HeaderName::try_from(name.as_str()));
    let headers: Vec<_> =
        headers.collect::<Result<_, _>>().map_err(|_| "key_names: not the name of a header")?;
    let challenge = match &config.realm {
        Some(realm) => HeaderValue::try_from(format!("Key realm=\"{realm}\"")),
        None => Ok(HeaderValue::from_static("Key")),
    };
    let challenge = challenge.map_err(|_| "realm: cannot stand in a header")?;
    let unusual = Unusual::of(&headers, &config.key_names);
    Ok(Prepared::ready(KeyAuth { config, headers, unusual, challenge, clock: context.clock.clone() }))
}

/// Why a request is refused.
#[derive(Clone, Copy)]
struct Refusal(&'static str);

const DUPLICATE: Refusal = Refusal("Duplicate API key found");
const NO_KEY: Refusal = Refusal("No API key found in request");
const UNKNOWN: Refusal = Refusal("Unauthorized");

impl Plugin for KeyAuth {
    fn wants_body(&self, request: &Request) -> bool {
        // Only where the key is not found before; where it is to be hidden, it is taken out of the body as well.
        self.config.key_in_body
            && self.runs(request)
            && (self.config.hide_credentials || matches!(self.key(request), Ok(None)))
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        self.unusual.mark(request);
        if !self.runs(request) {
            return Step::Continue;
        }
        match (self.authenticate(request), &self.config.anonymous) {
            (Ok(()), _) => Step::Continue,
            (Err(_), Some(name)) => identity::anonymous(request, name),
            (Err(Refusal(message)), None) => Answer::message(StatusCode::UNAUTHORIZED, message)
                .with_header(WWW_AUTHENTICATE, self.challenge.clone())
                .into(),
        }
    }
}

impl KeyAuth {
    fn runs(&self, request: &Request) -> bool {
        let is_preflight = !self.config.run_on_preflight && request.method == Method::OPTIONS;
        // With `anonymous`, one of several authentication plugins is enough.
        let is_done = self.config.anonymous.is_some() && request.credential.is_some();
        !is_preflight && !is_done
    }

    fn authenticate(&self, request: &mut Request) -> Result<(), Refusal> {
        let Some((at, key)) = self.key(request)? else { return Err(NO_KEY) };
        let found = match &key {
            _ if key.is_empty() => Err(NO_KEY),
            key => match request.directory.key(key) {
                Some(found) if !found.has_ended(self.clock.now()) => {
                    Ok((found.consumer.clone(), found.id, found.identifier.clone()))
                }
                _ => Err(UNKNOWN),
            },
        };
        drop(key);
        if self.config.hide_credentials {
            self.hide(request, at);
        }
        let (consumer, credential, identifier) = found?;
        identity::authenticated(request, consumer, credential, Some(identifier));
        Ok(())
    }

    /// The first key that is found, with the place of its name among `key_names`.
    fn key<'r>(&self, request: &'r Request) -> Result<Option<(usize, Cow<'r, str>)>, Refusal> {
        for (at, (name, header)) in self.config.key_names.iter().zip(&self.headers).enumerate() {
            match self.find(request, name, header) {
                Found::Once(Some(key)) => return Ok(Some((at, key))),
                Found::Often => return Err(DUPLICATE),
                Found::Once(None) | Found::Nothing => {}
            }
        }
        Ok(None)
    }

    fn find<'r>(&self, request: &'r Request, name: &str, header: &HeaderName) -> Found<'r> {
        if self.config.key_in_header {
            let mut values = request.headers.get_all(header).iter();
            match (values.next(), values.next()) {
                // A header that is no text is no key that anybody has.
                (Some(value), None) => return Found::Once(Some(String::from_utf8_lossy(value.as_bytes()))),
                (Some(_), Some(_)) => return Found::Often,
                (None, _) => {}
            }
        }
        if self.config.key_in_query
            && let Some(query) = &request.query
        {
            match args::find(query, name) {
                Found::Nothing => {}
                found => return found,
            }
        }
        match (&request.body, self.config.key_in_body) {
            (Some(body), true) => {
                Form::of(&request.headers).map_or(Found::Nothing, |form| form.find(body, name))
            }
            _ => Found::Nothing,
        }
    }

    /// Takes the key out of all places where it may stand, also where it was not found.
    fn hide(&self, request: &mut Request, at: usize) {
        let name = &self.config.key_names[at];
        request.headers.remove(&self.headers[at]);
        if let Some(query) = &request.query
            && args::find(query, name) != Found::Nothing
        {
            request.query = Some(args::without(query, name)).filter(|query| !query.is_empty());
        }
        if self.config.key_in_body
            && let Some(left) = self.body_without(request, name)
        {
            request.set_body(left);
        }
    }

    fn body_without(&self, request: &Request, name: &str) -> Option<Bytes> {
        let (form, body) = (Form::of(&request.headers)?, request.body.as_ref()?);
        if form.find(body, name) == Found::Nothing { None } else { form.without(body, name) }
    }
}

#[cfg(test)]
mod tests;
