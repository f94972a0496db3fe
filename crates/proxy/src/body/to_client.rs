//! A response's body: from the upstream or of the gateway's own, perhaps through filters, to the client.
//!
//! Owns: what happens at its end: the connection to the upstream is kept, the request is over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use postern_plugins::plugin::BodyFilter;

use super::{BodyError, without_forbidden};
use crate::exchange::Finish;
use crate::pool::{Connection, Key};
use crate::timed::{Phase, Timing};

/// A response's body on its way to the client. When it is let go, complete or not, the request has ended.
pub(crate) struct ToClient {
    kind: Kind,
    /// Bytes so far.
    sent: u64,
    finish: Option<Box<Finish>>,
    /// With HTTP/2: whether the client has room for what it was sent.
    room: Option<Room>,
}

/// With HTTP/2 a client that does not read does not stop the connection, only its stream.
struct Room {
    client: Arc<Timing>,
    /// Something was handed on, and nothing asked for since.
    held: bool,
}

impl Room {
    fn full(client: Arc<Timing>) -> Self {
        let mut room = Self { client, held: false };
        room.hold(true);
        room
    }

    fn hold(&mut self, held: bool) {
        if self.held != held {
            self.held = held;
            self.client.hold(held);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.hold(false);
    }
}

enum Kind {
    Empty,
    Whole(Bytes),
    Upstream(FromUpstream),
    Filtered(FromUpstream, Vec<Box<dyn BodyFilter>>),
}

/// A response's body as it comes from the upstream.
pub(crate) struct FromUpstream {
    pub(crate) incoming: Incoming,
    /// The connection, to be kept at the end.
    pub(crate) lease: Option<(Key, Connection)>,
    /// Whether trailers may follow.
    pub(crate) trailers: bool,
    /// Whether it comes by HTTP/2.
    pub(crate) http2: bool,
}

impl ToClient {
    /// Nothing.
    pub(crate) fn empty(finish: Option<Box<Finish>>) -> Self {
        Self { kind: Kind::Empty, sent: 0, finish, room: None }
    }

    /// All of it.
    pub(crate) fn whole(bytes: Bytes, finish: Option<Box<Finish>>) -> Self {
        Self { kind: Kind::Whole(bytes), sent: 0, finish, room: None }
    }

    /// As it comes from the upstream, through filters if there are some. `client` is the connection, if it speaks
    /// HTTP/2.
    pub(crate) fn upstream(
        body: FromUpstream,
        filters: Vec<Box<dyn BodyFilter>>,
        finish: Box<Finish>,
        client: Option<Arc<Timing>>,
    ) -> Self {
        let mut filters = filters;
        // Nobody asks for a body that is known to be empty, so its end would not be seen.
        if body.incoming.is_end_stream() && filters.iter().all(|filter| filter.keeps_length()) {
            end(&mut filters);
            filters.clear();
        }
        let kind = match filters.is_empty() {
            true => Kind::Upstream(body),
            false => Kind::Filtered(body, filters),
        };
        // With no room at all, hyper does not even ask for the first bytes.
        let room = client.map(Room::full);
        Self { kind, sent: 0, finish: Some(finish), room }
    }

    /// The upstream's response is complete: the connection may serve another request, and the request is over.
    fn ended(&mut self) {
        if let Kind::Upstream(body) | Kind::Filtered(body, _) = &mut self.kind
            && let Some((key, connection)) = body.lease.take()
            && let Some(finish) = &self.finish
        {
            connection.timing.enter(Phase::Quiet);
            finish.worker.pool.put(key, connection);
        }
    }
}

impl Body for ToClient {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(room) = &mut this.room {
            room.hold(false);
        }
        let frame = match &mut this.kind {
            Kind::Empty => None,
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                this.kind = Kind::Empty;
                (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
            }
            Kind::Upstream(body) => ready!(body.poll(cx)),
            Kind::Filtered(body, filters) => loop {
                match ready!(body.poll(cx)) {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        let mut data = filters.iter_mut().fold(data, |data, filter| filter.chunk(data));
                        // Where the length is known, hyper does not ask whether more comes after the last byte.
                        if body.incoming.is_end_stream() {
                            let rest = end(&mut std::mem::take(filters));
                            if !rest.is_empty() {
                                data = [data, rest].concat().into();
                            }
                        }
                        if !data.is_empty() {
                            break Some(Ok(Frame::data(data)));
                        }
                    }
                    None if !filters.is_empty() => {
                        let mut filters = std::mem::take(filters);
                        let rest = end(&mut filters);
                        if !rest.is_empty() {
                            break Some(Ok(Frame::data(rest)));
                        }
                    }
                    other => break other,
                }
            },
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(room) = &mut self.room {
                    room.hold(true);
                }
                self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                let ended = match &self.kind {
                    Kind::Upstream(body) => body.incoming.is_end_stream(),
                    Kind::Filtered(body, filters) => filters.is_empty() && body.incoming.is_end_stream(),
                    Kind::Empty | Kind::Whole(_) => false,
                };
                if ended {
                    self.ended();
                }
            }
            Some(Err(_)) => {
                if let Some(finish) = &self.finish {
                    finish.broken.set(true);
                }
            }
            None => self.ended(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Upstream(body) => body.incoming.is_end_stream(),
            Kind::Filtered(body, filters) => filters.is_empty() && body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Upstream(body) => body.incoming.size_hint(),
            Kind::Filtered(..) => SizeHint::default(),
        }
    }
}

/// A whole body, passed through filters.
pub(crate) fn filtered(body: Bytes, filters: &mut [Box<dyn BodyFilter>]) -> Bytes {
    let body = filters.iter_mut().fold(body, |data, filter| filter.chunk(data));
    [body, end(filters)].concat().into()
}

/// What filters still have, each passed through those after it.
fn end(filters: &mut [Box<dyn BodyFilter>]) -> Bytes {
    let mut rest = BytesMut::new();
    for index in 0..filters.len() {
        let last = filters[index].end();
        let last = filters[index + 1..].iter_mut().fold(last, |data, filter| filter.chunk(data));
        rest.extend_from_slice(&last);
    }
    rest.freeze()
}

impl FromUpstream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if frame.is_trailers() && !self.trailers => {
                // As with clients: what follows may be seen in two ways.
                self.lease = None;
                None
            }
            Some(frame) => Some(frame.map(without_forbidden).map_err(BodyError::Upstream)),
            // hyper takes a reset with NO_ERROR for the end; it is one only after the end was sent (RFC 9113, 8.1).
            None if self.http2 && !self.incoming.is_end_stream() => Some(Err(BodyError::Reset)),
            None => None,
        })
    }
}

impl Drop for ToClient {
    fn drop(&mut self) {
        if matches!(&self.kind, Kind::Upstream(body) if body.incoming.is_end_stream()) {
            self.ended();
        }
        if let Some(finish) = self.finish.take() {
            let complete = self.is_end_stream() || !matches!(self.kind, Kind::Upstream(_) | Kind::Whole(_));
            finish.run(self.sent, complete);
        }
    }
}

#[cfg(test)]
mod tests;
