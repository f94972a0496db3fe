//! A store that changes, rests, goes away and comes back. Time is paused.

use std::sync::Mutex;

use async_trait::async_trait;
use postern_model::Kind;
use postern_model::snapshot::Part;
use serde_json::{Map, Value as Json, json};
use tokio::runtime::Handle;
use tokio::time::{advance, timeout};
use uuid::Uuid;

use super::super::feed::{Batches, StoreFeed};
use super::*;
use crate::store::memory::Memory;
use crate::store::{Changes, Expect, Kept, Row, Sink as _, Step, Store as _, Write};

fn body(json: Json) -> Map<String, Json> {
    json.as_object().cloned().unwrap()
}

fn consumer(number: u128) -> Row {
    let id = Uuid::from_u128(number);
    Row::of(Kind::named("consumers").unwrap(), id, body(json!({"id": id, "username": format!("c{number}")})))
}

async fn put(store: &Memory, row: Row) {
    let write = Write { steps: vec![Step::Put(row, Expect::Any)], ..Write::default() };
    store.write(write).await.unwrap();
}

async fn source(store: &Arc<Memory>) -> StoreSource {
    let feed = Arc::new(StoreFeed::new(store.clone(), Handle::current()));
    StoreSource::new(Followed::read(feed, Box::new(Vec::new())).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_is_new_is_handed_out_once() {
    let store = Arc::new(Memory::default());
    put(&store, consumer(1)).await;
    let mut source = source(&store).await;
    let first = source.next(true).await.unwrap().unwrap();
    assert_eq!((first.snapshot.consumers.len(), first.revision), (1, Some(1)));
    assert!(source.next(false).await.unwrap().is_none(), "nothing is new");
    assert!(timeout(Duration::from_secs(60), source.changed()).await.is_err());

    put(&store, consumer(2)).await;
    // Whoever stops waiting misses nothing.
    assert!(timeout(Duration::from_millis(1), source.changed()).await.is_err());
    source.changed().await;
    let second = source.next(false).await.unwrap().unwrap();
    assert_eq!((second.snapshot.consumers.len(), second.revision), (2, Some(2)));
    assert_ne!(first.hash, second.hash);
    let again = source.next(true).await.unwrap().unwrap();
    assert_eq!(again.hash, second.hash, "who asks is given what there is");
    assert!(again.document.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_broken_row_keeps_no_other_back() {
    let store = Arc::new(Memory::default());
    put(&store, consumer(1)).await;
    put(&store, Row { body: body(json!({"username": 5})), ..consumer(2) }).await;
    let mut source = source(&store).await;
    let candidate = source.next(true).await.unwrap().unwrap();
    assert_eq!((candidate.snapshot.consumers.len(), candidate.snapshot.broken.len()), (1, 1));
}

/// The store knows to what a row refers, whatever its body says.
#[tokio::test(start_paused = true)]
async fn what_a_broken_body_leaves_out_is_asked_of_the_store() {
    let (plugin, route, other) = (Uuid::from_u128(9), Uuid::from_u128(4), Uuid::from_u128(5));
    let written = json!({"id": plugin, "name": "key-auth", "route": {"id": route}});
    let row = Row::of(Kind::named("plugins").unwrap(), plugin, body(written));
    // A body, and the route that it is taken to be bound to.
    let cases = [
        (json!({}), Part::Known(route)),
        (json!({"name": 5}), Part::Known(route)),
        (json!({"name": "nobody", "route": "?"}), Part::Known(route)),
        (json!({"name": "nobody", "route": {"id": other}}), Part::Known(other)),
        (json!({"name": "nobody", "route": null}), Part::Absent),
    ];
    for (json, expected) in cases {
        let store = Arc::new(Memory::default());
        put(&store, Row { body: Map::new(), ..Row::of(Kind::named("routes").unwrap(), route, Map::new()) })
            .await;
        put(&store, Row { body: body(json.clone()), ..row.clone() }).await;
        let mut read = source(&store).await;
        let first = read.next(true).await.unwrap().unwrap().snapshot;
        // And where it comes as a change.
        put(&store, Row { body: body(json!({"name": []})), ..row.clone() }).await;
        put(&store, Row { body: body(json.clone()), ..row.clone() }).await;
        let changed = read.next(false).await.unwrap().unwrap().snapshot;
        for snapshot in [first, changed] {
            let broken = snapshot.broken.iter().find(|broken| broken.kind == "plugins").unwrap();
            assert_eq!(broken.remains.reference("route"), expected, "{json}");
            assert_eq!(broken.remains.reference("service"), Part::Absent, "{json}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_rests_for_as_long_as_it_took() {
    let store = Arc::new(Memory::default());
    let mut source = source(&store).await;
    for (took, rests) in [(0, TOGETHER), (100, Duration::from_millis(200)), (30_000, LONGEST_PAUSE)] {
        source.next(true).await.unwrap();
        advance(Duration::from_millis(took)).await;
        put(&store, consumer(took.into())).await;
        let began = Instant::now();
        source.changed().await;
        let waited = began.elapsed();
        assert!(
            (rests + TOGETHER..rests + TOGETHER + Duration::from_millis(5)).contains(&waited),
            "{took} ms: {waited:?}"
        );
    }
}

/// A feed that may be away.
#[derive(Debug, Default)]
struct Away(Mutex<bool>);

#[async_trait]
impl Feed for Away {
    fn name(&self) -> String {
        "a feed".to_owned()
    }

    fn rows(&self) -> Batches {
        Batches::new(
            &Handle::current(),
            |mut batching| async move { batching.take(Vec::new()).await.map(|()| 0) },
        )
    }

    async fn since(&self, revision: Revision) -> Result<Option<Changes>, StoreError> {
        match *self.0.lock().unwrap() {
            true => Err(StoreError::Unavailable("away".to_owned())),
            false => Ok(Some(Changes { revision: revision + 1, changes: Vec::new(), rows: Vec::new() })),
        }
    }

    async fn kept(&self, _: &str, _: Uuid) -> Result<Option<Kept>, StoreError> {
        Ok(None)
    }

    async fn changed(&self, _: Revision) {}
}

#[tokio::test(start_paused = true)]
async fn what_is_away_is_asked_now_and_then() {
    let feed = Arc::new(Away::default());
    let mut source = StoreSource::new(Followed::read(feed.clone(), Box::new(Vec::new())).await.unwrap());
    *feed.0.lock().unwrap() = true;
    for _ in 0..3 {
        assert!(source.next(false).await.unwrap().is_none(), "the configuration in effect serves on");
        let began = Instant::now();
        source.changed().await;
        assert!(began.elapsed() >= AWAY);
    }
    let told = source.next(true).await.unwrap_err();
    assert!(told[0].to_string().contains("away"), "a person is told");
    *feed.0.lock().unwrap() = false;
    assert!(source.next(false).await.unwrap().is_some());
}
