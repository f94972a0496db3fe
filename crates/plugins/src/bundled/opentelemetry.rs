//! `opentelemetry`: a trace of each request, and the log object with it, to a collector.
//!
//! Owns: which traces are recorded, and what spans say. Must not know: how a context is written (`propagation`), what is counted
//! (`metrics`), how batches travel (`export`), how lines of the own log come (`own`). Names of spans and attributes are those of Kong's plugin; credentials are blotted out.

mod export;
mod metrics;
mod own;
mod propagation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use postern_model::Record as Config;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT, Type};
use postern_secrets::Secret;
use prost::Message as _;
use serde::Deserialize;

use self::export::{Collector, Terminal, number, text};
use self::metrics::Metrics;
use self::own::Own;
use self::propagation::{Context as Trace, Format, extract, inject};
use super::rules;
use crate::logging::Lines;
use crate::logging::queue::{self, Sender};
use crate::logging::record::{Record, scheme};
use crate::node::Facts;
use crate::plugin::{Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::{Request, Response, Summary};
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "opentelemetry",
    priority: 14,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Sends traces, logs and metrics to an OpenTelemetry collector, and passes trace contexts on.",
};

const ENDPOINT: &[Rule] = &[Rule::Custom(rules::http_url)];
const TIMEOUT: &[Rule] = &[Rule::Between(0.0, 2_147_483_646.0)];
const EXTRACTED: &[&str] = &["aws", "b3", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"];
const FORMATS: &[&str] = &["aws", "b3", "b3-single", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"];
const INJECTED: &[&str] =
    &["aws", "b3", "b3-single", "datadog", "gcp", "instana", "jaeger", "ot", "preserve", "w3c"];

const FIELDS: &[Field] = &[
    Field::string("traces_endpoint").rules(ENDPOINT).doc("The URL that takes traces; none are recorded without."),
    Field::string("logs_endpoint")
        .rules(ENDPOINT)
        .doc("The URL that takes the gateway's own log, that of all its routes."),
    Field::string("access_logs_endpoint")
        .rules(ENDPOINT)
        .doc("The URL that takes a record of each request, with the log object as its body."),
    Field::new("headers", Type::Map(&HEADER_NAME, &HEADER_VALUE))
        .doc("Headers of each delivery, for example a token that the collector wants."),
    Field::new("resource_attributes", Type::Map(&TEXT, &TEXT))
        .doc("Attributes of the resource, besides `service.name`, `service.version` and `service.instance.id`."),
    Field::record("queue", &QUEUE).required().doc("How spans wait and go together."),
    Field::integer("batch_span_count").doc("Deprecated: `queue.max_batch_size`."),
    Field::integer("batch_flush_delay").doc("Deprecated: `queue.max_coalescing_delay`."),
    Field::integer("connect_timeout").default_int(1000).rules(TIMEOUT).doc("Milliseconds for connecting."),
    Field::integer("send_timeout").default_int(5000).rules(TIMEOUT).doc("Milliseconds for sending."),
    Field::integer("read_timeout").default_int(5000).rules(TIMEOUT).doc("Milliseconds for the answer."),
    Field::string("http_response_header_for_traceid")
        .rules(&[Rule::Custom(rules::header_name)])
        .doc("The header that tells the client the trace's identifier."),
    Field::string("header_type")
        .default_text("preserve")
        .rules(&[Rule::OneOf(&[
            "aws", "b3", "b3-single", "datadog", "gcp", "ignore", "instana", "jaeger", "ot", "preserve", "w3c",
        ])])
        .doc("Where `propagation` does not say: the format in which the context goes on, besides that in which it came. `ignore`: what came does not count."),
    Field::number("sampling_rate")
        .rules(&[Rule::Between(0.0, 1.0)])
        .doc("Which part of the traces is recorded; where it is not said, `tracing_sampling_rate` of the node."),
    Field::string("sampling_strategy")
        .default_text("parent_drop_probability_fallback")
        .rules(&[Rule::OneOf(&["parent_drop_probability_fallback", "parent_probability_fallback"])])
        .doc("Whether who sent the request may only decide that it is not recorded, or also that it is."),
    Field::record("propagation", PROPAGATION).required().doc("Which contexts are read and written."),
    Field::record("metrics", metrics::FIELDS).required().doc("Metrics to a collector."),
];

const QUEUE: [Field; 8] = queue::fields(200);
const HEADER_NAME: Field = TEXT.rules(&[Rule::Custom(rules::header_name)]);
const HEADER_VALUE: Field = rules::HEADER_VALUE.secret();

const PROPAGATION: &[Field] = &[
    Field::array("extract", &TEXT.rules(&[Rule::OneOf(EXTRACTED)]))
        .doc("Formats in which a context is looked for; the first that is found counts."),
    Field::array("clear", &rules::HEADER_NAME).doc("Headers that are taken out of the request then."),
    Field::array("inject", &TEXT.rules(&[Rule::OneOf(INJECTED)]))
        .doc("Formats in which it goes on; `preserve` is the one in which it came."),
    Field::string("default_format")
        .required()
        .default_text("w3c")
        .rules(&[Rule::OneOf(FORMATS)])
        .doc("The format for `preserve` where none came."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, response: true, log: true, rewrite: false, body_filter: false },
    make,
};

#[derive(Deserialize)]
struct Read {
    traces_endpoint: Option<Secret>,
    logs_endpoint: Option<Secret>,
    access_logs_endpoint: Option<Secret>,
    headers: Option<BTreeMap<String, Secret>>,
    resource_attributes: Option<BTreeMap<String, String>>,
    queue: queue::Config,
    batch_span_count: Option<i64>,
    batch_flush_delay: Option<f64>,
    connect_timeout: u64,
    send_timeout: u64,
    read_timeout: u64,
    http_response_header_for_traceid: Option<String>,
    header_type: String,
    sampling_rate: Option<f64>,
    sampling_strategy: String,
    propagation: Propagation,
    metrics: metrics::Config,
}

#[derive(Deserialize)]
struct Propagation {
    extract: Option<Vec<Format>>,
    clear: Option<Vec<String>>,
    inject: Option<Vec<Injected>>,
    default_format: Format,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Injected {
    Format(Format),
    /// `preserve`.
    Preserve(Preserve),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Preserve {
    Preserve,
}

struct OpenTelemetry {
    spans: Option<Sender<Span>>,
    records: Option<Sender<LogRecord>>,
    metrics: Option<Metrics>,
    /// Listens for as long as the plugin is there.
    _own: Option<Arc<Own>>,
    lines: Lines,
    extract: Vec<Format>,
    clear: Vec<HeaderName>,
    inject: Vec<Injected>,
    default_format: Format,
    response_header: Option<HeaderName>,
    rate: f64,
    parent_may_record: bool,
    clock: Clock,
    node: Arc<Facts>,
}

/// What is known of a request's trace, from its beginning to its end.
#[derive(Clone, Copy)]
struct Traced {
    trace: u128,
    /// The span of the gateway.
    root: u64,
    /// The span of the attempt that the upstream answers.
    balancer: u64,
    /// The span that the client named.
    parent: Option<u64>,
    sampled: bool,
}

fn make(config: &Config, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Read = config.read()?;
    let queue = config.queue.clone().in_older_words(None, config.batch_span_count, config.batch_flush_delay);
    let none = BTreeMap::new();
    let terminal = Terminal {
        timeout: Duration::from_millis(
            (config.connect_timeout + config.send_timeout + config.read_timeout).max(1),
        ),
        headers: config.headers.as_ref().unwrap_or(&none),
        attributes: &config.resource_attributes.unwrap_or_default(),
    };
    let collector = |field: &str, url: &Secret| {
        Collector::new(url.expose(), &terminal, context).map_err(|reason| format!("{field}: {reason}"))
    };
    let at = |field: &str, url: Option<&Secret>| url.map(|url| collector(field, url)).transpose();
    let spans = at("traces_endpoint", config.traces_endpoint.as_ref())?;
    let records = at("access_logs_endpoint", config.access_logs_endpoint.as_ref())?;
    let own = at("logs_endpoint", config.logs_endpoint.as_ref())?;
    let metrics = at("metrics.endpoint", config.metrics.endpoint.as_ref())?;
    let header = |name: String| HeaderName::try_from(name).map_err(|_| "not the name of a header".to_owned());
    let Propagation { extract, clear, inject, default_format } = config.propagation;
    // Where nobody says how, as versions did that had one field for it.
    let by_type = extract.is_none() && inject.is_none();
    let (extract, inject) = match config.header_type.as_str() {
        _ if !by_type => (extract.unwrap_or_default(), inject.unwrap_or_default()),
        "preserve" => (Format::ALL.to_vec(), vec![Injected::Preserve(Preserve::Preserve)]),
        "ignore" => (Vec::new(), vec![Injected::Format(default_format)]),
        name => {
            let format = Format::named(name).ok_or("header_type: not a format")?;
            (Format::ALL.to_vec(), vec![Injected::Preserve(Preserve::Preserve), Injected::Format(format)])
        }
    };
    let lines = Lines::new(None, context)?;
    let clear = clear.unwrap_or_default().into_iter().map(header).collect::<Result<_, _>>()?;
    let response_header = config.http_response_header_for_traceid.map(header).transpose()?;
    let (clock, node) = (context.clock.clone(), Arc::clone(context.node));
    Ok(Prepared::at_commit(move |living| {
        let own = own.map(|to| {
            let sender = Sender::new(SCHEMA.name, living, queue.clone(), to);
            let own = Arc::new(Own::new(sender, clock.clone()));
            living.node.own_log.listen(&own);
            own
        });
        OpenTelemetry {
            spans: spans.map(|to| Sender::new(SCHEMA.name, living, queue.clone(), to)),
            records: records.map(|to| Sender::new(SCHEMA.name, living, queue.clone(), to)),
            metrics: metrics.map(|to| Metrics::new(config.metrics, to, clock.clone(), living)),
            _own: own,
            lines,
            extract,
            clear,
            inject,
            default_format,
            response_header,
            rate: config.sampling_rate.unwrap_or(node.tracing.rate),
            parent_may_record: config.sampling_strategy == "parent_probability_fallback",
            clock,
            node,
        }
    }))
}

impl Plugin for OpenTelemetry {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        let found = extract(request, &self.extract);
        let came = found.map(|(_, format)| format);
        let parent = found.map(|(context, _)| context);
        let trace = parent.map_or_else(|| fastrand::u128(1..), |parent| parent.trace);
        let traced = Traced {
            trace,
            root: fastrand::u64(1..),
            balancer: fastrand::u64(1..),
            parent: parent.and_then(|parent| parent.span),
            sampled: self.samples(trace, parent.and_then(|parent| parent.sampled)),
        };
        for name in &self.clear {
            request.headers.remove(name);
        }
        // The span that the upstream is asked in; without it, what comes after the gateway hangs on the gateway's.
        let (span, above) = match self.node.tracing.balancer {
            true => (traced.balancer, Some(traced.root)),
            false => (traced.root, traced.parent),
        };
        let context = Trace { trace, span: Some(span), sampled: Some(traced.sampled) };
        let mut written = [None; 2];
        for (place, injected) in self.inject.iter().enumerate() {
            let format = match injected {
                Injected::Format(format) => *format,
                Injected::Preserve(_) => came.unwrap_or(self.default_format),
            };
            if !written.contains(&Some(format)) {
                inject(request, format, &context, above);
                written[place % 2] = Some(format);
            }
        }
        request.notes.insert(traced);
        Step::Continue
    }

    fn response(&self, request: &Request, response: &mut Response) {
        if let (Some(name), Some(traced)) = (&self.response_header, request.notes.get::<Traced>())
            && let Ok(value) = HeaderValue::try_from(format!("{:032x}", traced.trace))
        {
            response.headers.insert(name.clone(), value);
        }
    }

    fn log(&self, request: &Request, summary: &Summary<'_>) {
        let ended = self.clock.since_1970();
        let record = Record { request, summary, ended, redaction: &self.node.redaction };
        if let Some(metrics) = &self.metrics {
            metrics.add(&record);
        }
        // One that an earlier plugin answered has no trace.
        let Some(traced) = request.notes.get::<Traced>().copied() else { return };
        if let Some(spans) = self.spans.as_ref().filter(|_| traced.sampled) {
            for span in self.spans(&record, &traced) {
                let bytes = span.encoded_len();
                spans.push(span, bytes);
            }
        }
        if let Some(records) = &self.records {
            let record = self.record(&record, &traced);
            let bytes = record.encoded_len();
            records.push(record, bytes);
        }
    }
}

impl OpenTelemetry {
    /// The same for all who see this trace and have the same rate.
    fn samples(&self, trace: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(false) => false,
            Some(true) if self.parent_may_record => true,
            _ => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the lower half is random in all formats"
                )]
                let part = (trace as u64 >> 11) as f64 / (1_u64 << 53) as f64;
                part < self.rate
            }
        }
    }

    /// That of the gateway, and one for each attempt to reach the upstream.
    fn spans(&self, record: &Record<'_>, traced: &Traced) -> Vec<Span> {
        let began = record.started();
        let mut spans = Vec::with_capacity(1 + record.summary.tries.len());
        if self.node.tracing.request {
            spans.push(Span {
                trace_id: traced.trace.to_be_bytes().to_vec(),
                span_id: traced.root.to_be_bytes().to_vec(),
                parent_span_id: traced.parent.map_or_else(Vec::new, |parent| parent.to_be_bytes().to_vec()),
                name: "kong".to_owned(),
                kind: SpanKind::Server as i32,
                start_time_unix_nano: nanos(began),
                end_time_unix_nano: nanos(record.ended),
                attributes: attributes(record),
                status: status(record.summary.status.is_server_error()),
                ..Span::default()
            });
        }
        if !self.node.tracing.balancer {
            return spans;
        }
        let tries = record.summary.tries;
        for (number, attempt) in tries.iter().enumerate() {
            let start = began + attempt.started;
            // What failed ended when the next was begun.
            let end = tries.get(number + 1).map_or(record.ended, |next| began + next.started);
            let is_last = number + 1 == tries.len();
            let mut attributes = vec![
                export::number("try_count", number + 1),
                text("net.peer.ip", attempt.address.ip().to_string()),
                export::number("net.peer.port", attempt.address.port()),
            ];
            if let Some(failure) = attempt.failure {
                attributes.push(export::number("http.status_code", failure.as_u16()));
            }
            spans.push(Span {
                trace_id: traced.trace.to_be_bytes().to_vec(),
                span_id: if is_last { traced.balancer } else { fastrand::u64(1..) }.to_be_bytes().to_vec(),
                parent_span_id: traced.root.to_be_bytes().to_vec(),
                name: "kong.balancer".to_owned(),
                kind: SpanKind::Client as i32,
                start_time_unix_nano: nanos(start),
                end_time_unix_nano: nanos(end),
                attributes,
                status: status(attempt.failure.is_some()),
                ..Span::default()
            });
        }
        spans
    }

    fn record(&self, record: &Record<'_>, traced: &Traced) -> LogRecord {
        let mut attributes = attributes(record);
        let latencies = record.latencies();
        attributes.extend([
            text("log.type", "access"),
            number("http.request.size", record.request_size()),
            number("http.response.size", record.response_size()),
            number("kong.latency.total", latencies.request),
            number("kong.latency.internal", latencies.kong),
            number("kong.latency.upstream", latencies.proxy),
        ]);
        LogRecord {
            time_unix_nano: nanos(record.started()),
            observed_time_unix_nano: nanos(record.ended),
            severity_number: SeverityNumber::Info as i32,
            severity_text: "INFO".to_owned(),
            body: Some(export::body(self.lines.json(record))),
            attributes,
            trace_id: traced.trace.to_be_bytes().to_vec(),
            span_id: traced.root.to_be_bytes().to_vec(),
            flags: u32::from(traced.sampled),
            ..LogRecord::default()
        }
    }
}

/// What is said of a request, in the names of Kong's spans.
fn attributes(record: &Record<'_>) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let Record { request, summary, .. } = *record;
    let mut attributes = vec![
        text("http.method", request.method.as_str()),
        text("http.url", [record.origin(), record.uri()].concat()),
        text("http.host", request.client.host.as_str()),
        text("http.scheme", scheme(request.client.scheme)),
        text("http.flavor", flavor(request)),
        text("http.client_ip", request.client.ip.to_string()),
        text("net.peer.ip", request.client.peer.to_string()),
        number("http.status_code", summary.status.as_u16()),
        text("kong.request.id", request.id.to_string()),
    ];
    if let Some(route) = &request.route {
        attributes.push(text("http.route", route.name.clone().unwrap_or_else(|| route.id.to_string())));
    }
    if let Some(service) = &request.service {
        let name = service.name.clone().unwrap_or_else(|| service.id.to_string());
        attributes.push(text("kong.service.name", name));
    }
    if let Some(consumer) = &request.consumer {
        attributes.push(text("kong.consumer.id", consumer.id.to_string()));
    }
    attributes
}

fn flavor(request: &Request) -> &'static str {
    match request.client.version {
        http::Version::HTTP_2 => "2.0",
        http::Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

fn status(is_error: bool) -> Option<Status> {
    let code = if is_error { StatusCode::Error } else { StatusCode::Unset };
    Some(Status { message: String::new(), code: code as i32 })
}

#[expect(clippy::cast_possible_truncation, reason = "it fits until the year 2554")]
fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests;
