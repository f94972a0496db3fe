//! What may stand in the place of a kong.yaml, and vaults that are broken.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use postern_secrets::Template;
use postern_secrets::backend::env::Env;
use postern_secrets::trail::Trail;

use super::*;

fn told(file: &Path) -> String {
    read("kong.yaml", file).unwrap_err().to_string()
}

#[test]
fn who_waits_for_a_writer_waits_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kong.yaml");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(told(&path), "cannot read kong.yaml: it is a pipe, not a file");
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(told(&link), "cannot read kong.yaml: it is a pipe, not a file");
    assert_eq!(told(Path::new("/dev/zero")), "cannot read kong.yaml: it is a device, not a file");
    assert!(told(directory.path()).contains("irectory"), "{}", told(directory.path()));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "text").unwrap();
    assert_eq!(read("kong.yaml", &link).unwrap(), b"text");
}

#[test]
fn a_pipe_that_a_person_named_is_read() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
    let writing = std::thread::spawn(move || {
        // It is read by then or will be: what comes in parts is waited for.
        for part in [b"one", b"two"] {
            writer.write_all(part).unwrap();
        }
    });
    assert_eq!(read("a pipe", &path).unwrap(), b"onetwo");
    writing.join().unwrap();
}

#[tokio::test]
async fn a_broken_vault_is_known_and_cannot_be_used() {
    let mut rows = Rows::default();
    let body = serde_json::json!({"name": "env", "prefix": "my-env", "config": {"newer": 1}});
    let body = body.as_object().cloned().unwrap();
    rows.put(vault::COLLECTION, uuid::Uuid::from_u128(1), body, &Registry::bundled());
    let (snapshot, _) = rows.snapshot();
    let resolver = Resolver::new(Env::new([("X".to_owned(), "value".to_owned())]), Trust::none());
    let resolver = snapshot
        .broken
        .iter()
        .fold(resolver, |resolver, broken| with_broken(resolver, "the database", broken));
    let told = resolver.vaults().find(|vault| vault.name == "my-env").unwrap().settings.unwrap_err();
    assert_eq!((told[0].field.as_str(), told[0].message.as_str()), ("newer", "unknown field"));
    let template = Template::parse("{vault://my-env/x}").unwrap();
    let error = resolver.fill(&template, &Trail::off()).await.unwrap_err().to_string();
    assert!(error.contains("newer"), "{error}");
}
