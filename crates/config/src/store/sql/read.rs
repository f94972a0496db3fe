//! Reading rows and changes.
//!
//! Owns: these statements. What needs more than one sees one moment. Must not know: what is being written.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::super::{
    BATCH, Body, Change, Changes, Filter, Kept, Key, Page, Revision, Select, Sink, Store, StoreError, Tags,
    Unreadable, Write, Written, rules,
};
use super::text::{self, ROW, digest, kept};
use super::watch::LAST;
use super::write::Job;
use super::{Connection, Database, Line, Sql, Statement, Take, Value, stored};

const CHANGE: &str = "SELECT revision, kind, id, deleted, made_at, made_by FROM postern_changes";

#[async_trait]
impl<D: Database> Store for Sql<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    async fn get(&self, kind: &str, id: Uuid) -> Result<Option<Kept>, StoreError> {
        let mut statement = Statement::new(ROW);
        statement.say(" WHERE kind = ").value(stored(kind)).say(" AND id = ").value(id);
        Ok(self.rows(&statement).await?.pop())
    }

    async fn find(&self, kind: &str, key: &Key) -> Result<Option<Kept>, StoreError> {
        let filter = Some(Filter::Key(key.clone()));
        let select = Select { kind: kind.to_owned(), after: None, size: 1, filter, tags: None };
        Ok(self.page(&select).await?.rows.pop())
    }

    async fn page(&self, select: &Select) -> Result<Page, StoreError> {
        let mut rows = self.rows(&paging(select)).await?;
        let more = rows.len() > select.size;
        rows.truncate(select.size);
        Ok(Page { rows, more })
    }

    async fn all(&self) -> Result<(Revision, Vec<Kept>), StoreError> {
        let mut connection = self.readers.lease().await?;
        connection.run(D::BEGIN_READ).await?;
        let revision = connection.number(LAST, &[]).await?.unwrap_or(0);
        let mut statement = Statement::new(ROW);
        statement.say(" ORDER BY kind, id");
        let rows = rows(&mut *connection, &statement).await?;
        connection.run("COMMIT").await?;
        connection.done();
        Ok((revision, rows))
    }

    async fn bodies(&self, sink: &mut dyn Sink) -> Result<Revision, StoreError> {
        const BODY: &str = "SELECT kind, id, body FROM postern_rows ORDER BY kind, id";
        let mut connection = self.readers.lease().await?;
        connection.run(D::BEGIN_READ).await?;
        let revision = connection.number(LAST, &[]).await?.unwrap_or(0);
        let mut handing = Handing { sink, batch: Vec::with_capacity(BATCH), unreadable: BTreeMap::new() };
        connection.each(BODY, &[], &mut handing).await?;
        handing.pause().await?;
        let Handing { sink, unreadable, .. } = handing;
        hand_out_unreadable(&mut *connection, sink, unreadable).await?;
        connection.run("COMMIT").await?;
        connection.done();
        Ok(revision)
    }

    async fn since(&self, revision: Revision) -> Result<Option<Changes>, StoreError> {
        let mut connection = self.readers.lease().await?;
        connection.run(D::BEGIN_READ).await?;
        let changes = since(&mut *connection, revision).await?;
        connection.run("COMMIT").await?;
        connection.done();
        Ok(changes)
    }

    async fn changed(&self, revision: Revision) {
        let mut current = self.revision.clone();
        if current.wait_for(|current| *current != revision).await.is_err() {
            // The task that tells is gone with its runtime: nobody can be told of anything.
            std::future::pending::<()>().await;
        }
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let (reply, written) = oneshot::channel();
        let gone = || StoreError::Unavailable("the writer has ended".to_owned());
        self.writer.send(Job { write, reply }).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }

    async fn history(&self, size: usize) -> Result<Vec<Change>, StoreError> {
        let mut statement = Statement::new(CHANGE);
        statement.say(" ORDER BY revision DESC LIMIT ").value(limit(size));
        let mut connection = self.readers.lease().await?;
        let changes = changes(&mut *connection, &statement).await?;
        connection.done();
        Ok(changes)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.get("", Uuid::nil()).await.map(drop)
    }
}

impl<D: Database> Sql<D> {
    async fn rows(&self, statement: &Statement<'_>) -> Result<Vec<Kept>, StoreError> {
        let mut connection = self.readers.lease().await?;
        let rows = rows(&mut *connection, statement).await?;
        connection.done();
        Ok(rows)
    }
}

/// Bodies on their way out.
struct Handing<'s> {
    sink: &'s mut dyn Sink,
    batch: Vec<Body>,
    /// Those for which other tables are to be asked.
    unreadable: BTreeMap<(String, Uuid), String>,
}

#[async_trait]
impl Take for Handing<'_> {
    fn line(&mut self, line: &dyn Line) -> Result<(), StoreError> {
        let kind = line.name(0).unwrap_or_else(|_| "(unreadable)".to_owned());
        let (id, json) = match text::id_or_made(line, 1) {
            Err(id) => (id, Err(Unreadable { reason: "its identifier is no UUID".to_owned(), rest: None })),
            Ok(id) => match text::body(line, 2) {
                Ok(json) => (id, Ok(json)),
                Err(reason) => {
                    self.unreadable.insert((kind, id), reason);
                    return Ok(());
                }
            },
        };
        self.batch.push(Body { kind, id, json });
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.batch.len() >= BATCH
    }

    async fn pause(&mut self) -> Result<(), StoreError> {
        match self.batch.is_empty() {
            true => Ok(()),
            false => self.sink.take(std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH))).await,
        }
    }
}

/// Those whose bodies cannot be read, with what is known of them otherwise.
async fn hand_out_unreadable(
    connection: &mut impl Connection,
    sink: &mut dyn Sink,
    mut unreadable: BTreeMap<(String, Uuid), String>,
) -> Result<(), StoreError> {
    while !unreadable.is_empty() {
        let mut some = BTreeMap::new();
        while some.len() < BATCH
            && let Some((place, reason)) = unreadable.pop_first()
        {
            some.insert(place, reason);
        }
        let mut statement = Statement::new(ROW);
        let places = some.keys().map(|(kind, id)| [stored(kind), (*id).into()]);
        statement.say(" WHERE (kind, id) IN (VALUES ").list(places).say(")");
        let kept = rows(connection, &statement).await?;
        let mut bodies = Vec::with_capacity(some.len());
        for kept in kept {
            some.remove(&(kept.row.kind.clone(), kept.row.id));
            bodies.push(Body::from(kept));
        }
        // An identifier may be written otherwise than we write it.
        let others = some.iter().map(|((kind, id), reason)| {
            let json = Err(Unreadable { reason: reason.clone(), rest: None });
            Body { kind: kind.clone(), id: *id, json }
        });
        bodies.extend(others);
        sink.take(bodies).await?;
    }
    Ok(())
}

/// What changed since, as of the moment that a transaction sees.
async fn since(connection: &mut impl Connection, revision: Revision) -> Result<Option<Changes>, StoreError> {
    const FIRST: &str = "SELECT coalesce(min(revision), 1) FROM postern_changes";
    let last = connection.number(LAST, &[]).await?.unwrap_or(0);
    let first = connection.number(FIRST, &[]).await?.unwrap_or(1);
    if !(first - 1..=last).contains(&revision) {
        return Ok(None);
    }
    let mut statement = Statement::new(CHANGE);
    statement.say(" WHERE revision > ").value(revision).say(" ORDER BY revision");
    let changes = rules::last_of_each(changes(connection, &statement).await?);
    let mut statement = Statement::new(ROW);
    statement.say(" WHERE version > ").value(revision).say(" ORDER BY version");
    Ok(Some(Changes { revision: last, changes, rows: rows(connection, &statement).await? }))
}

/// One more than is wanted tells whether there are more.
fn paging(select: &Select) -> Statement<'_> {
    let mut statement = Statement::new(ROW);
    // An identifier that is none cannot be gone on behind.
    statement.say(" WHERE length(id) = 36 AND kind = ").value(stored(&select.kind));
    if let Some(after) = select.after {
        statement.say(" AND id > ").value(after);
    }
    match &select.filter {
        None => {}
        Some(Filter::RefersTo { field, id }) => {
            statement.say(" AND id IN (SELECT id FROM postern_references WHERE kind = ");
            statement.value(stored(&select.kind)).say(" AND field = ").value(stored(field));
            statement.say(" AND to_id = ").value(*id).say(")");
        }
        Some(Filter::Key(key)) => {
            let [field, digest] = text::key(key);
            statement.say(" AND id = (SELECT id FROM postern_keys WHERE kind = ").value(stored(&select.kind));
            statement.say(" AND field = ").value(field).say(" AND digest = ").value(digest).say(")");
        }
    }
    if let Some(tags) = &select.tags {
        tagged(&mut statement, &select.kind, tags);
    }
    statement.say(" ORDER BY id LIMIT ").value(limit(select.size.saturating_add(1)));
    statement
}

fn tagged<'s>(statement: &mut Statement<'s>, kind: &'s str, tags: &Tags) {
    let (Tags::All(names) | Tags::Any(names)) = tags;
    let mut names: Vec<_> = names.iter().collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        // Every row has all of none, and no row has any of none.
        statement.say(if let Tags::All(_) = tags { "" } else { " AND 1 = 0" });
        return;
    }
    statement.say(" AND id IN (SELECT id FROM postern_tags WHERE kind = ").value(stored(kind));
    statement.say(" AND digest IN (VALUES ").list(names.iter().map(|name| [digest(name)])).say(")");
    if let Tags::All(_) = tags {
        statement.say(" GROUP BY id HAVING count(*) = ").value(limit(names.len()));
    }
    statement.say(")");
}

async fn rows(connection: &mut impl Connection, statement: &Statement<'_>) -> Result<Vec<Kept>, StoreError> {
    let mut rows = Vec::new();
    let take = &mut |line: &dyn Line| {
        rows.extend(kept(line));
        Ok(())
    };
    connection.each(&statement.sql, &statement.values, take).await?;
    Ok(rows)
}

async fn changes(
    connection: &mut impl Connection,
    statement: &Statement<'_>,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    let take = &mut |line: &dyn Line| {
        // What nobody could have noted concerns no row.
        changes.extend(change(line).ok());
        Ok(())
    };
    connection.each(&statement.sql, &statement.values, take).await?;
    Ok(changes)
}

fn change(line: &dyn Line) -> Result<Change, StoreError> {
    Ok(Change {
        revision: line.number(0)?,
        kind: line.name(1)?,
        id: line.id(2)?,
        deleted: line.number(3)? != 0,
        at: line.number(4)?,
        by: line.name(5)?,
    })
}

fn limit(size: usize) -> Value<'static> {
    Value::Number(i64::try_from(size).unwrap_or(i64::MAX))
}
