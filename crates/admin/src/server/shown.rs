//! Rows → entities as answers show them.
//!
//! Owns: what is added (the server names of a certificate, older names in the configuration of plugins), what is told of
//! now (the seconds that a key is still valid), and what is hidden (fields that only one flavour of the router has). Must
//! not know: how answers are sent.

use std::collections::HashMap;

use postern_config::store::Row;
use postern_model::Kind;
use serde_json::{Map, Value};

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
        let mut body = as_of_now(admin, kind, row.body);
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

/// The fields of an entity as of now: older names beside the newer ones, and a `ttl` that runs.
pub(crate) fn as_of_now(admin: &Admin, kind: Kind, mut body: Map<String, Value>) -> Map<String, Value> {
    if kind.is_plugin() {
        let schema =
            body.get("name").and_then(Value::as_str).and_then(|name| admin.node().plugins().schema(name));
        if let (Some(schema), Some(Value::Object(config))) = (schema, body.get_mut("config")) {
            schema.add_older_names(config);
        }
    }
    let number = |name: &str| body.get(name).and_then(Value::as_i64);
    if let (Some(ttl), Some(created)) = (number("ttl"), number("created_at"))
        && ttl > 0
        && kind.collection() == "keyauth_credentials"
    {
        let left = created.saturating_add(ttl).saturating_sub(admin.now()).max(0);
        body.insert("ttl".to_owned(), left.into());
    }
    body
}

/// Fields that are not shown: decK would send a priority along with every route.
pub(crate) fn hidden_fields(kind: Kind, about: &About) -> &'static [&'static str] {
    match kind.collection() {
        "routes" if about.router_flavor != "expressions" => &["expression", "priority"],
        _ => &[],
    }
}
