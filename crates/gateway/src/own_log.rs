//! The gateway's own log on its way to plugins that send it elsewhere.
//!
//! Owns: that they are told what stderr is told. Must not know: the plugins. There is one log in a process, as there is one stderr.

use std::fmt;
use std::sync::{Arc, LazyLock};

use postern_plugins::logging::own::{Line, OwnLog, Severity};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The log of this process, for plugins that send it elsewhere.
pub(crate) fn own_log() -> &'static Arc<OwnLog> {
    static LOG: LazyLock<Arc<OwnLog>> = LazyLock::new(Arc::default);
    &LOG
}

/// Tells lines to those plugins.
pub(crate) struct Told;

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let log = own_log();
        if !log.wants(metadata.target()) {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let severity = match *metadata.level() {
            Level::TRACE => Severity::Trace,
            Level::DEBUG => Severity::Debug,
            Level::INFO => Severity::Info,
            Level::WARN => Severity::Warn,
            Level::ERROR => Severity::Error,
        };
        let Said { message, fields } = &said;
        let source = metadata.file().zip(metadata.line());
        log.tell(&Line { severity, target: metadata.target(), source, message, fields });
    }
}

/// What a line says, and of what.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
