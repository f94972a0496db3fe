//! Rows, writes and selections, said shortly.

use postern_config::store::{
    Expect, Filter, Kept, Key, OnDelete, Page, Reference, Row, Select, Step, Store, StoreError, Tags, Write,
    Written,
};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

/// The `number`th identifier.
pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(crate) fn key(field: &str, value: &str) -> Key {
    Key { field: field.to_owned(), value: value.to_owned() }
}

pub(crate) fn body(json: Json) -> Map<String, Json> {
    let Json::Object(body) = json else { panic!("a body is an object") };
    body
}

/// A row that says little.
pub(crate) fn row(kind: &str, number: u128) -> Row {
    Row {
        kind: kind.to_owned(),
        id: id(number),
        body: body(json!({"id": id(number), "number": 1})),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    }
}

/// What makes a row say more.
pub(crate) trait Says: Sized {
    fn key(self, field: &str, value: &str) -> Self;
    fn tags(self, tags: &[&str]) -> Self;
    fn refers(self, field: &str, kind: &str, number: u128, on_delete: OnDelete) -> Self;
    fn says(self, name: &str, value: Json) -> Self;

    fn part_of(self, kind: &str, number: u128) -> Self {
        self.refers("owner", kind, number, OnDelete::Cascade)
    }

    fn needs(self, kind: &str, number: u128) -> Self {
        self.refers("needs", kind, number, OnDelete::Restrict)
    }
}

impl Says for Row {
    fn key(mut self, field: &str, value: &str) -> Self {
        self.keys.push(key(field, value));
        self
    }

    fn tags(mut self, tags: &[&str]) -> Self {
        self.tags.extend(tags.iter().map(|&tag| tag.to_owned()));
        self
    }

    fn refers(mut self, field: &str, kind: &str, number: u128, on_delete: OnDelete) -> Self {
        let (field, kind) = (field.to_owned(), kind.to_owned());
        self.references.push(Reference { field, kind, id: id(number), on_delete });
        self
    }

    fn says(mut self, name: &str, value: Json) -> Self {
        self.body.insert(name.to_owned(), value);
        self
    }
}

pub(crate) fn step(row: Row) -> Step {
    Step::Put(row, Expect::Any)
}

pub(crate) fn gone(kind: &str, number: u128) -> Step {
    Step::Delete { kind: kind.to_owned(), id: id(number) }
}

pub(crate) fn steps(steps: impl IntoIterator<Item = Step>) -> Write {
    Write { steps: steps.into_iter().collect(), revision: None, by: "somebody".to_owned() }
}

pub(crate) async fn put(store: &dyn Store, row: Row) -> Result<Written, StoreError> {
    store.write(steps([step(row)])).await
}

pub(crate) async fn put_if(store: &dyn Store, row: Row, expect: Expect) -> Result<Written, StoreError> {
    store.write(steps([Step::Put(row, expect)])).await
}

pub(crate) async fn delete(store: &dyn Store, kind: &str, number: u128) -> Result<Written, StoreError> {
    store.write(steps([gone(kind, number)])).await
}

pub(crate) async fn all(store: &dyn Store) -> Vec<Kept> {
    store.all().await.expect("everything can be read").1
}

pub(crate) fn select(kind: &str) -> Select {
    Select { kind: kind.to_owned(), after: None, size: 1000, filter: None, tags: None }
}

pub(crate) fn by(kind: &str, filter: Filter) -> Select {
    Select { filter: Some(filter), ..select(kind) }
}

pub(crate) fn tagged(kind: &str, tags: Tags) -> Select {
    Select { tags: Some(tags), ..select(kind) }
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The identifiers on a page, as numbers.
pub(crate) fn numbers(page: &Page) -> Vec<u128> {
    page.rows.iter().map(|kept| kept.row.id.as_u128()).collect()
}
