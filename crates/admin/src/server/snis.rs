//! The server names of certificates: rows of their own, which a certificate may bring along and shows as its `snis`.
//!
//! Owns: taking them out of a certificate's body, the steps that write them, looking them up. Must not know: how steps are
//! written.

use std::collections::HashMap;

use postern_config::store::{Expect, Filter, Key, Row, Select, Step};
use postern_model::{Kind, Violation};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Admin;
use super::error::Refusal;
use super::page::SIZE_MAX;

/// The server names that a body gives a certificate, taken out of it.
pub(crate) fn take(kind: Kind, body: &mut Map<String, Value>) -> Result<Option<Vec<String>>, Refusal> {
    if kind.collection() != "certificates" {
        return Ok(None);
    }
    let wrong = |message: String| Refusal::Schema(vec![Violation::error("snis", None, message)]);
    let names = match body.remove("snis") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(names)) => names,
        Some(_) => return Err(wrong("expected an array".to_owned())),
    };
    let mut seen = Vec::with_capacity(names.len());
    for name in names {
        let Value::String(name) = name else { return Err(wrong("expected a string".to_owned())) };
        if seen.contains(&name) {
            return Err(wrong(format!("{name} is duplicated")));
        }
        if seen.len() >= SIZE_MAX {
            return Err(wrong(format!("more than {SIZE_MAX}")));
        }
        seen.push(name);
    }
    Ok(Some(seen))
}

/// The steps by which a certificate has these server names and no others.
pub(crate) async fn steps(
    admin: &Admin,
    certificate: Uuid,
    names: &[String],
    now: i64,
) -> Result<Vec<Step>, Refusal> {
    let mut there = of(admin, Some(certificate)).await?.remove(&certificate).unwrap_or_default();
    let mut steps = Vec::new();
    for name in names {
        if let Some(at) = there.iter().position(|(known, _)| known == name) {
            there.swap_remove(at);
            continue;
        }
        if let Some(other) =
            admin.store().find("snis", &Key::of("snis", &["name"], &[name.as_str().into()])).await?
        {
            let holder = other.row.body.get("certificate").and_then(|other| other.get("id")?.as_str());
            let message = format!(
                "{name} already associated with existing certificate '{}'",
                holder.unwrap_or_default()
            );
            return Err(Refusal::Schema(vec![Violation::error("snis", None, message)]));
        }
        steps.push(Step::Put(row(certificate, name, now)?, Expect::Absent));
    }
    // Gone first, so that nothing is in the way of what comes.
    let gone = there.into_iter().map(|(_, id)| Step::Delete { kind: "snis".to_owned(), id });
    Ok(gone.chain(steps).collect())
}

/// A server name of a certificate, checked.
pub(crate) fn row(certificate: Uuid, name: &str, now: i64) -> Result<Row, Refusal> {
    let id = Uuid::new_v4();
    let body = json!({
        "id": id, "name": name, "certificate": { "id": certificate }, "created_at": now, "updated_at": now,
    });
    let Some(kind) = Kind::named("snis") else { return Err(Refusal::Unexpected) };
    let checked =
        kind.check(body.as_object().unwrap_or(&Map::new()), &Vec::new()).map_err(|mut violations| {
            for violation in &mut violations {
                violation.path = "snis".to_owned();
            }
            Refusal::Schema(violations)
        })?;
    Ok(Row::of(kind, id, checked.body))
}

/// Names and identifiers of server names, by certificate: of one, or of all.
pub(crate) async fn of(
    admin: &Admin,
    certificate: Option<Uuid>,
) -> Result<HashMap<Uuid, Vec<(String, Uuid)>>, Refusal> {
    let filter = certificate.map(|id| Filter::RefersTo { field: "certificate".to_owned(), id });
    let mut select = Select { kind: "snis".to_owned(), after: None, size: SIZE_MAX, filter, tags: None };
    let mut found: HashMap<Uuid, Vec<(String, Uuid)>> = HashMap::new();
    loop {
        let page = admin.store().page(&select).await?;
        select.after = page.rows.last().map(|kept| kept.row.id);
        for kept in page.rows {
            let Some(reference) = kept.row.references.first() else { continue };
            let name = kept.row.body.get("name").and_then(Value::as_str).unwrap_or_default();
            found.entry(reference.id).or_default().push((name.to_owned(), kept.row.id));
        }
        if !page.more {
            return Ok(found);
        }
    }
}
