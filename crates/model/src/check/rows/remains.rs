//! The body of a row that cannot take effect → what others need to know of it.
//!
//! Owns: which parts are read, and when one may be anything. Must not know: what is wrong with it. Nothing but names and
//! identifiers is kept.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use postern_secrets::Template;

use crate::field::Field;
use crate::kind::{Kind, Refers};
use crate::snapshot::{Part, Remains};

/// No name that something is found by is longer.
const MAX_NAME: usize = 1024;

/// The parts of a body that can be read. Without a body, none can.
pub(super) fn of(kind: &str, body: Option<&Map<String, Json>>) -> Remains {
    let Some(kind) = Kind::named(kind) else {
        // Nobody can need what this version does not know.
        return Remains { name: Part::Absent, enabled: true, refers: Vec::new() };
    };
    let name = match name_of(kind) {
        None => Part::Absent,
        Some(field) => name(body, field, is_required(kind, field)),
    };
    let is_off = body.and_then(|body| body.get("enabled")) == Some(&Json::Bool(false));
    let mut refers = Vec::new();
    for to in kind.refers() {
        reference(kind, to, body, &mut refers);
    }
    Remains { name, enabled: !is_off, refers }
}

/// The fields of [`Remains`] that a body says nothing of, or nothing that can be read. One that is null says that there is none.
pub(super) fn unsaid(kind: &str, body: Option<&Map<String, Json>>) -> Vec<&'static str> {
    let Some(found) = Kind::named(kind) else { return Vec::new() };
    let is_missing = |field: &str| body.is_none_or(|body| !body.contains_key(field));
    let remains = of(kind, body);
    let name = name_of(found).filter(|field| is_missing(field) || remains.name == Part::Unreadable);
    let is_unreadable =
        |field: &str| remains.refers.iter().any(|(known, part)| *known == field && *part == Part::Unreadable);
    let refers = found.refers().into_iter().map(|to| to.field);
    name.into_iter().chain(refers.filter(|field| is_missing(field) || is_unreadable(field))).collect()
}

/// Puts what `rest` says of these fields in place of what could not be read of them.
pub(super) fn complete(remains: &mut Remains, kind: &str, fields: &[&'static str], rest: &Map<String, Json>) {
    let known = of(kind, Some(rest));
    if Kind::named(kind).and_then(name_of).is_some_and(|name| fields.contains(&name))
        && known.name.known().is_some()
    {
        remains.name = known.name;
    }
    for (field, part) in
        known.refers.iter().filter(|(field, part)| fields.contains(field) && part.known().is_some())
    {
        let is_said = |found: &(&str, Part<Uuid>)| found.0 == *field && found.1.known().is_some();
        if !remains.refers.iter().any(is_said) {
            remains.refers.retain(|(said, _)| said != field);
        }
        remains.refers.push((field, part.clone()));
    }
}

/// The field by which people, references or requests find one.
pub(super) fn name_of(kind: Kind) -> Option<&'static str> {
    match kind.collection() {
        "plugins" => Some("name"),
        "targets" => None,
        _ => kind.endpoint_key(),
    }
}

fn is_required(kind: Kind, name: &str) -> bool {
    // A vault without a prefix cannot be.
    kind.fields().is_empty() || kind.fields().iter().any(|field: &Field| field.name == name && field.required)
}

fn name(body: Option<&Map<String, Json>>, field: &str, required: bool) -> Part<String> {
    let Some(body) = body else { return Part::Unreadable };
    match body.get(field) {
        None | Some(Json::Null) if !required => Part::Absent,
        Some(Json::String(name)) if name.len() <= MAX_NAME && !Template::has_reference(name) => {
            Part::Known(name.clone())
        }
        _ => Part::Unreadable,
    }
}

fn reference(
    kind: Kind,
    to: Refers,
    body: Option<&Map<String, Json>>,
    refers: &mut Vec<(&'static str, Part<Uuid>)>,
) {
    let id = |json: &Json| json.as_str().and_then(|id| Uuid::try_parse(id).ok());
    let part = |id: Option<Uuid>| (to.field, id.map_or(Part::Unreadable, Part::Known));
    let Some(body) = body else {
        refers.push((to.field, Part::Unreadable));
        return;
    };
    match body.get(to.field) {
        None | Some(Json::Null) if !is_required(kind, to.field) => {}
        Some(Json::Array(items)) if to.many => refers.extend(items.iter().map(|item| part(id(item)))),
        Some(one @ Json::Object(_)) if !to.many => refers.push(part(one.get("id").and_then(id))),
        _ => refers.push((to.field, Part::Unreadable)),
    }
}
