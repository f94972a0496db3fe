//! What a writer says to the tables.
//!
//! Owns: these statements, few for each row, because each is a way to the database and back. Must not know: the rules that
//! they serve, nor transactions.

use std::collections::HashSet;

use async_trait::async_trait;

use super::super::rules::{Facts, Links, Place, Referrer, Transaction};
use super::super::{Change, Kept, OnDelete, Row, StoreError};
use super::text::{digest, json, key, links, version};
use super::{Connection, Statement, Value, stored};

/// How many rows one statement names: SQLite allows 32,766 values, PostgreSQL 65,535.
const AT_ONCE: usize = 1000;

/// The tables behind a connection that is in a transaction.
pub(super) struct Tables<'c, C>(pub(super) &'c mut C);

impl<C: Connection> Tables<'_, C> {
    async fn say(&mut self, statement: &Statement<'_>) -> Result<(), StoreError> {
        self.0.execute(&statement.sql, &statement.values).await
    }

    /// Adds rows to a table; `into` names it and its columns.
    async fn insert<'v, const N: usize>(
        &mut self,
        into: &str,
        rows: Vec<[Value<'v>; N]>,
        on_conflict: &str,
    ) -> Result<(), StoreError> {
        for rows in rows.chunks(AT_ONCE) {
            let mut statement = Statement::new("INSERT INTO ");
            statement.say(into).say(" VALUES ").list(rows.iter().cloned()).say(on_conflict);
            self.say(&statement).await?;
        }
        Ok(())
    }

    /// Removes what a table has of these.
    async fn delete(&mut self, table: &str, places: &[Place]) -> Result<(), StoreError> {
        for places in places.chunks(AT_ONCE) {
            let mut statement = Statement::new("DELETE FROM ");
            statement.say(table).say(" WHERE (kind, id) IN (VALUES ").list(places.iter().map(place)).say(")");
            self.say(&statement).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl<C: Connection> Transaction for Tables<'_, C> {
    async fn facts(&mut self, row: &Row) -> Result<Facts, StoreError> {
        let mut facts = Facts::default();
        let mut present = vec![false; row.references.len()];
        let statement = asking(row);
        let take = &mut |line: &dyn super::Line| {
            let which = usize::try_from(line.number(1)?).unwrap_or(usize::MAX);
            match line.number(0)? {
                // A row that was broken past us can be put right again.
                OLD => facts.old = Some((version(line, 1), links(line, 2))),
                HOLDER => facts.holders.extend(row.keys.get(which).cloned().zip(Some(line.id(2)?))),
                _ => present.get_mut(which).into_iter().for_each(|present| *present = true),
            }
            Ok(())
        };
        self.0.each(&statement.sql, &statement.values, take).await?;
        let named = row.references.iter().zip(present);
        facts.missing =
            named.filter(|(_, present)| !present).map(|(reference, _)| reference.clone()).collect();
        Ok(facts)
    }

    async fn put(&mut self, kept: &Kept, facts: &Facts) -> Result<(), StoreError> {
        const REPLACE: &str = " ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, \
                               body = excluded.body, links = excluded.links";
        let row = &kept.row;
        let (kind, id) = (stored(&row.kind), Value::from(row.id));
        let links =
            Links { keys: row.keys.clone(), references: row.references.clone(), tags: row.tags.clone() };
        let line = [kind.clone(), id.clone(), kept.version.into(), json(&row.body)?, json(&links)?];
        self.insert("postern_rows (kind, id, version, body, links)", vec![line], REPLACE).await?;
        let is_new = facts.old.is_none();
        let old = facts.old.as_ref().and_then(|(_, links)| links.as_ref());
        let itself = [(row.kind.clone(), row.id)];

        if old.is_none_or(|old| old.keys != links.keys) {
            if !is_new {
                self.delete("postern_keys", &itself).await?;
            }
            // A row may say a key twice. That no other has it was made sure of, and is by the table again.
            let keys = links.keys.iter().collect::<HashSet<_>>().into_iter().map(|one| {
                let [field, digest] = key(one);
                [kind.clone(), field, digest, id.clone()]
            });
            self.insert("postern_keys (kind, field, digest, id)", keys.collect(), "").await?;
        }
        if old.is_none_or(|old| old.references != links.references) {
            if !is_new {
                self.delete("postern_references", &itself).await?;
            }
            let references = links.references.iter().map(|to| {
                let cascades = i64::from(to.on_delete == OnDelete::Cascade).into();
                [kind.clone(), id.clone(), stored(&to.field), stored(&to.kind), to.id.into(), cascades]
            });
            let into = "postern_references (kind, id, field, to_kind, to_id, cascades)";
            self.insert(into, references.collect(), "").await?;
        }
        if old.is_none_or(|old| old.tags != links.tags) {
            if !is_new {
                self.delete("postern_tags", &itself).await?;
            }
            let tags = links.tags.iter().map(|tag| [kind.clone(), digest(tag), id.clone()]).collect();
            self.insert("postern_tags (kind, digest, id)", tags, " ON CONFLICT DO NOTHING").await?;
        }
        Ok(())
    }

    async fn contains(&mut self, (kind, id): &Place) -> Result<bool, StoreError> {
        const ANY: &str = "SELECT count(*) FROM postern_rows WHERE kind = $1 AND id = $2";
        Ok(self.0.number(ANY, &[stored(kind), (*id).into()]).await?.is_some_and(|count| count > 0))
    }

    async fn referrers(&mut self, places: &[Place]) -> Result<Vec<Referrer>, StoreError> {
        let mut referrers = Vec::new();
        for places in places.chunks(AT_ONCE) {
            let mut statement =
                Statement::new("SELECT kind, id, to_kind, to_id, cascades FROM postern_references");
            statement.say(" WHERE (to_kind, to_id) IN (VALUES ").list(places.iter().map(place)).say(")");
            let take = &mut |line: &dyn super::Line| {
                referrers.push(Referrer {
                    place: (line.name(0)?, line.id(1)?),
                    to: (line.name(2)?, line.id(3)?),
                    on_delete: if line.number(4)? == 0 { OnDelete::Restrict } else { OnDelete::Cascade },
                });
                Ok(())
            };
            self.0.each(&statement.sql, &statement.values, take).await?;
        }
        Ok(referrers)
    }

    async fn remove(&mut self, places: &[Place]) -> Result<(), StoreError> {
        for table in ["postern_rows", "postern_keys", "postern_references", "postern_tags"] {
            self.delete(table, places).await?;
        }
        Ok(())
    }

    async fn note(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let lines = changes.iter().map(|change| {
            let deleted = i64::from(change.deleted);
            let (kind, by) = (stored(&change.kind), stored(&change.by));
            [change.revision.into(), kind, change.id.into(), deleted.into(), change.at.into(), by]
        });
        let into = "postern_changes (revision, kind, id, deleted, made_at, made_by)";
        self.insert(into, lines.collect(), "").await
    }
}

/// What a line of the answer to [`asking`] is about: the row itself, one of its keys, or a row that it names.
const OLD: i64 = 0;
const HOLDER: i64 = 1;
const NAMED: i64 = 2;

/// All that is to be known before a row is put, in one statement.
fn asking(row: &Row) -> Statement<'_> {
    let mut statement = Statement::new("SELECT ");
    statement.value(OLD).say(", version, links FROM postern_rows");
    statement.say(" WHERE kind = ").value(stored(&row.kind)).say(" AND id = ").value(row.id);
    for (number, one) in (0_i64..).zip(&row.keys) {
        let [field, digest] = key(one);
        statement
            .say(" UNION ALL SELECT ")
            .value(HOLDER)
            .say(", ")
            .value(number)
            .say(", id FROM postern_keys");
        statement.say(" WHERE kind = ").value(stored(&row.kind));
        statement.say(" AND field = ").value(field).say(" AND digest = ").value(digest);
    }
    for (number, to) in (0_i64..).zip(&row.references) {
        statement
            .say(" UNION ALL SELECT ")
            .value(NAMED)
            .say(", ")
            .value(number)
            .say(", id FROM postern_rows");
        statement.say(" WHERE kind = ").value(stored(&to.kind)).say(" AND id = ").value(to.id);
    }
    statement
}

fn place((kind, id): &Place) -> [Value<'_>; 2] {
    [stored(kind), (*id).into()]
}
