//! Hearing from the server that somebody has written.
//!
//! Owns: a connection that listens, made anew whenever it is lost. Must not know: what was written. It only makes things
//! quicker: whoever is told asks now and then by themselves.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::super::StoreError;
use super::super::sql::unavailable;
use super::late;
use super::options::PostgresOptions;

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// After so much silence it is asked whether anybody is there.
const SILENCE: Duration = Duration::from_secs(30);

/// Never returns.
pub(super) async fn listen(options: &PostgresOptions, written: &Notify) {
    loop {
        if let Err(error) = hear(options, written).await {
            tracing::debug!(%error, "the database does not say what others write; it is asked instead");
        }
        sleep(PAUSE).await;
    }
}

async fn hear(options: &PostgresOptions, written: &Notify) -> Result<(), StoreError> {
    let mut listener = timeout(options.timeout, connect(options)).await.unwrap_or_else(|_| Err(late()))?;
    loop {
        // What was written before we listened was not heard.
        written.notify_one();
        while let Ok(heard) = timeout(SILENCE, listener.try_recv()).await {
            match heard.map_err(|error| unavailable(&error))? {
                Some(_) => written.notify_one(),
                None => return Ok(()),
            }
        }
        let answer = timeout(options.timeout, sqlx::query("SELECT 1").execute(&mut listener)).await;
        answer.map_err(|_| late())?.map_err(|error| unavailable(&error))?;
    }
}

async fn connect(options: &PostgresOptions) -> Result<PgListener, StoreError> {
    let login = options.credentials.current().await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(options.timeout)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(options.connect(&login));
    let listener = PgListener::connect_with(&pool).await;
    // It makes no other connection, so it needs no password any longer.
    pool.set_connect_options(PgConnectOptions::new_without_pgpass());
    let mut listener = listener.map_err(|error| unavailable(&error))?;
    listener.eager_reconnect(false);
    listener.listen("postern").await.map_err(|error| unavailable(&error))?;
    Ok(listener)
}
