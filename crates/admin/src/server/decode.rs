//! The body of a request → the JSON object that it means.
//!
//! Owns: which content types there are, and the bounds of size, depth and count. `decode/json` reads JSON, `decode/form`
//! reads pairs of keys and texts, whichever way they came, and `decode/infer` gives the texts the types of their fields.
//! Must not know: HTTP beyond the content type, what an entity must satisfy (`postern_model` does).
//!
//! All of it is pure: it is fuzzed as it is.

mod form;
mod infer;
mod json;
mod multipart;

use postern_model::Kind;
use postern_model::field::{Field, Plugins};
use serde_json::{Map, Value};
use thiserror::Error;

use self::form::Tree;

/// How deep a body may be nested. The deepest schema has less than ten levels.
pub(crate) const DEPTH: usize = 32;
/// How many values a body may have.
pub(crate) const VALUES: usize = 100_000;
/// How many pairs a form may have.
pub(crate) const PAIRS: usize = 10_000;

/// Why a body cannot be read. Never quotes it: it may hold credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// It is of no type that is read here.
    #[error("Unsupported Media Type")]
    MediaType,
    /// It is longer than is read here.
    #[error("Payload Too Large")]
    TooLarge,
    /// It is no JSON object.
    #[error("Cannot parse JSON body")]
    NotJson,
    /// A name stands twice in one object.
    #[error("Cannot parse JSON body: a name stands twice in one object")]
    Twice,
    /// It is nested too deeply.
    #[error("Cannot parse body: more than {DEPTH} levels")]
    TooDeep,
    /// It has too many values.
    #[error("Cannot parse body: more than {VALUES} values")]
    TooMany,
    /// It holds the character that no database keeps.
    #[error("Cannot parse body: it holds U+0000")]
    Nul,
    /// It is no UTF-8.
    #[error("Cannot parse body: it is not UTF-8")]
    NotUtf8,
    /// It is no form.
    #[error("Cannot parse form body: {0}")]
    NotForm(&'static str),
}

/// A body as it was given.
#[derive(Debug)]
pub(crate) enum Given {
    /// With types.
    Json(Map<String, Value>),
    /// Texts only.
    Form(Tree),
}

/// Reads a body. None, of no type, is an empty object.
pub(crate) fn read(content_type: Option<&str>, bytes: &[u8]) -> Result<Given, Unreadable> {
    let Some(content_type) = content_type else {
        return if bytes.is_empty() { Ok(Given::Json(Map::new())) } else { Err(Unreadable::MediaType) };
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return match bytes {
            [] => Ok(Given::Json(Map::new())),
            bytes => json::object(bytes).map(Given::Json),
        };
    }
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return form::urlencoded(bytes).map(Given::Form);
    }
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        return multipart::tree(content_type, bytes).map(Given::Form);
    }
    Err(Unreadable::MediaType)
}

/// What a body says of an entity of a kind. `known` is the name of the plugin or of the kind of vault, for a body that
/// changes one and does not say it again.
///
/// # Errors
/// Why it cannot be read. Whether it is right is not looked at.
pub fn entity(
    content_type: Option<&str>,
    bytes: &[u8],
    kind: Kind,
    known: Option<&str>,
    plugins: &dyn Plugins,
) -> Result<Map<String, Value>, Unreadable> {
    Ok(match read(content_type, bytes)? {
        Given::Json(json) => json,
        Given::Form(tree) => infer::entity(tree, kind, known, plugins),
    })
}

/// What a body says that is no entity, by these fields.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn fields(
    content_type: Option<&str>,
    bytes: &[u8],
    fields: &'static [Field],
) -> Result<Map<String, Value>, Unreadable> {
    Ok(match read(content_type, bytes)? {
        Given::Json(json) => json,
        Given::Form(tree) => infer::fields(tree, fields),
    })
}

#[cfg(test)]
mod tests;
