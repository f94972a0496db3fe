//! `cors`: which pages of other origins may call a service, told to browsers.
//!
//! Owns: which origins are told that they may, and the answer to preflights. Must not know: what is called. Headers are
//! Kong's, with two differences on the safe side: expressions must match the whole of an origin, and `null`, which any
//! sandboxed page can be, is never allowed together with credentials by `*`.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, StatusCode};
use postern_model::field::{Default, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Value};
use regex_automata::meta::Regex;
use serde::Deserialize;

use super::rules::HEADER_VALUE;
use crate::plugin::{Answer, AnswerBody, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::{Request, Response};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "cors",
    priority: 2000,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Lets pages of other origins call a service.",
};

const METHODS: &[&str] = &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
const METHOD: Field = Field::string("").rules(&[Rule::OneOf(METHODS)]);
const AN_ORIGIN: Field = Field::string("").rules(&[Rule::Custom(origin)]);

const FIELDS: &[Field] = &[
    Field::array("origins", &AN_ORIGIN).default(Default::None).doc(
        "Origins that may call: `https://a.example`, a host alone, an expression for either, or `*`; without any, all may.",
    ),
    Field::array("headers", &HEADER_VALUE)
        .default(Default::None)
        .doc("The headers that may be sent; without any, those that a page asks for."),
    Field::array("exposed_headers", &HEADER_VALUE).default(Default::None).doc("The headers that a page may read."),
    Field::array("methods", &METHOD).default_texts(METHODS).doc("The methods that may be used."),
    Field::number("max_age").doc("For how many seconds a browser may keep the answer to a preflight."),
    Field::boolean("credentials")
        .required()
        .default_bool(false)
        .doc("Whether a page may send the user's credentials along."),
    Field::boolean("preflight_continue")
        .required()
        .default_bool(false)
        .doc("Whether the upstream answers preflights."),
    Field::boolean("private_network")
        .required()
        .default_bool(false)
        .doc("Whether pages of public networks may call, if this is a private one."),
    Field::boolean("allow_origin_absent")
        .required()
        .default_bool(true)
        .doc("Whether requests that name no origin get no headers."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: true, body_filter: false, log: false },
    make,
};

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ANY: HeaderValue = HeaderValue::from_static("*");

fn origin(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) if text.as_str() != "*" => Allowed::new(text).map(drop),
        _ => Ok(()),
    }
}

/// What an origin is compared with.
enum Allowed {
    /// All of it, in lower case.
    Origin(String),
    /// Its host, and the port if one is given.
    Host(String),
    /// An expression for all of it, or for its host.
    Matching(Box<Regex>, bool),
}

impl Allowed {
    fn new(text: &str) -> Result<Self, String> {
        let is_whole = text.contains("://") || text == "null";
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/-_[]".contains(&byte)) {
            let text = text.to_ascii_lowercase();
            return Ok(if is_whole {
                Self::Origin(without_default_port(&text).to_owned())
            } else {
                Self::Host(text)
            });
        }
        // Else `https://a.example` would also let in `https://a.example.evil`.
        let regex =
            Regex::new(&format!("^(?i:{text})$")).map_err(|_| format!("'{text}' is not a valid regex"))?;
        Ok(Self::Matching(Box::new(regex), is_whole))
    }

    fn matches(&self, origin: &str) -> bool {
        let host = || origin.split_once("://").map_or("", |(_, host)| host);
        match self {
            Self::Origin(known) => without_default_port(origin).eq_ignore_ascii_case(known),
            Self::Host(known) => {
                let host = host();
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
                host.eq_ignore_ascii_case(known) || name.eq_ignore_ascii_case(known)
            }
            Self::Matching(regex, true) => regex.is_match(origin),
            Self::Matching(regex, false) => regex.is_match(host()),
        }
    }
}

fn without_default_port(origin: &str) -> &str {
    let port = if origin.starts_with("https:") { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(origin)
}

#[derive(Deserialize)]
struct Config {
    origins: Option<Vec<String>>,
    headers: Option<Vec<String>>,
    exposed_headers: Option<Vec<String>>,
    methods: Option<Vec<String>>,
    max_age: Option<f64>,
    credentials: bool,
    preflight_continue: bool,
    private_network: bool,
    allow_origin_absent: bool,
}

struct Cors {
    origins: Origins,
    headers: Option<HeaderValue>,
    exposed_headers: Option<HeaderValue>,
    methods: HeaderValue,
    max_age: Option<HeaderValue>,
    credentials: bool,
    preflight_continue: bool,
    private_network: bool,
    allow_origin_absent: bool,
}

enum Origins {
    All,
    /// The one that there is, whoever asks: a browser sees for itself that it is another.
    One(HeaderValue),
    These(Vec<Allowed>),
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let origins = config.origins.unwrap_or_default();
    let origins = match origins.as_slice() {
        [] => Origins::All,
        all if all.iter().any(|origin| origin == "*") => Origins::All,
        all => {
            let allowed = all.iter().map(|text| Allowed::new(text)).collect::<Result<Vec<_>, _>>()?;
            match (all, allowed.as_slice()) {
                ([one], [Allowed::Origin(_)]) => {
                    Origins::One(HeaderValue::try_from(one).map_err(|_| "origins: cannot stand in a header")?)
                }
                _ => Origins::These(allowed),
            }
        }
    };
    let list = |name: &str, list: Option<Vec<String>>| {
        let text = list.filter(|list| !list.is_empty()).map(|list| list.join(","));
        text.map(HeaderValue::try_from).transpose().map_err(|_| format!("{name}: cannot stand in a header"))
    };
    let max_age = config.max_age.map(|seconds| HeaderValue::try_from(seconds.to_string()));
    Ok(Prepared::ready(Cors {
        origins,
        headers: list("headers", config.headers)?,
        exposed_headers: list("exposed_headers", config.exposed_headers)?,
        methods: list("methods", config.methods)?.unwrap_or(HeaderValue::from_static("")),
        max_age: max_age.transpose().map_err(|_| "max_age: cannot stand in a header")?,
        credentials: config.credentials,
        preflight_continue: config.preflight_continue,
        private_network: config.private_network,
        allow_origin_absent: config.allow_origin_absent,
    }))
}

fn is_preflight(request: &Request) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Plugin for Cors {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        if self.preflight_continue || !is_preflight(request) {
            return Step::Continue;
        }
        let mut headers = HeaderMap::new();
        let asked = || request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        if let Some(allowed) = self.headers.clone().or_else(asked) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        if let Some(seconds) = &self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.clone());
        }
        let asks_private = request.headers.get(REQUEST_PRIVATE_NETWORK).is_some_and(|value| *value == TRUE);
        if self.private_network && asks_private {
            headers.insert(ALLOW_PRIVATE_NETWORK, TRUE);
        }
        // The phase `response` adds who may.
        Answer { status: StatusCode::OK, headers, body: AnswerBody::Empty }.into()
    }

    fn response(&self, request: &Request, response: &mut Response) {
        let origin = request.headers.get(ORIGIN);
        if origin.is_none() && self.allow_origin_absent {
            // Caches must keep it apart from the answer to a page.
            if !matches!(self.origins, Origins::All) || self.credentials {
                vary(&mut response.headers);
            }
            return;
        }
        // What an upstream says of origins must not add to what is said here.
        response.headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        response.headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        let allowed = match &self.origins {
            Origins::All if !self.credentials => Some(ANY),
            Origins::All => origin.filter(|origin| *origin != "null").cloned(),
            Origins::One(one) => Some(one.clone()),
            Origins::These(these) => origin
                .filter(|origin| {
                    let text = origin.to_str().unwrap_or_default();
                    these.iter().any(|allowed| allowed.matches(text))
                })
                .cloned(),
        };
        if allowed.as_ref() != Some(&ANY) {
            vary(&mut response.headers);
        }
        let Some(allowed) = allowed else { return };
        response.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            response.headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(exposed) = self.exposed_headers.as_ref().filter(|_| !is_preflight(request)) {
            response.headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

/// What is said depends on the origin, which caches have to know.
fn vary(headers: &mut HeaderMap) {
    let names = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("origin"))
    };
    if !headers.get_all(VARY).iter().any(names) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

#[cfg(test)]
mod tests;
