//! Paths → the texts in them; and a dump → its file.
//!
//! Owns: directories, standard input, who may read a dump. Must not know: what is in a file.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use postern_admin::client::wanted::Source;
use postern_model::document::MAX_BYTES;
use postern_secrets::io_reason;

use crate::boot;
use crate::cli::deck::Files;
use crate::report::Failure;

/// How deep directories are looked through.
const MAX_DEPTH: usize = 32;
/// More files are no configuration.
const MAX_FILES: usize = 10_000;

/// All files that are given, those of directories in the order of their names.
pub(super) fn sources(given: &Files) -> Result<Vec<Source>> {
    let mut paths: Vec<PathBuf> = given.files.iter().chain(&given.state).cloned().collect();
    if paths.is_empty() {
        if std::io::stdin().is_terminal() {
            let hint = "name one, as in `postern diff kong.yaml`; `-` is standard input";
            return Err(Failure::new("there is no file to read", hint).into());
        }
        paths.push(PathBuf::from("-"));
    }
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { inside(&path, 0, &mut files)? } else { files.push(path) }
    }
    if files.is_empty() {
        return Err(Failure::new("the directories hold no .yaml, .yml or .json", "is the path right?").into());
    }
    files.iter().map(|file| source(file)).collect()
}

fn source(file: &Path) -> Result<Source> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        // One more than may be, so that what is too large is seen to be.
        let stdin = std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes);
        stdin.context("cannot read standard input")?;
        return Ok(Source { name: "standard input".to_owned(), bytes });
    }
    let name = file.display().to_string();
    let bytes = boot::read(&name, file)?;
    Ok(Source { name, bytes })
}

fn inside(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failure = |reason: String| {
        Failure::new(format!("cannot read {}: {reason}", directory.display()), "is the path right?")
    };
    if depth > MAX_DEPTH || found.len() > MAX_FILES {
        return Err(failure("too many directories or files".to_owned()));
    }
    let entries = std::fs::read_dir(directory).map_err(|error| failure(io_reason(&error)))?;
    let entries: std::io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = entries.map_err(|error| failure(io_reason(&error)))?;
    paths.sort();
    for path in paths {
        let is_file = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
        if path.is_dir() {
            inside(&path, depth + 1, found)?;
        } else if is_file {
            found.push(path);
        }
    }
    Ok(())
}

/// A dump holds credentials: nobody else may read it. It is there whole, or not at all.
pub(in crate::cmd) fn write_private(path: &Path, text: &str) -> Result<()> {
    let failure = |error: std::io::Error| {
        Failure::new(format!("cannot write {}: {}", path.display(), io_reason(&error)), "-o names the file")
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // It may not have come to be.
        let _ = std::fs::remove_file(&beside);
    }
    Ok(written.map_err(failure)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn directories_are_read_in_the_order_of_names() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("b")).unwrap();
        for name in ["c.yaml", "a.yml", "b/x.json", "notes.txt"] {
            std::fs::write(directory.path().join(name), name).unwrap();
        }
        let given = Files { files: vec![directory.path().to_owned()], state: Vec::new() };
        let texts: Vec<_> = sources(&given).unwrap().into_iter().map(|source| source.bytes).collect();
        assert_eq!(texts, [&b"a.yml"[..], b"b/x.json", b"c.yaml"]);
    }

    #[test]
    fn only_its_owner_reads_a_dump() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kong.yaml");
        std::fs::write(&path, "old").unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
