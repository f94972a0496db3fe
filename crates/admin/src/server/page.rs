//! Lists in pages: `size`, `offset`, `tags`, and where the next page is.
//!
//! Owns: what these may be, and the form of an offset, which clients send back as it is. Must not know: what is listed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_config::store::Tags;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::{Answered, Call, ok};
use super::error::Refusal;

/// Without `size`.
const SIZE: usize = 100;
/// The largest `size`.
pub(crate) const SIZE_MAX: usize = 1000;

/// How many a page has at most.
pub(crate) fn size(call: &Call<'_>) -> Result<usize, Refusal> {
    match call.argument("size") {
        None => Ok(SIZE),
        Some(text) => text.parse().ok().filter(|size| (1..=SIZE_MAX).contains(size)).ok_or(Refusal::Size),
    }
}

/// Behind which entity the page begins. `of` is the entity below which the list is, where an offset tells it: decK asks for
/// the targets of one upstream with the offset of another, which then means the beginning.
pub(crate) fn after(call: &Call<'_>, of: Option<Uuid>) -> Result<Option<Uuid>, Refusal> {
    let Some(offset) = call.argument("offset") else { return Ok(None) };
    let wrong = || Refusal::Offset(offset.chars().take(100).collect());
    let bytes = URL_SAFE_NO_PAD.decode(offset).map_err(|_| wrong())?;
    let (last, owner) = bytes.split_at_checked(16).ok_or_else(wrong)?;
    let last = Uuid::from_slice(last).map_err(|_| wrong())?;
    match of {
        Some(of) => Ok((owner == of.as_bytes()).then_some(last)),
        None if owner.is_empty() => Ok(Some(last)),
        _ => Err(wrong()),
    }
}

/// The offset of the page behind an entity.
pub(crate) fn offset(last: Uuid, of: Option<Uuid>) -> String {
    let owner = of.as_ref().map_or(&[][..], |of| &of.as_bytes()[..]);
    URL_SAFE_NO_PAD.encode([&last.as_bytes()[..], owner].concat())
}

/// The tags that are asked for: `a,b` is both, `a/b` is one of them.
pub(crate) fn tags(call: &Call<'_>) -> Result<Option<Tags>, Refusal> {
    const WRONG: Refusal = Refusal::Tags("invalid filter syntax");
    let Some(text) = call.argument("tags") else { return Ok(None) };
    if text.is_empty() {
        return Err(Refusal::Tags("cannot be null"));
    }
    let split = |by: char| -> Result<Vec<String>, Refusal> {
        let tags: Vec<String> = text.split(by).map(ToOwned::to_owned).collect();
        match tags.iter().any(|tag| tag.is_empty() || tag.contains(char::is_control)) {
            true => Err(WRONG),
            false => Ok(tags),
        }
    };
    match (text.contains(','), text.contains('/')) {
        (true, true) => Err(WRONG),
        (false, true) => split('/').map(|tags| Some(Tags::Any(tags))),
        _ => split(',').map(|tags| Some(Tags::All(tags))),
    }
}

/// A page: `{data, next, offset}`, the latter only where there is more.
pub(crate) fn page(call: &Call<'_>, path: &str, data: Vec<Value>, offset: Option<String>) -> Answered {
    let Some(offset) = offset else { return ok(json!({ "data": data, "next": null })) };
    ok(json!({ "data": data, "next": next(call, path, &offset), "offset": offset }))
}

/// Where the next page is.
pub(crate) fn next(call: &Call<'_>, path: &str, offset: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("offset", offset);
    for (name, value) in call.query.iter().filter(|(name, _)| name != "offset") {
        query.append_pair(name, value);
    }
    format!("{}{path}?{}", call.prefix, query.finish())
}
