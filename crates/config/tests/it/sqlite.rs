//! What only a store in a file has: a file, and other processes that use it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use postern_config::store::sqlite::{FILE, open};
use postern_config::store::{OpenError, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::rows::{id, put, row};

/// Somebody else who has the file open.
async fn other(directory: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(directory.join(FILE)).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_can_read_it() {
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = open(directory.path()).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_it_at_once_when_there_is_none_yet() {
    let directory = TempDir::new().unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let path = directory.path().to_owned();
        tasks.spawn(async move { put(&*open(&path).await.unwrap(), row("services", number)).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(open(directory.path()).await.unwrap().all().await.unwrap().1.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_there_when_it_is_opened_again() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    let before = store.all().await.unwrap();
    drop(store);
    let store = open(directory.path()).await.unwrap();
    assert_eq!(store.all().await.unwrap(), before);
    assert_eq!(put(&*store, row("services", 2)).await.unwrap().revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_while_somebody_else_writes() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    let mut other = other(directory.path()).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    other.execute("DELETE FROM postern_rows").await.unwrap();
    let reading = timeout(Duration::from_secs(3), store.get("services", id(1))).await;
    assert!(reading.expect("it does not wait").unwrap().is_some());
    // Writing waits for its turn.
    let (written, ()) = tokio::join!(put(&*store, row("services", 2)), async {
        sleep(Duration::from_millis(200)).await;
        other.execute("ROLLBACK").await.unwrap();
    });
    assert_eq!(written.unwrap().revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_file_for_too_long_makes_it_unavailable_and_no_more() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    let mut other = other(directory.path()).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = timeout(Duration::from_secs(20), put(&*store, row("services", 1))).await;
    assert!(matches!(refused.expect("it gives up"), Err(StoreError::Unavailable(_))));
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(put(&*store, row("services", 1)).await.unwrap().revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_newer_version_is_left_alone() {
    let directory = TempDir::new().unwrap();
    drop(open(directory.path()).await.unwrap());
    other(directory.path())
        .await
        .execute("INSERT INTO postern_migrations VALUES ('9999_new', 0)")
        .await
        .unwrap();
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(&error, OpenError::Newer { unknown } if *unknown == ["9999_new"]), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_without_what_it_says() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    let broken = "UPDATE postern_rows SET body = '{\"password\": hunter2}'";
    other(directory.path()).await.execute(broken).await.unwrap();
    let kept = store.get("services", id(1)).await.unwrap().unwrap();
    assert!(kept.unreadable.is_some() && !format!("{kept:?}").contains("hunter2"), "{kept:?}");
    assert_eq!(store.all().await.unwrap().1, [kept]);
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_forgets_what_is_long_ago() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    // As if much had happened.
    let sql = format!(
        "INSERT INTO postern_changes (revision, kind, id, deleted, made_at, made_by) VALUES (5, '', '{0}', 1, 0, ''), \
         (100001, '', '{0}', 1, 0, ''), (100999, '', '{0}', 1, 0, '')",
        id(9)
    );
    other(directory.path()).await.execute(sql.as_str()).await.unwrap();
    assert_eq!(put(&*store, row("services", 2)).await.unwrap().revision, 101_000);
    let kept: Vec<_> = store.history(10).await.unwrap().iter().map(|change| change.revision).collect();
    assert_eq!(kept, [101_000, 100_999, 100_001]);
    assert_eq!(store.since(99_999).await.unwrap(), None);
    assert!(store.since(100_000).await.unwrap().is_some());
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named() {
    let directory = TempDir::new().unwrap();
    let error = open(&directory.path().join("nowhere")).await.unwrap_err();
    assert!(matches!(&error, OpenError::File { .. }), "{error}");
    assert!(error.to_string().contains("nowhere/postern.db"), "{error}");
}
