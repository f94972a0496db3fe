//! The key/value secrets engine, versions 1 and 2.
//!
//! Owns the secrets of one mount; `kv/v1.rs` and `kv/v2.rs` have the handlers. Must not know who reads them.

mod folder;
mod v1;
mod v2;

pub(super) use v1::ROUTES as V1_ROUTES;
pub(super) use v2::ROUTES as V2_ROUTES;

/// Which of the two engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Version {
    pub(super) fn name(self) -> &'static str {
        if self == Self::V1 { "1" } else { "2" }
    }
}

/// The secrets of a mount.
pub(super) enum Store {
    V1(v1::Secrets),
    V2(v2::Secrets),
}

impl Store {
    pub(super) fn new(version: Version) -> Self {
        match version {
            Version::V1 => Self::V1(v1::Secrets::default()),
            Version::V2 => Self::V2(v2::Secrets::default()),
        }
    }
}
