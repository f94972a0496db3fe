//! Many who write at once, in one process or in several.

use std::collections::BTreeSet;
use std::sync::Arc;

use postern_config::store::{Expect, Kept, Revision, Store, StoreError};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::rows::{Says as _, all, delete, gone, id, put, put_if, row, step, steps};
use crate::stores::{A_SECOND, Stores};

super::on_every_store!(
    one_of_many_gets_a_key,
    one_of_many_changes_a_version,
    one_that_fails_fails_alone,
    no_update_is_lost_between_two,
    revisions_have_no_gaps,
    who_leaves_and_who_names_cannot_both_win,
    two_see_each_other_within_a_second,
    everything_is_of_one_moment,
);

/// Does this for each number at once, on two stores of the same rows; what came of each.
async fn at_once<F: Future<Output = T> + Send + 'static, T: Send + 'static>(
    stores: &Stores,
    numbers: std::ops::Range<u128>,
    act: impl Fn(Arc<dyn Store>, u128) -> F,
) -> Vec<T> {
    let (here, there) = (stores.open().await, stores.open().await);
    let mut tasks = JoinSet::new();
    for number in numbers {
        let store = if number % 2 == 0 { &here } else { &there };
        tasks.spawn(act(Arc::clone(store), number));
    }
    tasks.join_all().await
}

async fn one_of_many_gets_a_key(stores: Stores) {
    let outcomes = at_once(&stores, 0..60, async |store, number| {
        put(&*store, row("consumers", number).key("username", "same")).await
    });
    let outcomes = outcomes.await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let lost = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::NotUnique { .. }))).count();
    assert_eq!((won, lost), (1, 59), "{outcomes:?}");
    let store = stores.open().await;
    assert_eq!(store.all().await.unwrap().0, 1);
    assert_eq!(all(&*store).await.len(), 1);
}

async fn one_of_many_changes_a_version(stores: Stores) {
    put(&*stores.open().await, row("services", 0)).await.unwrap();
    let outcomes = at_once(&stores, 0..30, async |store, _| {
        put_if(&*store, row("services", 0), Expect::Version(1)).await
    });
    let outcomes = outcomes.await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(StoreError::Stale)).count(), 29);
}

async fn one_that_fails_fails_alone(stores: Stores) {
    // Every third writes two good rows and then a bad one.
    let outcomes = at_once(&stores, 1..61, async |store, number| {
        let good =
            [step(row("services", number).key("name", &number.to_string())), step(row("others", number))];
        let bad = (number % 3 == 0).then(|| step(row("routes", number).part_of("services", 7777)));
        (number, store.write(steps(good.into_iter().chain(bad))).await)
    });
    for (number, outcome) in outcomes.await {
        match outcome {
            Ok(_) => assert_ne!(number % 3, 0),
            Err(StoreError::Dangling { .. }) => assert_eq!(number % 3, 0),
            Err(other) => panic!("{other}"),
        }
    }
    let store = stores.open().await;
    let (revision, rows) = store.all().await.unwrap();
    assert_eq!((revision, rows.len()), (80, 80));
    let good = (1..61).filter(|number| number % 3 != 0).collect::<BTreeSet<u128>>();
    for kind in ["services", "others"] {
        let rows = rows.iter().filter(|kept| kept.row.kind == kind);
        assert_eq!(rows.map(|kept| kept.row.id.as_u128()).collect::<BTreeSet<_>>(), good);
    }
}

async fn no_update_is_lost_between_two(stores: Stores) {
    const EACH: u64 = 10;
    put(&*stores.open().await, row("counters", 0).says("number", json!(0))).await.unwrap();
    at_once(&stores, 0..8, async |store, _| {
        for _ in 0..EACH {
            loop {
                let Kept { row, version, .. } =
                    store.get("counters", id(0)).await.unwrap().expect("it is there");
                let next = json!(row.body["number"].as_u64().unwrap() + 1);
                match put_if(&*store, row.says("number", next), Expect::Version(version)).await {
                    Ok(_) => break,
                    Err(StoreError::Stale) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    })
    .await;
    let kept = stores.open().await.get("counters", id(0)).await.unwrap().expect("it is there");
    assert_eq!((&kept.row.body["number"], kept.version), (&json!(8 * EACH), 1 + 8 * EACH as Revision));
}

async fn revisions_have_no_gaps(stores: Stores) {
    // Writes of one to five changes; some change nothing, some fail.
    let outcomes = at_once(&stores, 0..80, async |store, number| {
        let rows = (0..number % 6).map(|one| step(row("services", number * 10 + one)));
        let bad = (number % 7 == 0).then(|| step(row("routes", number).part_of("services", 7777)));
        let written = store.write(steps(rows.chain(bad))).await;
        // What one has written, one reads.
        if let Ok(written) = &written {
            assert!(store.all().await.unwrap().0 >= written.revision);
        }
        (number % 6, written)
    });
    let mut seen = BTreeSet::new();
    for (changes, written) in outcomes.await {
        if let (changes @ 1.., Ok(written)) = (changes, written) {
            let last = written.revision;
            seen.extend(last - changes as Revision + 1..=last);
        }
    }
    let store = stores.open().await;
    let last = store.all().await.unwrap().0;
    assert_eq!(seen, (1..=last).collect());
    let history = store.history(1000).await.unwrap();
    assert!(history.iter().map(|change| change.revision).eq((1..=last).rev()));
}

async fn who_leaves_and_who_names_cannot_both_win(stores: Stores) {
    let store = stores.open().await;
    store.write(steps((0..20).map(|number| step(row("services", number))))).await.unwrap();
    at_once(&stores, 0..40, async |store, number| {
        let service = number / 2;
        if number % 2 == 0 {
            let _ = delete(&*store, "services", service).await;
        } else {
            let _ = put(&*store, row("routes", service).needs("services", service)).await;
        }
    })
    .await;
    for route in all(&*store).await.iter().filter(|kept| kept.row.kind == "routes") {
        assert!(store.get("services", route.row.id).await.unwrap().is_some(), "{route:?} names nobody");
    }
    // And all can be taken away in the right order.
    for number in 0..20 {
        store.write(steps([gone("routes", number), gone("services", number)])).await.unwrap();
    }
    assert_eq!(all(&*store).await, []);
}

async fn two_see_each_other_within_a_second(stores: Stores) {
    let (here, there) = (stores.open().await, stores.open().await);
    let write = async |store: &Arc<dyn Store>, from: u128| {
        for number in from..from + 50 {
            put(&**store, row("services", number)).await.unwrap();
        }
    };
    tokio::join!(write(&here, 0), write(&there, 1000));
    for store in [here, there] {
        // All that a node needs: what it knows, a way to be woken, and what is new.
        let sees = async {
            let (mut known, mut seen) = (0, BTreeSet::new());
            while seen.len() < 100 {
                store.changed(known).await;
                let feed = store.since(known).await.unwrap().expect("it is known");
                seen.extend(feed.rows.iter().map(|kept| kept.row.id));
                known = feed.revision;
            }
        };
        timeout(A_SECOND, sees).await.expect("within a second");
    }
}

async fn everything_is_of_one_moment(stores: Stores) {
    let (store, other) = (stores.open().await, stores.open().await);
    let both = |number: u64| ["a", "b"].map(|kind| step(row(kind, 0).says("number", json!(number))));
    store.write(steps(both(0))).await.unwrap();
    let busy = tokio::spawn(async move {
        for number in 1..200 {
            other.write(steps(both(number))).await.unwrap();
        }
    });
    let whole = |revision: Revision, rows: &[Kept]| {
        let numbers: Vec<_> = rows.iter().map(|kept| &kept.row.body["number"]).collect();
        assert_eq!(numbers.len(), 2);
        assert_eq!(numbers[0], numbers[1], "of two moments");
        assert_eq!(rows.iter().map(|kept| kept.version).max(), Some(revision));
    };
    while !busy.is_finished() {
        let (revision, rows) = store.all().await.unwrap();
        whole(revision, &rows);
        let feed = store.since(0).await.unwrap().expect("it is known");
        whole(feed.revision, &feed.rows);
        assert!(
            feed.changes.iter().map(|change| change.revision).eq(feed.rows.iter().map(|kept| kept.version))
        );
    }
    busy.await.unwrap();
}
