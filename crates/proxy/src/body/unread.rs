//! The rest of request bodies that nobody will read.
//!
//! Owns: that a client which still sends gets to see its answer. Must not know: requests.
//!
//! HTTP/2 lets a server answer early, send the end of its answer, and then reset the stream with NO_ERROR (RFC 9113,
//! 8.1). But many clients, curl before version 8 among them, take any reset that they see while they send for a failure,
//! and throw the answer away. So the rest is read and forgotten, within bounds; only a client that goes beyond them sees
//! a reset, and h2 sends that one after the whole answer.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What is read of one body at most, in bytes.
const BYTES: u64 = 16 * 1024 * 1024;
/// For how long one body is read; nginx's `lingering_time`.
const TIME: Duration = Duration::from_secs(30);
/// How many bodies are read at once by one worker. The streams of those beyond are reset after the answer.
const BODIES: usize = 1024;

/// The bodies of one worker.
#[derive(Debug)]
pub(crate) struct Unread<B = Incoming> {
    new: RefCell<Vec<B>>,
    added: Notify,
    /// Nobody reads any more, so nothing is kept.
    closed: Cell<bool>,
}

impl<B> Default for Unread<B> {
    fn default() -> Self {
        Self { new: RefCell::default(), added: Notify::new(), closed: Cell::new(false) }
    }
}

impl<B: Body<Data = Bytes> + Unpin + 'static> Unread<B> {
    /// Takes over a body. Called while things are dropped, so it neither fails nor starts anything.
    pub(crate) fn put(&self, body: B) {
        let mut new = self.new.borrow_mut();
        if !self.closed.get() && new.len() < BODIES {
            new.push(body);
            self.added.notify_one();
        }
    }

    /// Reads what there is, until it is dropped; then all streams are reset.
    pub(crate) async fn run(self: Rc<Self>) {
        let _closes = Closes(&self);
        let mut reading = JoinSet::new();
        loop {
            tokio::select! {
                () = self.added.notified() => {
                    for body in self.new.take() {
                        if reading.len() < BODIES {
                            reading.spawn_local(timeout(TIME, forget(body)));
                        }
                    }
                }
                Some(_) = reading.join_next() => {}
            }
        }
    }
}

/// What nobody reads is let go.
struct Closes<'a, B>(&'a Unread<B>);

impl<B> Drop for Closes<'_, B> {
    fn drop(&mut self) {
        self.0.closed.set(true);
        drop(self.0.new.take());
    }
}

/// Reads a body to its end, or until it is longer than anybody needs it to be.
async fn forget<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
