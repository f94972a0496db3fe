//! The trait of all plugins: one method a phase, each with a default that does nothing.
//!
//! Owns: the phases and what a plugin may say in each. Must not know: any plugin.
//!
//! A plugin is made from a configuration without references: they were resolved before, and when one of them changes
//! the plugin is made anew and swapped. So a plugin never waits for a vault, and what it prepares from a secret (a
//! key, a parsed certificate) it prepares once, in its constructor. What must survive that belongs in
//! [`crate::state::State`], and is taken over at the commit ([`crate::prepared`]).

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::view::{Request, Response, Summary};

/// A configured plugin. It serves many requests at once, so what it changes of itself is behind atomics or locks.
pub trait Plugin: Send + Sync + 'static {
    /// Before a route is known; only plugins that are bound to nothing run here.
    fn rewrite<'a>(&'a self, _request: &'a mut Request) -> Step<'a> {
        Step::Continue
    }

    /// Whether [`Plugin::access`] needs the request's body: it is then read first, up to the limit of the gateway, and
    /// is in `request.body`.
    fn wants_body(&self, _request: &Request) -> bool {
        false
    }

    /// Before the request goes to the upstream. A plugin may change it, or answer it.
    fn access<'a>(&'a self, _request: &'a mut Request) -> Step<'a> {
        Step::Continue
    }

    /// It is the instance for this request. Called in place of [`Plugin::access`] where that is not, and only of a plugin whose
    /// configuration holds references.
    fn chosen(&self, _request: &mut Request) {}

    /// The head of the response on its way to the client, whoever made it.
    fn response(&self, _request: &Request, _response: &mut Response) {}

    /// Whoever changes the body of the response says so here; its length is then not known beforehand.
    fn body_filter(&self, _request: &Request, _response: &Response) -> Option<Box<dyn BodyFilter>> {
        None
    }

    /// After the last byte, whatever came of the request. Off the client's path: it must not wait.
    fn log(&self, _request: &Request, _summary: &Summary<'_>) {}
}

/// What a phase comes to.
pub enum Step<'a> {
    /// Go on.
    Continue,
    /// The gateway answers, and the request goes no further.
    Answer(Box<Answer>),
    /// It takes a while.
    Wait(Pin<Box<dyn Future<Output = Outcome> + 'a>>),
}

/// What a phase that took a while came to.
pub enum Outcome {
    /// Go on.
    Continue,
    /// The gateway answers.
    Answer(Box<Answer>),
}

/// An answer of the gateway's own.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, besides those that every answer has.
    pub headers: HeaderMap,
    /// Its body.
    pub body: AnswerBody,
}

/// The body of an [`Answer`].
#[derive(Debug)]
pub enum AnswerBody {
    /// `{"message": ..., "request_id": ...}`, or the same as text, HTML or XML: what the client accepts.
    Message(String),
    /// As it is; the headers say what.
    Bytes(Bytes),
    /// None.
    Empty,
}

impl Answer {
    /// An error in the gateway's own form.
    pub fn message(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, headers: HeaderMap::new(), body: AnswerBody::Message(message.into()) }
    }

    /// The same answer with a header more.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

impl From<Answer> for Step<'_> {
    fn from(answer: Answer) -> Self {
        Self::Answer(Box::new(answer))
    }
}

/// Changes a body while it streams.
pub trait BodyFilter: Send {
    /// A piece came; what goes on in its place, which may be nothing yet.
    fn chunk(&mut self, piece: Bytes) -> Bytes;

    /// It was the last; what is still to be sent. Not called where a body breaks off.
    fn end(&mut self) -> Bytes {
        Bytes::new()
    }

    /// Whether what goes on is as long as what came, so that `Content-Length` stays true.
    fn keeps_length(&self) -> bool {
        false
    }
}
