//! What a body says of other entities → their identifiers.
//!
//! Owns: the forms in which clients name another entity, and looking it up by its name. Must not know: whether the other
//! is there when it is named by its identifier; the store sees to that, in the same step in which the row is written.

use postern_config::store::Kept;
use postern_config::store::Key;
use postern_model::{Kind, Violation};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Admin;
use super::error::Refusal;

/// Leaves of what names another entity that by which it is found. Clients send along what else they know of it.
pub(crate) fn tidy(kind: Kind, body: &mut Map<String, Value>) {
    for refers in kind.refers().into_iter().filter(|refers| !refers.many) {
        let Some(Value::Object(other)) = body.get(refers.field) else { continue };
        let key = Kind::named(refers.to).and_then(Kind::endpoint_key);
        let given = |name: &str| other.get(name).filter(|value| !value.is_null());
        let found = [Some("id"), key].into_iter().flatten().find_map(|name| Some((name, given(name)?)));
        let tidied = match found {
            Some((name, value)) => json!({ name: value }),
            // `{"id": null}` binds it to nothing.
            None if other.contains_key("id") => Value::Null,
            None => continue,
        };
        body.insert(refers.field.to_owned(), tidied);
    }
}

/// Puts identifiers wherever a checked body refers to others. Without an `admin` names are not looked up; an identifier that
/// no entity has stands for each.
pub(crate) async fn resolve(
    admin: Option<&Admin>,
    kind: Kind,
    body: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    for refers in kind.refers() {
        let Some(value) = body.get_mut(refers.field) else { continue };
        if refers.many {
            for id in value.as_array_mut().into_iter().flatten() {
                if let Some(uuid) = id.as_str().and_then(identifier) {
                    *id = uuid.to_string().into();
                }
            }
            continue;
        }
        let id = match &*value {
            Value::Null => continue,
            Value::String(text) => match identifier(text) {
                Some(id) => id,
                None => by_name(admin, refers.field, refers.to, text).await?,
            },
            other => match (text(other, "id"), Kind::named(refers.to).and_then(Kind::endpoint_key)) {
                (Some(id), _) => identifier(id).ok_or_else(|| {
                    let path = format!("{}.id", refers.field);
                    Refusal::Schema(vec![Violation::error(path, None, "expected a valid UUID")])
                })?,
                (None, Some(key)) => {
                    let name = text(other, key).unwrap_or_default();
                    by_name(admin, refers.field, refers.to, name).await?
                }
                (None, None) => continue,
            },
        };
        *value = json!({ "id": id });
    }
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

async fn by_name(admin: Option<&Admin>, field: &str, kind: &str, name: &str) -> Result<Uuid, Refusal> {
    let Some(admin) = admin else { return Ok(Uuid::nil()) };
    let by = Kind::named(kind).and_then(Kind::endpoint_key);
    let found = match by {
        Some(by) => admin.store().find(kind, &Key::of(kind, &[by], &[name.into()])).await?,
        None => None,
    };
    let dangling = || Refusal::Dangling {
        field: field.to_owned(),
        kind: kind.to_owned(),
        by: by.unwrap_or("id"),
        value: name.to_owned(),
    };
    found.map(|kept| kept.row.id).ok_or_else(dangling)
}

/// An identifier as Kong takes them: with dashes.
pub(crate) fn identifier(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// Whether a row refers to another by a field.
pub(crate) fn refers_to(kept: &Kept, field: &str, id: Uuid) -> bool {
    kept.row.references.iter().any(|reference| reference.field == field && reference.id == id)
}
