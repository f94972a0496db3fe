//! One who reads and is busy for long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use uuid::Uuid;

use super::*;
use crate::store::memory::Memory;

fn batch() -> Vec<Body> {
    vec![Body { kind: "services".to_owned(), id: Uuid::nil(), json: Ok(serde_json::Map::new()) }]
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[tokio::test]
async fn few_batches_wait_and_all_come() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let mut batches = Batches::new(&Handle::current(), |mut batching| async move {
        for _ in 0..20 {
            counted.fetch_add(1, Ordering::SeqCst);
            batching.take(batch()).await?;
        }
        Ok(7)
    });
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(begun.load(Ordering::SeqCst), WAITING + 1, "the next one waits for a place");
    let mut count = 0;
    while batches.next().await.is_some() {
        count += 1;
    }
    assert_eq!((count, batches.revision().await), (20, Ok(7)));
}

#[tokio::test]
async fn who_reads_no_longer_ends_the_reading() {
    let (alive, ended) = oneshot::channel::<()>();
    let mut batches = Batches::new(&Handle::current(), |mut batching| async move {
        let _alive = alive;
        loop {
            batching.take(batch()).await?;
        }
    });
    assert!(batches.next().await.is_some());
    drop(batches);
    assert!(ended.await.is_err());

    let refused = Batches::new(&Handle::current(), |mut batching| async move {
        loop {
            batching.take(batch()).await?;
        }
    });
    assert!(matches!(refused.revision().await, Err(StoreError::Unavailable(_))));
}

#[test]
fn a_busy_reader_does_not_hold_the_other_side_up() {
    let io = runtime();
    let (told, filled) = mpsc::channel();
    let handle = io.handle().clone();
    let reader = std::thread::spawn(move || {
        let own = Builder::new_current_thread().build().unwrap();
        own.block_on(async {
            let mut batches = Batches::new(&handle, |mut batching| async move {
                for _ in 0..WAITING {
                    batching.take(batch()).await?;
                }
                told.send(()).unwrap();
                batching.take(batch()).await.map(|()| 1)
            });
            // This thread does nothing else meanwhile, and what it waits for happens nevertheless.
            filled.recv().unwrap();
            let mut count = 0;
            while batches.next().await.is_some() {
                count += 1;
            }
            (count, batches.revision().await)
        })
    });
    assert_eq!(reader.join().unwrap(), (WAITING + 1, Ok(1)));
}

#[test]
fn changes_of_a_store_on_another_runtime() {
    let io = runtime();
    let store = Arc::new(Memory::default());
    let feed = StoreFeed::new(store.clone(), io.handle().clone());
    let own = Builder::new_current_thread().build().unwrap();
    own.block_on(async {
        assert_eq!(feed.since(0).await.unwrap().unwrap().revision, 0);
        assert_eq!(feed.since(5).await.unwrap(), None);
        let write = crate::store::Write::default();
        let (written, ()) = tokio::join!(store.write(write), async {});
        written.unwrap();
        let put = crate::store::Step::Put(
            crate::store::Row {
                kind: "services".to_owned(),
                id: Uuid::nil(),
                body: serde_json::Map::new(),
                keys: Vec::new(),
                references: Vec::new(),
                tags: Vec::new(),
            },
            crate::store::Expect::Any,
        );
        let write = crate::store::Write { steps: vec![put], ..Default::default() };
        let (_, written) = tokio::join!(feed.changed(0), store.write(write));
        assert_eq!(written.unwrap().revision, 1);
        let mut rows = feed.rows();
        assert_eq!(rows.next().await.unwrap().len(), 1);
        assert!(rows.next().await.is_none());
        assert_eq!(rows.revision().await, Ok(1));
    });
    // A runtime that has ended tells nobody anything, and does not make anybody spin.
    drop(io);
    own.block_on(async {
        assert!(matches!(feed.since(0).await, Err(StoreError::Unavailable(_))));
        tokio::select! {
            biased;
            () = feed.changed(0) => panic!("nobody can have changed anything"),
            () = async { for _ in 0..100 { yield_now().await } } => {}
        }
    });
}
