//! A store in a database that speaks SQL: what SQLite and PostgreSQL have in common, which is nearly all.
//!
//! Owns: the shape of the tables and every statement; `sql/read.rs` reads, `sql/write.rs` is the one writer and
//! `sql/tables.rs` what it says, `sql/pool.rs` keeps connections, `sql/watch.rs` sees what others wrote. Must not know: how
//! a database is reached; that is [`Database`]. Whatever comes from outside is a bound value, never part of a statement.

mod pool;
mod read;
mod tables;
mod text;
mod watch;
mod write;

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch as changes};
use uuid::Uuid;

pub(super) use self::pool::Pool;
pub(super) use self::text::{stored, unavailable};
use super::{Revision, StoreError};

/// What SQLite and PostgreSQL do differently.
#[async_trait]
pub(super) trait Database: Send + Sync + 'static {
    /// A connection to it.
    type Connection: Connection;

    /// What it is called.
    const NAME: &'static str;

    /// Begins a transaction beside which nobody writes, and which sees what was written before it began.
    const BEGIN_WRITE: &'static str;

    /// Begins a transaction that sees one moment.
    const BEGIN_READ: &'static str;

    /// Ends a transaction in which something changed.
    const COMMIT: &'static str;

    /// Has a row if there is a table of migrations.
    const PREPARED: &'static str;

    /// How often to ask whether somebody else has written. Less than a second.
    const POLL: Duration;

    /// For how long to wait for a free connection.
    fn patience(&self) -> Duration;

    /// A new connection, or the reason why not, within [`Database::patience`].
    async fn connect(&self) -> Result<Self::Connection, StoreError>;

    /// Says when somebody may have written, sooner than [`Database::POLL`] would notice. Never returns.
    async fn listen(&self, written: &Notify);
}

/// What is done with each row of an answer.
#[async_trait]
pub(super) trait Take: Send {
    /// Takes one.
    fn line(&mut self, line: &dyn Line) -> Result<(), StoreError>;

    /// Whether [`Take::pause`] is to be called before the next one.
    fn is_full(&self) -> bool {
        false
    }

    /// Waits until there is room for more.
    async fn pause(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl<F: FnMut(&dyn Line) -> Result<(), StoreError> + Send> Take for F {
    fn line(&mut self, line: &dyn Line) -> Result<(), StoreError> {
        self(line)
    }
}

/// A connection. One that has failed may be of no more use: see [`Connection::alive`].
#[async_trait]
pub(super) trait Connection: Send + 'static {
    /// Whether it can still be used.
    async fn alive(&mut self) -> bool;

    /// Runs statements without values.
    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError>;

    /// Runs a statement and hands over each row as it comes.
    async fn each(&mut self, sql: &str, values: &[Value<'_>], take: &mut dyn Take) -> Result<(), StoreError>;

    /// Runs a statement that answers nothing.
    async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<(), StoreError> {
        self.each(sql, values, &mut |_: &dyn Line| Ok(())).await
    }

    /// Runs a statement that answers a number.
    async fn number(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Option<i64>, StoreError> {
        let mut number = None;
        self.each(sql, values, &mut |line: &dyn Line| {
            number = Some(line.number(0)?);
            Ok(())
        })
        .await?;
        Ok(number)
    }
}

/// A row of an answer, by number of column.
pub(super) trait Line {
    /// A text as it is.
    fn text(&self, column: usize) -> Result<&str, StoreError>;

    /// A number.
    fn number(&self, column: usize) -> Result<i64, StoreError>;

    /// A text that [`stored`] made.
    fn name(&self, column: usize) -> Result<String, StoreError> {
        self.text(column).map(text::read)
    }

    /// An identifier.
    fn id(&self, column: usize) -> Result<Uuid, StoreError> {
        let read = Uuid::try_parse(self.text(column)?);
        read.map_err(|_| StoreError::Corrupt("an identifier that is none".to_owned()))
    }
}

/// What a statement is given.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// A text without NUL: PostgreSQL has none with.
    Text(Cow<'a, str>),
    /// A number.
    Number(i64),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<Uuid> for Value<'_> {
    fn from(id: Uuid) -> Self {
        Self::Text(id.to_string().into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// A statement that is put together from parts, and its values.
#[derive(Debug, Default)]
pub(super) struct Statement<'a> {
    pub(super) sql: String,
    pub(super) values: Vec<Value<'a>>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// Adds words of the statement.
    pub(super) fn say(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a value, in the place where it stands.
    pub(super) fn value(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.values.push(value.into());
        self.sql.push('$');
        self.sql.push_str(&self.values.len().to_string());
        self
    }

    /// Adds a list: `($1, $2), ($3, $4)`.
    pub(super) fn list<const N: usize>(
        &mut self,
        rows: impl IntoIterator<Item = [Value<'a>; N]>,
    ) -> &mut Self {
        for (at, row) in rows.into_iter().enumerate() {
            self.say(if at == 0 { "(" } else { ", (" });
            for (at, value) in row.into_iter().enumerate() {
                self.say(if at == 0 { "" } else { ", " }).value(value);
            }
            self.say(")");
        }
        self
    }
}

/// The store.
pub(super) struct Sql<D: Database> {
    readers: Pool<D>,
    writer: mpsc::Sender<write::Job>,
    revision: changes::Receiver<Revision>,
}

impl<D: Database> Sql<D> {
    /// How many connections there are besides: to write, and to see what others wrote.
    pub(super) const OTHERS: usize = 2;

    /// Starts with a database that is prepared; `readers` is how many may read at once, on top of [`Self::OTHERS`]. Its
    /// tasks end with it.
    pub(super) async fn start(database: Arc<D>, readers: usize) -> Result<Self, StoreError> {
        let pool = |size| Pool::new(Arc::clone(&database), size);
        // Neither readers nor writers may keep it from seeing what others wrote.
        let watching = pool(1);
        let (sender, revision) = changes::channel(watch::last(&watching).await?);
        let sender = Arc::new(sender);
        let (writer, jobs) = mpsc::channel(write::WAITING);
        let readers = pool(readers);
        tokio::spawn(write::writer(pool(1), jobs, Arc::clone(&sender)));
        tokio::spawn(watch::watch(database, watching, sender));
        Ok(Self { readers, writer, revision })
    }
}

impl<D: Database> Debug for Sql<D> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").field("database", &D::NAME).finish_non_exhaustive()
    }
}
