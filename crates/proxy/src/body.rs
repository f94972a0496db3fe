//! Bodies on their way through the gateway, in both directions.
//!
//! Owns: why a body may end before its end, and what is known of one while it is read. Must not know: what bodies mean.
//! A request's body comes in ([`FromClient`]) and goes out ([`ToUpstream`]); a response's comes in ([`FromUpstream`]), may
//! pass filters, and goes out ([`ToClient`]). What nobody reads of a request's body ends in [`Unread`].

#[cfg(test)]
pub(crate) mod double;
mod from_client;
mod to_client;
mod to_upstream;
mod unread;

use std::cell::Cell;

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;

use crate::framing;
pub(crate) use from_client::{Collected, FromClient};
pub(crate) use to_client::{FromUpstream, ToClient, filtered};
pub(crate) use to_upstream::ToUpstream;
pub(crate) use unread::Unread;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client's connection failed, or it sent nonsense.
    #[error("the client did not send all of its request")]
    Client(#[source] hyper::Error),
    /// There is more of it than is allowed.
    #[error("the request's body is larger than allowed")]
    TooLarge,
    /// The upstream's connection failed, or it sent nonsense.
    #[error("the upstream did not send all of its response")]
    Upstream(#[source] hyper::Error),
    /// The upstream reset the stream before the end of its response.
    #[error("the upstream reset its response before the end")]
    Reset,
}

impl BodyError {
    /// What the client is told, if it can still be told anything.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Client(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Upstream(_) | Self::Reset => StatusCode::BAD_GATEWAY,
        }
    }
}

/// What is known of a request's body while it is read.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Bytes so far.
    pub(crate) bytes: Cell<u64>,
    /// It was larger than allowed.
    pub(crate) too_large: Cell<bool>,
    /// The client failed.
    pub(crate) failed: Cell<bool>,
}

/// Data as it is, trailers without what belongs in a head.
fn without_forbidden(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        framing::strip_trailers(trailers);
    }
    frame
}
