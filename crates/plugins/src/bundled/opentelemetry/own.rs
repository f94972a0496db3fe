//! Lines of the gateway's own log as records.
//!
//! Owns: what a line is called in OpenTelemetry's model of logs. Must not know: who wrote it, when it is sent.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use prost::Message as _;

use super::export::{self, text};
use super::nanos;
use crate::logging::own::{Line, Listener, Severity};
use crate::logging::queue::Sender;
use postern_secrets::clock::Clock;

/// A record of the own log; those of requests have another queue.
#[derive(Clone)]
pub(super) struct OwnRecord(pub(super) LogRecord);

/// Sends each line on.
pub(super) struct Own {
    sender: Sender<OwnRecord>,
    clock: Clock,
}

impl Own {
    pub(super) fn new(sender: Sender<OwnRecord>, clock: Clock) -> Self {
        Self { sender, clock }
    }
}

impl Listener for Own {
    fn line(&self, line: &Line<'_>) {
        let now = nanos(self.clock.since_1970());
        let (severity, name) = match line.severity {
            Severity::Trace => (SeverityNumber::Trace, "TRACE"),
            Severity::Debug => (SeverityNumber::Debug, "DEBUG"),
            Severity::Info => (SeverityNumber::Info, "INFO"),
            Severity::Warn => (SeverityNumber::Warn, "WARN"),
            Severity::Error => (SeverityNumber::Error, "ERROR"),
        };
        let mut attributes = vec![text("log.type", "runtime"), text("log.target", line.target)];
        if let Some((file, number)) = line.source {
            attributes.push(text("introspection.source", file));
            attributes.push(export::number("introspection.current.line", number));
        }
        attributes.extend(line.fields.iter().map(|(name, value)| match *name {
            // In Kong's words.
            "request_id" => text("request.id", value.as_str()),
            name => text(name, value.as_str()),
        }));
        let record = LogRecord {
            time_unix_nano: now,
            observed_time_unix_nano: now,
            severity_number: severity as i32,
            severity_text: name.to_owned(),
            body: Some(export::body(line.message.to_owned())),
            attributes,
            ..LogRecord::default()
        };
        let bytes = record.encoded_len();
        self.sender.push(OwnRecord(record), bytes);
    }
}
