//! The one list of plugins: name → field list, phases, constructor.
//!
//! Owns: which plugins there are. Must not know: what they do. To add one: a file in `bundled/`, and a line here.

use std::borrow::Cow;
use std::sync::Arc;

use postern_model::Record;
use postern_model::field::{PluginSchema, Plugins};
use uuid::Uuid;

use crate::bundled;
use crate::node::Facts;
use crate::prepared::Prepared;
use postern_secrets::clock::Clock;

/// What is to be known of a plugin before it is configured.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Name, priority and field list.
    pub schema: &'static PluginSchema,
    /// The phases it has a method for; it is not called in others.
    pub phases: Phases,
    /// Prepares one from a configuration that satisfies the field list. The error names the field and never holds a
    /// value.
    pub make: Make,
}

/// A constructor. It allocates and checks, and touches nothing that lives: what is to be taken over from the configuration
/// before is taken over by [`Prepared::commit`].
pub type Make = fn(&Record, &Context<'_>) -> Result<Prepared, String>;

/// For whom a plugin is made.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The plugin entity.
    pub id: Uuid,
    /// What time it is.
    pub clock: &'a Clock,
    /// Where it runs.
    pub node: &'a Arc<Facts>,
}

/// Some phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the methods of `Plugin`")]
pub struct Phases {
    pub rewrite: bool,
    pub access: bool,
    pub response: bool,
    pub body_filter: bool,
    pub log: bool,
}

/// Every plugin, sorted by name.
pub const BUNDLED: &[Definition] = &[
    bundled::acl::DEFINITION,
    bundled::basic_auth::DEFINITION,
    bundled::bot_detection::DEFINITION,
    bundled::correlation_id::DEFINITION,
    bundled::cors::DEFINITION,
    bundled::file_log::DEFINITION,
    bundled::hmac_auth::DEFINITION,
    bundled::http_log::DEFINITION,
    bundled::ip_restriction::DEFINITION,
    bundled::jwt::DEFINITION,
    bundled::key_auth::DEFINITION,
    bundled::oauth2_introspection::DEFINITION,
    bundled::opentelemetry::DEFINITION,
    bundled::prometheus::DEFINITION,
    bundled::proxy_cache::DEFINITION,
    bundled::rate_limiting::DEFINITION,
    bundled::redirect::DEFINITION,
    bundled::request_size_limiting::DEFINITION,
    bundled::request_termination::DEFINITION,
    bundled::request_transformer::DEFINITION,
    bundled::response_ratelimiting::DEFINITION,
    bundled::response_transformer::DEFINITION,
    bundled::session::DEFINITION,
    bundled::statsd::DEFINITION,
    bundled::syslog::DEFINITION,
    bundled::tcp_log::DEFINITION,
    bundled::udp_log::DEFINITION,
    bundled::upstream_oauth::DEFINITION,
];

/// The plugins of this build.
#[derive(Clone, Copy, Debug)]
pub struct Registry(pub &'static [Definition]);

impl Registry {
    /// All that are bundled.
    pub const fn bundled() -> Self {
        Self(BUNDLED)
    }

    /// One by its name.
    pub fn get(&self, name: &str) -> Option<&'static Definition> {
        self.0.iter().find(|definition| definition.schema.name == name)
    }
}

impl Definition {
    /// A value that came from a reference, for its place in a text of the configuration: where texts are templates, it is no
    /// template.
    pub fn literal<'a>(&self, value: &'a str) -> Cow<'a, str> {
        match self.schema.name == bundled::request_transformer::SCHEMA.name {
            true => bundled::request_transformer::literal(value),
            false => Cow::Borrowed(value),
        }
    }
}

impl Plugins for Registry {
    fn schema(&self, name: &str) -> Option<&'static PluginSchema> {
        self.get(name).map(|definition| definition.schema)
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|definition| definition.schema.name).collect()
    }
}

#[cfg(test)]
mod generated;
#[cfg(test)]
mod tests;
