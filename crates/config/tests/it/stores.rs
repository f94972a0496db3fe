//! Where the tests get their stores from: a new one of each kind, which can be opened as often as one likes.
//!
//! One PostgreSQL serves all tests of the binary, each with a database of its own. It ends with the thread that started it,
//! and that ends with the process.

use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use postern_config::store::memory::Memory;
use postern_config::store::postgres::{Login, PostgresOptions};
use postern_config::store::{Store, migrations, postgres, sqlite};
use postern_conformance::Postgres;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tempfile::TempDir;

/// What is promised to take a second at most. The rest of it is for a machine that does other things as well.
pub(crate) const A_SECOND: Duration = Duration::from_secs(4);

/// A place for rows.
pub(crate) enum Stores {
    Memory(Arc<Memory>),
    Sqlite(TempDir),
    Postgres(PostgresOptions),
}

impl Stores {
    pub(crate) async fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    pub(crate) async fn sqlite() -> Self {
        Self::Sqlite(TempDir::new().expect("a temporary directory"))
    }

    pub(crate) async fn postgres() -> Self {
        let options = options(server().await).await;
        migrations::up(&options).await.expect("an empty database takes all migrations");
        Self::Postgres(options)
    }

    /// Runs a statement past the store.
    pub(crate) async fn sql(&self, sql: &str) {
        match self {
            Self::Memory(_) => panic!("there is no way past this one"),
            Self::Sqlite(directory) => {
                let options = SqliteConnectOptions::new().filename(directory.path().join(sqlite::FILE));
                let mut connection = options.connect().await.expect("the file is there");
                connection.execute(sql).await.expect("it is a statement");
            }
            Self::Postgres(options) => drop(server().await.sql(&options.database, sql).await),
        }
    }

    /// The store, once more: as another process or another node would open it, where there can be one.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(memory) => memory.clone(),
            Self::Sqlite(directory) => sqlite::open(directory.path()).await.expect("a file"),
            Self::Postgres(options) => postgres::open(options.clone()).await.expect("a database"),
        }
    }
}

/// The server that all tests share.
pub(crate) async fn server() -> &'static Postgres {
    static SERVER: OnceLock<Arc<Postgres>> = OnceLock::new();
    tokio::task::block_in_place(|| {
        SERVER.get_or_init(|| {
            let (sender, started) = mpsc::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let server = Arc::new(Postgres::start().await);
                    let _ = sender.send(Arc::clone(&server));
                    std::future::pending::<()>().await;
                });
            });
            started.recv().expect("the server has started")
        })
    })
}

/// The way to a new database, which has no tables.
pub(crate) async fn options(server: &Postgres) -> PostgresOptions {
    let database = server.database().await;
    let login = Login { user: Postgres::USER.to_owned(), password: Some(Postgres::PASSWORD.into()) };
    PostgresOptions { port: server.port(), ..PostgresOptions::new(&database, Arc::new(login)) }
}
