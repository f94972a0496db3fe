//! `statsd`: counts and durations of each request to a StatsD server.
//!
//! Owns: what a request comes to in metrics, and how they go together in packets. Must not know: how a metric is written
//! (`metric` does), how packets travel.

mod metric;

use std::time::Duration;

use http::StatusCode;
use postern_model::field::{Check, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT, Type};
use postern_model::{Record as Config, Value};
use serde::Deserialize;

use self::metric::{Kind, Line, Measured, Name, Style, part};
use crate::directory::Consumer;
use crate::logging::PHASES;
use crate::logging::queue::{self, Deliver, Delivery, Sender};
use crate::logging::record::{Record, WORKSPACE};
use crate::logging::redact::Redaction;
use crate::logging::wire::{Place, Tcp, Udp};
use crate::plugin::Plugin;
use crate::prepared::Prepared;
use crate::registry::{Context, Definition};
use crate::view::{Request, Summary};
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "statsd",
    priority: 11,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[Check::Custom(metrics_fit)] },
    doc: "Sends metrics of each request to a StatsD server.",
};

const CONSUMER_NAMES: &[Rule] = &[Rule::OneOf(&["consumer_id", "custom_id", "username"])];
const SERVICE_NAMES: &[Rule] =
    &[Rule::OneOf(&["service_host", "service_id", "service_name", "service_name_or_host"])];
const WORKSPACE_NAMES: &[Rule] = &[Rule::OneOf(&["workspace_id", "workspace_name"])];

const FIELDS: &[Field] = &[
    Field::string("host").default_text("localhost").doc("The server's name or address."),
    Field::integer("port").default_int(8125).rules(&[Rule::Between(0.0, 65535.0)]).doc("Its port."),
    Field::string("prefix").default_text("kong").doc("What every metric's name begins with."),
    Field::array("metrics", &METRIC).doc("The metrics that are sent; all of them, where this is not said."),
    Field::array("allow_status_codes", &CODES)
        .doc("Ranges of statuses, as `200-299`, whose requests are counted by status; all, where none is said."),
    Field::number("udp_packet_size")
        .default_int(0)
        .rules(&[Rule::Between(0.0, 65507.0)])
        .doc("Bytes up to which metrics go together in a datagram; 0 for one each."),
    Field::boolean("use_tcp").default_bool(false).doc("Whether metrics go over TCP."),
    Field::boolean("hostname_in_prefix").required().default_bool(false).doc("Whether names hold that of the machine."),
    Field::string("consumer_identifier_default")
        .required()
        .default_text("custom_id")
        .rules(CONSUMER_NAMES)
        .doc("What a consumer goes by, where a metric does not say."),
    Field::string("service_identifier_default")
        .required()
        .default_text("service_name_or_host")
        .rules(SERVICE_NAMES)
        .doc("What a service goes by, where a metric does not say."),
    Field::string("workspace_identifier_default")
        .required()
        .default_text("workspace_id")
        .rules(WORKSPACE_NAMES)
        .doc("What a workspace goes by, where a metric does not say. There is one here, called `default` either way."),
    Field::integer("retry_count").doc("Deprecated: how often a batch is tried again. `queue.max_retry_time` says it better."),
    Field::integer("queue_size").doc("Deprecated: `queue.max_batch_size`."),
    Field::number("flush_timeout").doc("Deprecated: `queue.max_coalescing_delay`."),
    Field::string("tag_style")
        .rules(&[Rule::OneOf(&["dogstatsd", "influxdb", "librato", "signalfx"])])
        .doc("How tags are written; without, services and consumers are parts of the names."),
    Field::record("queue", &QUEUE).required().doc("How metrics wait and go together."),
];

const QUEUE: [Field; 8] = queue::fields(1);
const CODES: Field = TEXT.rules(&[Rule::Custom(codes)]);
const METRIC: Field = Field::new("", Type::Record(&METRIC_FIELDS));
const METRIC_FIELDS: [Field; 6] = [
    Field::string("name").required().rules(&[Rule::OneOf(Name::ALL)]).doc("Which metric."),
    Field::string("stat_type")
        .required()
        .rules(&[Rule::OneOf(&["counter", "gauge", "histogram", "meter", "set", "timer"])])
        .doc("What the server makes of it."),
    Field::number("sample_rate")
        .rules(&[Rule::Above(0.0)])
        .doc("The part of the requests that send it; the server is told."),
    Field::string("consumer_identifier").rules(CONSUMER_NAMES).doc("What a consumer goes by."),
    Field::string("service_identifier").rules(SERVICE_NAMES).doc("What a service goes by."),
    Field::string("workspace_identifier").rules(WORKSPACE_NAMES).doc("What a workspace goes by."),
];

fn codes(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) => range(text).map(|_| ()),
        _ => Ok(()),
    }
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=999).contains(code));
    let pair = text.split_once('-').and_then(|(from, to)| Some((number(from)?, number(to)?)));
    pair.filter(|(from, to)| from <= to).ok_or_else(|| "expected a range of statuses, as 200-299".to_owned())
}

fn metrics_fit(config: &Config) -> Result<(), (&'static str, String)> {
    let Some(Value::List(metrics)) = config.get("metrics") else { return Ok(()) };
    for metric in metrics {
        let Value::Record(metric) = metric else { continue };
        let kind = metric.text("stat_type").unwrap_or_default();
        if matches!(kind, "counter" | "gauge") && metric.get("sample_rate").is_none() {
            return Err(("metrics", "sample_rate: required field missing".to_owned()));
        }
        if metric.text("name") == Some("unique_users") && kind != "set" {
            return Err(("metrics", "stat_type: value must be set".to_owned()));
        }
    }
    Ok(())
}

pub(crate) const DEFINITION: Definition = Definition { schema: &SCHEMA, phases: PHASES, make };

#[derive(Deserialize)]
struct Read {
    host: String,
    port: u16,
    prefix: String,
    metrics: Option<Vec<ReadMetric>>,
    allow_status_codes: Option<Vec<String>>,
    udp_packet_size: f64,
    use_tcp: bool,
    hostname_in_prefix: bool,
    consumer_identifier_default: ConsumerBy,
    service_identifier_default: ServiceBy,
    retry_count: Option<i64>,
    queue_size: Option<i64>,
    flush_timeout: Option<f64>,
    tag_style: Option<Style>,
    queue: queue::Config,
}

#[derive(Deserialize)]
struct ReadMetric {
    name: Name,
    stat_type: Kind,
    sample_rate: Option<f64>,
    consumer_identifier: Option<ConsumerBy>,
    service_identifier: Option<ServiceBy>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ConsumerBy {
    ConsumerId,
    CustomId,
    Username,
}

#[derive(Clone, Copy, Deserialize)]
enum ServiceBy {
    #[serde(rename = "service_host")]
    Host,
    #[serde(rename = "service_id")]
    Id,
    #[serde(rename = "service_name")]
    Name,
    #[serde(rename = "service_name_or_host")]
    NameOrHost,
}

struct Metric {
    name: Name,
    kind: Kind,
    rate: f64,
    consumer_by: ConsumerBy,
    service_by: ServiceBy,
}

struct Statsd {
    prefix: String,
    style: Option<Style>,
    metrics: Vec<Metric>,
    codes: Vec<(u16, u16)>,
    clock: Clock,
    sender: Sender<String>,
}

fn make(config: &Config, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Read = config.read()?;
    let (consumer_by, service_by) = (config.consumer_identifier_default, config.service_identifier_default);
    let metrics = match config.metrics {
        None => Name::usual()
            .map(|(name, kind)| Metric { name, kind, rate: 1.0, consumer_by, service_by })
            .collect(),
        Some(metrics) => metrics
            .into_iter()
            .map(|metric| Metric {
                name: metric.name,
                kind: metric.stat_type,
                rate: metric.sample_rate.unwrap_or(1.0),
                consumer_by: metric.consumer_identifier.unwrap_or(consumer_by),
                service_by: metric.service_identifier.unwrap_or(service_by),
            })
            .collect(),
    };
    let queue = config.queue.in_older_words(config.retry_count, config.queue_size, config.flush_timeout);
    let place = Place { host: config.host, port: config.port, timeout: TIMEOUT };
    let to = match config.use_tcp {
        true => Server::Tcp(Tcp::new(place, IDLE)),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 65507")]
        false => Server::Udp(Udp::new(place), config.udp_packet_size as usize),
    };
    let codes = config.allow_status_codes.iter().flatten().map(|text| range(text));
    let prefix = match config.hostname_in_prefix {
        true => format!("{}.node.{}", config.prefix, part(&context.node.hostname)),
        false => config.prefix,
    };
    let codes = codes.collect::<Result<_, _>>().map_err(|reason| format!("allow_status_codes: {reason}"))?;
    let (style, clock) = (config.tag_style, context.clock.clone());
    Ok(Prepared::at_commit(move |living| {
        let sender = Sender::new(SCHEMA.name, living, queue, to);
        Statsd { prefix, style, metrics, codes, clock, sender }
    }))
}

/// Bytes that the metrics of a request seldom need more than.
const USUAL: usize = 1024;
/// For connecting and sending.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a connection is kept without use.
const IDLE: Duration = Duration::from_secs(60);

impl Plugin for Statsd {
    fn log(&self, request: &Request, summary: &Summary<'_>) {
        let lines = self.lines(request, summary);
        let bytes = lines.len();
        if bytes > 0 {
            self.sender.push(lines, bytes);
        }
    }
}

impl Statsd {
    /// The metrics of a request, a line each.
    fn lines(&self, request: &Request, summary: &Summary<'_>) -> String {
        let redaction = Redaction::default();
        let record = Record { request, summary, ended: self.clock.since_1970(), redaction: &redaction };
        let latencies = record.latencies();
        let route = request.route.as_ref().map(|route| route.id.to_string());
        // The same for all metrics, as a rule.
        let mut services: [Option<Option<String>>; 4] = Default::default();
        let mut lines = String::with_capacity(USUAL);
        for metric in &self.metrics {
            if metric.rate < 1.0 && fastrand::f64() >= metric.rate {
                continue;
            }
            let consumer =
                request.consumer.as_deref().and_then(|consumer| named(consumer, metric.consumer_by));
            if metric.name.is_of_a_consumer() && consumer.is_none() {
                continue;
            }
            if metric.name.is_of_a_status() && !self.counts(summary.status) {
                continue;
            }
            let millis = |millis: i64| u64::try_from(millis).ok().map(Measured::Number);
            let value = match metric.name {
                Name::RequestSize => Some(Measured::Number(record.request_size())),
                Name::ResponseSize => Some(Measured::Number(record.response_size())),
                Name::Latency => millis(latencies.request),
                // -1 where there was none.
                Name::UpstreamLatency => millis(latencies.proxy),
                Name::KongLatency => millis(latencies.kong),
                Name::UniqueUsers => consumer.as_deref().map(Measured::Text),
                // There are no dictionaries of Lua here, and no datastore is asked for a request.
                Name::ShdictUsage | Name::CacheDatastoreHitsTotal | Name::CacheDatastoreMissesTotal => None,
                _ => Some(Measured::Number(1)),
            };
            let Some(value) = value else { continue };
            let service = services[metric.service_by as usize]
                .get_or_insert_with(|| service(request, metric.service_by));
            let line = Line {
                prefix: &self.prefix,
                name: metric.name,
                kind: metric.kind,
                rate: metric.rate,
                value,
                service: service.as_deref(),
                route: route.as_deref(),
                consumer: consumer.as_deref(),
                workspace: WORKSPACE,
                status: summary.status.as_u16(),
            };
            line.write(self.style, &mut lines);
        }
        lines
    }

    fn counts(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        self.codes.is_empty() || self.codes.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }
}

fn named(consumer: &Consumer, by: ConsumerBy) -> Option<String> {
    match by {
        ConsumerBy::ConsumerId => Some(consumer.id.to_string()),
        ConsumerBy::CustomId => consumer.custom_id.as_deref().map(part),
        ConsumerBy::Username => consumer.username.as_deref().map(part),
    }
}

/// What the service of a request goes by; `None` where no route matched.
fn service(request: &Request, by: ServiceBy) -> Option<String> {
    let service = request.service.as_deref()?;
    let host = || service.entity.text("host").map(part);
    let name = || service.name.as_deref().map(part);
    let id = || service.id.to_string();
    Some(match by {
        ServiceBy::Host => host().unwrap_or_else(id),
        ServiceBy::Id => id(),
        ServiceBy::Name => name().unwrap_or_else(id),
        ServiceBy::NameOrHost => name().or_else(host).unwrap_or_else(id),
    })
}

enum Server {
    Tcp(Tcp),
    /// With the size of a datagram.
    Udp(Udp, usize),
}

impl Deliver<String> for Server {
    fn deliver<'a>(&'a self, batch: &'a [String]) -> Delivery<'a> {
        Box::pin(async move {
            match self {
                Self::Tcp(server) => server.send(batch.concat().as_bytes()).await.map(|()| 0),
                Self::Udp(server, size) => {
                    let packets = packets(batch.iter().flat_map(|lines| lines.lines()), *size);
                    let lost = server.send(packets.iter().map(String::as_bytes)).await?;
                    Ok(lost.min(batch.len()))
                }
            }
        })
    }
}

/// Lines in as few packets as the size allows; one that is longer goes alone.
fn packets<'a>(lines: impl Iterator<Item = &'a str>, size: usize) -> Vec<String> {
    let mut packets: Vec<String> = Vec::new();
    for line in lines {
        match packets.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= size => {
                last.push('\n');
                last.push_str(line);
            }
            _ => packets.push(line.to_owned()),
        }
    }
    packets
}

#[cfg(test)]
mod tests;
