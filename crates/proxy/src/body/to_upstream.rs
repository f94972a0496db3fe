//! A request's body as it goes to the upstream.
//!
//! Owns: what is sent first, what may be sent a second time, and when the upstream's time begins.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{BodyError, FromClient, without_forbidden};
use crate::timed::{Phase, Timing};

/// A request's body as it goes to the upstream.
#[derive(Debug)]
pub(crate) struct ToUpstream {
    /// Sent first.
    first: Option<Bytes>,
    rest: Option<FromClient>,
    /// Whether trailers may follow.
    trailers: bool,
    /// From its end on an answer is awaited.
    upstream: Option<Arc<Timing>>,
}

impl ToUpstream {
    /// What is there already, then what comes.
    pub(crate) fn new(first: Option<Bytes>, rest: Option<FromClient>, trailers: bool) -> Self {
        let first = first.filter(|first| !first.is_empty());
        let rest = rest.filter(|rest| !rest.is_end_stream());
        Self { first, rest, trailers, upstream: None }
    }

    /// Whether it could be sent a second time: a copy that is whole.
    pub(crate) fn again(&self) -> Option<Self> {
        let first = self.first.clone();
        self.rest.is_none().then(|| Self { first, rest: None, trailers: false, upstream: None })
    }

    /// Goes out on this connection.
    pub(crate) fn on(&mut self, upstream: Arc<Timing>) {
        match self.is_end_stream() {
            true => upstream.enter(Phase::Body),
            false => upstream.enter(Phase::Quiet),
        }
        self.upstream = Some(upstream);
    }

    fn ended(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.enter(Phase::Body);
        }
    }
}

impl Body for ToUpstream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            if self.rest.is_none() {
                self.ended();
            }
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let trailers = self.trailers;
        let Some(rest) = &mut self.rest else {
            self.ended();
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *rest).poll_frame(cx));
        let is_last = frame.is_none() || rest.is_end_stream();
        if is_last {
            self.ended();
        }
        match frame {
            Some(Ok(frame)) if frame.is_trailers() && !trailers => Poll::Ready(None),
            Some(Ok(frame)) => Poll::Ready(Some(Ok(without_forbidden(frame)))),
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let Some(rest) = &self.rest else { return SizeHint::with_exact(first) };
        let rest = rest.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + first);
        }
        hint.set_lower(rest.lower() + first);
        hint
    }
}

#[cfg(test)]
mod tests;
