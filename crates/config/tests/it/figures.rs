//! How many writes a second the stores take. Not a test: it prints.
//!
//! `cargo test --release -p postern-config --test it figures -- --ignored --nocapture`

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::rows::{Says as _, put, row};
use crate::stores::Stores;

/// For how long each is measured.
const TIME: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and proves nothing"]
async fn figures() {
    println!("{:10} {:>10} {:>10} {:>10}", "writers", "writes/s", "median ms", "99 % ms");
    for stores in [Stores::sqlite().await, Stores::postgres().await] {
        for writers in [1, 10, 50] {
            let store = stores.open().await;
            let until = Instant::now() + TIME;
            let mut tasks = JoinSet::new();
            for writer in 0..writers {
                let store = Arc::clone(&store);
                tasks.spawn(async move {
                    let mut took = Vec::new();
                    while Instant::now() < until {
                        let number = (writers * 1000 + writer) * 1_000_000 + took.len() as u128;
                        let began = Instant::now();
                        let consumer = row("consumers", number).key("username", &number.to_string());
                        put(&*store, consumer.tags(&["figure"])).await.expect("it is written");
                        took.push(began.elapsed());
                    }
                    took
                });
            }
            let mut took: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
            took.sort_unstable();
            let at = |part: usize| took[took.len() * part / 100].as_secs_f64() * 1000.0;
            let each_second = took.len() as f64 / TIME.as_secs_f64();
            println!(
                "{:10} {each_second:>10.0} {:>10.1} {:>10.1}",
                format!("{} {writers}", store.name()),
                at(50),
                at(99)
            );
        }
    }
}
