//! The whole configuration: `/config` of a node without a database, and `/export` of any.
//!
//! Owns: the ways in which a document is sent, what is told of one that is wrong, and that one who changes it knows what
//! it was (`If-Match`). Must not know: how a document takes effect; the node does.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use postern_config::apply::hash;
use postern_model::field::Field;
use postern_model::{Kind, Severity, Violation};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::{Answered, Call, ok};
use super::decode::{self, Unreadable};
use super::error::Refusal;
use super::{flattened, shown};

/// `/config`
pub(crate) async fn config(call: &Call<'_>) -> Answered {
    if !call.admin.node().about().is_db_less {
        let message = "this endpoint is only available when Kong is configured to not use a database";
        return Err(Refusal::Bad(message.to_owned()));
    }
    match call.method {
        Method::POST => load(call).await,
        _ => {
            let document = call.admin.node().document().unwrap_or_default();
            let tag = hash(document.as_bytes());
            tagged(call, &tag, ok(json!({ "config": document }))?)
        }
    }
}

async fn load(call: &Call<'_>) -> Answered {
    let document = document(call)?;
    let _turn = call.admin.0.documents.lock().await;
    let current = call.admin.node().document().map(|document| hash(document.as_bytes()));
    if let Some(wanted) = call.headers.get(header::IF_MATCH) {
        let fits = wanted.to_str().is_ok_and(|wanted| {
            wanted == "*" || current.as_ref().is_some_and(|current| wanted.trim_matches('"') == current)
        });
        if !fits {
            return Err(Refusal::Stale(StatusCode::PRECONDITION_FAILED));
        }
    }
    let is_set = |name: &str| call.argument(name).is_some_and(|value| value != "0" && value != "false");
    if is_set("check_hash") && current == Some(hash(&document)) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    if let Err(violations) = call.admin.node().load(&document).await {
        return Err(Refusal::Document(refused(&violations, is_set("flatten_errors").then_some(&*document))));
    }
    let (_, rows) = call.admin.store().all().await?;
    let mut entities: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for kept in rows {
        let (id, kind) = (kept.row.id.to_string(), Kind::named(&kept.row.kind).ok_or(Refusal::Unexpected)?);
        let body = shown::as_of_now(call.admin, kind, kept.row.body);
        entities.entry(kept.row.kind).or_default().insert(id, body.into());
    }
    Ok((StatusCode::CREATED, Json(entities)).into_response())
}

/// The text of the document, whichever way it came.
fn document(call: &Call<'_>) -> Result<Vec<u8>, Refusal> {
    #[derive(Deserialize)]
    struct Wrapped {
        config: String,
    }
    const FIELDS: &[Field] = &[Field::string("config")];
    let essence = call.content_type().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        // A document is itself JSON, or a text inside.
        "application/json" => match serde_json::from_slice::<Wrapped>(&call.body) {
            Ok(Wrapped { config }) => Ok(config.into_bytes()),
            Err(error) if error.is_data() => Ok(call.body.to_vec()),
            Err(_) => Err(Unreadable::NotJson.into()),
        },
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Ok(call.body.to_vec()),
        "application/x-www-form-urlencoded" | "multipart/form-data" => {
            let mut fields = decode::fields(call.content_type(), &call.body, FIELDS)?;
            match fields.remove("config") {
                Some(Value::String(text)) => Ok(text.into_bytes()),
                _ => Err(Refusal::Bad("expected a declarative configuration".to_owned())),
            }
        }
        _ => Err(Unreadable::MediaType.into()),
    }
}

/// What is wrong with a document; by entity as well, if it is given.
fn refused(violations: &[Violation], document: Option<&[u8]>) -> Value {
    let errors = || violations.iter().filter(|violation| violation.severity == Severity::Error);
    // What concerns no entity has no place among those of entities, and is told in `fields` alone.
    let (of_entities, others): (Vec<_>, Vec<_>) =
        errors().partition(|violation| document.is_some() && flattened::concerns_entity(&violation.path));
    let told: Vec<String> = errors().take(100).map(ToString::to_string).collect();
    let mut fields = Map::new();
    for violation in others {
        let path = if violation.path.is_empty() { "@entity" } else { &violation.path };
        fields.insert(path.to_owned(), violation.message.clone().into());
    }
    let mut body = json!({
        "code": 14,
        "name": "invalid declarative configuration",
        "message": format!("declarative config is invalid: {}", told.join("; ")),
        "fields": fields,
    });
    if let Some(document) = document {
        body["flattened_errors"] = flattened::flattened(&of_entities, document);
    }
    body
}

/// `/export`: every entity as of one moment; those apart that cannot be read.
pub(crate) async fn export(call: &Call<'_>) -> Answered {
    let (revision, rows) = call.admin.store().all().await?;
    let mut entities: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for kept in rows.into_iter().filter(|kept| kept.unreadable.is_none()) {
        entities.entry(kept.row.kind).or_default().push(kept.row.body.into());
    }
    tagged(call, &revision.to_string(), ok(json!({ "revision": revision, "entities": entities }))?)
}

/// The answer with its tag; or that the client has it already.
fn tagged(call: &Call<'_>, tag: &str, response: Response) -> Answered {
    let tag = HeaderValue::try_from(format!("\"{tag}\"")).map_err(|_| Refusal::Unexpected)?;
    let mut response = match call.headers.get(header::IF_NONE_MATCH) {
        Some(known) if *known == tag => StatusCode::NOT_MODIFIED.into_response(),
        _ => response,
    };
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}
