//! Metrics of requests to a collector.
//!
//! Owns: Kong's names and attributes, and that what is sent are sums since the plugin began to count, so that a delivery which
//! fails is made good by the next. Must not know: how a delivery travels (`export`).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use http::Method;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};
use postern_model::field::{Field, Rule};
use postern_secrets::Secret;
use serde::Deserialize;
use tokio::time::sleep;
use uuid::Uuid;

use super::ENDPOINT;
use super::export::{Collector, number, text};
use super::nanos;
use crate::logging::record::{Record, WORKSPACE};
use crate::metrics::{BUCKETS, thread};
use crate::mix::Mix;
use crate::prepared::Living;
use crate::view::Source;
use postern_secrets::clock::Clock;

/// The fields of `metrics`.
pub(super) const FIELDS: &[Field] = &[
    Field::string("endpoint").rules(ENDPOINT).doc("The URL that takes metrics."),
    Field::boolean("enable_bandwidth_metrics").default_bool(false).doc(
        "`http.server.request.size` and `http.server.response.size`: bytes of messages as they were sent.",
    ),
    Field::boolean("enable_consumer_attribute")
        .default_bool(false)
        .doc("Whether numbers and sizes are told by consumer."),
    Field::boolean("enable_latency_metrics")
        .default_bool(false)
        .doc("`kong.latency.total`, `kong.latency.internal` and `kong.latency.upstream`, in seconds."),
    Field::boolean("enable_request_metrics").default_bool(false).doc("`http.server.request.count`."),
    Field::boolean("enable_upstream_health_metrics")
        .default_bool(false)
        .unsupported("the health of targets over OTLP; /metrics has it")
        .doc("The health of targets."),
    Field::number("push_interval")
        .default_int(60)
        .rules(&[Rule::Above(0.0)])
        .doc("Seconds between two deliveries; a tenth of one at least."),
];

/// The same, read.
#[derive(Deserialize)]
pub(super) struct Config {
    pub(super) endpoint: Option<Secret>,
    push_interval: f64,
    enable_bandwidth_metrics: bool,
    enable_consumer_attribute: bool,
    enable_latency_metrics: bool,
    enable_request_metrics: bool,
}

/// Upper ends of latencies, in microseconds: those of the other metrics.
const LATENCIES: [u64; BUCKETS.len()] = {
    let (mut ends, mut index) = (BUCKETS, 0);
    while index < ends.len() {
        ends[index] *= 1000;
        index += 1;
    }
    ends
};

/// Upper ends of sizes, in bytes.
const SIZES: [u64; BUCKETS.len()] =
    [100, 250, 500, 1000, 2500, 5000, 10_000, 50_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Methods that are told apart; clients may make up others without end.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// What the others are called, as OpenTelemetry's conventions have it.
const OTHER: &str = "_OTHER";

/// What requests have in common that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Point {
    place: Place,
    status: u16,
    /// Of [`METHODS`].
    method: u8,
    source: Source,
}

/// Where a request went, and of whom it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    service: Option<Uuid>,
    route: Option<Uuid>,
    consumer: Option<Uuid>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    requests: u64,
    received: Spread,
    sent: Spread,
    total: Spread,
    internal: Spread,
    upstream: Spread,
}

/// How many are below each end and above the one before, and their sum.
#[derive(Clone, Copy, Default)]
struct Spread {
    buckets: [u64; BUCKETS.len() + 1],
    sum: u64,
}

impl Spread {
    fn add(&mut self, value: u64, ends: &[u64; BUCKETS.len()]) {
        self.buckets[ends.iter().position(|end| value <= *end).unwrap_or(ends.len())] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(a, b)| *a += b);
        self.sum = self.sum.saturating_add(other.sum);
    }
}

type Shard = Mutex<HashMap<Point, Count, BuildHasherDefault<Mix>>>;

/// What was counted; it outlives a configuration.
struct Counts {
    /// A thread has its own, so that only a delivery ever makes one wait.
    shards: Box<[Shard]>,
    names: RwLock<HashMap<Uuid, String>>,
    began: OnceLock<Duration>,
}

impl Default for Counts {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (0..2 * threads).map(|_| Shard::default()).collect();
        Self { shards, names: RwLock::default(), began: OnceLock::new() }
    }
}

/// Counts requests, and sends the sums now and then.
pub(super) struct Metrics(Arc<Pushing>);

struct Pushing {
    counts: Arc<Counts>,
    config: Config,
    collector: Collector,
    clock: Clock,
}

impl Metrics {
    /// Begins to send, for as long as it is there.
    pub(super) fn new(config: Config, collector: Collector, clock: Clock, living: &Living<'_>) -> Self {
        let counts = living.state.of(living.id, Counts::default);
        counts.began.get_or_init(|| clock.since_1970());
        let every = Duration::from_secs_f64(config.push_interval.clamp(0.1, 86_400.0));
        let pushing = Arc::new(Pushing { counts, config, collector, clock });
        living.io.spawn(push(Arc::downgrade(&pushing), every));
        Self(pushing)
    }

    /// Counts a request.
    pub(super) fn add(&self, record: &Record<'_>) {
        let Pushing { counts, config, .. } = &*self.0;
        let Record { request, summary, .. } = *record;
        let consumer = request.consumer.as_ref().filter(|_| config.enable_consumer_attribute);
        let method = METHODS.iter().position(|method| *method == request.method).unwrap_or(METHODS.len());
        let point = Point {
            place: Place {
                service: request.service.as_ref().map(|service| service.id),
                route: request.route.as_ref().map(|route| route.id),
                consumer: consumer.map(|consumer| consumer.id),
            },
            status: summary.status.as_u16(),
            method: u8::try_from(method).unwrap_or(u8::MAX),
            source: summary.source,
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let is_new = {
            let shard = &counts.shards[thread() % counts.shards.len()];
            let mut points = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let count = points.entry(point).or_default();
            count.requests += 1;
            if config.enable_bandwidth_metrics {
                count.received.add(record.request_size(), &SIZES);
                count.sent.add(record.response_size(), &SIZES);
            }
            if config.enable_latency_metrics {
                count.total.add(micros(summary.total), &LATENCIES);
                count.internal.add(micros(summary.gateway), &LATENCIES);
                if let Some(upstream) = summary.upstream {
                    count.upstream.add(micros(upstream), &LATENCIES);
                }
            }
            count.requests == 1
        };
        if is_new {
            let mut names = counts.names.write().unwrap_or_else(PoisonError::into_inner);
            let mut name = |id: Uuid, name: Option<&str>| {
                names.insert(id, name.map_or_else(|| id.to_string(), str::to_owned));
            };
            if let Some(service) = &request.service {
                name(service.id, service.name.as_deref());
            }
            if let Some(route) = &request.route {
                name(route.id, route.name.as_deref());
            }
            if let Some(consumer) = consumer {
                name(consumer.id, consumer.username.as_deref().or(consumer.custom_id.as_deref()));
            }
        }
    }
}

async fn push(pushing: Weak<Pushing>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(pushing) = pushing.upgrade() else { return };
        if let Err(reason) = pushing.collector.send(pushing.collector.metrics(pushing.metrics())).await {
            tracing::warn!(reason, "metrics could not be delivered; the next delivery holds them too");
        }
    }
}

impl Pushing {
    /// All sums so far.
    fn metrics(&self) -> Vec<Metric> {
        let (began, now) = (self.counts.began.get().copied().unwrap_or_default(), self.clock.since_1970());
        let moment = Moment { began: nanos(began), now: nanos(now) };
        let mut points: HashMap<Point, Count> = HashMap::new();
        for shard in &self.counts.shards {
            for (point, count) in shard.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                points.entry(*point).or_default().merge(count);
            }
        }
        let mut metrics = Vec::new();
        if self.config.enable_request_metrics {
            let points = points.iter().map(|(point, count)| NumberDataPoint {
                attributes: self.of_a_point(point),
                start_time_unix_nano: moment.began,
                time_unix_nano: moment.now,
                value: Some(Value::AsInt(i64::try_from(count.requests).unwrap_or(i64::MAX))),
                ..NumberDataPoint::default()
            });
            let sum = Sum {
                data_points: points.collect(),
                aggregation_temporality: AggregationTemporality::Cumulative as i32,
                is_monotonic: true,
            };
            metrics.push(metric("http.server.request.count", "{request}", "Requests.", Data::Sum(sum)));
        }
        type Part = fn(&Count) -> &Spread;
        if self.config.enable_bandwidth_metrics {
            let places = by_place(&points, |place| place);
            let parts: [(&str, &str, Part); 2] = [
                ("http.server.request.size", "Bytes of requests.", |count| &count.received),
                ("http.server.response.size", "Bytes of responses.", |count| &count.sent),
            ];
            for (name, doc, part) in parts {
                let data = self.histogram(&places, part, &SIZES, 1.0, moment);
                metrics.push(metric(name, "By", doc, data));
            }
        }
        if self.config.enable_latency_metrics {
            let places = by_place(&points, |place| Place { consumer: None, ..place });
            let parts: [(&str, &str, Part); 3] = [
                (
                    "kong.latency.total",
                    "From the first byte of a request to the last of its response.",
                    |count| &count.total,
                ),
                ("kong.latency.internal", "Of that, until the request was sent on.", |count| &count.internal),
                ("kong.latency.upstream", "Of that, until the head of the upstream's response.", |count| {
                    &count.upstream
                }),
            ];
            for (name, doc, part) in parts {
                let data = self.histogram(&places, part, &LATENCIES, 1e6, moment);
                metrics.push(metric(name, "s", doc, data));
            }
        }
        metrics
    }

    /// So many of what was counted are one of the unit.
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 of them nobody counts single ones")]
    fn histogram(
        &self,
        places: &HashMap<Place, Count>,
        part: fn(&Count) -> &Spread,
        ends: &[u64],
        unit: f64,
        moment: Moment,
    ) -> Data {
        let point = |(place, count): (&Place, &Count)| {
            let spread = part(count);
            HistogramDataPoint {
                attributes: self.of_a_place(place),
                start_time_unix_nano: moment.began,
                time_unix_nano: moment.now,
                count: spread.buckets.iter().sum(),
                sum: Some(spread.sum as f64 / unit),
                bucket_counts: spread.buckets.to_vec(),
                explicit_bounds: ends.iter().map(|end| *end as f64 / unit).collect(),
                ..HistogramDataPoint::default()
            }
        };
        let data_points = places.iter().map(point).filter(|point| point.count > 0).collect();
        let aggregation_temporality = AggregationTemporality::Cumulative as i32;
        Data::Histogram(Histogram { data_points, aggregation_temporality })
    }

    fn of_a_point(&self, point: &Point) -> Vec<KeyValue> {
        let mut attributes = self.of_a_place(&point.place);
        let source = if point.source == Source::Upstream { "upstream" } else { "kong" };
        let method = METHODS.get(usize::from(point.method)).map_or(OTHER, Method::as_str);
        attributes.extend([
            text("kong.response.source", source),
            text("http.request.method", method),
            number("kong.response.status_code", point.status),
        ]);
        attributes
    }

    fn of_a_place(&self, place: &Place) -> Vec<KeyValue> {
        let names = self.counts.names.read().unwrap_or_else(PoisonError::into_inner);
        let named = |attribute: &str, id: Option<Uuid>| {
            id.map(|id| text(attribute, names.get(&id).cloned().unwrap_or_else(|| id.to_string())))
        };
        let parts = [
            named("kong.service.name", place.service),
            named("kong.route.name", place.route),
            named("kong.auth.consumer.name", place.consumer),
            Some(text("kong.workspace.name", WORKSPACE)),
        ];
        parts.into_iter().flatten().collect()
    }
}

/// From when on was counted, and until when; in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Moment {
    began: u64,
    now: u64,
}

impl Count {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.received.merge(&other.received);
        self.sent.merge(&other.sent);
        self.total.merge(&other.total);
        self.internal.merge(&other.internal);
        self.upstream.merge(&other.upstream);
    }
}

fn by_place(points: &HashMap<Point, Count>, of: fn(Place) -> Place) -> HashMap<Place, Count> {
    let mut places: HashMap<Place, Count> = HashMap::new();
    for (point, count) in points {
        places.entry(of(point.place)).or_default().merge(count);
    }
    places
}

fn metric(name: &str, unit: &str, description: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}
