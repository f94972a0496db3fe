//! A request's body as it comes from the client.
//!
//! Owns: how much of it there may be, and that the client's time counts only while we wait for it. Must not know: who
//! reads it. With HTTP/2, what nobody has read when this is let go is handed on to [`Unread`].

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{BodyError, Received, Unread};
use crate::timed::{Phase, Timing};

/// A request's body as it comes from the client.
#[derive(Debug)]
pub(crate) struct FromClient {
    /// There until it is let go.
    incoming: Option<Incoming>,
    limit: u64,
    client: Arc<Timing>,
    received: Rc<Received>,
    version: Version,
    /// Where the rest goes, with HTTP/2.
    unread: Option<Rc<Unread>>,
}

impl FromClient {
    /// A `limit` of 0 is none.
    pub(crate) fn new(
        incoming: Incoming,
        limit: u64,
        client: Arc<Timing>,
        received: Rc<Received>,
        version: Version,
        unread: &Rc<Unread>,
    ) -> Self {
        let limit = if limit == 0 { u64::MAX } else { limit };
        // hyper itself looks after the rest of an HTTP/1 body: it ends the connection, or skips what is short.
        let unread = (version == Version::HTTP_2).then(|| Rc::clone(unread));
        Self { incoming: Some(incoming), limit, client, received, version, unread }
    }

    /// No more than so many bytes, besides the limit that there is already.
    pub(crate) fn limit_to(&mut self, bytes: u64) {
        self.limit = self.limit.min(bytes);
    }

    /// All of it, if it is not longer than `most`; else what was read so far goes in front of the rest.
    pub(crate) async fn collect(mut self, most: usize) -> Result<Collected, BodyError> {
        let mut whole = BytesMut::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            if let Ok(data) = frame?.into_data() {
                whole.extend_from_slice(&data);
                if whole.len() > most {
                    return Ok(Collected::More(whole.freeze(), self));
                }
            }
        }
        Ok(Collected::Whole(whole.freeze()))
    }
}

/// What [`FromClient::collect`] came to.
pub(crate) enum Collected {
    /// All of it.
    Whole(Bytes),
    /// The beginning, and the rest.
    More(Bytes, FromClient),
}

impl Body for FromClient {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) else {
            self.client.go_on(Phase::Body);
            return Poll::Pending;
        };
        self.client.go_on(Phase::Quiet);
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(Err(error)) => {
                self.received.failed.set(true);
                return Poll::Ready(Some(Err(BodyError::Client(error))));
            }
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            let bytes = self.received.bytes.get() + data.len() as u64;
            self.received.bytes.set(bytes);
            if bytes > self.limit {
                self.received.too_large.set(true);
                return Poll::Ready(Some(Err(BodyError::TooLarge)));
            }
        }
        if frame.is_trailers() && self.version < Version::HTTP_2 {
            // hyper ends trailers at an empty line with CR, and forgets what follows one without: another parser may see
            // a request there. So nothing is read from this connection any more.
            self.client.end_soon();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for FromClient {
    fn drop(&mut self) {
        if let (Some(unread), Some(incoming)) = (&self.unread, self.incoming.take())
            && !incoming.is_end_stream()
        {
            unread.put(incoming);
        }
    }
}

#[cfg(test)]
mod tests;
