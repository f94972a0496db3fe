//! The entities of a configuration, one file each: their fields, and the way from a [`Node`] to a checked value.
//!
//! Owns: what every entity has in common (identifiers, tags, timestamps, `_comment`). Must not know: where documents
//! come from, other entities of the same document.

mod fields;
mod id;
pub mod vault;

pub(crate) use fields::Fields;

#[cfg(doc)]
use crate::document::Node;
