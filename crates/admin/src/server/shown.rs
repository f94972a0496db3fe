//! Rows → entities as answers show them.
//!
//! Owns: what is added (the server names of a certificate) and what is hidden (fields that only one flavour of the router
//! has). Must not know: how answers are sent.

use std::collections::HashMap;

use postern_config::store::Row;
use postern_model::Kind;
use serde_json::Value;

use super::error::Refusal;
use super::{About, Admin, snis};

/// Entities as they are shown.
pub(crate) async fn entities(admin: &Admin, kind: Kind, rows: Vec<Row>) -> Result<Vec<Value>, Refusal> {
    let mut names = match (kind.collection(), rows.as_slice()) {
        ("certificates", [one]) => snis::of(admin, Some(one.id)).await?,
        ("certificates", [_, ..]) => snis::of(admin, None).await?,
        _ => HashMap::new(),
    };
    let hidden = hidden_fields(kind, &admin.node().about());
    let show = |row: Row| {
        let mut body = row.body;
        hidden.iter().for_each(|field| {
            body.remove(*field);
        });
        if kind.collection() == "certificates" {
            let mut names: Vec<String> =
                names.remove(&row.id).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
            names.sort();
            body.insert("snis".to_owned(), names.into());
        }
        Value::Object(body)
    };
    Ok(rows.into_iter().map(show).collect())
}

/// Fields that are not shown: decK would send a priority along with every route.
pub(crate) fn hidden_fields(kind: Kind, about: &About) -> &'static [&'static str] {
    match kind.collection() {
        "routes" if about.router_flavor != "expressions" => &["expression", "priority"],
        _ => &[],
    }
}
