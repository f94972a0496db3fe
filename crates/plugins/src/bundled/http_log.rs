//! `http-log`: the log object of each request to an HTTP server.
//!
//! Owns: what a delivery looks like over HTTP. Must not know: what the log object says, when a batch is full.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{AUTHORIZATION, HeaderName};
use percent_encoding::percent_decode_str;
use postern_client::{Client, Limits, Outgoing, Terms};
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT, Type};
use postern_model::{Record, Value};
use postern_secrets::Secret;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::logging::queue::{self, Deliver, Delivery, Sender};
use crate::logging::{Lines, PHASES, fields};
use crate::plugin::Plugin;
use crate::prepared::Prepared;
use crate::registry::{Context, Definition};
use crate::view::{Request, Summary};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "http-log",
    priority: 12,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Sends a log object of each request to an HTTP server.",
};

const FIELDS: &[Field] = &[
    Field::string("http_endpoint")
        .required()
        .secret()
        .rules(&[Rule::Custom(super::rules::http_url)])
        .doc("The URL; name and password in it are sent as Basic authentication."),
    Field::string("method")
        .default_text("POST")
        .rules(&[Rule::OneOf(&["PATCH", "POST", "PUT"])])
        .doc("The method."),
    Field::string("content_type")
        .default_text("application/json")
        .rules(&[Rule::OneOf(&["application/json", "application/json; charset=utf-8"])])
        .doc("What the body is said to be."),
    Field::number("timeout").default_int(10_000).doc("Milliseconds for a delivery, its answer included."),
    Field::number("keepalive").default_int(60_000).doc("Milliseconds for which an idle connection is kept."),
    Field::integer("retry_count")
        .doc("Deprecated: how often a batch is tried again. `queue.max_retry_time` says it better."),
    Field::integer("queue_size").doc("Deprecated: `queue.max_batch_size`."),
    Field::number("flush_timeout").doc("Deprecated: `queue.max_coalescing_delay`."),
    Field::new("headers", Type::Map(&HEADER_NAME, &HEADER_VALUE))
        .doc("Headers of each delivery, for example a token that the server wants."),
    Field::record("queue", &QUEUE).required().doc("How entries wait and go together."),
    fields::FIELD,
    Field::boolean("ssl_verify")
        .doc("Whether the server's certificate is checked; it is, where this is not said."),
];

const QUEUE: [Field; 8] = queue::fields(1);
const HEADER_NAME: Field = TEXT.rules(&[Rule::Custom(header)]);
const HEADER_VALUE: Field = super::rules::HEADER_VALUE.secret();

/// Kong refuses those that a delivery has anyway.
fn header(value: &Value) -> Result<(), String> {
    let Value::Text(name) = value else { return Ok(()) };
    super::rules::is_header_name(name)?;
    match ["Host", "Content-Length", "Content-Type"].iter().find(|taken| taken.eq_ignore_ascii_case(name)) {
        Some(taken) => Err(format!("cannot contain '{taken}' header")),
        None => Ok(()),
    }
}

pub(crate) const DEFINITION: Definition = Definition { schema: &SCHEMA, phases: PHASES, make };

#[derive(Deserialize)]
struct Config {
    http_endpoint: Secret,
    method: String,
    content_type: String,
    timeout: f64,
    keepalive: f64,
    retry_count: Option<i64>,
    queue_size: Option<i64>,
    flush_timeout: Option<f64>,
    headers: Option<BTreeMap<String, Secret>>,
    queue: queue::Config,
    custom_fields_by_lua: Option<BTreeMap<String, String>>,
    ssl_verify: Option<bool>,
}

struct HttpLog {
    lines: Lines,
    sender: Sender<String>,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let queue =
        config.queue.clone().in_older_words(config.retry_count, config.queue_size, config.flush_timeout);
    let lines = Lines::new(config.custom_fields_by_lua.as_ref(), context)?;
    let endpoint = Endpoint::new(&config, context)?;
    Ok(Prepared::at_commit(move |living| HttpLog {
        lines,
        sender: Sender::new(SCHEMA.name, living, queue, endpoint),
    }))
}

impl Plugin for HttpLog {
    fn log(&self, request: &Request, summary: &Summary<'_>) {
        let line = self.lines.line(request, summary);
        let bytes = line.len();
        self.sender.push(line, bytes);
    }
}

/// Where deliveries go.
struct Endpoint {
    client: Client,
    url: Url,
    method: Method,
    content_type: &'static str,
    headers: Vec<(HeaderName, Secret)>,
    /// An array even of one, where more could go together.
    array: bool,
}

impl Endpoint {
    fn new(config: &Config, context: &Context<'_>) -> Result<Self, String> {
        let mut url = Url::parse(config.http_endpoint.expose()).map_err(|_| "http_endpoint: not a URL")?;
        let mut headers = Vec::new();
        if let Some(basic) = take_basic(&mut url) {
            headers.push((AUTHORIZATION, basic));
        }
        for (name, value) in config.headers.iter().flatten() {
            let name = HeaderName::try_from(name).map_err(|_| "headers: not the name of a header")?;
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value.clone()));
        }
        let terms = Terms {
            verify: config.ssl_verify.unwrap_or(true),
            limits: Limits { exchange: milliseconds(config.timeout), reply: 64 * 1024 },
            idle: milliseconds(config.keepalive),
            ..Terms::default()
        };
        Ok(Self {
            client: Client::on_terms(&context.node.trust, terms),
            url,
            method: Method::from_bytes(config.method.as_bytes()).map_err(|_| "method: not a method")?,
            content_type: match config.content_type.as_str() {
                "application/json" => "application/json",
                _ => "application/json; charset=utf-8",
            },
            headers,
            array: config.queue_size.map_or(config.queue.max_batch_size > 1, |size| size > 1),
        })
    }

    fn request(&self, batch: &[String]) -> Result<Outgoing, String> {
        let body = match batch {
            [only] if !self.array => only.clone(),
            all => ["[", &all.join(","), "]"].concat(),
        };
        let mut request = Outgoing::new(self.method.clone(), self.url.clone());
        for (name, value) in &self.headers {
            request = request.secret_header(name.clone(), value).map_err(|error| error.to_string())?;
        }
        Ok(request.body(self.content_type, Zeroizing::new(body), &[]))
    }
}

/// Name and password out of a URL, as a header.
fn take_basic(url: &mut Url) -> Option<Secret> {
    let decode = |text: &str| Zeroizing::new(percent_decode_str(text).decode_utf8_lossy().into_owned());
    let (name, password) = (decode(url.username()), decode(url.password().unwrap_or_default()));
    if name.is_empty() && password.is_empty() {
        return None;
    }
    // A URL that has a host takes both; this one was told to have one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let pair = Zeroizing::new([name.as_str(), ":", password.as_str()].concat());
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    Some(Secret::from(["Basic ", encoded.as_str()].concat()))
}

fn milliseconds(number: f64) -> Duration {
    Duration::from_secs_f64((number / 1e3).clamp(0.001, 86_400.0))
}

impl Deliver<String> for Endpoint {
    fn deliver<'a>(&'a self, batch: &'a [String]) -> Delivery<'a> {
        Box::pin(async move {
            let reply = self.client.send(self.request(batch)?).await.map_err(|error| error.to_string())?;
            // What else it says may repeat what it was sent.
            if reply.is_success() { Ok(0) } else { Err(format!("the server answered {}", reply.status)) }
        })
    }
}

#[cfg(test)]
mod tests;
