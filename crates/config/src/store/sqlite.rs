//! A store in a file.
//!
//! Owns: the file, and what makes it safe: only its owner may read it, and what was promised survives the loss of power.
//! Must not know: tables. Several processes may use the file at once.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor, Row as _, Sqlite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::sql::{Connection, Database, Line, Sql, Take, Value, unavailable};
use super::{OpenError, Store, StoreError, migrations};

/// The file, in the directory that is given.
pub const FILE: &str = "postern.db";

/// For how long another process may keep us from writing.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many may read at once. Each has a thread.
const READERS: usize = 4;

/// Opens `postern.db` in a directory. Makes it if there is none, and brings its tables up to date.
///
/// # Errors
/// When the file cannot be made, opened, or read, or a newer version has changed it.
pub async fn open(directory: &Path) -> Result<Arc<dyn Store>, OpenError> {
    let file = File { path: directory.join(FILE) };
    file.create().map_err(|source| OpenError::File { path: file.path.clone(), source })?;
    let mut connection = file.prepare().await?;
    migrations::run::<File>(&mut connection, migrations::SQLITE).await?;
    Ok(Arc::new(Sql::start(Arc::new(file), READERS).await?))
}

struct File {
    path: PathBuf,
}

impl File {
    /// SQLite would let others read what it makes; the files beside it get the mode of this one.
    fn create(&self) -> io::Result<()> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path).map(drop)
    }

    /// The first connection of this process. Readers beside a writer are a property of the file; two processes that say so
    /// at once do not wait for each other, so the slower one tries again.
    async fn prepare(&self) -> Result<SqliteConnection, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.options().journal_mode(SqliteJournalMode::Wal).connect().await {
                Err(error) if busy(&error) && Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await
                }
                other => return other.map_err(|error| unavailable(&error)),
            }
        }
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .disable_statement_logging()
    }
}

#[async_trait]
impl Database for File {
    type Connection = SqliteConnection;

    const NAME: &'static str = "sqlite";
    const BEGIN_WRITE: &'static str = "BEGIN IMMEDIATE";
    const BEGIN_READ: &'static str = "BEGIN";
    const COMMIT: &'static str = "COMMIT";
    const PREPARED: &'static str =
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'postern_migrations'";
    const POLL: Duration = Duration::from_millis(250);

    fn patience(&self) -> Duration {
        PATIENCE
    }

    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        self.options().connect().await.map_err(|error| unavailable(&error))
    }

    async fn listen(&self, _: &Notify) {
        std::future::pending().await
    }
}

#[async_trait]
impl Connection for SqliteConnection {
    async fn alive(&mut self) -> bool {
        self.ping().await.is_ok()
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        Executor::execute(self, sqlx::raw_sql(sql)).await.map(drop).map_err(|error| unavailable(&error))
    }

    async fn each(&mut self, sql: &str, values: &[Value<'_>], take: &mut dyn Take) -> Result<(), StoreError> {
        let query = values.iter().fold(sqlx::query::<Sqlite>(sql), |query, value| match value {
            Value::Text(text) => query.bind(text.as_ref()),
            Value::Number(number) => query.bind(*number),
        });
        let mut rows = query.fetch(self);
        while let Some(row) = rows.try_next().await.map_err(|error| unavailable(&error))? {
            take.line(&row)?;
            if take.is_full() {
                take.pause().await?;
            }
        }
        Ok(())
    }
}

impl Line for SqliteRow {
    fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.try_get(column).map_err(|error| unavailable(&error))
    }

    fn number(&self, column: usize) -> Result<i64, StoreError> {
        self.try_get(column).map_err(|error| unavailable(&error))
    }
}

fn busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, in the low byte of all its kinds.
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}
