//! Ways into what is private, for the fuzzer: nothing of it is there in a gateway.

use http::request::Parts;
use http::{HeaderMap, StatusCode};

/// What a head says that may cross.
#[derive(Debug)]
pub struct Accepted {
    /// The path.
    pub path: String,
    /// The host.
    pub host: String,
}

/// [`crate::framing`]'s check of a head; `parts` loses what must not cross.
///
/// # Errors
/// The status of the refusal.
pub fn accept(parts: &mut Parts) -> Result<Accepted, StatusCode> {
    crate::framing::accept(parts).map(|head| Accepted { path: head.path, host: head.host })
}

/// What is left of a response's head.
///
/// # Errors
/// Why it is refused.
pub fn accept_response(status: StatusCode, headers: &mut HeaderMap) -> Result<(), &'static str> {
    crate::framing::accept_response(status, headers)
}

/// What is left of trailers.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    crate::framing::strip_trailers(trailers);
}
