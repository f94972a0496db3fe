//! A configuration in a file, and when it changes.
//!
//! Owns: looking, by path, at what the file is now. Must not know: what is in it. It looks a few times a second instead of
//! asking the kernel to tell: what is looked at through links (as Kubernetes mounts it), over the network, or written in
//! place is then noticed alike, and a look costs a microsecond.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(250);

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
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Whether a change is seen after something was done.
    async fn sees(watch: &mut Watch) -> bool {
        timeout(Duration::from_secs(5), watch.changed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_however_it_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("a"), "1").unwrap();
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        let mut watch = Watch::new(path("link"));
        assert!(!sees(&mut watch).await);
        std::fs::write(path("a"), "22").unwrap();
        assert!(sees(&mut watch).await, "in place");
        std::fs::write(path("new"), "33").unwrap();
        std::fs::rename(path("new"), path("a")).unwrap();
        assert!(sees(&mut watch).await, "by renaming");
        std::fs::write(path("b"), "4").unwrap();
        std::os::unix::fs::symlink(path("b"), path("other")).unwrap();
        std::fs::rename(path("other"), path("link")).unwrap();
        assert!(sees(&mut watch).await, "by another link");
        std::fs::remove_file(path("b")).unwrap();
        assert!(!sees(&mut watch).await, "gone");
        std::fs::write(path("b"), "55").unwrap();
        assert!(sees(&mut watch).await, "back again");
    }
}
