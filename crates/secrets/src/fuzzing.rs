//! The private parsers of outside text, for the crate `fuzz`; behind the feature `fuzzing`, and no part of the API.
//!
//! Owns: ways in, as thin as they can be: what runs is the product's code. Must not know: what must hold; the properties
//! are in `fuzz/src`. What is public anyway ([`crate::snapshot`]) is used from there.

use crate::oauth2::{AccessToken, OAuth2Error, TokenClient};
use crate::snapshot::{self, Key};
use crate::subkey;
use postern_client::Reply;
use postern_secret::Secret;

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
