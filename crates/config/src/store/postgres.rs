//! A store in a PostgreSQL database, which several nodes may share.
//!
//! Owns: reaching the server, and giving up in time when it is not there. `postgres/options.rs` says where it is,
//! `postgres/listen.rs` hears of what other nodes write. Must not know: tables.

mod listen;
mod options;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Postgres, Row as _};
use tokio::sync::Notify;
use tokio::time::timeout;

pub use self::options::{Credentials, Login, PostgresOptions};
use super::sql::{Connection, Database, Line, Sql, Take, Value, unavailable};
use super::{OpenError, Store, StoreError, migrations};

/// How soon a kept connection has to show that it works.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// Opens the store in a database that is prepared.
///
/// # Errors
/// When it cannot be used, or lacks migrations: [`migrations::up`] runs them.
pub async fn open(options: PostgresOptions) -> Result<Arc<dyn Store>, OpenError> {
    // One more listens.
    let readers = options.connections.saturating_sub(Sql::<Server>::OTHERS + 1).max(1);
    let server = Server::new(options);
    let mut connection = server.connect().await?;
    migrations::check::<Server>(&mut connection, migrations::POSTGRES).await?;
    connection.utf8().await?;
    Ok(Arc::new(Sql::start(Arc::new(server), readers).await?))
}

pub(super) struct Server {
    options: PostgresOptions,
}

impl Server {
    pub(super) fn new(options: PostgresOptions) -> Self {
        Self { options }
    }

    /// A connection with what the credentials are now.
    async fn attempt(&self) -> Result<Result<Client, sqlx::Error>, StoreError> {
        let login = self.options.credentials.current().await?;
        let connected = self.options.connect(&login).connect().await;
        Ok(connected.map(|connection| Client { connection, limit: self.options.timeout, lost: false }))
    }

    async fn client(&self) -> Result<Client, StoreError> {
        let mut attempt = self.attempt().await?;
        if attempt.as_ref().is_err_and(refused) {
            self.options.credentials.refused().await;
            attempt = self.attempt().await?;
        }
        let mut client = attempt.map_err(|error| unavailable(&error))?;
        client.set_up(self.options.schema.as_deref()).await?;
        Ok(client)
    }
}

#[async_trait]
impl Database for Server {
    type Connection = Client;

    const NAME: &'static str = "postgres";
    // With READ COMMITTED each statement sees what was written before the lock was given, whatever the default is here.
    const BEGIN_WRITE: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
        SELECT pg_advisory_xact_lock(hashtext('postern'), hashtext(coalesce(current_schema(), '')))";
    const BEGIN_READ: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    const COMMIT: &'static str = "NOTIFY postern; COMMIT";
    // Not by `to_regclass`: it may answer from a cache of names that was filled before this transaction waited for its lock.
    const PREPARED: &'static str = "SELECT 1::bigint FROM pg_catalog.pg_class \
        WHERE relname = 'postern_migrations' AND pg_catalog.pg_table_is_visible(oid)";
    const POLL: Duration = Duration::from_millis(500);

    fn patience(&self) -> Duration {
        self.options.timeout
    }

    async fn connect(&self) -> Result<Client, StoreError> {
        timeout(self.options.timeout, self.client()).await.unwrap_or_else(|_| Err(late()))
    }

    async fn listen(&self, written: &Notify) {
        listen::listen(&self.options, written).await;
    }
}

/// A connection whose every wait has an end.
pub(super) struct Client {
    connection: PgConnection,
    limit: Duration,
    /// Something was cut off: what comes next on the wire is not the answer to what is asked next.
    lost: bool,
}

impl Client {
    /// How the server treats this connection.
    async fn set_up(&mut self, schema: Option<&str>) -> Result<(), StoreError> {
        const SCHEMA: &str = "SELECT set_config('search_path', format('%I', $1), false)";
        // A node that stands still must not keep others from writing, nor wait for them without end; and what is promised
        // is on disk, also where the database is set up otherwise.
        const LIMITS: &str = "SELECT set_config('lock_timeout', $1, false), \
            set_config('idle_in_transaction_session_timeout', $2, false), \
            set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'off' \
                       THEN 'on' ELSE current_setting('synchronous_commit') END, false)";
        let limit = |limit: Duration| Value::from(limit.as_millis().max(1).to_string());
        if let Some(schema) = schema {
            self.execute(SCHEMA, &[schema.to_owned().into()]).await?;
        }
        self.execute(LIMITS, &[limit(self.limit), limit(self.limit * 2)]).await
    }

    /// That every text can be kept.
    async fn utf8(&mut self) -> Result<(), OpenError> {
        let mut encoding = String::new();
        self.each("SELECT current_setting('server_encoding')", &[], &mut |line: &dyn Line| {
            encoding = line.text(0)?.to_owned();
            Ok(())
        })
        .await?;
        if encoding == "UTF8" { Ok(()) } else { Err(OpenError::Encoding(encoding)) }
    }

    /// What came of something, if it came in time.
    fn outcome<T>(
        lost: &mut bool,
        outcome: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, StoreError> {
        let outcome = outcome.map_err(|_| late());
        *lost |= !matches!(outcome, Ok(Ok(_) | Err(sqlx::Error::Database(_))));
        outcome?.map_err(|error| unavailable(&error))
    }
}

#[async_trait]
impl Connection for Client {
    async fn alive(&mut self) -> bool {
        let limit = self.limit.min(ALIVE_WITHIN);
        !self.lost && matches!(timeout(limit, self.connection.ping()).await, Ok(Ok(())))
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        if self.lost {
            return Err(late());
        }
        let outcome = timeout(self.limit, self.connection.execute(sqlx::raw_sql(sql))).await;
        Self::outcome(&mut self.lost, outcome).map(drop)
    }

    async fn each(&mut self, sql: &str, values: &[Value<'_>], take: &mut dyn Take) -> Result<(), StoreError> {
        if self.lost {
            return Err(late());
        }
        let query = values.iter().fold(sqlx::query::<Postgres>(sql), |query, value| match value {
            Value::Text(text) => query.bind(text.as_ref()),
            Value::Number(number) => query.bind(*number),
        });
        let mut rows = query.fetch(&mut self.connection);
        // Each row has the whole time: there may be many.
        while let Some(row) = Self::outcome(&mut self.lost, timeout(self.limit, rows.try_next()).await)? {
            take.line(&row)?;
            if take.is_full() {
                take.pause().await?;
            }
        }
        Ok(())
    }
}

impl Line for PgRow {
    fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.try_get(column).map_err(|error| unavailable(&error))
    }

    fn number(&self, column: usize) -> Result<i64, StoreError> {
        self.try_get(column).map_err(|error| unavailable(&error))
    }
}

/// Whether the server does not take who we say we are.
fn refused(error: &sqlx::Error) -> bool {
    const INVALID_AUTHORIZATION: [&str; 2] = ["28000", "28P01"];
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| INVALID_AUTHORIZATION.contains(&code.as_ref()))
}

fn late() -> StoreError {
    StoreError::Unavailable("it did not answer in time".to_owned())
}
