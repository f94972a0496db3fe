//! Rows that are to be written → whether a node could load them.
//!
//! Owns: that the node makes each of them once before the store is told, off the threads that answer, and whose violation
//! it is. Must not know: how an entity is made; the node does.

use postern_config::store::{Row, Step};
use postern_model::{Kind, Violation};

use super::Admin;
use super::error::Refusal;

/// The same steps, once each row that they put was made and thrown away. The first row is what the client asked for; the
/// others come with it, and what is wrong with one of another kind is told at the field that has the name of its lists:
/// `snis`.
pub(crate) async fn steps(admin: &Admin, steps: Vec<Step>) -> Result<Vec<Step>, Refusal> {
    let _place = admin.0.preparing.acquire().await.map_err(|_| Refusal::Unexpected)?;
    let node = admin.clone();
    let prepared = tokio::task::spawn_blocking(move || match violations(&node, &steps) {
        none if none.is_empty() => Ok(steps),
        violations => Err(violations),
    });
    let prepared = prepared.await.map_err(|error| {
        tracing::error!(%error, "an entity could not be prepared");
        Refusal::Unexpected
    })?;
    prepared.map_err(Refusal::Schema)
}

/// The row that a step puts.
pub(crate) fn of_put(step: &Step) -> Option<&Row> {
    match step {
        Step::Put(row, _) => Some(row),
        Step::Delete { .. } => None,
    }
}

fn violations(admin: &Admin, steps: &[Step]) -> Vec<Violation> {
    let mut all = Vec::new();
    let mut rows = steps.iter().filter_map(of_put).peekable();
    let asked_for = rows.peek().map(|row| row.kind.clone()).unwrap_or_default();
    for row in rows {
        let Some(kind) = Kind::named(&row.kind) else { continue };
        let Err(mut violations) = admin.node().prepare(kind, row.id, &row.body) else { continue };
        if row.kind != asked_for {
            violations.iter_mut().for_each(|violation| violation.path.clone_from(&row.kind));
        }
        all.append(&mut violations);
    }
    all
}
