//! Files that change, in real time, seen through the engine: without a ttl, only a signal brings the new value.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;

use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::*;
use crate::backend::env::Env;
use crate::kind::Kind;
use crate::resolve::{Origin, Resolver};
use crate::rotate::{Engine, ReferenceState};
use crate::settings::Settings;
use crate::slot::Slot;
use crate::template::Template;
use postern_client::Trust;

fn resolver(directory: &Path) -> Resolver {
    let settings = Settings::from_entity(Kind::Fs, json!({"prefix": directory}).as_object().unwrap());
    Resolver::new(Env::default(), Trust::none()).with_vault("files", settings, Origin::default())
}

fn value(slot: &Slot) -> Option<String> {
    slot.with(|value| value.map(str::to_owned))
}

async fn hold(engine: &Engine, text: &str) -> Arc<Slot> {
    let slot = engine.slot(&Template::parse(text).unwrap());
    engine.settled(&[Arc::clone(&slot)]).await;
    slot
}

/// Waits for a value, far longer than it should take.
async fn becomes(slot: &Slot, expected: &str) {
    let started = Instant::now();
    while value(slot).as_deref() != Some(expected) {
        assert!(started.elapsed() < Duration::from_secs(20), "still {:?}, not {expected}", value(slot));
        sleep(Duration::from_millis(5)).await;
    }
}

/// What Kubernetes does to a volume: a new directory, and a link that is swapped.
fn publish(volume: &Path, version: &str, files: &[(&str, &str)]) {
    let directory = volume.join(format!("..{version}"));
    fs::create_dir(&directory).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(format!("..{version}"), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (name, _) in files {
        if !volume.join(name).is_symlink() {
            symlink(format!("..data/{name}"), volume.join(name)).unwrap();
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

#[tokio::test]
async fn a_change_takes_effect_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("plain"), "v1").unwrap();
    fs::write(at("a/b/nested"), "v1").unwrap();
    let engine = Engine::start(resolver(directory.path()));
    let (plain, nested) =
        (hold(&engine, "{vault://files/plain}").await, hold(&engine, "{vault://files/a/b/nested/}").await);
    // In place, replaced, and replaced with its directory.
    fs::write(at("plain"), "v2").unwrap();
    becomes(&plain, "v2").await;
    fs::write(at("new"), "v3").unwrap();
    fs::rename(at("new"), at("plain")).unwrap();
    becomes(&plain, "v3").await;
    fs::write(at("a/b/nested"), "v2").unwrap();
    becomes(&nested, "v2").await;
    fs::create_dir_all(at("other/b")).unwrap();
    fs::write(at("other/b/nested"), "v3").unwrap();
    fs::rename(at("a"), at("old")).unwrap();
    fs::rename(at("other"), at("a")).unwrap();
    becomes(&nested, "v3").await;
    fs::write(at("a/b/nested"), "v4").unwrap();
    becomes(&nested, "v4").await;
}

#[tokio::test]
async fn what_is_absent_at_first_is_found_when_it_appears() {
    let above = tempfile::tempdir().unwrap();
    let directory = above.path().join("vault");
    let engine = Engine::start(resolver(&directory));
    let slot = hold(&engine, "{vault://files/a/db/pass}").await;
    assert_eq!(value(&slot), None);
    fs::create_dir_all(directory.join("a")).unwrap();
    fs::write(directory.join("a/db"), r#"{"pass": "v1"}"#).unwrap();
    becomes(&slot, "v1").await;
    // Gone, and back as another one.
    fs::remove_dir_all(&directory).unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(value(&slot).as_deref(), Some("v1"), "the old value serves");
    fs::create_dir_all(directory.join("a")).unwrap();
    fs::write(directory.join("a/db"), r#"{"pass": "v2"}"#).unwrap();
    becomes(&slot, "v2").await;
    // The other place where a key may be.
    fs::remove_file(directory.join("a/db")).unwrap();
    fs::create_dir(directory.join("a/db")).unwrap();
    fs::write(directory.join("a/db/pass"), "v3").unwrap();
    becomes(&slot, "v3").await;
    // The directory itself is swapped.
    let other = above.path().join("other");
    fs::create_dir_all(other.join("a")).unwrap();
    fs::write(other.join("a/db"), r#"{"pass": "v4"}"#).unwrap();
    fs::rename(&directory, above.path().join("old")).unwrap();
    fs::rename(&other, &directory).unwrap();
    becomes(&slot, "v4").await;
}

#[tokio::test]
async fn a_volume_of_kubernetes_rotates_whole() {
    let volume = tempfile::tempdir().unwrap();
    publish(volume.path(), "v1", &[("user", "u1"), ("pass", "p1")]);
    let engine = Engine::start(resolver(volume.path()));
    let slot = hold(&engine, "{vault://files/user}:{vault://files/pass}").await;
    assert_eq!(value(&slot).as_deref(), Some("u1:p1"));
    for round in 2..6 {
        let (user, pass) = (format!("u{round}"), format!("p{round}"));
        publish(volume.path(), &format!("v{round}"), &[("user", &user), ("pass", &pass)]);
        becomes(&slot, &format!("{user}:{pass}")).await;
    }
}

#[tokio::test]
async fn a_half_written_file_changes_nothing_and_the_whole_one_heals_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("db");
    fs::write(&file, r#"{"user": "u1", "pass": "p1"}"#).unwrap();
    let engine = Engine::start(resolver(directory.path()));
    let slot = hold(&engine, "{vault://files/db/pass}").await;
    fs::write(&file, r#"{"user": "u2", "pa"#).unwrap();
    let started = Instant::now();
    while engine.status().references[0].state != ReferenceState::Stale {
        assert!(started.elapsed() < Duration::from_secs(20), "the half was not read");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(value(&slot).as_deref(), Some("p1"));
    fs::write(&file, r#"{"user": "u2", "pass": "p2"}"#).unwrap();
    becomes(&slot, "p2").await;
    // A writer that takes its time over a new file is waited for.
    let plain = hold(&engine, "{vault://files/slow}").await;
    let mut slow =
        OpenOptions::new().write(true).create_new(true).open(directory.path().join("slow")).unwrap();
    slow.write_all(b"half of ").unwrap();
    sleep(Duration::from_millis(400)).await;
    assert_eq!(value(&plain), None);
    slow.write_all(b"a password").unwrap();
    drop(slow);
    becomes(&plain, "half of a password").await;
}

#[tokio::test]
async fn only_what_is_concerned_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::write(directory.path().join(name), "v1").unwrap();
    }
    let (watched, mut changes) = watching(&directory, &["a", "b"]).await;
    fs::write(directory.path().join("b"), "v2").unwrap();
    assert_eq!(changes.recv().await.unwrap(), [1]);
    fs::write(directory.path().join("unknown"), "v2").unwrap();
    for name in ["a", "b"] {
        fs::write(directory.path().join(name), "v3").unwrap();
    }
    let mut found = BTreeSet::new();
    while found.len() < 2 {
        found.extend(changes.recv().await.unwrap());
    }
    // What is not wanted any longer is not watched.
    watched.forget(vec![0, 1]);
    let started = Instant::now();
    while !watched.running.get().unwrap().watched.state().directories.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(5)).await;
    }
    assert!(watched.running.get().unwrap().watched.state().prefixes.is_empty());
}

async fn watching(
    directory: &TempDir,
    names: &[&str],
) -> (Watch, tokio::sync::mpsc::UnboundedReceiver<Vec<Key>>) {
    let (changed, changes) = tokio::sync::mpsc::unbounded_channel();
    let watch = Watch::new(changed);
    for (key, name) in (0..).zip(names) {
        let files = Files { prefix: directory.path().to_owned(), names: vec![(*name).to_owned()] };
        watch.add(key, files).await;
    }
    (watch, changes)
}

#[test]
fn without_watches_files_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a");
    let watched = Watched { inotify: None, state: Mutex::default() };
    let files = Files { prefix: directory.path().to_owned(), names: vec!["a".to_owned()] };
    watched.add(7, files);
    assert!(watched.look().is_empty());
    fs::write(&file, "v1").unwrap();
    assert_eq!(watched.look(), [7]);
    assert!(watched.look().is_empty());
    fs::write(&file, "v2, longer").unwrap();
    assert_eq!(watched.look(), [7]);
    fs::remove_dir_all(directory.path()).unwrap();
    assert_eq!(watched.look(), [7]);
}

#[test]
fn a_link_to_another_directory_is_seen() {
    let above = tempfile::tempdir().unwrap();
    let at = |name: &str| above.path().join(name);
    for directory in ["one", "two"] {
        fs::create_dir(at(directory)).unwrap();
        fs::write(at(directory).join("a"), directory).unwrap();
    }
    symlink("one", at("vault")).unwrap();
    let watched = Watched { inotify: None, state: Mutex::default() };
    let files = || Files { prefix: at("vault"), names: vec!["absent".to_owned()] };
    watched.add(1, files());
    watched.add(2, files());
    assert!(watched.look().is_empty());
    let swap = |to: &str| {
        symlink(to, at("new")).unwrap();
        fs::rename(at("new"), at("vault")).unwrap();
    };
    swap("two");
    assert_eq!(watched.look(), [1, 2]);
    // Whoever comes first tells the others.
    swap("one");
    assert_eq!(watched.add(1, files()), [2]);
    assert!(watched.look().is_empty());
}

#[tokio::test]
async fn it_ends_with_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), "v1").unwrap();
    let (watch, mut changes) = watching(&directory, &["a"]).await;
    let watched = Arc::downgrade(&watch.running.get().unwrap().watched);
    drop(watch);
    assert_eq!(changes.recv().await, None);
    let started = Instant::now();
    while watched.strong_count() > 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "something still watches");
        sleep(Duration::from_millis(5)).await;
    }
}
