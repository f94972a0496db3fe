//! Bodies on their way through the gateway, in both directions.
//!
//! Owns: what streams and what is whole, the limits on it, and what happens at the end of a response. Must not know:
//! what bodies mean.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use postern_plugins::plugin::BodyFilter;

use crate::exchange::Finish;
use crate::framing;
use crate::pool::{Connection, Key};
use crate::timed::{Phase, Timing};

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
}

impl BodyError {
    /// What the client is told, if it can still be told anything.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Client(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Upstream(_) => StatusCode::BAD_GATEWAY,
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

/// A request's body as it comes from the client.
#[derive(Debug)]
pub(crate) struct FromClient {
    incoming: Incoming,
    limit: u64,
    client: Arc<Timing>,
    received: Rc<Received>,
    version: Version,
}

impl FromClient {
    /// A `limit` of 0 is none.
    pub(crate) fn new(
        incoming: Incoming,
        limit: u64,
        client: Arc<Timing>,
        received: Rc<Received>,
        version: Version,
    ) -> Self {
        let limit = if limit == 0 { u64::MAX } else { limit };
        Self { incoming, limit, client, received, version }
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
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            self.client.enter(Phase::Body);
            return Poll::Pending;
        };
        self.client.enter(Phase::Quiet);
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
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

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
            None => None,
        })
    }
}

/// Data as it is, trailers without what belongs in a head.
fn without_forbidden(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        framing::strip_trailers(trailers);
    }
    frame
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
