//! A kong.yaml: where it is, how it is read, and what is wrong with it.
//!
//! Owns: what may stand in its place, and how large it may be. Must not know: what is made of it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use postern_client::Trust;
use postern_config::source::Loaded;
use postern_model::check::check_and;
use postern_model::document::refuse_size;
use postern_model::{Snapshot, Violation};
use postern_plugins::registry::Registry;
use postern_secrets::io_reason;
use postern_secrets::resolve::Resolver;

use super::vaults::{default_vaults, dereferenced, trust};
use crate::report::{Failure, Refused};
use crate::serve;
use crate::settings::Settings;

/// The declarative configuration alone: `file`, or what the settings name.
pub(crate) async fn load(settings: &Settings, file: Option<&Path>) -> Result<Option<Loaded>> {
    document(settings, &default_vaults(settings, Trust::none())?, file).await
}

pub(super) async fn document(
    settings: &Settings,
    local: &Resolver,
    file: Option<&Path>,
) -> Result<Option<Loaded>> {
    // Whom to trust says the machine that will serve; here, what cannot be had is as good as nobody.
    let trust = trust(settings, local).await.unwrap_or_else(|_| Trust::none());
    let more: More<'_> =
        &|snapshot: &Snapshot| serve::problems(settings, &trust, snapshot).unwrap_or_default();
    if let Some(file) = file {
        return load_file(settings, file, more).map(Some);
    }
    if let Some(text) = settings.text("declarative_config_string") {
        let text = dereferenced(text.expose(), "declarative_config_string", local).await?;
        let name = "declarative_config_string".to_owned();
        return Ok(Some(check(settings, name, text.expose().as_bytes(), more)?));
    }
    let Some(path) = settings.text("declarative_config") else { return Ok(None) };
    let path = path.expose();
    let file = dereferenced(path, "declarative_config", local).await?;
    // What came out of a vault may be anything but a path: errors name it as it was written.
    load_as(settings, path.to_owned(), Path::new(file.expose()), more).map(Some)
}

/// Reads and checks one file; `-` is standard input.
fn load_file(settings: &Settings, file: &Path, more: More<'_>) -> Result<Loaded> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        let limit = postern_model::document::MAX_BYTES + 1;
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("cannot read standard input")?;
        return check(settings, "standard input".to_owned(), &bytes, more);
    }
    load_as(settings, file.display().to_string(), file, more)
}

/// The same of a file, which is called `name` for people.
fn load_as(settings: &Settings, name: String, file: &Path, more: More<'_>) -> Result<Loaded> {
    let bytes = read(&name, file)?;
    check(settings, name, &bytes, more)
}

/// The bytes of a file, or why there are none.
pub(crate) fn read(name: &str, file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let failure = |error: std::io::Error| {
        Failure::new(
            format!("cannot read {name}: {}", io_reason(&error)),
            "it is the kong.yaml to use; is the path right?",
        )
    };
    let opened = open(file).map_err(failure)?;
    let metadata = opened.metadata().map_err(failure)?;
    if let Some(what) = not_a_file(file, metadata.file_type()) {
        return Err(Failure::new(
            format!("cannot read {name}: it is {what}, not a file"),
            "it is the kong.yaml to use; only /dev/stdin and /dev/fd/... may be pipes",
        )
        .into());
    }
    let size = metadata.len();
    if let Some(violation) = refuse_size(size) {
        return Err(Refused { file: name.to_owned(), violations: vec![violation] }.into());
    }
    if size == 0 {
        // None whose size is known: a pipe, a device. In one piece, where growing would take twice as much and more.
        let _ = bytes.try_reserve_exact(postern_model::document::MAX_BYTES as usize + 1);
    }
    // The file may grow while it is read.
    opened.take(postern_model::document::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failure)?;
    Ok(bytes)
}

/// Opens a file. What was put in its place must not have us wait for somebody who writes into it.
fn open(file: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    if !may_be_pipe(file) {
        #[expect(clippy::cast_possible_wrap, reason = "flags are what they are, whatever the sign")]
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    options.open(file)
}

/// Whether a person has named a stream: standard input, or what a shell makes of `<(...)`.
fn may_be_pipe(file: &Path) -> bool {
    file == Path::new("/dev/stdin") || file.starts_with("/dev/fd") || file.starts_with("/proc/self/fd")
}

/// What it is, where it is nothing that a configuration can be read from.
fn not_a_file(file: &Path, kind: std::fs::FileType) -> Option<&'static str> {
    if may_be_pipe(file) {
        None
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("a device")
    } else {
        None
    }
}

/// What making the entities of a document says of them, for one that is refused already: all of it is told at once.
pub(crate) type More<'a> = &'a (dyn Fn(&Snapshot) -> Vec<Violation> + Sync);

/// Checks a document that was read.
pub(crate) fn check(settings: &Settings, name: String, bytes: &[u8], more: More<'_>) -> Result<Loaded> {
    let variables: BTreeMap<&str, &str> =
        settings.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let env = |variable: &str| variables.get(variable).map(ToString::to_string);
    let checked =
        postern_model::read(bytes, &env).and_then(|document| check_and(document, &Registry::bundled(), more));
    match checked {
        Ok(checked) => {
            Ok(Loaded { name, checked, hash: postern_config::apply::hash(bytes), text: bytes.into() })
        }
        Err(violations) => Err(Refused { file: name, violations }.into()),
    }
}
