//! Where configurations come from: whatever it is, it says when there may be a new one, and hands it out as a candidate.
//!
//! Owns: what a candidate is. [`mod@file`] watches a file, [`store`] follows the rows of a store by a [`feed`], and
//! [`document`] is what a node without a database shows of the document in effect. Must not know: what is made of a
//! candidate; [`crate::apply`] puts it in effect, or keeps what was there before.

pub mod document;
pub mod feed;
pub mod file;
pub mod store;

use std::sync::Arc;

use async_trait::async_trait;
use postern_model::check::Flat;
use postern_model::{Checked, Snapshot, Violation};

use crate::store::Revision;

/// Where configurations come from. It may live on a thread that is busy with something else for long.
#[async_trait]
pub trait Source: Send {
    /// Waits until there may be something new. Cancel safe.
    async fn changed(&mut self);

    /// What is new; `None` where nothing is. `asked`: a person wants to see it done even then.
    ///
    /// # Errors
    /// It cannot be read, or everything that is wrong with it; what was handed out before stays as good as it was.
    async fn next(&mut self, asked: bool) -> Result<Option<Candidate>, Vec<Violation>>;
}

/// What may take effect.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its entities; with those of a store that are broken.
    pub snapshot: Snapshot,
    /// What is probably not as meant.
    pub warnings: Vec<Violation>,
    /// Tells it from others: what `/status` calls `configuration_hash`.
    pub hash: String,
    /// Of a store: the change up to which it is known.
    pub revision: Option<Revision>,
    /// Of a document: what it says, for [`document::DbLess`].
    pub document: Option<Written>,
}

/// A document, for those who want to see what is in effect.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its text, as written: `${{ env "DECK_X" }}` is not filled in.
    pub text: Arc<[u8]>,
    /// Its entities, one by one.
    pub rows: Vec<Flat>,
}

/// A document that was read and checked.
#[derive(Debug)]
pub struct Loaded {
    /// Where it came from, for people.
    pub name: String,
    /// What it says.
    pub checked: Checked,
    /// SHA-256 of its text.
    pub hash: String,
    /// The text, as written: `${{ env "DECK_X" }}` is not filled in.
    pub text: Arc<[u8]>,
}

impl From<Loaded> for Candidate {
    fn from(loaded: Loaded) -> Self {
        let Loaded { checked, hash, text, .. } = loaded;
        let document = Some(Written { text, rows: checked.flat() });
        Self { snapshot: checked.snapshot, warnings: checked.warnings, hash, revision: None, document }
    }
}
