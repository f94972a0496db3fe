//! Where a node keeps its configuration: rows, by kind and identifier.
//!
//! Owns: what a store promises, whatever it is made of; `tests/it/contract` holds all of them to it. Must not know: what
//! entities mean. Whoever writes a row says which of its values are unique, to what it refers, and what is to
//! become of it when that goes; a store sees to all of this at once, and to nothing else.
//!
//! Every change has a number, one more than the one before, the same on all nodes that share a store. A node learns of
//! the changes of others by [`Store::changed`], and of what they were by [`Store::since`].
//!
//! What every store sees to is in `store/rules.rs`, once; `store/entity.rs` makes a row of an entity. [`memory`] answers from maps; [`sqlite`] and [`postgres`] say
//! how to reach a database, and `store/sql.rs` does with it what is the same for both.

mod entity;
pub mod memory;
pub mod migrations;
mod open;
pub mod postgres;
mod rules;
mod sql;
pub mod sqlite;

pub use open::OpenError;
pub(crate) use rules::now as seconds;

use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// The number of the last change that is in what was read; 0 in an empty store.
pub type Revision = i64;

/// One entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The name of the entity's lists: `services`.
    pub kind: String,
    /// Its identifier; no other row of the kind has it.
    pub id: Uuid,
    /// All of its fields, references still text.
    pub body: Map<String, Json>,
    /// What no two rows of a kind may share.
    pub keys: Vec<Key>,
    /// To which rows it refers.
    pub references: Vec<Reference>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// A unique value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Key {
    /// The field, or several with commas between: `name`, `consumer,group`.
    pub field: String,
    /// Its value as text; for several fields, a JSON list of their values.
    pub value: String,
}

/// What a row refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Reference {
    /// The field that says so.
    pub field: String,
    /// The kind of the other row.
    pub kind: String,
    /// The other row.
    pub id: Uuid,
    /// What becomes of this row when the other one is to go.
    pub on_delete: OnDelete,
}

/// What becomes of a row when one that it refers to is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDelete {
    /// It goes too.
    Cascade,
    /// The other one stays, unless this row goes with it for another reason.
    Restrict,
}

/// A row as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The row.
    pub row: Row,
    /// The number of the change by which it came to be as it is.
    pub version: Revision,
    /// Where its body cannot be read: somebody has written past the store. The row's body is then what else is known.
    pub unreadable: Option<Unreadable>,
}

/// Why a body cannot be read. It is not shown: it may hold credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// In words.
    pub reason: String,
    /// What keys, references and tags say of it, as they would stand in the body; `None` where those cannot be read either.
    pub rest: Option<Map<String, Json>>,
}

/// What is read of a row by those who read all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// The kind.
    pub kind: String,
    /// The identifier. A row whose identifier is none has one that always follows from it.
    pub id: Uuid,
    /// The body.
    pub json: Result<Map<String, Json>, Unreadable>,
}

/// One step of a write.
#[derive(Clone, Debug)]
pub enum Step {
    /// This row, in place of what has its kind and identifier.
    Put(Row, Expect),
    /// No such row, nor what goes with it. Nothing happens where there is none.
    Delete {
        /// The kind.
        kind: String,
        /// The identifier.
        id: Uuid,
    },
}

/// What must be there for a row to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing or anything.
    Any,
    /// No row with this kind and identifier.
    Absent,
    /// The row as of this version.
    Version(Revision),
}

/// Steps that happen all or not at all. Each sees what those before it did, and is to be right by itself: a row is put
/// after those that it refers to.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// In this order.
    pub steps: Vec<Step>,
    /// If given, nothing may have changed in the whole store since.
    pub revision: Option<Revision>,
    /// Who wants it, for [`Change::by`].
    pub by: String,
}

/// What a write came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The number of its last change; that of the last one before where nothing changed.
    pub revision: Revision,
    /// How many rows are gone, those that went with others included.
    pub deleted: u64,
}

/// What happened to a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its number.
    pub revision: Revision,
    /// The kind.
    pub kind: String,
    /// The identifier.
    pub id: Uuid,
    /// Whether the row is gone.
    pub deleted: bool,
    /// Seconds since 1970.
    pub at: i64,
    /// Who wanted it.
    pub by: String,
}

/// What changed since some revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The revision that one has with them.
    pub revision: Revision,
    /// What happened, in order; only the last of each row.
    pub changes: Vec<Change>,
    /// The rows as they are, of all changes that are no deletions; in the same order.
    pub rows: Vec<Kept>,
}

/// Which rows of a kind are wanted.
#[derive(Clone, Debug)]
pub struct Select {
    /// The kind.
    pub kind: String,
    /// Only those behind this one, in the order of identifiers.
    pub after: Option<Uuid>,
    /// At most so many.
    pub size: usize,
    /// Only those that say this.
    pub filter: Option<Filter>,
    /// Only those with these tags.
    pub tags: Option<Tags>,
}

/// What a row must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// That it refers to this row by this field.
    RefersTo {
        /// The field.
        field: String,
        /// The row.
        id: Uuid,
    },
    /// That one of its keys is this.
    Key(Key),
}

/// Which tags a row must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// All of them.
    All(Vec<String>),
    /// One of them.
    Any(Vec<String>),
}

/// Some rows, in the order of their identifiers.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Kept>,
    /// Whether there are more.
    pub more: bool,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// Another row of the kind has the same value. It is not shown: it may be a credential.
    #[error("another of the {kind} has the same {}", key.field)]
    NotUnique {
        /// The kind.
        kind: String,
        /// What they would share.
        key: Key,
        /// Who has it.
        holder: Uuid,
    },
    /// A row refers to one that is not there.
    #[error("{kind} {id}, which {} names, does not exist", reference.field)]
    Dangling {
        /// The kind of the row that is missing.
        kind: String,
        /// Its identifier.
        id: Uuid,
        /// Where it is named.
        reference: Reference,
    },
    /// A row cannot go because another refers to it.
    #[error("{by} {by_id} refers to {kind} {id}")]
    Referenced {
        /// The kind of the row that was to go.
        kind: String,
        /// Its identifier.
        id: Uuid,
        /// The kind of the one that refers to it.
        by: String,
        /// The identifier of that one.
        by_id: Uuid,
    },
    /// What a step or a write expects is not so: somebody else was faster.
    #[error("it has changed meanwhile")]
    Stale,
    /// It cannot be reached, or is not able to. To ask again may help. A write may have happened nevertheless, if the
    /// database went away after it was told to keep it.
    #[error("the database cannot be used: {0}")]
    Unavailable(String),
    /// It holds what nobody could have written.
    #[error("the database holds what cannot be read: {0}")]
    Corrupt(String),
}

/// How many bodies are handed out at once.
pub const BATCH: usize = 1000;

/// Takes what a store hands out.
#[async_trait]
pub trait Sink: Send {
    /// Takes up to [`BATCH`] bodies. The store goes on when this returns.
    ///
    /// # Errors
    /// It wants no more.
    async fn take(&mut self, bodies: Vec<Body>) -> Result<(), StoreError>;
}

impl Kept {
    /// Takes its body out, or why it cannot be read.
    pub fn take_body(&mut self) -> Result<Map<String, Json>, Unreadable> {
        let body = std::mem::take(&mut self.row.body);
        self.unreadable.take().map_or(Ok(body), Err)
    }
}

impl From<Kept> for Body {
    fn from(mut kept: Kept) -> Self {
        let json = kept.take_body();
        Self { kind: kept.row.kind, id: kept.row.id, json }
    }
}

/// A place for rows. All of it may be called by many at once.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// What `/` calls it: `memory`, `sqlite`, `postgres`.
    fn name(&self) -> &'static str;

    /// One row.
    async fn get(&self, kind: &str, id: Uuid) -> Result<Option<Kept>, StoreError>;

    /// The row that has this key.
    async fn find(&self, kind: &str, key: &Key) -> Result<Option<Kept>, StoreError>;

    /// Some rows of a kind. One whose identifier is none is left out.
    async fn page(&self, select: &Select) -> Result<Page, StoreError>;

    /// Every row as of one moment, each kind in the order of identifiers. One whose identifier is none is left out.
    async fn all(&self) -> Result<(Revision, Vec<Kept>), StoreError>;

    /// Hands out each row in the order of [`Store::all`], those behind the others whose bodies cannot be read, without
    /// holding all of them. What was handed out before an error is of no use.
    async fn bodies(&self, sink: &mut dyn Sink) -> Result<Revision, StoreError> {
        let (revision, rows) = self.all().await?;
        let mut rows = rows.into_iter().map(Body::from).peekable();
        while rows.peek().is_some() {
            sink.take(rows.by_ref().take(BATCH).collect()).await?;
        }
        Ok(revision)
    }

    /// What changed since. Where that is not known any longer, or the store has not come so far (an older copy of it
    /// was put in its place), `None`: read all. The last 100,000 changes are known.
    async fn since(&self, revision: Revision) -> Result<Option<Changes>, StoreError>;

    /// Waits until there may be changes behind this revision, whoever made them. It may be wrong, but not late: at most
    /// a second, and much less where the store can tell.
    async fn changed(&self, revision: Revision);

    /// Does all of it, or nothing. When this returns, it is kept for good. Whoever stops waiting does not stop it.
    async fn write(&self, write: Write) -> Result<Written, StoreError>;

    /// The last changes, newest first: who changed what.
    async fn history(&self, size: usize) -> Result<Vec<Change>, StoreError>;

    /// Whether it can be reached now.
    async fn ping(&self) -> Result<(), StoreError>;
}
