//! One who writes: what is expected, unique, named, and gone with others.

use postern_config::store::{Expect, StoreError, Tags};
use serde_json::json;

use crate::rows::{
    Says as _, all, delete, gone, id, key, names, numbers, put, put_if, row, select, step, steps, tagged,
};
use crate::stores::Stores;

super::on_every_store!(
    a_row_comes_back_as_it_went,
    what_is_expected_must_be_so,
    a_whole_store_may_be_expected_unchanged,
    a_key_is_of_one_row,
    a_key_is_free_when_its_row_has_another_or_is_gone,
    who_is_named_must_be_there,
    who_is_needed_stays,
    what_belongs_to_a_row_goes_with_it,
    rows_that_belong_to_each_other_can_go,
    who_goes_anyway_holds_nothing_back,
    a_hundred_steps_happen_all_or_not_at_all,
    steps_see_what_the_ones_before_did,
    what_is_not_there_can_be_deleted,
    any_text_is_only_text,
    large_rows_and_long_keys_are_kept,
);

async fn a_row_comes_back_as_it_went(stores: Stores) {
    let store = stores.open().await;
    let values = json!({"text": "é", "none": null, "list": [1, -2.5, 1e300, 0.1, true, {"deep": []}], "big": u64::MAX});
    let row = row("services", 1).key("name", "one").tags(&["a", "b", "a"]).says("values", values);
    let written = put(&*store, row.clone()).await.unwrap();
    assert_eq!((written.revision, written.deleted), (1, 0));

    let kept = store.get("services", id(1)).await.unwrap().expect("it is there");
    assert_eq!((&kept.row, kept.version), (&row, 1));
    assert_eq!(store.find("services", &key("name", "one")).await.unwrap(), Some(kept.clone()));
    assert_eq!(store.get("routes", id(1)).await.unwrap(), None, "another kind");
    assert_eq!(store.find("routes", &key("name", "one")).await.unwrap(), None, "another kind");
    assert_eq!(store.find("services", &key("other", "one")).await.unwrap(), None, "another field");
    // Another process sees the same.
    assert_eq!(stores.open().await.all().await.unwrap(), (1, vec![kept]));
}

async fn what_is_expected_must_be_so(stores: Stores) {
    let store = stores.open().await;
    let one = || row("services", 1);
    assert_eq!(put_if(&*store, one(), Expect::Version(0)).await, Err(StoreError::Stale));
    put_if(&*store, one(), Expect::Absent).await.unwrap();
    assert_eq!(put_if(&*store, one(), Expect::Absent).await, Err(StoreError::Stale));
    assert_eq!(put_if(&*store, one(), Expect::Version(2)).await, Err(StoreError::Stale));
    assert_eq!(put_if(&*store, one(), Expect::Version(1)).await.unwrap().revision, 2);
    assert_eq!(put_if(&*store, one(), Expect::Version(1)).await, Err(StoreError::Stale));
    assert_eq!(put_if(&*store, one(), Expect::Any).await.unwrap().revision, 3);
    delete(&*store, "services", 1).await.unwrap();
    assert_eq!(put_if(&*store, one(), Expect::Version(3)).await, Err(StoreError::Stale));
    assert_eq!(put_if(&*store, one(), Expect::Absent).await.unwrap().revision, 5);
}

async fn a_whole_store_may_be_expected_unchanged(stores: Stores) {
    let store = stores.open().await;
    let at = |revision| {
        let mut write = steps([step(row("services", 1))]);
        write.revision = Some(revision);
        write
    };
    assert_eq!(store.write(at(1)).await, Err(StoreError::Stale));
    assert_eq!(store.write(at(0)).await.unwrap().revision, 1);
    assert_eq!(store.write(at(0)).await, Err(StoreError::Stale));
    put(&*store, row("routes", 7)).await.unwrap();
    assert_eq!(store.write(at(1)).await, Err(StoreError::Stale));
    assert_eq!(store.write(at(2)).await.unwrap().revision, 3);
}

async fn a_key_is_of_one_row(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("services", 1).key("name", "one").key("path", "/")).await.unwrap();
    let refused = put(&*store, row("services", 2).key("name", "two").key("path", "/")).await;
    let not_unique =
        StoreError::NotUnique { kind: "services".to_owned(), key: key("path", "/"), holder: id(1) };
    assert_eq!(refused, Err(not_unique.clone()));
    assert!(!not_unique.to_string().contains('/'), "a value may be a credential: {not_unique}");
    // Another kind, another field, and the row itself.
    put(&*store, row("routes", 2).key("path", "/")).await.unwrap();
    put(&*store, row("services", 3).key("name", "/")).await.unwrap();
    put(&*store, row("services", 1).key("path", "/").key("name", "one")).await.unwrap();
    // A row may say a key twice.
    put(&*store, row("services", 4).key("name", "four").key("name", "four")).await.unwrap();
    assert_eq!(all(&*store).await.len(), 4);
}

async fn a_key_is_free_when_its_row_has_another_or_is_gone(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("services", 1).key("name", "a")).await.unwrap();
    put(&*store, row("services", 1).key("name", "b")).await.unwrap();
    put(&*store, row("services", 2).key("name", "a")).await.unwrap();
    delete(&*store, "services", 1).await.unwrap();
    assert_eq!(store.find("services", &key("name", "b")).await.unwrap(), None);
    put(&*store, row("services", 3).key("name", "b")).await.unwrap();
    let holder = store.find("services", &key("name", "b")).await.unwrap().expect("it is there");
    assert_eq!(holder.row.id, id(3));
}

async fn who_is_named_must_be_there(stores: Stores) {
    let store = stores.open().await;
    let route = row("routes", 1).part_of("services", 2);
    let dangling = StoreError::Dangling {
        kind: "services".to_owned(),
        id: id(2),
        reference: route.references[0].clone(),
    };
    assert_eq!(put(&*store, route.clone()).await, Err(dangling.clone()));
    put(&*store, row("others", 2)).await.unwrap();
    assert_eq!(put(&*store, route.clone()).await, Err(dangling), "one of another kind is not it");
    put(&*store, row("services", 2)).await.unwrap();
    put(&*store, route).await.unwrap();
    // Also a row that was there; and one may name itself.
    let other = row("routes", 1).part_of("services", 3);
    assert!(matches!(put(&*store, other).await, Err(StoreError::Dangling { .. })));
    put(&*store, row("routes", 4).needs("routes", 4)).await.unwrap();
    delete(&*store, "routes", 4).await.unwrap();
}

async fn who_is_needed_stays(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("services", 1)).await.unwrap();
    put(&*store, row("services", 2)).await.unwrap();
    put(&*store, row("routes", 8).needs("services", 1)).await.unwrap();
    put(&*store, row("routes", 7).needs("services", 1)).await.unwrap();
    let referenced = StoreError::Referenced {
        kind: "services".to_owned(),
        id: id(1),
        by: "routes".to_owned(),
        by_id: id(7),
    };
    assert_eq!(delete(&*store, "services", 1).await, Err(referenced));
    put(&*store, row("routes", 7).needs("services", 2)).await.unwrap();
    delete(&*store, "routes", 8).await.unwrap();
    delete(&*store, "services", 1).await.unwrap();
    assert!(matches!(delete(&*store, "services", 2).await, Err(StoreError::Referenced { .. })));
}

async fn what_belongs_to_a_row_goes_with_it(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("services", 1)).await.unwrap();
    put(&*store, row("services", 2)).await.unwrap();
    // A chain of ten, and a crowd behind each.
    for deep in 0..10_u128 {
        let (kind, to) = if deep == 0 { ("services", 1) } else { ("routes", 100 + deep - 1) };
        put(&*store, row("routes", 100 + deep).part_of(kind, to).key("name", &deep.to_string()))
            .await
            .unwrap();
        let crowd = (0..5).map(|one| {
            let tag: &[_] = &["tagged"];
            step(row("plugins", 1000 + deep * 10 + one).part_of("routes", 100 + deep).tags(tag))
        });
        store.write(steps(crowd)).await.unwrap();
    }
    put(&*store, row("plugins", 5).part_of("services", 2).tags(&["tagged"])).await.unwrap();

    let before = store.all().await.unwrap().0;
    let written = delete(&*store, "services", 1).await.unwrap();
    assert_eq!(written.deleted, 1 + 10 + 50);
    assert_eq!(written.revision, before + 61);
    // Nothing is left of them anywhere.
    let tagged = tagged("plugins", Tags::Any(names(&["tagged"])));
    assert_eq!(numbers(&store.page(&tagged).await.unwrap()), [5]);
    assert_eq!(store.page(&select("routes")).await.unwrap().rows, []);
    put(&*store, row("routes", 1).key("name", "3")).await.unwrap();
    // Whoever reads the feed in order never has a row that names one that is not there.
    let feed = store.since(before).await.unwrap().expect("it is known");
    assert_eq!((feed.changes[0].kind.as_str(), feed.changes[60].kind.as_str()), ("plugins", "services"));
}

async fn rows_that_belong_to_each_other_can_go(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("a", 1)).await.unwrap();
    put(&*store, row("b", 2).part_of("a", 1)).await.unwrap();
    put(&*store, row("a", 1).part_of("b", 2)).await.unwrap();
    assert_eq!(delete(&*store, "b", 2).await.unwrap().deleted, 2);
    assert_eq!(all(&*store).await, []);
}

async fn who_goes_anyway_holds_nothing_back(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("services", 1)).await.unwrap();
    put(&*store, row("routes", 2).part_of("services", 1)).await.unwrap();
    put(&*store, row("plugins", 3).part_of("services", 1).needs("routes", 2)).await.unwrap();
    assert!(matches!(delete(&*store, "routes", 2).await, Err(StoreError::Referenced { .. })));
    assert_eq!(delete(&*store, "services", 1).await.unwrap().deleted, 3);
}

async fn a_hundred_steps_happen_all_or_not_at_all(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("services", 500).key("name", "taken")).await.unwrap();
    put(&*store, row("routes", 600).part_of("services", 500).tags(&["old"])).await.unwrap();
    let before = store.all().await.unwrap();
    let hundred = |last: &str| {
        let mut all = vec![gone("services", 500)];
        all.extend((1..99).map(|number| step(row("services", number).key("name", &number.to_string()))));
        all.push(step(row("services", 99).key("name", last)));
        steps(all)
    };
    let refused = store.write(hundred("7")).await;
    assert!(matches!(refused, Err(StoreError::NotUnique { holder, .. }) if holder == id(7)), "{refused:?}");
    assert_eq!(store.all().await.unwrap(), before);
    assert_eq!(
        store.find("services", &key("name", "taken")).await.unwrap().map(|kept| kept.row.id),
        Some(id(500))
    );
    let old = tagged("routes", Tags::Any(names(&["old"])));
    assert_eq!(numbers(&store.page(&old).await.unwrap()), [600]);

    let written = store.write(hundred("taken")).await.unwrap();
    assert_eq!((written.revision, written.deleted), (before.0 + 2 + 99, 2));
    assert_eq!(all(&*store).await.len(), 99);
}

async fn steps_see_what_the_ones_before_did(stores: Stores) {
    let store = stores.open().await;
    let (service, route) = (row("services", 1).key("name", "a"), row("routes", 2).part_of("services", 1));
    let backwards = store.write(steps([step(route.clone()), step(service.clone())])).await;
    assert!(matches!(backwards, Err(StoreError::Dangling { .. })), "{backwards:?}");
    store.write(steps([step(service), step(route)])).await.unwrap();
    // The name goes from one to the other; the last put of a row is what counts.
    let moved =
        [step(row("services", 1)), step(row("services", 3).key("name", "a")), step(row("services", 3))];
    store.write(steps(moved)).await.unwrap();
    assert_eq!(store.find("services", &key("name", "a")).await.unwrap(), None);
    let versions: Vec<_> = all(&*store).await.iter().map(|kept| kept.version).collect();
    assert_eq!(versions, [2, 3, 5], "of the route, and both services");
}

async fn what_is_not_there_can_be_deleted(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("services", 1)).await.unwrap();
    let written = delete(&*store, "services", 2).await.unwrap();
    assert_eq!((written.revision, written.deleted), (1, 0));
    assert_eq!(delete(&*store, "routes", 1).await.unwrap().deleted, 0, "another kind");
    assert_eq!(store.write(steps([])).await.unwrap().revision, 1);
    assert_eq!(store.history(10).await.unwrap().len(), 1);
}

async fn any_text_is_only_text(stores: Stores) {
    const TEXTS: [&str; 9] = [
        "'; DROP TABLE postern_rows; --",
        "\" OR 1=1 --",
        "$1 ? :a @b %s {}",
        "\\",
        "\\0",
        "nul\0in\0it",
        "\0",
        "\u{202e}é😀\u{ffff}\n\r\t\u{7f}",
        "%_*",
    ];
    let store = stores.open().await;
    for (number, text) in (1..).zip(TEXTS) {
        let service = row(text, number).key(text, text).tags(&[text]).says(text, json!(text));
        let mut write = steps([step(service), step(row(text, number + 100).part_of(text, number))]);
        write.by = text.to_owned();
        store.write(write).await.unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
    assert_eq!(all(&*store).await.len(), TEXTS.len() * 2);
    let feed = store.since(0).await.unwrap().expect("it is known");
    for (number, text) in (1..).zip(TEXTS) {
        let kept = store.get(text, id(number)).await.unwrap().expect("it is there");
        assert_eq!((kept.row.kind.as_str(), &kept.row.body[text]), (text, &json!(text)));
        assert_eq!(store.find(text, &key(text, text)).await.unwrap(), Some(kept.clone()));
        let tagged = store.page(&tagged(text, Tags::All(names(&[text])))).await.unwrap();
        assert_eq!(tagged.rows, [kept]);
        assert!(feed.changes.iter().any(|change| change.by == text && change.kind == text), "{text:?}");
        assert_eq!(delete(&*store, text, number).await.unwrap().deleted, 2, "{text:?}");
    }
}

async fn large_rows_and_long_keys_are_kept(stores: Stores) {
    let store = stores.open().await;
    // Not one character often: a database would make little of it.
    let long: String =
        (0..200_000).map(|number: u32| format!("{:x}", number.wrapping_mul(2_654_435_761))).collect();
    assert!(long.len() > 1 << 20);
    let (a, b) = (format!("{long}a"), format!("{long}b"));
    let large = |number, key: &str| {
        row("certificates", number).key("cert", key).tags(&[key]).says("cert", json!(long))
    };
    put(&*store, large(1, &a)).await.unwrap();
    put(&*store, large(2, &b)).await.unwrap();
    let refused = put(&*store, large(3, &a)).await;
    assert!(matches!(refused, Err(StoreError::NotUnique { holder, .. }) if holder == id(1)));
    let kept = store.find("certificates", &key("cert", &b)).await.unwrap().expect("it is there");
    assert_eq!(kept.row, large(2, &b));
    let tagged = tagged("certificates", Tags::Any(vec![b]));
    assert_eq!(numbers(&store.page(&tagged).await.unwrap()), [2]);
}
