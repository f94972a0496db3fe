//! Reading and replacing the file, whole or not at all. Must not know: what is in it. All of this blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{MAX_BYTES, SnapshotError};
use postern_client::io_reason;

/// Opening a named pipe must not wait for a writer.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
/// The end of the name of a file that is being written.
const NEW: &str = ".new";

/// The bytes of a file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, SnapshotError> {
    let problem = |error: io::Error| failed("read", path, &error);
    let file = match OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(error)),
    };
    if !file.metadata().map_err(problem)?.is_file() {
        return Err(SnapshotError::Foreign);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(problem)?;
    if bytes.len() > MAX_BYTES { Err(SnapshotError::TooLarge) } else { Ok(Some(bytes)) }
}

/// A file that is written, and not yet in its place. Gone if it never gets there.
#[derive(Debug)]
pub(super) struct Pending {
    place: PathBuf,
    new: PathBuf,
    is_done: bool,
}

impl Pending {
    /// Writes a file beside its place, for its owner only, down to the disk.
    pub(super) fn write(place: &Path, bytes: &[u8]) -> Result<Self, SnapshotError> {
        // Another process that writes the same file does not write this one.
        let new = place.with_file_name(format!("{}{:016x}{NEW}", prefix(place), fastrand::u64(..)));
        let pending = Self { place: place.to_owned(), new, is_done: false };
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&pending.new)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| failed("write", &pending.new, &error))?;
        Ok(pending)
    }

    /// Puts it into its place. From here on it is there after a crash, too.
    pub(super) fn commit(mut self) -> Result<(), SnapshotError> {
        fs::rename(&self.new, &self.place).map_err(|error| failed("write", &self.place, &error))?;
        self.is_done = true;
        let directory = self.place.parent().unwrap_or(Path::new("/"));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| failed("write", &self.place, &error))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_done {
            // There is nothing more to be done about it; the next start tidies up.
            let _ = fs::remove_file(&self.new);
        }
    }
}

/// Removes what killed processes left behind.
pub(super) fn tidy(place: &Path) {
    let Some(Ok(entries)) = place.parent().map(fs::read_dir) else { return };
    let prefix = prefix(place);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let middle = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(NEW));
        if middle.is_some_and(|middle| middle.len() == 16 && middle.bytes().all(|b| b.is_ascii_hexdigit())) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn prefix(place: &Path) -> String {
    format!(".{}.", place.file_name().unwrap_or_default().to_string_lossy())
}

fn failed(doing: &'static str, path: &Path, error: &io::Error) -> SnapshotError {
    SnapshotError::Io { doing, path: path.to_owned(), reason: io_reason(error) }
}
