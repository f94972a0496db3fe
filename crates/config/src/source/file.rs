//! A configuration in a file, and when it changes.
//!
//! Owns: looking, by path, at what the file is now, and that one which says the same is nothing new. Must not know: how it
//! is read and checked; whoever knows the settings of the program gives a [`Reader`]. It looks a few times a second instead of
//! asking the kernel to tell: what is looked at through links (as Kubernetes mounts it), over the network, or written in
//! place is then noticed alike, and a look costs a microsecond.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use postern_model::Violation;
use tokio::time::sleep;

use super::{Candidate, Loaded, Source};

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(250);

/// Reads and checks the file.
#[async_trait]
pub trait Reader: Send + Sync {
    /// What it says now; `None` where the node has no file.
    ///
    /// # Errors
    /// It cannot be read, or everything that is wrong with it.
    async fn read(&self) -> Result<Option<Loaded>, Vec<Violation>>;
}

/// Follows a file.
pub struct FileSource<R, F> {
    watch: Option<Watch>,
    reader: R,
    in_effect: F,
}

impl<R: Reader, F: Fn() -> Option<String> + Send + Sync> FileSource<R, F> {
    /// `watch` is where it may change, if anywhere; `in_effect` tells the hash of what is in effect, whoever brought it.
    pub fn new(watch: Option<Watch>, reader: R, in_effect: F) -> Self {
        Self { watch, reader, in_effect }
    }
}

#[async_trait]
impl<R: Reader, F: Fn() -> Option<String> + Send + Sync> Source for FileSource<R, F> {
    async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn next(&mut self, asked: bool) -> Result<Option<Candidate>, Vec<Violation>> {
        // Without a file, what is in effect came by the Admin API, and stays.
        let Some(loaded) = self.reader.read().await? else { return Ok(None) };
        if (self.in_effect)().is_some_and(|hash| hash == loaded.hash) && !asked {
            return Ok(None);
        }
        Ok(Some(loaded.into()))
    }
}

/// Looks at one file.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    seen: Option<Mark>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Watch {
    /// From how the file is now.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let seen = mark(&path);
        Self { path, seen }
    }

    /// Waits until the file is another one than before, and has stayed so for a moment: whoever writes in place may not
    /// have written all of it. A file that is gone is no change.
    pub async fn changed(&mut self) {
        loop {
            sleep(PAUSE).await;
            let now = mark(&self.path);
            if now.is_none() || now == self.seen {
                continue;
            }
            sleep(PAUSE).await;
            if mark(&self.path) == now {
                self.seen = now;
                return;
            }
        }
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let of = |metadata: Metadata| Mark {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        changed: (metadata.mtime(), metadata.mtime_nsec()),
    };
    std::fs::metadata(path).ok().map(of)
}

#[cfg(test)]
mod tests;
