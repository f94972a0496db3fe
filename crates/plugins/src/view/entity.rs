//! Routes and services as logs show them.
//!
//! Owns: that an entity is written as JSON at most once, and only if somebody logs it. Must not know: its fields. What is
//! written is the configuration: a reference stays a reference.

use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, OnceLock};

use postern_model::{Entry, Record};
use serde_json::value::{RawValue, to_raw_value};

/// An entity of the configuration; of tests, none.
#[derive(Default)]
pub struct Entity {
    source: Option<Arc<dyn Recorded>>,
    json: OnceLock<Option<Box<RawValue>>>,
}

trait Recorded: Send + Sync {
    fn record(&self) -> &Record;
}

impl<T: Send + Sync> Recorded for Entry<T> {
    fn record(&self) -> &Record {
        &self.record
    }
}

impl Entity {
    /// Of an entry of the snapshot.
    pub fn of<T: Send + Sync + 'static>(entry: &Arc<Entry<T>>) -> Self {
        Self { source: Some(Arc::<Entry<T>>::clone(entry)), json: OnceLock::new() }
    }

    /// As the Admin API shows it.
    pub fn json(&self) -> Option<&RawValue> {
        let written = || to_raw_value(&self.source.as_ref()?.record().to_json()).ok();
        self.json.get_or_init(written).as_deref()
    }

    /// A field that is text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.source.as_ref()?.record().text(field)
    }
}

impl Debug for Entity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Entity")
    }
}
