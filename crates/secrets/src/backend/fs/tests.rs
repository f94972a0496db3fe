//! Reading below a directory, and refusing to read anywhere else.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::kind::Kind;
use crate::settings::Settings;
use crate::trail::Trail;

/// A directory with secrets beside a file that must never be read.
fn directory() -> (TempDir, PathBuf) {
    let outside = tempfile::tempdir().unwrap();
    let prefix = outside.path().join("secrets");
    std::fs::create_dir_all(prefix.join("db")).unwrap();
    std::fs::write(outside.path().join("outside"), "forbidden").unwrap();
    std::fs::write(prefix.join("plain"), "text\n").unwrap();
    std::fs::write(prefix.join("db/password.txt"), "hunter2").unwrap();
    (outside, prefix)
}

async fn read(prefix: &Path, resource: &str) -> Result<String, String> {
    let (settings, trail) = (Settings::empty(Kind::Fs), Trail::off());
    let request = Read { settings: &settings, resource, version: None, trail: &trail };
    let outcome = Fs::new(prefix).read(&request).await;
    outcome.map(|reading| reading.text.expose().to_owned()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn files_are_read_whole() {
    let (_outside, prefix) = directory();
    assert_eq!(read(&prefix, "plain").await, Ok("text\n".into()));
    assert_eq!(read(&prefix, "db/password.txt").await, Ok("hunter2".into()));
}

#[tokio::test]
async fn nothing_outside_is_read() {
    let (outside, prefix) = directory();
    symlink("../outside", prefix.join("up")).unwrap();
    symlink(outside.path().join("outside"), prefix.join("absolute")).unwrap();
    symlink("..", prefix.join("parent")).unwrap();
    let absolute = outside.path().join("outside");
    let ways = [
        "../outside",
        "db/../../outside",
        "up",
        "absolute",
        "parent/outside",
        "..",
        absolute.to_str().unwrap(),
    ];
    for way in ways {
        let error = read(&prefix, way).await.expect_err(way);
        assert!(!error.contains("forbidden"), "{error}");
        assert!(error.contains("leads out of") || error.contains("not a regular file"), "{way}: {error}");
    }
}

#[tokio::test]
async fn links_that_stay_inside_work_and_can_be_swapped() {
    let (_outside, prefix) = directory();
    for (version, text) in [("..v1", "old"), ("..v2", "new")] {
        std::fs::create_dir(prefix.join(version)).unwrap();
        std::fs::write(prefix.join(version).join("token"), text).unwrap();
    }
    symlink("..v1", prefix.join("..data")).unwrap();
    symlink("..data/token", prefix.join("token")).unwrap();
    assert_eq!(read(&prefix, "token").await, Ok("old".into()));
    symlink("..v2", prefix.join("..tmp")).unwrap();
    std::fs::rename(prefix.join("..tmp"), prefix.join("..data")).unwrap();
    assert_eq!(read(&prefix, "token").await, Ok("new".into()));
}

#[tokio::test]
async fn what_is_no_secret_is_named() {
    let (_outside, prefix) = directory();
    std::fs::write(prefix.join("binary"), b"ab\xff").unwrap();
    std::fs::write(prefix.join("huge"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    let place = prefix.display();
    assert_eq!(read(&prefix, "none").await, Err(format!("there is no file \"none\" in {place}")));
    assert_eq!(read(&prefix, "plain/x").await, Err(format!("there is no file \"plain/x\" in {place}")));
    assert_eq!(read(&prefix, "db").await, Err(format!("\"db\" is not a regular file in {place}")));
    assert_eq!(read(&prefix, "binary").await, Err("\"binary\" is not UTF-8 text (at byte 2)".into()));
    assert_eq!(read(&prefix, "huge").await, Err("\"huge\" is larger than 1048576 bytes".into()));
    assert_eq!(
        read(Path::new("/nowhere"), "x").await,
        Err("cannot open the directory /nowhere: no such file or directory".into())
    );
}

#[tokio::test]
async fn a_named_pipe_does_not_block() {
    let (_outside, prefix) = directory();
    let status = std::process::Command::new("mkfifo").arg(prefix.join("pipe")).status().unwrap();
    assert!(status.success());
    let error = read(&prefix, "pipe").await.unwrap_err();
    assert!(error.contains("not a regular file"), "{error}");
}
