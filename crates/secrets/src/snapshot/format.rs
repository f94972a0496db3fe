//! The bytes of the file of last known good values. Pure: bytes go in, entries come out, and back.
//!
//! Owns: the format. Must not know: files, times, or what a digest is of.
//!
//! ```text
//! magic "PSTNLKG"  7 bytes  ┐ not encrypted, but authenticated
//! format           1 byte   ┘
//! nonce           12 bytes  random for each write
//! AES-256-GCM of the rest, its tag (16 bytes) at the end:
//!   count          4 bytes  all numbers are little-endian
//!   count times: digest 32, seconds since 1970 8, length 4, that many bytes of UTF-8
//! ```

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::{Key, SnapshotError};
use postern_secret::Secret;

/// What a value belongs to: the configuration of its vault, and the reference.
pub type Digest = [u8; 32];

/// All kept values.
pub type Entries = HashMap<Digest, Entry>;

/// A kept value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Secret,
    /// When it was read, since 1970 by the wall clock; whole seconds are kept.
    pub read: Duration,
}

/// Larger files are not read, and not written.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

const MAGIC: &[u8; 7] = b"PSTNLKG";
const FORMAT: u8 = 1;
const HEADER: usize = MAGIC.len() + 1;
const TAG: usize = 16;
/// An entry without its text.
const ENTRY: usize = 32 + 8 + 4;

/// The entries in the bytes of a file.
///
/// # Errors
/// Whatever is wrong with the bytes or the key; nothing of the content is told.
pub fn decode(bytes: &[u8], key: &Key) -> Result<Entries, SnapshotError> {
    let (header, rest) = bytes.split_at_checked(HEADER).ok_or(SnapshotError::Foreign)?;
    let format = header.strip_prefix(MAGIC).and_then(<[u8]>::first).copied().ok_or(SnapshotError::Foreign)?;
    if format > FORMAT {
        return Err(SnapshotError::Newer(format));
    }
    if format != FORMAT {
        return Err(SnapshotError::Foreign);
    }
    if bytes.len() > MAX_BYTES {
        return Err(SnapshotError::TooLarge);
    }
    let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(SnapshotError::Undecipherable)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SnapshotError::Undecipherable)?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let plain = cipher(key)?
        .open_in_place(nonce, Aad::from(header), &mut buffer)
        .map_err(|_| SnapshotError::Undecipherable)?;
    parse(plain)
}

/// The bytes of a file with these entries. No two calls give the same.
///
/// # Errors
/// When they are too many or too large.
pub fn encode(entries: &Entries, key: &Key) -> Result<Vec<u8>, SnapshotError> {
    let length = 4 + entries.values().map(|entry| ENTRY + entry.value.expose().len()).sum::<usize>();
    if HEADER + NONCE_LEN + length + TAG > MAX_BYTES {
        return Err(SnapshotError::TooLarge);
    }
    // Sized before it is filled: a buffer that grows leaves pieces of itself behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(length + TAG));
    // No number here is above MAX_BYTES.
    let short = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    buffer.extend_from_slice(&short(entries.len()));
    for (digest, entry) in entries {
        let text = entry.value.expose().as_bytes();
        buffer.extend_from_slice(digest);
        buffer.extend_from_slice(&entry.read.as_secs().to_le_bytes());
        buffer.extend_from_slice(&short(text.len()));
        buffer.extend_from_slice(text);
    }
    let mut bytes = Vec::with_capacity(HEADER + NONCE_LEN + length + TAG);
    bytes.extend_from_slice(MAGIC);
    bytes.push(FORMAT);
    let nonce = cipher(key)?
        .seal_in_place_append_tag(Aad::from(&bytes[..HEADER]), &mut *buffer)
        .map_err(|_| SnapshotError::Malformed)?;
    bytes.extend_from_slice(nonce.as_ref());
    bytes.extend_from_slice(&buffer);
    Ok(bytes)
}

/// The entries in what was decrypted. It is authentic, and checked nevertheless.
///
/// # Errors
/// [`SnapshotError::Malformed`].
pub fn parse(plain: &[u8]) -> Result<Entries, SnapshotError> {
    let mut rest = plain;
    let count = u32::from_le_bytes(*take(&mut rest)?);
    let mut entries = Entries::new();
    for _ in 0..count {
        let digest: Digest = *take(&mut rest)?;
        let read = Duration::from_secs(u64::from_le_bytes(*take(&mut rest)?));
        let length = u32::from_le_bytes(*take(&mut rest)?);
        let length = usize::try_from(length).map_err(|_| SnapshotError::Malformed)?;
        let (text, after) = rest.split_at_checked(length).ok_or(SnapshotError::Malformed)?;
        rest = after;
        let value = Secret::from(std::str::from_utf8(text).map_err(|_| SnapshotError::Malformed)?);
        if entries.insert(digest, Entry { value, read }).is_some() {
            return Err(SnapshotError::Malformed);
        }
    }
    if rest.is_empty() { Ok(entries) } else { Err(SnapshotError::Malformed) }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], SnapshotError> {
    let (first, after) = rest.split_first_chunk().ok_or(SnapshotError::Malformed)?;
    *rest = after;
    Ok(first)
}

fn cipher(key: &Key) -> Result<RandomizedNonceKey, SnapshotError> {
    // A key of the right length is always taken.
    RandomizedNonceKey::new(&AES_256_GCM, key.bytes()).map_err(|_| SnapshotError::Undecipherable)
}
