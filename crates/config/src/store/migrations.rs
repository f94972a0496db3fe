//! The tables of a database, and how they came to be as they are.
//!
//! Owns: the list of migrations, and which of them a database has. SQLite's run when a file is opened; PostgreSQL's run
//! when a person says so, because other nodes may be at work. Must not know: what is in the tables.

use super::postgres::{PostgresOptions, Server};
use super::sql::{Connection, Database, stored};
use super::{OpenError, StoreError, rules};

/// A change to the tables.
pub(super) struct Step {
    name: &'static str,
    sql: &'static str,
}

pub(super) const SQLITE: &[Step] =
    &[Step { name: "0001_rows", sql: include_str!("../../migrations/sqlite/0001_rows.sql") }];

pub(super) const POSTGRES: &[Step] =
    &[Step { name: "0001_rows", sql: include_str!("../../migrations/postgres/0001_rows.sql") }];

/// A migration, and whether a database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its name; they are in the order of their names.
    pub name: String,
    /// When it ran: seconds since 1970. `None` if it has not.
    pub ran: Option<i64>,
}

/// Which migrations a PostgreSQL database has, and which it lacks. Those that a newer version made are among them.
///
/// # Errors
/// When the database cannot be used.
pub async fn list(options: &PostgresOptions) -> Result<Vec<Migration>, OpenError> {
    let mut connection = Server::new(options.clone()).connect().await?;
    let ran = ran::<Server>(&mut connection).await?;
    let known = POSTGRES.iter().map(|step| Migration { name: step.name.to_owned(), ran: None });
    let lacking = known.filter(|one| ran.iter().all(|other| other.name != one.name));
    let mut all: Vec<_> = lacking.chain(ran.iter().cloned()).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Runs the migrations that a PostgreSQL database lacks, all or none; their names. Several nodes may do so at once.
///
/// # Errors
/// When the database cannot be used, or a newer version has changed it.
pub async fn up(options: &PostgresOptions) -> Result<Vec<String>, OpenError> {
    let mut connection = Server::new(options.clone()).connect().await?;
    run::<Server>(&mut connection, POSTGRES).await
}

/// That nothing is lacking.
pub(super) async fn check<D: Database>(
    connection: &mut D::Connection,
    steps: &[Step],
) -> Result<(), OpenError> {
    let missing = missing(&ran::<D>(connection).await?, steps)?;
    match missing.is_empty() {
        true => Ok(()),
        false => {
            Err(OpenError::Migrations { missing: missing.iter().map(|step| step.name.to_owned()).collect() })
        }
    }
}

/// Runs what is lacking, beside nobody else.
pub(super) async fn run<D: Database>(
    connection: &mut D::Connection,
    steps: &[Step],
) -> Result<Vec<String>, OpenError> {
    const TABLE: &str =
        "CREATE TABLE IF NOT EXISTS postern_migrations (name TEXT NOT NULL PRIMARY KEY, ran BIGINT NOT NULL)";
    // Who has nothing to do keeps nobody from writing.
    if missing(&ran::<D>(connection).await?, steps)?.is_empty() {
        return Ok(Vec::new());
    }
    connection.run(D::BEGIN_WRITE).await?;
    let missing = missing(&ran::<D>(connection).await?, steps)?;
    connection.run(TABLE).await?;
    for step in &missing {
        connection.run(step.sql).await?;
        let ran = [stored(step.name), rules::now().into()];
        connection.execute("INSERT INTO postern_migrations (name, ran) VALUES ($1, $2)", &ran).await?;
    }
    connection.run("COMMIT").await?;
    Ok(missing.iter().map(|step| step.name.to_owned()).collect())
}

async fn ran<D: Database>(connection: &mut D::Connection) -> Result<Vec<Migration>, StoreError> {
    let mut all = Vec::new();
    if connection.number(D::PREPARED, &[]).await?.is_none() {
        return Ok(all);
    }
    let take = &mut |line: &dyn super::sql::Line| {
        all.push(Migration { name: line.name(0)?, ran: Some(line.number(1)?) });
        Ok(())
    };
    connection.each("SELECT name, ran FROM postern_migrations ORDER BY name", &[], take).await?;
    Ok(all)
}

fn missing<'s>(ran: &[Migration], steps: &'s [Step]) -> Result<Vec<&'s Step>, OpenError> {
    let unknown = ran.iter().filter(|one| steps.iter().all(|step| step.name != one.name));
    let unknown: Vec<_> = unknown.map(|one| one.name.clone()).collect();
    if !unknown.is_empty() {
        return Err(OpenError::Newer { unknown });
    }
    Ok(steps.iter().filter(|step| ran.iter().all(|one| one.name != step.name)).collect())
}
