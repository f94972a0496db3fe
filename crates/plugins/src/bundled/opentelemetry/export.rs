//! Spans and log records on their way to a collector: OTLP over HTTP, in protobuf.
//!
//! Owns: the envelope, and one delivery. Must not know: what is in a span. The collector's answer is not read beyond its
//! status: it may repeat what it was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use http::header::HeaderName;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use postern_client::{Client, Limits, Outgoing, Terms};
use postern_secrets::Secret;
use prost::Message;
use url::Url;

use super::own::OwnRecord;
use crate::logging::queue::{Deliver, Delivery};
use crate::registry::Context;

const SCOPE: &str = "postern";

/// Where batches go.
pub(super) struct Collector {
    client: Client,
    url: Url,
    headers: Vec<(HeaderName, Secret)>,
    resource: Resource,
}

/// How it is reached.
pub(super) struct Terminal<'a> {
    /// For all of a delivery.
    pub(super) timeout: Duration,
    pub(super) headers: &'a BTreeMap<String, Secret>,
    /// What is said of this gateway, besides what is known of it.
    pub(super) attributes: &'a BTreeMap<String, String>,
}

impl Collector {
    /// At a URL.
    ///
    /// # Errors
    /// What is wrong with it, without what it says.
    pub(super) fn new(url: &str, terminal: &Terminal<'_>, context: &Context<'_>) -> Result<Self, String> {
        let header = |(name, value): (&String, &Secret)| {
            let name = HeaderName::try_from(name).map_err(|_| "headers: not the name of a header")?;
            Ok((name, value.clone()))
        };
        let limits = Limits { exchange: terminal.timeout, reply: 256 * 1024 };
        let mut attributes = BTreeMap::from([
            ("service.name".to_owned(), "kong".to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id".to_owned(), context.node.instance.to_string()),
            ("host.name".to_owned(), context.node.hostname.clone()),
        ]);
        attributes.extend(terminal.attributes.clone());
        let attributes = attributes.into_iter().map(|(name, value)| text(&name, value)).collect();
        Ok(Self {
            client: Client::on_terms(&context.node.trust, Terms { limits, ..Terms::default() }),
            url: Url::parse(url).map_err(|_| "not a URL")?,
            headers: terminal.headers.iter().map(header).collect::<Result<_, String>>()?,
            resource: Resource { attributes, ..Resource::default() },
        })
    }

    /// Delivers a message.
    pub(super) async fn send(&self, message: impl Message) -> Result<usize, String> {
        let mut request = Outgoing::new(Method::POST, self.url.clone());
        for (name, value) in &self.headers {
            request = request.secret_header(name.clone(), value).map_err(|error| error.to_string())?;
        }
        let request = request.payload("application/x-protobuf", message.encode_to_vec().into());
        let reply = self.client.send(request).await.map_err(|error| error.to_string())?;
        if reply.is_success() { Ok(0) } else { Err(format!("the collector answered {}", reply.status)) }
    }
}

fn scope() -> Option<InstrumentationScope> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Some(InstrumentationScope { name: SCOPE.to_owned(), version, ..InstrumentationScope::default() })
}

impl Deliver<Span> for Collector {
    fn deliver<'a>(&'a self, batch: &'a [Span]) -> Delivery<'a> {
        let spans = ScopeSpans { scope: scope(), spans: batch.to_vec(), schema_url: String::new() };
        let resource = Some(self.resource.clone());
        let all = ResourceSpans { resource, scope_spans: vec![spans], schema_url: String::new() };
        Box::pin(self.send(ExportTraceServiceRequest { resource_spans: vec![all] }))
    }
}

impl Deliver<LogRecord> for Collector {
    fn deliver<'a>(&'a self, batch: &'a [LogRecord]) -> Delivery<'a> {
        Box::pin(self.send(self.logs(batch.to_vec())))
    }
}

impl Deliver<OwnRecord> for Collector {
    fn deliver<'a>(&'a self, batch: &'a [OwnRecord]) -> Delivery<'a> {
        Box::pin(self.send(self.logs(batch.iter().map(|record| record.0.clone()).collect())))
    }
}

impl Collector {
    pub(super) fn metrics(&self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let metrics = ScopeMetrics { scope: scope(), metrics, schema_url: String::new() };
        let resource = Some(self.resource.clone());
        let all = ResourceMetrics { resource, scope_metrics: vec![metrics], schema_url: String::new() };
        ExportMetricsServiceRequest { resource_metrics: vec![all] }
    }

    fn logs(&self, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
        let records = ScopeLogs { scope: scope(), log_records, schema_url: String::new() };
        let resource = Some(self.resource.clone());
        let all = ResourceLogs { resource, scope_logs: vec![records], schema_url: String::new() };
        ExportLogsServiceRequest { resource_logs: vec![all] }
    }
}

/// An attribute that is text.
pub(super) fn text(name: &str, value: impl Into<String>) -> KeyValue {
    attribute(name, Value::StringValue(value.into()))
}

/// An attribute that is a whole number.
pub(super) fn number(name: &str, value: impl TryInto<i64>) -> KeyValue {
    attribute(name, Value::IntValue(value.try_into().unwrap_or(i64::MAX)))
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Text, as the body of a record.
pub(super) fn body(value: String) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value)) }
}
