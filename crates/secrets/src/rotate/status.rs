//! What is known of references and vaults, as data: for metrics, the Admin API and the command line. Never a value.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::guard::VaultStatus;

/// Everything.
#[derive(Clone, Debug)]
pub struct Status {
    /// Every reference that is in use, sorted by its text.
    pub references: Vec<ReferenceStatus>,
    /// Every session with a vault.
    pub vaults: Vec<VaultStatus>,
    /// The file of last known good values; `None` where there is none.
    pub last_known_good: Option<LastKnownGoodStatus>,
}

/// How the file of last known good values stands.
#[derive(Clone, Debug)]
pub struct LastKnownGoodStatus {
    /// Where it is.
    pub file: PathBuf,
    /// How many references are served from it now.
    pub serving: usize,
    /// Since it was last written by this process; `None` if it was not yet.
    pub written: Option<Duration>,
    /// Why it could not be used at the start, or could not be written lately.
    pub problem: Option<String>,
}

/// One reference.
#[derive(Clone, Debug)]
pub struct ReferenceStatus {
    /// Its text.
    pub reference: String,
    /// The name of its vault.
    pub vault: String,
    /// How it stands.
    pub state: ReferenceState,
    /// Since the value was last read; `None` if it never was.
    pub age: Option<Duration>,
    /// Whether the value is not from the vault but from the encrypted file of last known good values.
    pub from_last_known_good: bool,
    /// The last failure, if there was one since the last success.
    pub last_error: Option<LastError>,
    /// Until the next read; `None` if none is planned, or one is under way.
    pub next_refresh: Option<Duration>,
    /// How long the last fetch took, successful or not.
    pub fetch_duration: Option<Duration>,
    /// How many hold a slot with this reference.
    pub users: usize,
}

/// How a reference stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceState {
    /// The value is what the vault said last.
    Fresh,
    /// The last attempt failed; the old value serves.
    Stale,
    /// There is no value: its users fail closed.
    Unresolved,
    /// The vault's value does not satisfy a user; the old one serves, if there was one.
    Invalid,
}

/// A failure.
#[derive(Clone, Debug)]
pub struct LastError {
    /// What went wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// When.
    pub at: Instant,
}
