//! What entities, plugins and vaults take: `/schemas`.
//!
//! Owns: which schema is meant, and checking an entity without keeping it. Must not know: fields. decK takes its
//! defaults from here, so nothing is said that answers do not keep: both come from one list.

use postern_model::{Kind, schema};
use serde_json::{Value, json};

use super::decode;
use super::dispatch::{Answered, Call, ok};
use super::error::Refusal;
use super::special::{self, MADE_UP};
use super::write::checked;

/// `/schemas/{name}`
pub(crate) fn entity(call: &Call<'_>) -> Answered {
    let name = call.parameter(0);
    let unknown = || Refusal::Unknown(format!("No entity named '{}'", shown(name)));
    let kind = Kind::named(name).ok_or_else(unknown)?;
    let mut schema = schema::of_entity(name).ok_or_else(unknown)?;
    let hidden = special::hidden(kind, &call.admin.node().about());
    let made_up = MADE_UP.iter().find(|(kind, _)| *kind == name).map_or(&[] as &[&str], |(_, fields)| fields);
    if let Some(fields) = schema["fields"].as_array_mut() {
        fields.retain(|field| !hidden.iter().any(|name| field.get(*name).is_some()));
        for field in fields {
            for name in made_up {
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
    let unknown = || Refusal::Unknown(format!("No plugin named '{}'", shown(name)));
    ok(schema::of_plugin(call.admin.node().plugins().schema(name).ok_or_else(unknown)?))
}

/// `/schemas/vaults/{name}`
pub(crate) fn vault(call: &Call<'_>) -> Answered {
    let name = call.parameter(0);
    let unknown = |_| Refusal::Unknown(format!("No vault named '{}'", shown(name)));
    ok(schema::of_vault_kind(postern_secrets::Kind::parse(name).map_err(unknown)?))
}

/// `/schemas/{name}/validate`: whether an entity would be taken, as far as that depends on itself alone.
pub(crate) fn validate(call: &Call<'_>) -> Answered {
    let name = call.parameter(0);
    let unknown = || Refusal::Unknown(format!("No entity named '{}'", shown(name)));
    let kind = Kind::named(name).ok_or_else(unknown)?;
    let plugins = call.admin.node().plugins();
    let mut body = decode::entity(call.content_type(), &call.body, kind, None, plugins)?;
    special::snis(kind, &mut body)?;
    special::make_up(kind, &mut body)?;
    checked(call.admin, kind, body).map_err(Refusal::Schema)?;
    ok(json!({ "message": "schema validation successful" }))
}

/// What is quoted of a path.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}
