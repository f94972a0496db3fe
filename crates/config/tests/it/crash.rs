//! Ending a store in the middle of its work: what was promised is there, and of the rest nothing is there by half.
//!
//! The writer is this test binary once more, in a process of its own ([`child`]), so that it can be killed. It says on its
//! standard output what was promised to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use postern_config::store::postgres::{Login, PostgresOptions, open};
use postern_config::store::{Expect, Store, StoreError, migrations, sqlite};
use postern_conformance::Postgres;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::rows::{Says as _, id, put, put_if, row, step, steps};
use crate::stores::{A_SECOND, options, server};

/// What the child is told, as JSON in its environment.
const TASK: &str = "POSTERN_TEST_CHILD";
/// How many writes it would make if it could.
const WRITES: u128 = 1000;
/// How many of them at once.
const TOGETHER: u128 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_it_promised_when_its_process_is_killed() {
    for kept in [10, 200, 500] {
        let directory = TempDir::new().unwrap();
        // So that the child spends its time with writing.
        drop(sqlite::open(directory.path()).await.unwrap());
        let promised = killed_after(kept, &json!({"directory": directory.path(), "do": "write"})).await;
        nothing_by_half(&*sqlite::open(directory.path()).await.unwrap(), &promised).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_it_promised_when_the_writer_is_killed() {
    let server = server().await;
    for kept in [10, 200, 500] {
        let options = options(server).await;
        migrations::up(&options).await.unwrap();
        let task = json!({"port": options.port, "database": options.database, "do": "write"});
        let promised = killed_after(kept, &task).await;
        nothing_by_half(&*open(options).await.unwrap(), &promised).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_it_promised_when_the_server_is_killed() {
    let mut server = Postgres::start().await;
    let options = options(&server).await;
    migrations::up(&options).await.unwrap();
    let store = open(options).await.unwrap();
    let (kept, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for first in 0..TOGETHER {
        let (store, kept, done) = (Arc::clone(&store), Arc::clone(&kept), Arc::clone(&done));
        tasks.spawn(async move {
            let mut promised = BTreeSet::new();
            for number in (first..).step_by(TOGETHER as usize) {
                match store.write(three(number)).await {
                    Ok(_) => {
                        promised.insert(number);
                        kept.fetch_add(1, Ordering::SeqCst);
                    }
                    // It may have happened, or not.
                    Err(StoreError::Unavailable(_)) => sleep(Duration::from_millis(50)).await,
                    Err(other) => panic!("{other}"),
                }
                if done.load(Ordering::SeqCst) {
                    break;
                }
            }
            promised
        });
    }
    for _ in 0..3 {
        let before = kept.load(Ordering::SeqCst);
        while kept.load(Ordering::SeqCst) < before + 50 {
            sleep(Duration::from_millis(1)).await;
        }
        server.kill().await;
        server.start_again().await;
    }
    done.store(true, Ordering::SeqCst);
    let promised: BTreeSet<_> = tasks.join_all().await.into_iter().flatten().collect();
    nothing_by_half(&*store, &promised).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_share_a_file_lose_nothing() {
    let directory = TempDir::new().unwrap();
    let store = sqlite::open(directory.path()).await.unwrap();
    put(&*store, row("counters", 0).says("number", json!(0))).await.unwrap();
    let mut children: Vec<_> =
        (0..2).map(|_| start(&json!({"directory": directory.path(), "do": "count"}))).collect();
    count(&*store).await;
    for child in &mut children {
        let status = tokio::task::block_in_place(|| child.wait()).unwrap();
        assert!(status.success(), "{status}");
    }
    let kept = store.get("counters", id(0)).await.unwrap().expect("it is there");
    assert_eq!(kept.row.body["number"], json!(150));
    // And what they wrote was noticed.
    timeout(A_SECOND, store.changed(150)).await.expect("within a second");
}

/// Starts a child, and kills it when so many writes were promised to it. Which ones.
async fn killed_after(kept: usize, task: &serde_json::Value) -> BTreeSet<u128> {
    let mut child = start(task);
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let promised: BTreeSet<_> = tokio::task::block_in_place(|| {
        let mut promised = BTreeSet::new();
        for line in lines.map_while(Result::ok) {
            let Some(number) = line.strip_prefix("kept ") else { continue };
            promised.insert(number.parse().expect("a number"));
            if promised.len() == kept {
                // SIGKILL; what it has said by then is still read.
                child.kill().expect("a child can be killed");
            }
        }
        promised
    });
    let status = child.wait().expect("it was ours");
    assert!(!status.success() && promised.len() >= kept, "{status} after {} writes", promised.len());
    assert!(promised.len() < WRITES as usize, "it was too late");
    promised
}

/// This binary again, with only [`child`] to run.
#[expect(clippy::disallowed_methods, reason = "it is this binary's own way to its copy")]
fn start(task: &serde_json::Value) -> Child {
    assert!(std::env::var_os(TASK).is_none(), "a child starts none");
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env(TASK, task.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs")
}

/// Three rows in one write, in the order in which they need each other.
fn three(number: u128) -> postern_config::store::Write {
    let name = number.to_string();
    let service = row("services", number).key("name", &name).tags(&[&name]);
    let route = row("routes", number).part_of("services", number).key("name", &name);
    steps([step(service), step(route), step(row("plugins", number).part_of("routes", number))])
}

/// What was promised is there, and what was not is there as a whole or not at all.
async fn nothing_by_half(store: &dyn Store, promised: &BTreeSet<u128>) {
    let (revision, rows) = store.all().await.unwrap();
    let mut found: BTreeMap<u128, u32> = BTreeMap::new();
    rows.iter().for_each(|kept| *found.entry(kept.row.id.as_u128()).or_default() += 1);
    assert!(found.values().all(|&rows| rows == 3), "by half: {found:?}");
    let lost: Vec<_> = promised.iter().filter(|number| !found.contains_key(number)).collect();
    assert_eq!(lost, [&0; 0], "promised, and lost");
    // The feed says the same as the rows, and it goes on from there.
    assert_eq!(revision, rows.len() as i64);
    assert_eq!(store.history(10_000).await.unwrap().len(), rows.len());
    assert_eq!(store.write(three(u128::MAX)).await.unwrap().revision, revision + 3);
    for number in found.keys() {
        let again = store.write(three(*number)).await;
        again.unwrap_or_else(|error| panic!("the keys of {number} are not its own: {error}"));
    }
}

/// Adds one to a number that others change too, fifty times.
async fn count(store: &dyn Store) {
    let deadline = Instant::now() + Duration::from_secs(60);
    for _ in 0..50 {
        loop {
            let kept = store.get("counters", id(0)).await.unwrap().expect("it is there");
            let next = json!(kept.row.body["number"].as_u64().unwrap() + 1);
            match put_if(store, kept.row.says("number", next), Expect::Version(kept.version)).await {
                Ok(_) => break,
                Err(StoreError::Stale) => assert!(Instant::now() < deadline, "always too late"),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// Not a test: what the process does that the tests above start.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the tests beside it run it, in a process of its own"]
#[expect(clippy::disallowed_methods, reason = "the environment is how it is told what to do")]
async fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: serde_json::Value = serde_json::from_str(&task).unwrap();
    let store = match (task["directory"].as_str(), task["port"].as_u64()) {
        (Some(directory), _) => sqlite::open(directory.as_ref()).await.unwrap(),
        (None, port) => {
            let login = Login { user: Postgres::USER.to_owned(), password: Some(Postgres::PASSWORD.into()) };
            let options = PostgresOptions::new(task["database"].as_str().unwrap(), Arc::new(login));
            let port = u16::try_from(port.unwrap()).unwrap();
            open(PostgresOptions { port, ..options }).await.unwrap()
        }
    };
    if task["do"] == "count" {
        return count(&*store).await;
    }
    let mut tasks = JoinSet::new();
    for first in 0..TOGETHER {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in (first..WRITES).step_by(TOGETHER as usize) {
                store.write(three(number)).await.unwrap();
                println!("kept {number}");
            }
        });
    }
    tasks.join_all().await;
}
