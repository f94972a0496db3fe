//! `proxy-cache`: responses of upstreams that are kept and served again.
//!
//! Owns: what may be kept, what may be served, and how that is told. Must not know: what makes requests the same (`key`), where
//! responses are kept (`store`), how `Cache-Control` is written (`control`).
//!
//! A response is kept for whom it was made for: consumers, hosts, routes and services never share one. Where it is not clear
//! who may see it, it is not kept: with `Set-Cookie`, or where the request has an `Authorization` that no plugin here has
//! looked at.

pub(crate) mod control;
pub(crate) mod key;
mod store;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{
    AGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, RANGE, SET_COOKIE,
    VARY,
};
use http::{HeaderMap, Method, StatusCode};
use postern_model::Record;
use postern_model::field::{
    Default as Usual, Field, HTTP_PROTOCOLS, INTEGER, PluginSchema, Rule, Schema, TEXT,
};
use serde::Deserialize;
use uuid::Uuid;

use self::control::Control;
use self::key::{Key, Parts};
use self::store::{Entry, LARGEST, Store};
use super::rules;
use crate::plugin::{Answer, AnswerBody, BodyFilter, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::{Request, Response, Source};
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "proxy-cache",
    priority: 100,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Keeps responses of upstreams in memory, and serves them again.",
};

const FIELDS: &[Field] = &[
    Field::array("response_code", &INTEGER.rules(&[Rule::Between(100.0, 900.0)]))
        .required()
        .default(Usual::Integers(&[200, 301, 404]))
        .rules(&[Rule::LengthMin(1)])
        .doc("Statuses of responses that are kept; 206 and 304 never are."),
    Field::array("request_method", &TEXT.rules(&[Rule::OneOf(&["GET", "HEAD", "PATCH", "POST", "PUT"])]))
        .required()
        .default_texts(&["GET", "HEAD"])
        .doc("Methods of requests whose responses are kept. The body of the request counts as well."),
    Field::array("content_type", &TEXT)
        .required()
        .default_texts(&["application/json", "text/plain"])
        .doc("Content types of responses that are kept, with the same parameters; `*` stands for any type."),
    Field::integer("cache_ttl").default_int(300).rules(&[Rule::Above(0.0)]).doc("Seconds for which a response is fresh."),
    Field::string("strategy").required().rules(&[Rule::OneOf(&["memory"])]).doc("Where responses are kept."),
    Field::boolean("cache_control")
        .required()
        .default_bool(false)
        .doc("Whether `Cache-Control` of requests and responses counts."),
    Field::boolean("ignore_uri_case").default_bool(false).doc("Whether the case of paths and parameters does not count."),
    Field::integer("storage_ttl")
        .doc("Seconds after which a response is let go, also if it may be served stale; `cache_ttl`, where not said."),
    Field::record("memory", MEMORY).required().doc("Kong's dictionaries."),
    Field::array("vary_query_params", &TEXT).doc("The parameters that count; all, where none is named."),
    Field::array("vary_headers", &rules::HEADER_NAME)
        .doc("Headers of requests that count, besides those that the response says it varies by."),
    Field::record("response_headers", RESPONSE_HEADERS).required().doc("What responses tell of the cache."),
];

const MEMORY: &[Field] = &[Field::string("dictionary_name")
    .required()
    .default_text("kong_db_cache")
    .unsupported("nginx's shared dictionaries; all caches of the node share 128 MiB")
    .doc("The dictionary; there is none here.")];

const RESPONSE_HEADERS: &[Field] = &[
    Field::boolean("age").default_bool(true).doc("Whether `Age` says how old it is."),
    Field::boolean("X-Cache-Status")
        .default_bool(true)
        .doc("Whether `X-Cache-Status` says where it is from."),
    Field::boolean("X-Cache-Key").default_bool(true).doc("Whether `X-Cache-Key` says what it is kept by."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, response: true, body_filter: true, rewrite: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    response_code: Vec<u16>,
    request_method: Vec<String>,
    content_type: Vec<String>,
    cache_ttl: u64,
    cache_control: bool,
    ignore_uri_case: Option<bool>,
    storage_ttl: Option<i64>,
    vary_query_params: Option<Vec<String>>,
    vary_headers: Option<Vec<String>>,
    response_headers: Told,
}

#[derive(Clone, Copy, Deserialize)]
struct Told {
    age: bool,
    #[serde(rename = "X-Cache-Status")]
    status: bool,
    #[serde(rename = "X-Cache-Key")]
    key: bool,
}

struct ProxyCache {
    codes: Vec<u16>,
    methods: Vec<Method>,
    types: Vec<MediaType>,
    ttl: u64,
    control: bool,
    storage_ttl: Option<u64>,
    parts: Parts,
    told: Told,
    store: Arc<Store>,
    clock: Clock,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let methods = config.request_method.iter().map(|method| Method::from_bytes(method.as_bytes()));
    let headers = config.vary_headers.iter().flatten().map(HeaderName::try_from);
    let methods = methods.collect::<Result<_, _>>().map_err(|_| "request_method: not a method")?;
    let headers = headers.collect::<Result<_, _>>().map_err(|_| "vary_headers: not the name of a header")?;
    let clock = context.clock.clone();
    Ok(Prepared::at_commit(move |living| ProxyCache {
        codes: config.response_code,
        methods,
        types: config.content_type.iter().filter_map(|text| MediaType::read(text)).collect(),
        ttl: config.cache_ttl,
        control: config.cache_control,
        storage_ttl: config.storage_ttl.map(|seconds| u64::try_from(seconds).unwrap_or(0)),
        parts: Parts {
            parameters: config.vary_query_params.filter(|names| !names.is_empty()),
            headers,
            ignore_case: config.ignore_uri_case.unwrap_or(false),
        },
        told: config.response_headers,
        // One for the whole node, so that its memory is bounded whatever the number of plugins.
        store: living.state.of(Uuid::nil(), Store::default),
        clock,
    }))
}

/// What the cache makes of a request, for the phases after `access`.
#[derive(Clone, Copy)]
struct Looked {
    key: Option<Key>,
    status: &'static str,
}

/// Set in `response` where the body is to be kept.
#[derive(Clone)]
struct Keep(Arc<Head>);

struct Head {
    key: Key,
    status: StatusCode,
    headers: HeaderMap,
    ttl: u64,
    varies: Vec<(HeaderName, Vec<HeaderValue>)>,
    length: Option<usize>,
}

const CACHE_STATUS: HeaderName = HeaderName::from_static("x-cache-status");
const CACHE_KEY: HeaderName = HeaderName::from_static("x-cache-key");

impl Plugin for ProxyCache {
    /// A body is part of what was asked, also with a GET.
    fn wants_body(&self, request: &Request) -> bool {
        self.methods.contains(&request.method)
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        let control = if self.control { Control::of(&request.headers) } else { Control::default() };
        if !self.may_be_looked_up(request, &control) {
            request.notes.insert(Looked { key: None, status: "Bypass" });
            return Step::Continue;
        }
        let key = self.parts.key(request);
        let now = self.clock.now();
        let found = self.store.get(&key, now);
        if let Some(entry) =
            found.as_ref().filter(|entry| entry.fits(&request.headers) && self.is_fresh(entry, &control, now))
        {
            return self.serve(request, entry, &key, now).into();
        }
        if control.only_if_cached {
            let answer = Answer::message(StatusCode::GATEWAY_TIMEOUT, "Resource not in cache");
            return answer.into();
        }
        let status = if found.is_some() { "Refresh" } else { "Miss" };
        request.notes.insert(Looked { key: Some(key), status });
        Step::Continue
    }

    fn response(&self, request: &Request, response: &mut Response) {
        let Some(Looked { key, status }) = request.notes.get::<Looked>().copied() else { return };
        if response.source != Source::Upstream {
            return;
        }
        let kept = key.filter(|_| self.may_be_kept(response));
        self.tell(&mut response.headers, key.as_ref(), if kept.is_some() { status } else { "Bypass" });
    }

    fn body_filter(&self, request: &Request, response: &Response) -> Option<Box<dyn BodyFilter>> {
        let Looked { key, .. } = request.notes.get::<Looked>().copied()?;
        if response.source != Source::Upstream || !self.may_be_kept(response) {
            return None;
        }
        let length = response.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        // The body of an answer to HEAD is not there, whatever its length is said to be.
        let length = if request.method == Method::HEAD { Some(0) } else { length };
        if length.is_some_and(|length: usize| length > LARGEST) {
            return None;
        }
        let mut headers = store::kept(&response.headers);
        if request.method == Method::HEAD
            && let Some(said) = response.headers.get(CONTENT_LENGTH)
        {
            headers.insert(CONTENT_LENGTH, said.clone());
        }
        let head = Head {
            key: key?,
            status: response.status,
            headers,
            ttl: self.ttl_of(response)?,
            varies: varies(&response.headers, &request.headers)?,
            length,
        };
        let clock = self.clock.clone();
        Some(Box::new(Gather {
            head: Keep(Arc::new(head)),
            body: BytesMut::new(),
            whole: true,
            storage_ttl: self.storage_ttl.filter(|_| self.control),
            store: Arc::clone(&self.store),
            clock,
        }))
    }
}

impl ProxyCache {
    fn may_be_looked_up(&self, request: &Request, control: &Control) -> bool {
        let has_body = request.body.as_ref().is_some_and(|body| !body.is_empty());
        let is_plain = matches!(request.method, Method::GET | Method::HEAD);
        // Whose it is, is known here, or says the key.
        let is_ours = request.credential.is_some() || self.parts.headers.contains(&AUTHORIZATION);
        let is_authorized = request.headers.contains_key(AUTHORIZATION);
        self.methods.contains(&request.method)
            && !(is_plain && has_body)
            && !request.headers.contains_key(RANGE)
            && !(is_authorized && (self.control || !is_ours))
            && !control.no_store
            && !control.no_cache
    }

    fn is_fresh(&self, entry: &Entry, control: &Control, now: u64) -> bool {
        let age = now.saturating_sub(entry.stored);
        if !self.control {
            // As configured now, not as it was when the response came.
            return age < self.ttl.min(entry.ttl);
        }
        let stale = age.saturating_sub(entry.ttl);
        let is_young = control.max_age.is_none_or(|most| age <= most);
        let stays_fresh = control.min_fresh.is_none_or(|least| entry.ttl.saturating_sub(age) >= least);
        let is_not_stale = age < entry.ttl || control.max_stale.is_some_and(|most| stale <= most);
        is_young && stays_fresh && is_not_stale
    }

    fn serve(&self, request: &Request, entry: &Entry, key: &Key, now: u64) -> Answer {
        let mut headers = entry.headers.clone();
        if self.told.age {
            headers.insert(AGE, HeaderValue::from(now.saturating_sub(entry.stored)));
        }
        self.tell(&mut headers, Some(key), "Hit");
        let body = match request.method {
            Method::HEAD => AnswerBody::Empty,
            _ => AnswerBody::Bytes(entry.body.clone()),
        };
        Answer { status: entry.status, headers, body }
    }

    fn tell(&self, headers: &mut HeaderMap, key: Option<&Key>, status: &'static str) {
        if self.told.status {
            headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
        }
        if let Some(key) = key.filter(|_| self.told.key)
            && let Ok(value) =
                HeaderValue::try_from(key.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        {
            headers.insert(CACHE_KEY, value);
        }
    }

    fn may_be_kept(&self, response: &Response) -> bool {
        let is_part = matches!(response.status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED);
        self.codes.contains(&response.status.as_u16())
            && !is_part
            && !response.headers.contains_key(SET_COOKIE)
            && !response.headers.get_all(VARY).iter().any(|value| value.as_bytes().contains(&b'*'))
            && self.is_of_a_type(&response.headers)
            && self.ttl_of(response).is_some()
    }

    fn is_of_a_type(&self, headers: &HeaderMap) -> bool {
        let said = headers.get(CONTENT_TYPE).and_then(|value| MediaType::read(value.to_str().ok()?));
        said.is_some_and(|said| self.types.iter().any(|wanted| wanted.takes(&said)))
    }

    /// For how many seconds a response is fresh; `None` where it may not be kept.
    fn ttl_of(&self, response: &Response) -> Option<u64> {
        if !self.control {
            return Some(self.ttl);
        }
        let control = Control::of(&response.headers);
        if control.no_store || control.no_cache || control.private {
            return None;
        }
        let expires = || {
            let value = response.headers.get(EXPIRES)?.to_str().ok();
            // A time that is none has passed.
            let at = value.and_then(|text| httpdate::parse_http_date(text).ok());
            let at = at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            Some(at.map_or(0, |at| at.as_secs().saturating_sub(self.clock.now())))
        };
        let said = control.s_maxage.or(control.max_age).or_else(expires);
        Some(said.unwrap_or(self.ttl)).filter(|ttl| *ttl > 0)
    }
}

/// What the request says in the headers that the response varies by; `None` where it varies by anything.
fn varies(response: &HeaderMap, request: &HeaderMap) -> Option<Vec<(HeaderName, Vec<HeaderValue>)>> {
    let mut varies: Vec<(HeaderName, Vec<HeaderValue>)> = Vec::new();
    for value in response.get_all(VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name = HeaderName::try_from(name).ok()?;
            let values = request.get_all(&name).iter().cloned().collect();
            varies.push((name, values));
        }
    }
    Some(varies)
}

/// A media type with its parameters, in lower case.
#[derive(Debug, PartialEq, Eq)]
struct MediaType {
    kind: String,
    subtype: String,
    parameters: Vec<String>,
}

impl MediaType {
    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let parameter = |text: &str| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            format!("{}={}", name.trim(), value.trim().trim_matches('"'))
        };
        let mut parameters: Vec<_> = parts.filter(|part| !part.is_empty()).map(parameter).collect();
        parameters.sort();
        Some(Self { kind: kind.to_owned(), subtype: subtype.to_owned(), parameters })
    }

    fn takes(&self, other: &Self) -> bool {
        let same = |wanted: &str, said: &str| wanted == "*" || wanted == said;
        same(&self.kind, &other.kind)
            && same(&self.subtype, &other.subtype)
            && self.parameters == other.parameters
    }
}

/// Gathers a body on its way, and keeps it once it is whole.
struct Gather {
    head: Keep,
    body: BytesMut,
    /// It is not too large so far.
    whole: bool,
    storage_ttl: Option<u64>,
    store: Arc<Store>,
    clock: Clock,
}

impl BodyFilter for Gather {
    fn chunk(&mut self, piece: Bytes) -> Bytes {
        self.whole &= self.body.len() + piece.len() <= LARGEST;
        match self.whole {
            true => self.body.extend_from_slice(&piece),
            false => self.body = BytesMut::new(),
        }
        piece
    }

    fn end(&mut self) -> Bytes {
        let Keep(head) = &self.head;
        let is_all = head.length.is_none_or(|length| length == self.body.len());
        if self.whole && is_all {
            let now = self.clock.now();
            let entry = Entry {
                status: head.status,
                headers: head.headers.clone(),
                body: std::mem::take(&mut self.body).freeze(),
                stored: now,
                ttl: head.ttl,
                until: now.saturating_add(self.storage_ttl.unwrap_or(head.ttl)),
                varies: head.varies.clone(),
            };
            self.store.put(head.key, entry);
        }
        Bytes::new()
    }

    fn keeps_length(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
