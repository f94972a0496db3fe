//! Connections are taken from the kernel, as long as there are places.
//!
//! Owns: when a connection is taken, and which one ends to make room for it ([`Places`]). Must not know: what is spoken on
//! it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::Stop;
use super::speak::{Speaker, connection};
use crate::options::Listener;
use crate::timed::{TICK, Watch};
use crate::worker::Worker;

/// How many connections are asked to end at once when room runs short, at most; nginx's number. Looking for those that
/// waited longest costs as much as there are connections.
const SHED: usize = 32;
/// Which part of the places is kept free while there are connections that wait for nothing; nginx's part. Those that are
/// asked to end need some time for it.
const FREE: usize = 16;
/// What accepting says when the process, or the system, can have no more files: `ENFILE`, `EMFILE`.
const NO_FILES: [i32; 2] = [23, 24];

/// How many connections of clients a worker may have, and has.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    taken: Cell<usize>,
    freed: Notify,
    /// The tick in which there was nothing to be ended. It is not looked for again in the same one.
    in_vain: Cell<Option<u32>>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Rc<Places>);

impl Places {
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            most: most.max(1),
            taken: Cell::new(0),
            freed: Notify::new(),
            in_vain: Cell::new(None),
        })
    }

    /// A place. Where few are left, the connections that waited longest for a request are asked to end; where there is
    /// none, this waits until one has ended.
    async fn take(self: &Rc<Self>, watch: &Watch) -> Place {
        // With few places, some must still be there to be had.
        let free = if self.most < FREE { 0 } else { self.most / FREE };
        while self.taken.get() >= self.most - free {
            let now = Some(watch.now());
            if self.in_vain.get() != now && watch.shed(free.max(1), SHED) == 0 {
                self.in_vain.set(now);
            }
            if self.taken.get() < self.most {
                break;
            }
            self.freed(TICK).await;
        }
        self.one_more()
    }

    /// A place, even if there is none.
    fn one_more(self: &Rc<Self>) -> Place {
        self.taken.set(self.taken.get() + 1);
        Place(Rc::clone(self))
    }

    /// Waits until a place is free, but not for longer than this: not all connections that were asked to end do so.
    async fn freed(&self, longest: Duration) {
        tokio::select! {
            () = self.freed.notified() => {}
            () = sleep(longest) => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
        self.0.freed.notify_one();
    }
}

/// Takes connections until the end; then those that the kernel has taken already.
pub(super) async fn accept(
    worker: Rc<Worker>,
    speaker: Rc<Speaker>,
    places: Rc<Places>,
    listener: Listener,
    socket: TcpListener,
    mut stop: watch::Receiver<Stop>,
) {
    let take = |stream: TcpStream, peer: SocketAddr, place: Place| {
        worker.observe.counts().accepted.fetch_add(1, Ordering::Relaxed);
        let (worker, speaker) = (Rc::clone(&worker), Rc::clone(&speaker));
        tokio::task::spawn_local(async move {
            connection(&worker, &speaker, listener, stream, peer, place).await;
            worker.observe.counts().closed.fetch_add(1, Ordering::Relaxed);
        });
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|stop| *stop != Stop::No) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = tokio::select! {
                    biased;
                    place = places.take(&worker.watch) => place,
                    _ = stop.wait_for(|stop| *stop != Stop::No) => places.one_more(),
                };
                take(stream, peer, place);
            }
            // Most are about one connection; but without file descriptors all fail, and at once.
            Err(error) => {
                tracing::warn!(error = postern_secrets::io_reason(&error), "a connection was not accepted");
                if error.raw_os_error().is_some_and(|code| NO_FILES.contains(&code)) {
                    worker.pool.make_room();
                    worker.watch.shed(SHED, SHED);
                }
                places.freed(TICK).await;
            }
        }
    }
    // The kernel resets what it still has when the socket closes. It is asked itself: tokio may not know yet of what came
    // last.
    let Ok(socket) = socket.into_std() else { return };
    while let Ok((stream, peer)) = socket.accept() {
        let is_ready = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = is_ready {
            take(stream, peer, places.one_more());
        }
    }
}

#[cfg(test)]
mod tests;
