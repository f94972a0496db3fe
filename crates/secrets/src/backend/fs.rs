//! Files below a directory. Owns: that nothing outside the directory is ever read. Must not know: what is in the
//! files; they are handed on byte for byte, a final newline included.
//!
//! The directory is opened as a capability: `..`, absolute names and symbolic links are resolved inside it or
//! refused, by the kernel where it can (openat2), without a gap between check and use. Links that stay inside
//! work, so a Kubernetes volume, which swaps one, rotates as it should.

pub(crate) mod watch;

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use zeroize::Zeroizing;

use crate::vault::{Read, Reading, Vault, VaultError};
use postern_client::io_reason;
use postern_secret::Secret;

/// Larger files are no secrets but accidents.
const MAX_BYTES: u64 = 1024 * 1024;
/// Opening a named pipe must not wait for a writer.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Files below one directory.
#[derive(Debug)]
pub struct Fs {
    prefix: PathBuf,
}

impl Fs {
    /// The directory is opened at each read, so it may be absent now and replaced later.
    pub fn new(prefix: impl Into<PathBuf>) -> Self {
        Self { prefix: prefix.into() }
    }
}

#[async_trait]
impl Vault for Fs {
    async fn read(&self, request: &Read<'_>) -> Result<Reading, VaultError> {
        let mut step = request.trail.step("read the file");
        step.fact("directory", self.prefix.display());
        step.fact("file", request.resource);
        let (prefix, resource) = (self.prefix.clone(), request.resource.to_owned());
        let read = tokio::task::spawn_blocking(move || read_file(&prefix, &resource)).await;
        let read = read.unwrap_or_else(|_| Err(unusable("the read was cancelled", "")));
        step.done(read.map(Reading::from))
    }

    fn alternative(&self, resource: &str, key: &str) -> Option<String> {
        Some(format!("{resource}/{key}"))
    }
}

fn read_file(prefix: &Path, resource: &str) -> Result<Secret, VaultError> {
    let directory = Dir::open_ambient_dir(prefix, ambient_authority()).map_err(|error| {
        unusable(
            format!("cannot open the directory {}: {}", prefix.display(), io_reason(&error)),
            "`prefix` names a directory that this process may read",
        )
    })?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(NONBLOCK);
    let file = directory.open_with(resource, &options).map_err(|error| failure(&error, prefix, resource))?;
    let metadata = file.metadata().map_err(|error| failure(&error, prefix, resource))?;
    if !metadata.is_file() {
        return Err(VaultError::Absent {
            message: Some(format!("{resource:?} is not a regular file in {}", prefix.display())),
            hint: Some("a reference names a file below the vault's directory".to_owned()),
        });
    }
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or(0) + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failure(&error, prefix, resource))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unusable(
            format!("{resource:?} is larger than {MAX_BYTES} bytes"),
            "a secret is a short text",
        ));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Secret::from(text)),
        Err(error) => Err(unusable(
            format!("{resource:?} is not UTF-8 text (at byte {})", error.valid_up_to()),
            "store binary values as base64 and set base64_decode",
        )),
    }
}

fn failure(error: &io::Error, prefix: &Path, resource: &str) -> VaultError {
    let place = prefix.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => VaultError::Absent {
            message: Some(format!("there is no file {resource:?} in {place}")),
            hint: Some("a reference names a file below the vault's directory".to_owned()),
        },
        // cap-std reports an escape as a refusal of its own, without an errno; a real EACCES has one.
        ErrorKind::PermissionDenied if error.raw_os_error().is_none() => unusable(
            format!("{resource:?} leads out of {place}"),
            "the vault reads only below its directory; `..` and links must stay inside",
        ),
        _ => unusable(
            format!("cannot read {resource:?} in {place}: {}", io_reason(error)),
            "this process must be allowed to read the file",
        ),
    }
}

fn unusable(message: impl Into<String>, hint: &str) -> VaultError {
    VaultError::unusable(message, hint)
}

#[cfg(test)]
mod tests;
