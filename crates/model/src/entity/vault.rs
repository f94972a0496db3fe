//! The vault entity: where secrets come from, and under which prefix references name it.
//!
//! Owns: its fields and the rules of its prefix. Must not know: what a kind of vault needs in its `config`
//! (`postern_secrets` does), other vaults of the document. Data goes on to `check`, which looks at all of them.

mod config;

use std::collections::BTreeMap;

use postern_secrets::nearest::did_you_mean;
use postern_secrets::{Kind, Settings, reserved_prefixes};
use uuid::Uuid;

use super::definition::{CREATED_AT, Definition, ID, MAY_HIDE, TAGS, UPDATED_AT};
use super::{Fields, id};
use crate::document::Node;
use crate::field::{Field, Schema, Type};
use crate::violation::{Position, Report};

/// The top-level name of vaults.
pub const COLLECTION: &str = "vaults";

/// Vaults.
pub(crate) static VAULTS: Definition = Definition {
    endpoint_key: Some("prefix"),
    path_key: Some("prefix"),
    absent: MAY_HIDE,
    ..Definition::top("vault", COLLECTION, SCHEMA)
};

/// The fields of a vault. Those of its `config` depend on its `name`, and are for `postern_secrets` to say.
pub const SCHEMA: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::string("prefix")
            .required()
            .unique()
            .doc("The name of the vault in references: {vault://<prefix>/...}."),
        Field::string("name").required().doc("The kind of vault."),
        Field::string("description").doc("For people."),
        Field::new("config", Type::Any).doc("What the kind of vault takes."),
        TAGS,
    ],
    checks: &[],
};

/// A checked vault.
#[derive(Clone, Debug)]
pub struct VaultEntity {
    /// As written, or the one that always follows from the prefix.
    pub id: Uuid,
    /// The handle in references: `{vault://<prefix>/...}`. Unique in a configuration.
    pub prefix: String,
    /// The kind of backend, which is called `name` on the wire.
    pub kind: Kind,
    /// For people.
    pub description: Option<String>,
    /// Its own tags, then those of `_info.select_tags`.
    pub tags: Vec<String>,
    /// The checked `config`; references in it are still text.
    pub settings: Settings,
    /// Where the entity begins.
    pub position: Position,
    /// Where each field of `config` was given, by its name as written.
    pub field_positions: BTreeMap<String, Position>,
}

/// Checks one item of `vaults`; `None` when it has errors, which are then in the report.
pub(crate) fn check(node: &Node, path: String, report: &mut Report) -> Option<VaultEntity> {
    node.as_map()?;
    let known: Vec<&str> = SCHEMA.fields.iter().map(|field| field.name).collect();
    let mut fields = Fields::new(node, path, &known, report);
    let given_id = fields.uuid("id");
    let description = fields.text("description").map(ToOwned::to_owned);
    let tags = fields.tags();
    fields.timestamp("created_at");
    fields.timestamp("updated_at");
    let prefix = check_prefix(&mut fields);
    let kind = check_kind(&mut fields)?;
    let settings = config::check(kind, &mut fields);
    let (prefix, settings) = (prefix?, settings?);
    let id = given_id.unwrap_or_else(|| id::by_cache_key(COLLECTION, &[prefix]));
    Some(VaultEntity {
        id,
        prefix: prefix.to_owned(),
        kind,
        description,
        tags,
        settings,
        position: node.position(),
        field_positions: config::positions(node),
    })
}

fn check_prefix<'a>(fields: &mut Fields<'a>) -> Option<&'a str> {
    let prefix = fields.required_text("prefix")?;
    if !is_prefix(prefix) {
        let shown = fields.node("prefix").map_or("", Node::shown);
        let hint = "use two or more of a-z, 0-9 and -, beginning with a letter and not ending with -";
        fields.error("prefix", format!("invalid value: {shown}"), Some(hint));
        return None;
    }
    if reserved_prefixes().contains(&prefix) {
        let message = format!("must not be one of: {}", reserved_prefixes().join(", "));
        let hint = "a prefix must differ from every kind of vault, as in my-env";
        fields.error("prefix", message, Some(hint));
        return None;
    }
    Some(prefix)
}

/// `^[a-z][a-z0-9-]*[a-z0-9]$`
fn is_prefix(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match text.as_bytes() {
        [first, middle @ .., last] => {
            first.is_ascii_lowercase()
                && middle.iter().all(|byte| is_word(*byte) || *byte == b'-')
                && is_word(*last)
        }
        _ => false,
    }
}

fn check_kind(fields: &mut Fields<'_>) -> Option<Kind> {
    let name = fields.required_text("name")?;
    let unknown = match Kind::parse(name) {
        Ok(kind) => return Some(kind),
        Err(unknown) => unknown,
    };
    let known = Kind::ALL.map(Kind::name);
    let is_concealed = fields.node("name").and_then(Node::as_scalar).is_some_and(|scalar| scalar.concealed);
    let hint = if unknown.known_elsewhere && !is_concealed {
        Some(format!("this build has: {}", known.join(", ")))
    } else {
        did_you_mean(name, known)
            .filter(|_| !is_concealed)
            .or_else(|| Some(format!("name is the kind of vault, one of: {}", known.join(", "))))
    };
    let shown = fields.node("name").map_or("", Node::shown);
    fields.error("name", format!("vault '{shown}' is not installed"), hint.as_deref());
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for good in ["my-env", "ab", "a1", "a--b", "hashicorp-vault"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["", "a", "1a", "a-", "-a", "My-env", "a_b", "a.b", "a b", "äb", "a\n"] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }
}
