//! Why a store cannot be opened.
//!
//! Owns: the words that tell a person what to do. Must not know: databases.

use std::io;
use std::path::PathBuf;

use super::StoreError;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database has not been prepared for this version.
    #[error("the database lacks these migrations: {}. Run `postern migrations up`", missing.join(", "))]
    Migrations {
        /// Their names, in order.
        missing: Vec<String>,
    },
    /// A newer version has prepared the database.
    #[error("a newer postern has changed the database ({}); this one must not write to it", unknown.join(", "))]
    Newer {
        /// The migrations that this version does not know.
        unknown: Vec<String>,
    },
    /// The database keeps text in an encoding that lacks characters.
    #[error("the database's encoding is {0}; create one with ENCODING 'UTF8'")]
    Encoding(String),
    /// It cannot be reached, or not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
