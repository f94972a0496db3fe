//! Entities that come and go one by one make what they make all at once, and what stays is shared. What is broken is in
//! `tests/broken.rs`.

mod broken;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::entity::Consumer;

fn id(n: u8) -> Uuid {
    Uuid::from_u128(u128::from(n) + 1)
}

fn body(n: u8, name: u8) -> Map<String, Json> {
    match json!({"id": id(n), "username": format!("user-{n}-{name}")}) {
        Json::Object(body) => body,
        _ => Map::new(),
    }
}

fn shown(snapshot: &Snapshot) -> Vec<(Uuid, String)> {
    let name = |entry: &Arc<Entry<Consumer>>| {
        let value = entry.value.as_ref().and_then(|consumer| consumer.username.clone());
        (entry.id, value.map_or_else(String::new, |name| name.as_str().to_owned()))
    };
    snapshot.consumers.iter().map(name).collect()
}

proptest! {
    #[test]
    fn one_by_one_is_all_at_once(
        batches in prop::collection::vec(prop::collection::vec((0u8..12, prop::option::of(0u8..4)), 0..8), 1..8),
    ) {
        let no_plugins = Vec::new();
        let (mut rows, mut naive) = (Rows::default(), BTreeMap::new());
        let mut last: Option<Snapshot> = None;
        for batch in batches {
            let mut touched = Vec::new();
            for (n, name) in batch {
                touched.push(id(n));
                match name {
                    Some(name) => {
                        rows.put("consumers", id(n), body(n, name), &no_plugins);
                        naive.insert(id(n), format!("user-{n}-{name}"));
                    }
                    None => {
                        rows.remove("consumers", id(n));
                        naive.remove(&id(n));
                    }
                }
            }
            let (snapshot, _) = rows.snapshot();
            prop_assert_eq!(shown(&snapshot), naive.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(rows.len(), naive.len());
            if let Some(last) = &last {
                let since = snapshot.consumers.since(&last.consumers).unwrap();
                let mut replayed: BTreeMap<_, _> = shown(last).into_iter().collect();
                for (before, after) in since {
                    let entry = before.or(after).unwrap();
                    prop_assert!(touched.contains(&entry.id), "what was not touched is shared");
                    prop_assert_eq!(before.map(|entry| entry.id), replayed.remove(&entry.id).and(before.map(|entry| entry.id)));
                    if let Some(entry) = after {
                        let name = entry.value.as_ref().unwrap().username.as_ref().unwrap().as_str().to_owned();
                        replayed.insert(entry.id, name);
                    }
                }
                prop_assert_eq!(replayed, naive.clone());
            }
            last = Some(snapshot);
        }
    }
}

#[test]
fn the_record_stays_where_references_need_it() {
    let no_plugins = Vec::new();
    let mut rows = Rows::default();
    rows.put("consumers", id(1), body(1, 1), &no_plugins);
    let key = json!({"id": id(3), "key": "{vault://env/key}", "consumer": {"id": id(1)}});
    let Json::Object(key) = key else { panic!("an object") };
    rows.put("keyauth_credentials", id(3), key, &no_plugins);
    let (snapshot, _) = rows.snapshot();
    assert!(!snapshot.consumers.has_pending() && snapshot.keyauth_credentials.has_pending());
    assert_eq!(snapshot.keyauth_credentials[0].templates().len(), 1);
    rows.remove("keyauth_credentials", id(3));
    assert!(!rows.snapshot().0.keyauth_credentials.has_pending());
}
