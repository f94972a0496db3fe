//! Histories that nobody thought of: every store does what a few naive lines say, and its feed tells what has changed.

use std::collections::BTreeMap;
use std::mem::discriminant;

use postern_config::store::{
    Change, Expect, Kept, OnDelete, Reference, Revision, Row, Step, Store, StoreError, Write,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::rows::{Says as _, id, key, row, steps};
use crate::stores::Stores;

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_what_the_model_does() {
    histories(Stores::memory().await, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_does_what_the_model_does() {
    histories(Stores::sqlite().await, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_does_what_the_model_does() {
    histories(Stores::postgres().await, 25).await;
}

async fn histories(stores: Stores, cases: u32) {
    let store = stores.open().await;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let history = vec((vec(any_step(), 1..5), any::<bool>()), 1..25);
        let outcome = TestRunner::new(config).run(&history, |history| {
            runtime.block_on(check(&*store, history));
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

/// One history, on a store that is emptied before.
async fn check(store: &dyn Store, history: Vec<(Vec<Wish>, bool)>) {
    let (_, rows) = store.all().await.unwrap();
    // Without references first: rows may hold each other, in a circle too.
    let alone = rows.iter().map(|kept| Row { references: Vec::new(), ..kept.row.clone() });
    let alone = alone.map(|row| Step::Put(row, Expect::Any)).collect::<Vec<_>>();
    let all = rows.into_iter().map(|kept| Step::Delete { kind: kept.row.kind, id: kept.row.id });
    store.write(steps(alone.into_iter().chain(all))).await.unwrap();
    let (first, rows) = store.all().await.unwrap();
    assert_eq!(rows, []);
    let mut model = Model { revision: first, rows: Vec::new(), log: Vec::new() };
    let mut moments = vec![(first, Vec::new())];

    for (wishes, stale) in history {
        let steps = wishes.into_iter().map(|wish| wish.step(&model)).collect();
        let revision = stale.then_some(model.revision - Revision::from(model.revision % 3 == 1));
        let write = Write { steps, revision, by: "the model".to_owned() };
        let expected = model.write(write.clone());
        let written = store.write(write).await;
        match (&written, &expected) {
            (Ok(written), Ok(deleted)) => {
                assert_eq!((written.revision, written.deleted), (model.revision, *deleted));
            }
            (Err(error), Err(expected)) => assert_eq!(discriminant(error), discriminant(expected), "{error}"),
            (written, expected) => panic!("{written:?}, and not {expected:?}"),
        }
        let now = store.all().await.unwrap();
        assert_eq!(now, (model.revision, model.sorted()));
        moments.push(now);
    }
    for (revision, rows) in moments {
        feed_tells_the_difference(store, &model, revision, rows).await;
    }
}

/// Whoever knew everything then, and reads the feed, knows everything now.
async fn feed_tells_the_difference(store: &dyn Store, model: &Model, revision: Revision, then: Vec<Kept>) {
    let feed = store.since(revision).await.unwrap().expect("it is not long ago");
    assert_eq!(feed.revision, model.revision);
    let mut last = BTreeMap::new();
    for &(number, ref kind, id, deleted) in model.log.iter().filter(|(number, ..)| *number > revision) {
        last.insert((kind.clone(), id), (number, deleted));
    }
    let mut expected: Vec<_> =
        last.into_iter().map(|(place, (number, deleted))| (number, place, deleted)).collect();
    expected.sort();
    let told = |change: Change| (change.revision, (change.kind, change.id), change.deleted);
    assert_eq!(feed.changes.iter().cloned().map(told).collect::<Vec<_>>(), expected);

    let place = |kept: &Kept| (kept.row.kind.clone(), kept.row.id);
    let mut rows: BTreeMap<_, _> = then.into_iter().map(|kept| (place(&kept), kept)).collect();
    feed.changes.iter().for_each(|change| _ = rows.remove(&(change.kind.clone(), change.id)));
    rows.extend(feed.rows.into_iter().map(|kept| (place(&kept), kept)));
    assert_eq!(rows.into_values().collect::<Vec<_>>(), model.sorted());
}

/// What a store does, said as simply as one can.
#[derive(Clone)]
struct Model {
    revision: Revision,
    rows: Vec<Kept>,
    log: Vec<(Revision, String, uuid::Uuid, bool)>,
}

impl Model {
    fn sorted(&self) -> Vec<Kept> {
        let mut rows = self.rows.clone();
        rows.sort_by(|a, b| (&a.row.kind, a.row.id).cmp(&(&b.row.kind, b.row.id)));
        rows
    }

    fn version(&self, kind: &str, id: uuid::Uuid) -> Option<Revision> {
        self.rows.iter().find(|kept| kept.row.kind == kind && kept.row.id == id).map(|kept| kept.version)
    }

    /// How many rows are gone.
    fn write(&mut self, write: Write) -> Result<u64, StoreError> {
        if write.revision.is_some_and(|revision| revision != self.revision) {
            return Err(StoreError::Stale);
        }
        let mut next = self.clone();
        let mut deleted = 0;
        for step in write.steps {
            match step {
                Step::Put(row, expect) => next.put(row, expect)?,
                Step::Delete { kind, id } => deleted += next.delete(kind, id)?,
            }
        }
        *self = next;
        Ok(deleted)
    }

    fn put(&mut self, row: Row, expect: Expect) -> Result<(), StoreError> {
        let version = self.version(&row.kind, row.id);
        match expect {
            Expect::Absent if version.is_some() => return Err(StoreError::Stale),
            Expect::Version(expected) if version != Some(expected) => return Err(StoreError::Stale),
            _ => {}
        }
        self.rows.retain(|kept| (&kept.row.kind, kept.row.id) != (&row.kind, row.id));
        for other in self.rows.iter().filter(|kept| kept.row.kind == row.kind) {
            if let Some(key) = other.row.keys.iter().find(|key| row.keys.contains(key)) {
                let (kind, holder) = (row.kind, other.row.id);
                return Err(StoreError::NotUnique { kind, key: key.clone(), holder });
            }
        }
        for to in &row.references {
            if (&to.kind, to.id) != (&row.kind, row.id) && self.version(&to.kind, to.id).is_none() {
                let (kind, id) = (to.kind.clone(), to.id);
                return Err(StoreError::Dangling { kind, id, reference: to.clone() });
            }
        }
        self.revision += 1;
        self.log.push((self.revision, row.kind.clone(), row.id, false));
        self.rows.push(Kept { row, version: self.revision, unreadable: None });
        Ok(())
    }

    fn delete(&mut self, kind: String, id: uuid::Uuid) -> Result<u64, StoreError> {
        if self.version(&kind, id).is_none() {
            return Ok(0);
        }
        let mut gone = vec![(kind, id)];
        let names = |kept: &Kept, gone: &[(String, uuid::Uuid)], on_delete| {
            let named =
                |to: &Reference| to.on_delete == on_delete && gone.contains(&(to.kind.clone(), to.id));
            !gone.contains(&(kept.row.kind.clone(), kept.row.id)) && kept.row.references.iter().any(named)
        };
        loop {
            let next = self.rows.iter().filter(|kept| names(kept, &gone, OnDelete::Cascade));
            let mut next: Vec<_> = next.map(|kept| (kept.row.kind.clone(), kept.row.id)).collect();
            if next.is_empty() {
                break;
            }
            next.sort();
            gone.append(&mut next);
        }
        if let Some(kept) = self.rows.iter().find(|kept| names(kept, &gone, OnDelete::Restrict)) {
            let ((kind, id), (by, by_id)) = (gone.remove(0), (kept.row.kind.clone(), kept.row.id));
            return Err(StoreError::Referenced { kind, id, by, by_id });
        }
        self.rows.retain(|kept| !gone.contains(&(kept.row.kind.clone(), kept.row.id)));
        for (kind, id) in gone.iter().rev() {
            self.revision += 1;
            self.log.push((self.revision, kind.clone(), *id, true));
        }
        Ok(gone.len() as u64)
    }
}

/// A step, before it is known which versions there are.
#[derive(Clone, Debug)]
enum Wish {
    Put(Row, Expected),
    Delete(String, u128),
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    Absent,
    Current,
    Older,
}

impl Wish {
    fn step(self, model: &Model) -> Step {
        match self {
            Self::Delete(kind, number) => Step::Delete { kind, id: id(number) },
            Self::Put(row, expected) => {
                let version = model.version(&row.kind, row.id).unwrap_or(0);
                let expect = match expected {
                    Expected::Any => Expect::Any,
                    Expected::Absent => Expect::Absent,
                    Expected::Current => Expect::Version(version),
                    Expected::Older => Expect::Version(version - 1),
                };
                Step::Put(row, expect)
            }
        }
    }
}

fn any_step() -> impl Strategy<Value = Wish> {
    let expected = prop_oneof![
        8 => Just(Expected::Any), 2 => Just(Expected::Absent), 2 => Just(Expected::Current), 1 => Just(Expected::Older),
    ];
    prop_oneof![
        5 => (any_row(), expected).prop_map(|(row, expected)| Wish::Put(row, expected)),
        2 => (any_kind(), 0..5_u128).prop_map(|(kind, number)| Wish::Delete(kind.to_owned(), number)),
    ]
}

fn any_kind() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("c")]
}

fn any_row() -> impl Strategy<Value = Row> {
    let reference = (any_kind(), 0..5_u128, any::<bool>());
    let key_of = (prop_oneof![Just("name"), Just("path")], 0..8_u8);
    (any_kind(), 0..5_u128, vec(key_of, 0..3), vec(reference, 0..2), any::<i64>()).prop_map(
        |(kind, number, keys, references, value)| {
            let mut row = row(kind, number).says("value", value.into()).tags(&["t"]);
            row.keys = keys.into_iter().map(|(field, value)| key(field, &value.to_string())).collect();
            for (kind, number, cascades) in references {
                let on_delete = if cascades { OnDelete::Cascade } else { OnDelete::Restrict };
                row = row.refers("to", kind, number, on_delete);
            }
            row
        },
    )
}
