//! The private parsers of outside text, for the crate `fuzz`; behind the feature `fuzzing`, and no part of the API.
//!
//! Owns: ways in, as thin as they can be: what runs is the product's code. Must not know: what must hold; the properties
//! are in `fuzz/src`.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::trust::{self, Trust, TrustError};
use crate::verify::{self, Untrusted};

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
