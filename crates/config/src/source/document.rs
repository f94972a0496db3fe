//! What a node without a database shows of the document in effect.
//!
//! Owns: its entities as rows, for the Admin API to read, and its text; that both are of one document. Must not know: how
//! it took effect.

use std::sync::{Arc, Mutex, PoisonError};

use postern_model::Kind;
use uuid::Uuid;

use super::Written;
use crate::store::memory::Memory;
use crate::store::{Row, Store, seconds};

/// The document in effect.
#[derive(Debug, Default)]
pub struct DbLess {
    store: Arc<Memory>,
    text: Mutex<Option<Arc<[u8]>>>,
}

impl DbLess {
    /// What the Admin API reads.
    pub fn rows(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// The document in effect, as it was written.
    pub fn text(&self) -> Option<Arc<[u8]>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows a document that has taken effect. Those of its entities that stay as they are keep the time of their creation.
    pub async fn show(&self, written: Written) {
        let Written { text, rows } = written;
        let now = seconds();
        let mut kept = Vec::with_capacity(rows.len());
        for (kind, mut body) in rows {
            let id =
                body.get("id").and_then(serde_json::Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
            let (Some(kind), Some(id)) = (Kind::named(kind), id) else { continue };
            for field in ["created_at", "updated_at"] {
                if body.get(field).is_some_and(serde_json::Value::is_null) {
                    body.insert(field.to_owned(), now.into());
                }
            }
            kept.push(Row::of(kind, id, body));
        }
        if let Err(error) = self.store.replace(kept, "the file").await {
            tracing::error!(%error, "the Admin API shows an older configuration than the one in effect");
        }
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

#[cfg(test)]
mod tests;
