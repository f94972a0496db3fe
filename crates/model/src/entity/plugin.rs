//! The plugin entity: which plugin runs, for whom, and how it is configured.

use super::service::Protocol;
use crate::value::{Record, Text};
use uuid::Uuid;

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
