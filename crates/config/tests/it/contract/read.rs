//! One who reads: pages, filters and tags.

use postern_config::store::{Filter, Select, Tags};

use crate::rows::{Says as _, by, delete, id, key, names, numbers, put, row, select, step, steps, tagged};
use crate::stores::Stores;

super::on_every_store!(
    pages_follow_each_other,
    pages_hold_while_others_write,
    rows_are_found_by_whom_they_refer_to,
    rows_are_found_by_a_key,
    rows_are_found_by_tags,
    filters_tags_and_pages_go_together,
    all_rows_come_in_order,
);

async fn pages_follow_each_other(stores: Stores) {
    let store = stores.open().await;
    let page = store.page(&select("services")).await.unwrap();
    assert_eq!((page.rows.len(), page.more), (0, false));
    // Identifiers of all sizes, put in no order.
    let mut expected: Vec<u128> = (0..50).map(|number: u128| (number * 7919) << (number % 100)).collect();
    store.write(steps(expected.iter().rev().map(|&number| step(row("services", number))))).await.unwrap();
    put(&*store, row("routes", 3)).await.unwrap();
    expected.sort_unstable();

    for size in [1, 7, 50, 51] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.page(&Select { after, size, ..select("services") }).await.unwrap();
            seen.extend(numbers(&page));
            assert_eq!(page.more, seen.len() < expected.len(), "pages of {size}");
            if !page.more {
                break;
            }
            assert_eq!(page.rows.len(), size);
            after = page.rows.last().map(|kept| kept.row.id);
        }
        assert_eq!(seen, expected, "pages of {size}");
    }
    let none = store.page(&Select { size: 0, ..select("services") }).await.unwrap();
    assert_eq!((none.rows.len(), none.more), (0, true));
    let behind = store.page(&Select { after: Some(id(u128::MAX)), ..select("services") }).await.unwrap();
    assert_eq!((behind.rows.len(), behind.more), (0, false));
}

async fn pages_hold_while_others_write(stores: Stores) {
    let store = stores.open().await;
    // Even ones stay; odd ones come and go while pages are read.
    store.write(steps((0..100).map(|number| step(row("services", number * 2))))).await.unwrap();
    let other = stores.open().await;
    let busy = tokio::spawn(async move {
        for number in (0..100).map(|number| number * 2 + 1) {
            put(&*other, row("services", number)).await.unwrap();
            delete(&*other, "services", number).await.unwrap();
        }
    });
    while !busy.is_finished() {
        let (mut seen, mut after, mut more) = (Vec::new(), None, true);
        while more {
            let page = store.page(&Select { after, size: 9, ..select("services") }).await.unwrap();
            seen.extend(numbers(&page));
            after = page.rows.last().map(|kept| kept.row.id);
            more = page.more;
        }
        assert!(seen.is_sorted(), "{seen:?}");
        seen.retain(|number| number % 2 == 0);
        assert_eq!(seen, (0..100).map(|number| number * 2).collect::<Vec<_>>());
    }
    busy.await.unwrap();
}

async fn rows_are_found_by_whom_they_refer_to(stores: Stores) {
    let store = stores.open().await;
    let services = [1, 2].map(|number| step(row("services", number)));
    let routes = [5, 4, 3].map(|number| step(row("routes", number).part_of("services", 1)));
    let others = [step(row("routes", 6).part_of("services", 2)), step(row("routes", 7).needs("services", 1))];
    store.write(steps(services.into_iter().chain(routes).chain(others))).await.unwrap();
    let of = |field: &str, number| by("routes", Filter::RefersTo { field: field.to_owned(), id: id(number) });
    assert_eq!(numbers(&store.page(&of("owner", 1)).await.unwrap()), [3, 4, 5]);
    assert_eq!(numbers(&store.page(&of("owner", 2)).await.unwrap()), [6]);
    assert_eq!(numbers(&store.page(&of("needs", 1)).await.unwrap()), [7]);
    assert_eq!(numbers(&store.page(&of("owner", 9)).await.unwrap()), []);
    put(&*store, row("routes", 4).part_of("services", 2)).await.unwrap();
    assert_eq!(numbers(&store.page(&of("owner", 1)).await.unwrap()), [3, 5]);
    assert_eq!(numbers(&store.page(&of("owner", 2)).await.unwrap()), [4, 6]);
}

async fn rows_are_found_by_a_key(stores: Stores) {
    let store = stores.open().await;
    put(&*store, row("consumers", 1).key("username", "one").key("custom_id", "x")).await.unwrap();
    put(&*store, row("consumers", 2).key("username", "two")).await.unwrap();
    let page = async |field, value| {
        numbers(&store.page(&by("consumers", Filter::Key(key(field, value)))).await.unwrap())
    };
    assert_eq!(page("custom_id", "x").await, [1]);
    assert_eq!(page("username", "two").await, [2]);
    assert_eq!(page("username", "x").await, []);
}

async fn rows_are_found_by_tags(stores: Stores) {
    let store = stores.open().await;
    let all: [(u128, &[&str]); 4] = [(1, &["a", "b"]), (2, &["b"]), (3, &["a", "b", "c"]), (4, &[])];
    for (number, tags) in all {
        put(&*store, row("services", number).tags(tags)).await.unwrap();
    }
    put(&*store, row("routes", 9).tags(&["a", "b", "c"])).await.unwrap();
    let with = async |tags| numbers(&store.page(&tagged("services", tags)).await.unwrap());
    let (all, any) = (|tags: &[&str]| Tags::All(names(tags)), |tags: &[&str]| Tags::Any(names(tags)));
    assert_eq!(with(all(&["a", "b"])).await, [1, 3]);
    assert_eq!(with(all(&["b", "a", "b"])).await, [1, 3], "said twice");
    assert_eq!(with(all(&["a", "d"])).await, []);
    assert_eq!(with(all(&[])).await, [1, 2, 3, 4]);
    assert_eq!(with(any(&["c", "b"])).await, [1, 2, 3]);
    assert_eq!(with(any(&["d", "c"])).await, [3]);
    assert_eq!(with(any(&[])).await, []);
    put(&*store, row("services", 3).tags(&["d"])).await.unwrap();
    assert_eq!(with(any(&["a", "d"])).await, [1, 3]);
    assert_eq!(with(all(&["a", "b", "c"])).await, []);
}

async fn filters_tags_and_pages_go_together(stores: Stores) {
    let store = stores.open().await;
    let services = [1, 2].map(|number| step(row("services", number)));
    let routes = (10..30).map(|number| {
        let tags: &[_] = if number % 3 == 0 { &["third"] } else { &["other"] };
        step(row("routes", number).part_of("services", 1 + number % 2).tags(tags))
    });
    store.write(steps(services.into_iter().chain(routes))).await.unwrap();
    let select = Select {
        after: Some(id(12)),
        size: 2,
        tags: Some(Tags::Any(names(&["third"]))),
        ..by("routes", Filter::RefersTo { field: "owner".to_owned(), id: id(1) })
    };
    let page = store.page(&select).await.unwrap();
    assert_eq!((numbers(&page), page.more), (vec![18, 24], false));
    let page = store.page(&Select { after: None, ..select }).await.unwrap();
    assert_eq!((numbers(&page), page.more), (vec![12, 18], true));
}

async fn all_rows_come_in_order(stores: Stores) {
    let store = stores.open().await;
    for (kind, number) in [("b", 2), ("a", 9), ("B", 1), ("a", 3), ("a-b", 1), ("aa", 1), ("b", 1)] {
        put(&*store, row(kind, number)).await.unwrap();
    }
    let (revision, rows) = store.all().await.unwrap();
    let places: Vec<_> = rows.iter().map(|kept| (kept.row.kind.as_str(), kept.row.id.as_u128())).collect();
    assert_eq!(revision, 7);
    assert_eq!(places, [("B", 1), ("a", 3), ("a", 9), ("a-b", 1), ("aa", 1), ("b", 1), ("b", 2)]);
}
