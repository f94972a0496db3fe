//! The plugin entity: which plugin runs, for whom, and how it is configured.

use serde::Deserialize;
use uuid::Uuid;

use super::definition::{CREATED_AT, Definition, ID, TAGS, Typed, UPDATED_AT};
use super::service::Protocol;
use super::{Foreign, rule};
use crate::decode::verify::verify;
use crate::field::{Field, Rule, Schema, Type};
use crate::value::{Record, Text};

/// A checked plugin.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Plugin {
    pub name: Text,
    pub instance_name: Option<Text>,
    pub service: Option<Uuid>,
    pub route: Option<Uuid>,
    pub consumer: Option<Uuid>,
    pub consumer_group: Option<Uuid>,
    pub protocols: Vec<Protocol>,
    pub enabled: bool,
    /// By the plugin's own field list, with every default.
    pub config: Record,
}

/// Plugins.
pub(crate) static PLUGINS: Definition = Definition {
    // Kong's order, by which the identifier is made; the group came later.
    cache_key: &["name", "route", "service", "consumer", "consumer_group"],
    path_key: Some("instance_name"),
    ..Definition::top("plugin", "plugins", SCHEMA)
};

/// The fields of a plugin. Those of its `config` depend on its name, and so does the default of `protocols`.
pub const SCHEMA: Schema = Schema {
    fields: &[
        ID,
        Field::string("name").required().doc("Which plugin it is."),
        Field::string("instance_name")
            .unique()
            .rules(&[Rule::Custom(rule::name)])
            .doc("The name of this configuration of it."),
        CREATED_AT,
        UPDATED_AT,
        Field::foreign("route", "routes").doc("The route for which it runs; null: all."),
        Field::foreign("service", "services").doc("The service for which it runs; null: all."),
        Field::foreign("consumer", "consumers").doc("The consumer for whom it runs; null: all."),
        Field::foreign("consumer_group", "consumer_groups").doc("The group for whom it runs; null: all."),
        Field::record("config", &[]).required().doc("What the plugin itself takes."),
        Field::set("protocols", &PROTOCOL)
            .required()
            .rules(&[Rule::LengthMin(1)])
            .doc("For which protocols it runs."),
        Field::boolean("enabled").required().default_bool(true).doc("Whether it runs."),
        TAGS,
        Field::new("ordering", Type::Any)
            .unsupported("dynamic ordering")
            .doc("Which plugins it runs before or after."),
        Field::new("condition", Type::Any).unsupported("conditions").doc("Which requests it runs for."),
        Field::new("partials", Type::Any)
            .unsupported("partials")
            .doc("Parts of its configuration that it shares."),
    ],
    checks: &[],
};

const PROTOCOL: Field = Field::new("", Type::String).rules(&[Rule::OneOf(super::service::PROTOCOLS)]);

impl Typed for Plugin {
    fn read(record: &Record) -> Result<Self, String> {
        /// All but the configuration, which stays a record.
        #[derive(Deserialize)]
        struct Outside {
            name: Text,
            instance_name: Option<Text>,
            service: Option<Foreign>,
            route: Option<Foreign>,
            consumer: Option<Foreign>,
            consumer_group: Option<Foreign>,
            protocols: Vec<Protocol>,
            enabled: bool,
        }
        verify(record)?;
        let Outside { name, instance_name, service, route, consumer, consumer_group, protocols, enabled } =
            record.read()?;
        let id = |foreign: Option<Foreign>| foreign.map(|foreign| foreign.id);
        Ok(Self {
            name,
            instance_name,
            service: id(service),
            route: id(route),
            consumer: id(consumer),
            consumer_group: id(consumer_group),
            protocols,
            enabled,
            config: record.record("config").cloned().unwrap_or_default(),
        })
    }
}
