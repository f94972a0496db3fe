//! What entities, plugins and vaults take: `/schemas`.
//!
//! Owns: which schema is meant, and checking an entity without keeping it. Must not know: fields. decK takes its
//! defaults from here, so nothing is said that answers do not keep: both come from one list.

use postern_model::{Kind, schema};
use serde_json::{Value, json};

use super::call::{Answered, Call, ok};
use super::error::Refusal;
use super::{shown, write};

/// `/schemas/{name}`
pub(crate) fn entity(call: &Call<'_>) -> Answered {
    let name = call.parameter(0);
    let unknown = || Refusal::Unknown(format!("No entity named '{}'", quoted(name)));
    if let Some(schema) = schema::of_other(name) {
        return ok(schema);
    }
    let kind = Kind::named(name).ok_or_else(unknown)?;
    let mut schema = schema::of_entity(name).ok_or_else(unknown)?;
    let hidden = shown::hidden_fields(kind, &call.admin.node().about());
    if let Some(fields) = schema["fields"].as_array_mut() {
        fields.retain(|field| !hidden.iter().any(|name| field.get(*name).is_some()));
        for field in fields {
            for name in kind.generated() {
                if let Some(Value::Object(field)) = field.get_mut(*name) {
                    field.insert("auto".to_owned(), true.into());
                }
            }
        }
    }
    ok(schema)
}

/// `/schemas/plugins/{name}`
pub(crate) fn plugin(call: &Call<'_>) -> Answered {
    let name = call.parameter(0);
    let unknown = || Refusal::Unknown(format!("No plugin named '{}'", quoted(name)));
    ok(schema::of_plugin(call.admin.node().plugins().schema(name).ok_or_else(unknown)?))
}

/// `/schemas/vaults/{name}`
pub(crate) fn vault(call: &Call<'_>) -> Answered {
    let name = call.parameter(0);
    let unknown = |_| Refusal::Unknown(format!("No vault named '{}'", quoted(name)));
    ok(schema::of_vault_kind(postern_secrets::Kind::parse(name).map_err(unknown)?))
}

/// `/schemas/{name}/validate`: whether an entity would be taken, as far as that depends on itself alone.
pub(crate) async fn validate(call: &Call<'_>) -> Answered {
    let name = call.parameter(0);
    let unknown = || Refusal::Unknown(format!("No entity named '{}'", quoted(name)));
    let kind = Kind::named(name).ok_or_else(unknown)?;
    write::validate(call, kind).await?;
    ok(json!({ "message": "schema validation successful" }))
}

/// What is quoted of a path.
fn quoted(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}
