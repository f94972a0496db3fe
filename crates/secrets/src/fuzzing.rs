//! The private parsers of outside text, for the crate `fuzz`; behind the feature `fuzzing`, and no part of the API.
//!
//! Owns: ways in, as thin as they can be: what runs is the product's code. Must not know: what must hold; the properties
//! are in `fuzz/src`. What is public anyway ([`crate::snapshot`], [`crate::client::Identity`]) is used from there.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::client::{Reply, Trust, TrustError, Untrusted, trust, verify};
use crate::oauth2::{AccessToken, OAuth2Error, TokenClient};
use crate::secret::Secret;
use crate::snapshot::{self, Key};
use crate::subkey;

pub use crate::backend::hcv::fuzzing::{claims, kv, login, unwrapping};
pub use crate::subkey::SubkeyError;

/// An answer over HTTP, as the other side may have sent it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The media type, in lower case.
    pub media_type: &'a str,
    /// Where a redirect points.
    pub location: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The answer to a request that held these secrets.
    pub(crate) fn reply(&self, secrets: &[Secret]) -> Reply {
        Reply::new(self.status, self.media_type, self.location, self.body, secrets)
    }
}

/// What a client of an identity provider makes of an answer.
///
/// # Errors
/// As [`TokenClient::token`].
pub fn idp(client: &TokenClient, answer: &Answer<'_>) -> Result<AccessToken, OAuth2Error> {
    client.answered(&answer.reply(client.request()?.secrets()))
}

/// The certificates (DER) that stand in an item of the list of trusted ones; `None` where it is a path.
pub fn trust_text(item: &str) -> Option<Result<Vec<Vec<u8>>, TrustError>> {
    let certificates = trust::from_text(item)?;
    Some(certificates.map(|certificates| certificates.iter().map(|der| der.to_vec()).collect()))
}

/// What a connection to `host` makes of a chain (DER), at a time in seconds since 1970. `trusted` is PEM text.
///
/// # Errors
/// When the chain is not trusted; and [`Untrusted::Other`] when `trusted` or `host` cannot be used.
pub fn judge(trusted: &str, chain: &[Vec<u8>], host: &str, now: u64) -> Result<(), Untrusted> {
    let trust = Trust::from_items([trusted]).map_err(|error| Untrusted::Other(error.to_string()))?;
    let host = ServerName::try_from(host).map_err(|error| Untrusted::Other(error.to_string()))?;
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    verify::judge(&trust, &chain, &host, UnixTime::since_unix_epoch(std::time::Duration::from_secs(now)))
}

/// The string under a key of a JSON object.
///
/// # Errors
/// When there is none.
pub fn pick(text: &Secret, key: &str) -> Result<Secret, SubkeyError> {
    subkey::Members::of(text)?.pick(key)
}

/// The text that a text is the base64 of.
pub fn decode_base64(text: &Secret) -> Option<Secret> {
    subkey::decode_base64(text)
}

/// The key in a file with a key.
pub fn snapshot_key(bytes: &[u8]) -> Option<Key> {
    snapshot::key::parse(bytes)
}
