//! Rows that somebody broke past the store: each is told of, all others can be used, and it is right again once it is
//! written again.

use std::sync::Arc;

use async_trait::async_trait;
use postern_config::source::feed::StoreFeed;
use postern_config::source::store::Followed;
use postern_config::store::{Body, Expect, OnDelete, Row, Sink, Step, Store, StoreError, Tags, Unreadable};
use postern_model::{Kind, Part, Snapshot};
use serde_json::{Value as Json, json};
use tokio::runtime::Handle;

use crate::rows::{
    Says as _, all, body, delete, id, key, names, numbers, put, put_if, row, select, step, steps, tagged,
};
use crate::stores::Stores;

/// Keeps what it is given.
#[derive(Default)]
struct All(Vec<Body>);

#[async_trait]
impl Sink for All {
    async fn take(&mut self, bodies: Vec<Body>) -> Result<(), StoreError> {
        self.0.extend(bodies);
        Ok(())
    }
}

async fn bodies(store: &dyn Store) -> Vec<Body> {
    let mut all = All::default();
    store.bodies(&mut all).await.expect("everything can be read");
    all.0
}

/// A service that others are around.
fn around(number: u128) -> Row {
    row("services", number).key("name", &format!("service-{number}")).tags(&["a"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_told_of_and_mended() {
    for stores in [Stores::sqlite().await, Stores::postgres().await] {
        for text in ["", "garbage", "[]", "5", "null", "{\"a\":", "{\"a\": 1} more"] {
            let store = stores.open().await;
            store.write(steps((1..=3).map(|number| step(around(number))))).await.unwrap();
            let plugin = row("plugins", 4)
                .key("instance_name", "limit")
                .key("name,service,consumer", &json!(["rate-limiting", id(2), null]).to_string())
                .refers("service", "services", 2, OnDelete::Cascade)
                .refers("certificates", "services", 1, OnDelete::Cascade)
                .refers("certificates", "services", 3, OnDelete::Cascade)
                .tags(&["b"]);
            let before = put(&*store, plugin).await.unwrap().revision;
            stores.sql(&format!("UPDATE postern_rows SET body = '{text}' WHERE kind = 'plugins'")).await;

            let rest = body(json!({
                "id": id(4), "instance_name": "limit", "name": "rate-limiting",
                "service": {"id": id(2)}, "certificates": [id(1), id(3)], "tags": ["b"],
            }));
            let unreadable =
                Unreadable { reason: "its body is no JSON object".to_owned(), rest: Some(rest.clone()) };
            let seen = bodies(&*store).await;
            assert_eq!(seen.len(), 4, "{text}");
            assert_eq!(seen.iter().filter(|body| body.json.is_ok()).count(), 3, "{text}");
            let last = seen.last().unwrap();
            assert_eq!(
                (last.kind.as_str(), last.id, &last.json),
                ("plugins", id(4), &Err(unreadable.clone()))
            );

            let kept = store.get("plugins", id(4)).await.unwrap().unwrap();
            assert_eq!((&kept.unreadable, &kept.row.body), (&Some(unreadable.clone()), &rest));
            assert_eq!(store.page(&select("plugins")).await.unwrap().rows, std::slice::from_ref(&kept));
            assert_eq!(
                store.find("plugins", &key("instance_name", "limit")).await.unwrap().as_ref(),
                Some(&kept)
            );
            assert_eq!(all(&*store).await.len(), 4);
            let changes = store.since(before - 1).await.unwrap().unwrap();
            assert_eq!(changes.rows, std::slice::from_ref(&kept));

            put_if(&*store, row("plugins", 4).tags(&["c"]), Expect::Version(kept.version)).await.unwrap();
            assert!(bodies(&*store).await.iter().all(|body| body.json.is_ok()));
            let tagged = store.page(&tagged("plugins", Tags::All(names(&["c"])))).await.unwrap();
            assert_eq!(numbers(&tagged), [4]);
            // And one that nobody wants any longer can go.
            stores.sql(&format!("UPDATE postern_rows SET body = '{text}' WHERE kind = 'plugins'")).await;
            assert_eq!(delete(&*store, "plugins", 4).await.unwrap().deleted, 1);
            assert_eq!(bodies(&*store).await.len(), 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_column_can_keep_the_others_from_being_read() {
    for stores in [Stores::sqlite().await, Stores::postgres().await] {
        let store = stores.open().await;
        store.write(steps((1..=3).map(|number| step(around(number))))).await.unwrap();
        stores.sql("UPDATE postern_rows SET body = 'x', links = 'x' WHERE id LIKE '%02'").await;
        stores.sql("INSERT INTO postern_rows VALUES ('services', 'nobody', 7, '{}', '{}')").await;
        stores.sql("INSERT INTO postern_changes VALUES (99, 'services', 'nobody', 0, 0, 'x')").await;
        if let Stores::Sqlite(_) = stores {
            // Its columns hold anything.
            stores.sql("UPDATE postern_rows SET body = x'ff' WHERE id LIKE '%02'").await;
            stores.sql("INSERT INTO postern_rows VALUES (x'fe', 5, 'x', 6, 7)").await;
        }
        let seen = bodies(&*store).await;
        let readable: Vec<_> =
            seen.iter().filter(|body| body.json.is_ok()).map(|body| body.id.as_u128()).collect();
        assert_eq!(readable, [1, 3]);
        let of_two = seen.iter().find(|body| body.id == id(2)).unwrap();
        let unreadable = Unreadable { reason: "its body is no JSON object".to_owned(), rest: None };
        assert_eq!(of_two.json, Err(unreadable));
        let nobody = seen.iter().filter(|body| {
            body.json.as_ref().is_err_and(|unreadable| unreadable.reason == "its identifier is no UUID")
        });
        assert_eq!(nobody.count(), if let Stores::Sqlite(_) = stores { 2 } else { 1 });
        let again = bodies(&*store).await;
        assert_eq!(seen, again, "what has no identifier is always called the same");

        assert_eq!(numbers(&store.page(&select("services")).await.unwrap()), [1, 2, 3]);
        assert_eq!(all(&*store).await.len(), 3);
        let kept = store.get("services", id(2)).await.unwrap().unwrap();
        assert_eq!(kept.row.body, body(json!({"id": id(2)})));
        assert!(store.since(0).await.unwrap().is_some() && !store.history(10).await.unwrap().is_empty());
        put_if(&*store, around(2), Expect::Version(kept.version)).await.unwrap();
        let kept = store.find("services", &key("name", "service-2")).await.unwrap().unwrap();
        assert_eq!((kept.row, kept.unreadable), (around(2), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_bodies_come_in_batches() {
    struct Sizes(Vec<usize>);
    #[async_trait]
    impl Sink for Sizes {
        async fn take(&mut self, bodies: Vec<Body>) -> Result<(), StoreError> {
            self.0.push(bodies.len());
            if self.0.len() == 5 { Err(StoreError::Stale) } else { Ok(()) }
        }
    }
    for stores in [Stores::memory().await, Stores::sqlite().await, Stores::postgres().await] {
        let store = stores.open().await;
        store.write(steps((0..2500).map(|number| step(row("services", number))))).await.unwrap();
        let mut sizes = Sizes(Vec::new());
        assert_eq!(store.bodies(&mut sizes).await.unwrap(), 2500);
        assert_eq!(sizes.0, [1000, 1000, 500]);
        // Who wants no more ends it, and the store goes on.
        assert_eq!(store.bodies(&mut sizes).await.unwrap_err(), StoreError::Stale);
        assert_eq!(store.bodies(&mut Sizes(Vec::new())).await.unwrap(), 2500);
    }
}

/// The row of an entity, as the Admin API would write it.
fn entity(kind: &str, number: u128, json: Json) -> Step {
    step(Row::of(Kind::named(kind).unwrap(), id(number), body(json)))
}

fn service(number: u128) -> Step {
    entity("services", number, json!({"id": id(number), "name": format!("s{number}"), "host": "h.example"}))
}

fn broken(snapshot: &Snapshot) -> Vec<(String, u128)> {
    snapshot.broken.iter().map(|broken| (broken.kind.clone(), broken.id.as_u128())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_follows_a_store_with_broken_rows() {
    for stores in [Stores::memory().await, Stores::sqlite().await, Stores::postgres().await] {
        let store = stores.open().await;
        let wrong = json!({"id": id(2), "name": "s2", "host": 5, "from": "another version"});
        let route = json!({"id": id(4), "paths": ["/"], "service": {"id": id(2)}});
        store
            .write(steps([
                service(1),
                entity("services", 2, wrong),
                entity("routes", 4, route),
                step(row("partials", 5)),
            ]))
            .await
            .unwrap();
        let feed = Arc::new(StoreFeed::new(Arc::clone(&store), Handle::current()));
        let mut followed = Followed::read(feed.clone(), Box::new(Vec::new())).await.unwrap();
        let (snapshot, _) = followed.snapshot();
        assert_eq!(broken(&snapshot), [("partials".to_owned(), 5), ("services".to_owned(), 2)]);
        assert_eq!((snapshot.services.len(), snapshot.routes.len()), (1, 1));
        assert_eq!(snapshot.broken[1].path, "services[s2]");
        assert_eq!(snapshot.broken[1].reasons.len(), 2, "{:?}", snapshot.broken[1].reasons);

        store.write(steps([service(2)])).await.unwrap();
        assert!(followed.update().await.unwrap());
        assert_eq!(broken(&followed.snapshot().0), [("partials".to_owned(), 5)]);
        delete(&*store, "partials", 5).await.unwrap();
        assert!(followed.update().await.unwrap());
        let (snapshot, _) = followed.snapshot();
        assert_eq!((broken(&snapshot), snapshot.services.len()), (vec![], 2));

        if let Stores::Memory(_) = stores {
            continue;
        }
        stores.sql("UPDATE postern_rows SET body = '{' WHERE kind = 'routes'").await;
        // What went past the store is seen by who reads all of it, and by who is told of the row.
        let mut again = Followed::read(feed, Box::new(Vec::new())).await.unwrap();
        let (snapshot, _) = again.snapshot();
        assert_eq!(broken(&snapshot), [("routes".to_owned(), 4)]);
        assert_eq!(snapshot.broken[0].remains.reference("service"), Part::Known(id(2)));
        store.write(steps([entity("routes", 4, json!({"id": id(4), "paths": ["/x"]}))])).await.unwrap();
        again.update().await.unwrap();
        assert_eq!(broken(&again.snapshot().0), []);
    }
}
