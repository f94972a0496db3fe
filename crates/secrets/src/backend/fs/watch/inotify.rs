//! The kernel's own watching of directories. Must not know: what is watched, or why.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// All that may change what a name means. Not each write: a file is read when its writer is done with it.
const CHANGES: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// A queue of events.
#[derive(Debug)]
pub(super) struct Inotify(AsyncFd<OwnedFd>);

/// Something happened in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) directory: i32,
    /// To which of its entries; `None`: to itself.
    pub(super) name: Option<OsString>,
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Something that is no directory is there, and may still be written.
    Created,
    /// Anything else.
    Changed,
    /// It is not watched any longer: it is gone.
    Gone,
    /// There were too many events: anything may have happened.
    Lost,
}

impl Inotify {
    #[expect(
        deprecated,
        reason = "the safe way in; what it cannot rule out is not so here: an OwnedFd keeps its descriptor"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self(AsyncFd::with_interest(descriptor, Interest::READABLE)?))
    }

    /// Watches a directory, and tells the number by which events name it; the same number for the same directory.
    pub(super) fn add(&self, directory: &Path) -> io::Result<i32> {
        Ok(inotify::add_watch(self.0.get_ref(), directory, CHANGES)?)
    }

    /// Fails where the directory is gone already, which is as good.
    pub(super) fn remove(&self, directory: i32) {
        let _ = inotify::remove_watch(self.0.get_ref(), directory);
    }

    /// Waits until there are events.
    pub(super) async fn readable(&self) -> io::Result<()> {
        // It stays ready until `read` finds nothing more.
        self.0.readable().await.map(|mut guard| guard.retain_ready())
    }

    /// The events that there are.
    pub(super) fn read(&self) -> Vec<Event> {
        let mut events = Vec::new();
        // Whatever ends it: there is nothing more to read now.
        let _ = self.0.try_io(Interest::READABLE, |descriptor| {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = Reader::new(descriptor, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(error) => return Err::<(), _>(io::Error::from(error)),
                };
                let flags = event.events();
                let what = if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                    What::Lost
                } else if flags.contains(ReadFlags::IGNORED) {
                    What::Gone
                } else if flags.contains(ReadFlags::CREATE) && !flags.contains(ReadFlags::ISDIR) {
                    What::Created
                } else {
                    What::Changed
                };
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
                events.push(Event { directory: event.wd(), name, what });
            }
        });
        events
    }
}
