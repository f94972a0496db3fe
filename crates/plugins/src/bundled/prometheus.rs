//! `prometheus`: counts requests for `/metrics`, in the detail that is wanted where it is bound.
//!
//! Owns: which details. Must not know: names and labels of metrics, which are the status listener's. This is the smallest
//! plugin; to write one, begin here: a field list, a definition, a constructor, and the phases that it takes part in.

use std::sync::Arc;

use postern_model::Record;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Schema};
use serde::Deserialize;

use crate::logging::PHASES;
use crate::metrics::{Line, Tells};
use crate::node::Node;
use crate::plugin::Plugin;
use crate::prepared::Prepared;
use crate::registry::{Context, Definition};
use crate::view::{Request, Summary};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "prometheus",
    priority: 13,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Counts requests, bytes and durations for /metrics.",
};

const FIELDS: &[Field] = &[
    Field::boolean("per_consumer").default_bool(false).doc("Whether counts are kept for each consumer."),
    Field::boolean("status_code_metrics").default_bool(false).doc("Whether requests are counted by status."),
    Field::boolean("latency_metrics").default_bool(false).doc("Whether durations are counted."),
    Field::boolean("bandwidth_metrics").default_bool(false).doc("Whether bytes of bodies are counted."),
    Field::boolean("upstream_health_metrics")
        .default_bool(false)
        .doc("Whether the health of targets is told; one plugin that wants it is enough."),
    Field::boolean("ai_metrics").default_bool(false).unsupported("AI plugins").doc("Counts of AI plugins."),
    Field::boolean("wasm_metrics").unsupported("WebAssembly filters").doc("Counts of WebAssembly filters."),
];

pub(crate) const DEFINITION: Definition = Definition { schema: &SCHEMA, phases: PHASES, make };

#[derive(Deserialize)]
struct Config {
    per_consumer: bool,
    status_code_metrics: bool,
    latency_metrics: bool,
    bandwidth_metrics: bool,
    upstream_health_metrics: bool,
}

struct Prometheus {
    tells: Tells,
    node: Arc<Node>,
    /// Counted among those of the node for as long as it is there.
    _present: Arc<Present>,
}

/// A plugin of this kind that is configured.
#[derive(Debug)]
pub(crate) struct Present {
    /// Whether it wants the health of targets to be told.
    pub(crate) health: bool,
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let tells = Tells {
        status: config.status_code_metrics,
        bandwidth: config.bandwidth_metrics,
        latency: config.latency_metrics,
        consumer: config.per_consumer,
    };
    Ok(Prepared::at_commit(move |living| {
        let present = living.node.metrics.enter(Present { health: config.upstream_health_metrics });
        Prometheus { tells, node: Arc::clone(living.node), _present: present }
    }))
}

impl Plugin for Prometheus {
    fn log(&self, request: &Request, summary: &Summary<'_>) {
        self.node.metrics.tally.add(Line::of(request, summary, self.tells), summary);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::directory::Consumer;

    #[test]
    fn it_counts_what_is_wanted() {
        let node: Arc<Node> = Arc::default();
        let made = |config| crate::testing::make_on(&SCHEMA.config, make, &config, &node);
        let mut request = Request::for_test();
        request.consumer = Some(Arc::new(Consumer::new(Uuid::from_u128(7), None, None)));
        let summary = Summary { received: 5, sent: 6, ..Summary::for_test() };
        assert_eq!(node.metrics.present(), None);

        let few = made(json!({"status_code_metrics": true}));
        few.log(&request, &summary);
        few.log(&request, &summary);
        assert_eq!(node.metrics.present(), Some(false));
        let all = made(json!({
            "status_code_metrics": true, "latency_metrics": true, "bandwidth_metrics": true, "per_consumer": true,
            "upstream_health_metrics": true,
        }));
        all.log(&request, &summary);
        assert_eq!(node.metrics.present(), Some(true));

        let mut lines = node.metrics.tally.lines();
        lines.sort_by_key(|(line, _)| line.tells);
        let [(few_line, few_count), (all_line, all_count)] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((few_line.status, few_line.consumer), (200, None));
        assert_eq!((few_count.requests, few_count.received, few_count.total.microseconds), (2, 0, 0));
        assert_eq!(all_line.consumer, Some(Uuid::from_u128(7)));
        assert_eq!((all_count.received, all_count.sent, all_count.total.microseconds), (5, 6, 3000));
        drop((few, all));
        assert_eq!(node.metrics.present(), None);
    }
}
