//! The encrypted file of last known good values: what a node may start with while its vaults cannot be reached.
//!
//! Owns: the file, its [`format`], and its [`key`]. Must not know:
//! references, policies, or when a value may serve; the reconciler in [`crate::rotate`] decides that. What this protects
//! against, and what not, is in docs/decisions/0010.
//!
//! A file that cannot be used is reported and otherwise taken for an empty one. It stays as it is until the next
//! successful write, so that a wrong key can be put right.

mod file;
mod format;
pub(crate) mod key;
#[cfg(test)]
mod tests;

use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

use postern_client::io_reason;

use crate::clock::Clock;

pub use format::{Digest, Entries, Entry, MAX_BYTES, decode, encode, parse};
pub use key::{Key, KeySource};

/// Where values are kept, and what they are encrypted with.
#[derive(Clone, Debug)]
pub struct LkgOptions {
    /// The file. Its directory must exist, and be another one than the key's.
    pub file: PathBuf,
    /// Where the key is.
    pub key: KeySource,
}

/// Values kept from an earlier run, and the place to keep them for the next one.
pub struct LastKnownGood {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) entries: Entries,
    pub(crate) problem: Option<SnapshotError>,
}

/// The file, for writing.
pub(crate) struct Store {
    /// Absolute.
    pub(crate) file: PathBuf,
    key: Key,
    /// Whether what killed processes left behind was removed.
    tidied: AtomicBool,
}

/// Why a file of last known good values, or its key, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The key cannot be used, or not from there.
    #[error("the key in {}: {reason}", .path.display())]
    Key {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file cannot be read or written.
    #[error("cannot {doing} {}: {reason}", .path.display())]
    Io {
        /// Which of the two.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It is not a file of ours.
    #[error("it is not a file of last known good values")]
    Foreign,
    /// It was written by a newer version.
    #[error("it has format {0}, which is newer than this program")]
    Newer(u8),
    /// It is larger than it can be.
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// It does not decrypt: the cipher cannot tell why.
    #[error("it does not decrypt: the key is another one, or the file is damaged")]
    Undecipherable,
    /// It decrypts, and makes no sense.
    #[error("its content makes no sense")]
    Malformed,
}

impl SnapshotError {
    /// What to do about it, for people.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Key { .. } => {
                "keep the key in a directory of its own, readable by its owner only: 32 random bytes, as they are or in \
                 hex or base64"
            }
            Self::Io { .. } => "this process must be allowed to read and write the file and its directory",
            Self::Foreign | Self::TooLarge | Self::Malformed => {
                "if nothing else needs this file, leave it: it is replaced once a vault answers"
            }
            Self::Newer(_) => {
                "go on with the newer version, or leave the file: it is replaced once a vault answers"
            }
            Self::Undecipherable => {
                "put the key back with which it was written, or leave the file: it is replaced once a vault answers"
            }
        }
    }
}

impl LastKnownGood {
    /// Reads the key, and what was kept. That there is no file yet is fine; one that cannot be used is logged, shown in
    /// the status, and taken for an empty one. Reads files: call it at the start, not while requests are served.
    ///
    /// # Errors
    /// When there is no usable key, or the directory of the file does not exist: nothing could ever be kept.
    pub fn open(options: &LkgOptions) -> Result<Self, SnapshotError> {
        Self::open_at(options, Clock::system())
    }

    /// The same by another clock.
    ///
    /// # Errors
    /// As [`LastKnownGood::open`].
    pub fn open_at(options: &LkgOptions, clock: Clock) -> Result<Self, SnapshotError> {
        let file = absolute(&options.file)?;
        let key = Key::load(&options.key, file.parent().unwrap_or(Path::new("/")))?;
        let read = file::read(&file)
            .and_then(|bytes| bytes.map_or_else(|| Ok(Entries::new()), |bytes| decode(&bytes, &key)));
        let (entries, problem) = match read {
            Ok(entries) => (entries, None),
            Err(problem) => (Entries::new(), Some(problem)),
        };
        if let Some(problem) = &problem {
            let (file, hint) = (file.display(), problem.hint());
            tracing::warn!(%file, %problem, hint, "the last known good values cannot be used");
        }
        Ok(Self { store: Store { file, key, tidied: AtomicBool::new(false) }, clock, entries, problem })
    }
}

impl Store {
    /// Replaces the file, whole or not at all. Blocks.
    pub(crate) fn write(&self, entries: &Entries) -> Result<(), SnapshotError> {
        if !self.tidied.swap(true, Ordering::AcqRel) {
            file::tidy(&self.file);
        }
        file::Pending::write(&self.file, &encode(entries, &self.key)?)?.commit()
    }
}

impl Debug for LastKnownGood {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "LastKnownGood({}, {} entries)", self.store.file.display(), self.entries.len())
    }
}

impl Debug for Store {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.file.display())
    }
}

/// The file's name in its real directory.
fn absolute(file: &Path) -> Result<PathBuf, SnapshotError> {
    let problem = |reason: String| SnapshotError::Io { doing: "use", path: file.to_owned(), reason };
    let name = file.file_name().ok_or_else(|| problem("it is not the name of a file".to_owned()))?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory =
        directory.canonicalize().map_err(|error| problem(format!("its directory: {}", io_reason(&error))))?;
    Ok(directory.join(name))
}
