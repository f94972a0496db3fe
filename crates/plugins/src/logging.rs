//! What log plugins share: the log object, its redaction, and the queue in which it waits to be delivered.
//!
//! Owns: the line that a request comes to. [`record`] writes Kong's log object, [`redact`] blots credentials out, [`secret_values`] what came from a vault, `fields`
//! adds and removes fields as an operator wants, [`own`] is the gateway's own log, [`queue`] delivers in batches, `wire` over TCP and UDP. Must not know: a
//! plugin.

pub(crate) mod fields;
pub mod own;
pub mod queue;
pub(crate) mod record;
pub mod redact;
pub mod secret_values;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::Facts;
use crate::registry::{Context, Phases};
use crate::view::{Request, Summary};
use fields::Fields;
use postern_secrets::clock::Clock;
use record::Record;

/// The phases of a plugin that only logs.
pub(crate) const PHASES: Phases =
    Phases { log: true, rewrite: false, access: false, response: false, body_filter: false };

/// Makes lines of requests.
pub(crate) struct Lines {
    fields: Fields,
    clock: Clock,
    node: Arc<Facts>,
}

impl Lines {
    /// With an operator's own fields.
    ///
    /// # Errors
    /// One of these is not understood.
    pub(crate) fn new(
        custom: Option<&BTreeMap<String, String>>,
        context: &Context<'_>,
    ) -> Result<Self, String> {
        let fields = custom.map_or_else(|| Ok(Fields::default()), Fields::new);
        let fields = fields.map_err(|reason| format!("custom_fields_by_lua: {reason}"))?;
        Ok(Self { fields, clock: context.clock.clone(), node: Arc::clone(context.node) })
    }

    /// The log object in one line, without its end.
    pub(crate) fn line(&self, request: &Request, summary: &Summary<'_>) -> String {
        let redaction = &self.node.redaction;
        self.json(&Record { request, summary, ended: self.clock.since_1970(), redaction })
    }

    /// The same of a record.
    pub(crate) fn json(&self, record: &Record<'_>) -> String {
        record.json(&self.fields)
    }
}
