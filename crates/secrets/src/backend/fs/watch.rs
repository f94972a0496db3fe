//! Says when files may have changed, so that references into them need no ttl.
//!
//! Owns: which directories are watched for which file, links and absent parts of the way included, and what to do where
//! nothing can be watched: looking every few seconds. Must not know: what is in the files, or what is done about a
//! change; it may speak up once too often, and not once too seldom.
//!
//! A file is watched before it is read, so that nothing comes between. What changes on another machine (a network file
//! system) is not seen; a ttl helps there.

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(not(target_os = "linux"))]
#[path = "watch/nothing.rs"]
mod inotify;
mod way;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::resolve::Files;
use inotify::{Event, Inotify, What};

/// Whoever wants to know of changes, by a number of its own.
type Key = u64;

/// More changes are often to come: a directory of files is written one after the other.
const SETTLE: Duration = Duration::from_millis(75);
/// How often to look at what cannot be watched: whether a vault's directory is another one, above all.
const LOOK: Duration = Duration::from_secs(2);
/// A file system that hangs must not keep a read from failing by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches files. Nothing runs as long as there is nothing to watch; the task that does it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    changed: UnboundedSender<Vec<Key>>,
    running: OnceLock<Running>,
}

#[derive(Debug)]
struct Running {
    watched: Arc<Watched>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Watched {
    /// `None` where the system has none left.
    inotify: Option<Inotify>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<Key, Entry>,
    /// The names that count in each watched directory.
    directories: HashMap<i32, Directory>,
    /// The vaults' own directories.
    prefixes: HashMap<PathBuf, Prefix>,
}

#[derive(Debug)]
struct Entry {
    files: Files,
    steps: Vec<(i32, OsString)>,
    /// How the files look, where a part of their way cannot be watched.
    looks: Option<Vec<Look>>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    names: HashMap<OsString, BTreeSet<Key>>,
}

#[derive(Debug)]
struct Prefix {
    look: Look,
    keys: HashSet<Key>,
}

/// How a file looks from outside; two looks that differ are a change. `None`: there is none.
type Look = Option<(u64, u64, u64, i64, i64)>;

impl Watch {
    /// Sends the keys of what may have changed to `changed`.
    pub(crate) fn new(changed: UnboundedSender<Vec<Key>>) -> Self {
        Self { changed, running: OnceLock::new() }
    }

    /// Watches these files from here on, instead of others of the same key.
    pub(crate) async fn add(&self, key: Key, files: Files) {
        let running = self.running.get_or_init(|| Running::start(self.changed.clone()));
        let (watched, changed) = (Arc::clone(&running.watched), self.changed.clone());
        let adding = tokio::task::spawn_blocking(move || {
            let others = watched.add(key, files);
            // An error means that nobody listens any longer.
            let _ = others.is_empty() || changed.send(others).is_ok();
        });
        if timeout(PATIENCE, adding).await.is_err() {
            tracing::warn!("watching a file takes long; its file system may hang");
        }
    }

    /// These are not wanted any longer.
    pub(crate) fn forget(&self, keys: Vec<Key>) {
        let Some(running) = self.running.get() else { return };
        let watched = Arc::clone(&running.watched);
        tokio::task::spawn_blocking(move || {
            let mut state = watched.state();
            keys.into_iter().for_each(|key| watched.remove(&mut state, key));
        });
    }
}

impl Running {
    fn start(changed: UnboundedSender<Vec<Key>>) -> Self {
        let inotify = Inotify::new();
        if let Err(error) = &inotify {
            tracing::warn!(%error, "files cannot be watched; looking at them every {} s", LOOK.as_secs());
        }
        let watched = Arc::new(Watched { inotify: inotify.ok(), state: Mutex::default() });
        let task = tokio::spawn(watch(Arc::clone(&watched), changed)).abort_handle();
        Self { watched, task }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task: what happens is gathered for a moment; what cannot be watched is looked at now and then.
async fn watch(watched: Arc<Watched>, changed: UnboundedSender<Vec<Key>>) {
    let looking = async {
        loop {
            sleep(LOOK).await;
            let watched = Arc::clone(&watched);
            let found = tokio::task::spawn_blocking(move || watched.look()).await.unwrap_or_default();
            if !found.is_empty() && changed.send(found).is_err() {
                return;
            }
        }
    };
    let listening = async {
        let Some(inotify) = &watched.inotify else { return std::future::pending().await };
        while inotify.readable().await.is_ok() {
            sleep(SETTLE).await;
            let events = inotify.read();
            let watched = Arc::clone(&watched);
            let found =
                tokio::task::spawn_blocking(move || watched.concerned(&events)).await.unwrap_or_default();
            if !found.is_empty() && changed.send(found).is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = looking => {}
        () = listening => {}
    }
}

impl Watched {
    /// Tells which others have changed, as far as this was seen on the way.
    fn add(&self, key: Key, files: Files) -> Vec<Key> {
        // Looking may hang where the file system does: not while others wait for the lock.
        let steps: Vec<_> = files.names.iter().flat_map(|name| way::steps(&files.prefix, name)).collect();
        let prefix = identity(&files.prefix);
        let looks: Vec<Look> = files.names.iter().map(|name| look(&files.prefix.join(name))).collect();

        let mut state = self.state();
        self.remove(&mut state, key);
        let mut entry = Entry { files, steps: Vec::new(), looks: None };
        for (directory, name) in steps {
            match self.inotify.as_ref().map(|inotify| inotify.add(&directory)) {
                Some(Ok(descriptor)) => {
                    let new = || Directory { path: directory, names: HashMap::new() };
                    let directory = state.directories.entry(descriptor).or_insert_with(new);
                    directory.names.entry(name.clone()).or_default().insert(key);
                    entry.steps.push((descriptor, name));
                }
                // The system has no watches left, or the directory is gone again.
                Some(Err(_)) | None => entry.looks = Some(looks.clone()),
            }
        }
        let new = || Prefix { look: prefix, keys: HashSet::new() };
        let known = state.prefixes.entry(entry.files.prefix.clone()).or_insert_with(new);
        let moved = known.look != prefix;
        known.look = prefix;
        let others = if moved { known.keys.iter().copied().collect() } else { Vec::new() };
        known.keys.insert(key);
        state.keys.insert(key, entry);
        others
    }

    fn remove(&self, state: &mut State, key: Key) {
        let Some(entry) = state.keys.remove(&key) else { return };
        for (descriptor, name) in entry.steps {
            let Some(directory) = state.directories.get_mut(&descriptor) else { continue };
            if let Some(keys) = directory.names.get_mut(&name) {
                keys.remove(&key);
                if keys.is_empty() {
                    directory.names.remove(&name);
                }
            }
            if directory.names.is_empty() {
                state.directories.remove(&descriptor);
                if let Some(inotify) = &self.inotify {
                    inotify.remove(descriptor);
                }
            }
        }
        if let Some(prefix) = state.prefixes.get_mut(&entry.files.prefix) {
            prefix.keys.remove(&key);
            if prefix.keys.is_empty() {
                state.prefixes.remove(&entry.files.prefix);
            }
        }
    }

    /// Whom these events concern.
    fn concerned(&self, events: &[Event]) -> Vec<Key> {
        let mut state = self.state();
        let mut found = BTreeSet::new();
        for event in events {
            if event.what == What::Lost {
                return state.keys.keys().copied().collect();
            }
            let Some(directory) = state.directories.get(&event.directory) else { continue };
            match &event.name {
                Some(name) => {
                    let Some(keys) = directory.names.get(name) else { continue };
                    if event.what == What::Created && is_being_written(&directory.path.join(name)) {
                        continue;
                    }
                    found.extend(keys);
                }
                None => {
                    found.extend(directory.names.values().flatten());
                    if event.what == What::Gone {
                        state.directories.remove(&event.directory);
                    }
                }
            }
        }
        found.into_iter().collect()
    }

    /// Looks at what cannot be watched, and tells what has changed.
    fn look(&self) -> Vec<Key> {
        let (prefixes, entries): (Vec<_>, Vec<_>) = {
            let state = self.state();
            let looked_at = state.keys.iter().filter(|(_, entry)| entry.looks.is_some());
            (
                state.prefixes.keys().cloned().collect(),
                looked_at.map(|(key, entry)| (*key, entry.files.clone())).collect(),
            )
        };
        let prefixes: Vec<_> = prefixes.into_iter().map(|path| (identity(&path), path)).collect();
        let look_at = |files: &Files| files.names.iter().map(|name| look(&files.prefix.join(name))).collect();
        let entries: Vec<(Key, Vec<Look>)> =
            entries.iter().map(|(key, files)| (*key, look_at(files))).collect();

        let mut state = self.state();
        let mut found = BTreeSet::new();
        for (look, path) in prefixes {
            let Some(prefix) = state.prefixes.get_mut(&path).filter(|prefix| prefix.look != look) else {
                continue;
            };
            prefix.look = look;
            found.extend(&prefix.keys);
        }
        for (key, looks) in entries {
            let known = state.keys.get_mut(&key).and_then(|entry| entry.looks.as_mut());
            if let Some(known) = known.filter(|known| **known != looks) {
                *known = looks;
                found.insert(key);
            }
        }
        found.into_iter().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A plain file that was just made is not read before its writer closes it, which is an event of its own. A link, hard
/// or symbolic, is whole from the start.
fn is_being_written(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 1)
}

/// Which directory it is, whatever is in it.
fn identity(path: &Path) -> Look {
    path.metadata().ok().map(|metadata: Metadata| (metadata.dev(), metadata.ino(), 0, 0, 0))
}

fn look(path: &Path) -> Look {
    let metadata = path.metadata().ok()?;
    let nanoseconds = |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
    Some((
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    ))
}
