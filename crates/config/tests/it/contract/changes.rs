//! One who wants to know what others did.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::rows::{Says as _, delete, gone, id, put, row, step, steps};
use crate::stores::{A_SECOND, Stores};

super::on_every_store!(
    each_change_has_a_number_a_time_and_an_author,
    what_changed_since_is_told_once,
    what_never_was_is_not_known,
    who_waits_is_woken,
    who_is_behind_does_not_wait,
);

async fn each_change_has_a_number_a_time_and_an_author(stores: Stores) {
    let store = stores.open().await;
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    put(&*store, row("services", 1)).await.unwrap();
    let mut write = steps([step(row("services", 2).part_of("services", 1)), gone("services", 1)]);
    write.by = "alice".to_owned();
    store.write(write).await.unwrap();
    assert!(store.write(steps([step(row("routes", 1).part_of("services", 7))])).await.is_err());

    let history = store.history(10).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|change| (change.revision, change.id.as_u128(), change.deleted, change.by.as_str()))
        .collect();
    let expected =
        [(4, 1, true, "alice"), (3, 2, true, "alice"), (2, 2, false, "alice"), (1, 1, false, "somebody")];
    assert_eq!(told, expected);
    assert_eq!(store.history(2).await.unwrap(), history[..2]);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for change in &history {
        assert_eq!(change.kind, "services");
        assert!((before..=now).contains(&u64::try_from(change.at).unwrap()), "{change:?}");
    }
}

async fn what_changed_since_is_told_once(stores: Stores) {
    let store = stores.open().await;
    assert_eq!(store.since(0).await.unwrap().expect("it is known").changes, []);
    put(&*store, row("services", 1)).await.unwrap();
    put(&*store, row("services", 2)).await.unwrap();
    put(&*store, row("services", 3)).await.unwrap();
    put(&*store, row("services", 1)).await.unwrap();
    delete(&*store, "services", 2).await.unwrap();
    put(&*store, row("services", 4)).await.unwrap();
    delete(&*store, "services", 4).await.unwrap();
    put(&*store, row("services", 2)).await.unwrap();

    for (revision, expected) in [
        (0, &[(3, 3, false), (4, 1, false), (7, 4, true), (8, 2, false)][..]),
        (3, &[(4, 1, false), (7, 4, true), (8, 2, false)]),
        (7, &[(8, 2, false)]),
        (8, &[]),
    ] {
        let feed = store.since(revision).await.unwrap().expect("it is known");
        let told: Vec<_> = feed
            .changes
            .iter()
            .map(|change| (change.revision, change.id.as_u128(), change.deleted))
            .collect();
        assert_eq!((feed.revision, told.as_slice()), (8, expected), "since {revision}");
        let rows: Vec<_> =
            feed.rows.iter().map(|kept| (kept.version, kept.row.id.as_u128(), false)).collect();
        let puts: Vec<_> = expected.iter().copied().filter(|(.., deleted)| !deleted).collect();
        assert_eq!(rows, puts, "since {revision}");
    }
}

async fn what_never_was_is_not_known(stores: Stores) {
    let store = stores.open().await;
    assert_eq!(store.since(1).await.unwrap(), None);
    put(&*store, row("services", 1)).await.unwrap();
    assert!(store.since(1).await.unwrap().is_some());
    // Somebody put an older copy in place: who was further reads everything.
    assert_eq!(store.since(2).await.unwrap(), None);
    assert_eq!(store.since(-1).await.unwrap(), None);
}

async fn who_waits_is_woken(stores: Stores) {
    let (here, there) = (stores.open().await, stores.open().await);
    for round in 0..5_u128 {
        let revision = here.all().await.unwrap().0;
        let waiting = timeout(Duration::from_secs(10), here.changed(revision));
        let writing = async {
            sleep(Duration::from_millis(100)).await;
            put(&*there, row("services", round)).await.unwrap();
            let written = tokio::time::Instant::now();
            timeout(Duration::from_secs(10), here.changed(revision)).await.expect("it is seen");
            written.elapsed()
        };
        let (woken, late) = tokio::join!(waiting, writing);
        woken.expect("it is woken");
        assert!(late < A_SECOND, "it took {late:?}");
        assert!(here.get("services", id(round)).await.unwrap().is_some(), "and it can be read");
    }
}

async fn who_is_behind_does_not_wait(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("services", 1)).await.unwrap();
    put(&*store, row("services", 2)).await.unwrap();
    for revision in [0, 1, 3] {
        timeout(Duration::from_secs(5), store.changed(revision)).await.expect("there is something to see");
    }
    let nothing = timeout(Duration::from_millis(700), store.changed(2)).await;
    assert!(nothing.is_err(), "nothing has changed");
    // Also for one who has only just opened it.
    timeout(Duration::from_secs(5), stores.open().await.changed(1)).await.expect("there is something to see");
}
