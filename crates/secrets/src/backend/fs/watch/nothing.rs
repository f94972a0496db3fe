//! In place of `inotify.rs` where there is none: nothing can be watched, so files are looked at. Must not know: what.

use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Never made.
#[derive(Debug)]
pub(super) enum Inotify {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) directory: i32,
    pub(super) name: Option<OsString>,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "there are no events")]
pub(super) enum What {
    Created,
    Changed,
    Gone,
    Lost,
}

impl Inotify {
    pub(super) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn add(&self, _: &Path) -> io::Result<i32> {
        match *self {}
    }

    pub(super) fn remove(&self, _: i32) {
        match *self {}
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn read(&self) -> Vec<Event> {
        match *self {}
    }
}
