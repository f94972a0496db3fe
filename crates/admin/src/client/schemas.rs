//! The schemas of one gateway, fetched once.
//!
//! Owns: which are needed. Must not know: what is in them; `schema` reads them. No plugin need be known here: what the
//! gateway runs, it describes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use postern_model::Kind;
use serde_json::Value as Json;

use super::Problems;
use super::gateway::{Gateway, GatewayError};
use super::kinds::Body;
use super::schema;

/// What a gateway says of its entities.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    entities: BTreeMap<&'static str, Json>,
    plugins: BTreeMap<String, Json>,
    vaults: BTreeMap<String, Json>,
}

/// What there are schemas of, besides the core entities.
#[derive(Debug, Default)]
pub struct Needed {
    /// Plugins that must be known.
    pub plugins: BTreeSet<String>,
    /// Plugins of which it is good to know.
    pub other_plugins: BTreeSet<String>,
    /// Kinds of vaults, likewise.
    pub vaults: BTreeSet<String>,
    /// Core entities besides those that have defaults, likewise.
    pub entities: BTreeSet<&'static str>,
}

impl Schemas {
    /// Those of the core entities of this build, of which no gateway need be asked.
    pub(super) fn of_model() -> Self {
        let of = |kind: Kind| Some((kind.collection(), postern_model::schema::of_entity(kind.collection())?));
        let entities = Kind::known().filter(|kind| kind.has_defaults()).filter_map(of).collect();
        Self { entities, ..Self::default() }
    }

    /// Fetches what is needed.
    ///
    /// # Errors
    /// A schema of a core entity, or of a plugin that must be known, that the gateway does not give.
    pub async fn fetch(gateway: &Gateway, needed: &Needed, at_once: usize) -> Result<Self, Problems> {
        let mut schemas = Self::default();
        for kind in Kind::known() {
            let is_optional = needed.entities.contains(kind.collection());
            if kind.has_defaults() || is_optional {
                match gateway.get(&["schemas", kind.collection()]).await {
                    Ok(schema) => {
                        schemas.entities.insert(kind.collection(), schema.into());
                    }
                    Err(error) if !kind.has_defaults() && is_absent(&error) => {}
                    Err(error) => {
                        return Err(Problems::of(&format!("schema of {}", kind.collection()), &error));
                    }
                }
            }
        }
        let plugins = needed.plugins.iter().map(|name| (name, true));
        let others = needed.other_plugins.difference(&needed.plugins).map(|name| (name, false));
        let fetched = plugins.chain(others).map(|(name, must)| async move {
            (name, must, gateway.get(&["schemas", "plugins", name]).await)
        });
        let fetched: Vec<_> = stream::iter(fetched).buffered(at_once.max(1)).collect().await;
        let mut problems = Vec::new();
        for (name, must, outcome) in fetched {
            match outcome {
                Ok(schema) => {
                    schemas.plugins.insert(name.clone(), schema.into());
                }
                Err(error) if !must && is_absent(&error) => {}
                Err(error) => problems.extend(Problems::of(&format!("schema of plugin {name}"), &error).0),
            }
        }
        for name in &needed.vaults {
            match gateway.get(&["schemas", "vaults", name]).await {
                Ok(schema) => {
                    schemas.vaults.insert(name.clone(), schema.into());
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => problems.extend(Problems::of(&format!("schema of vault {name}"), &error).0),
            }
        }
        for (name, plugin) in schemas.plugins.iter().filter(|(name, _)| needed.plugins.contains(*name)) {
            if schema::field(plugin, "config").is_none_or(|config| schema::type_of(config) != "record") {
                problems.push(format!("schema of plugin {name}: no 'config' field found in schema"));
            }
        }
        if problems.is_empty() { Ok(schemas) } else { Err(Problems(problems)) }
    }

    /// The schema of a core entity.
    pub(super) fn entity(&self, kind: Kind) -> Option<&Json> {
        self.entities.get(kind.collection())
    }

    /// What the `config` of an entity may hold.
    pub(super) fn config(&self, kind: Kind, body: &Body) -> Option<&Json> {
        let name = body.get("name").and_then(Json::as_str)?;
        let of = if kind.is_plugin() {
            &self.plugins
        } else if kind.is_vault() {
            &self.vaults
        } else {
            return None;
        };
        schema::field(of.get(name)?, "config")
    }

    /// The protocols of a plugin that says none.
    pub(super) fn protocols(&self, plugin: &Body) -> Option<&Json> {
        let name = plugin.get("name").and_then(Json::as_str)?;
        schema::field(self.plugins.get(name)?, "protocols")?.get("default").filter(|list| list.is_array())
    }
}

/// A gateway may have no such thing, or not show it to everybody.
fn is_absent(error: &GatewayError) -> bool {
    matches!(error.status(), Some(403 | 404))
}
