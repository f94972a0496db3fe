//! Changing what has names: parameters, and the fields of bodies.
//!
//! Owns: what each change means for them. What is not meant stays byte for byte. Must not know: the configuration.

use super::template::{Facts, Template};
use crate::view::args;
use crate::view::body::Form;
use crate::view::json::{self, Object};
use crate::view::multipart::{Multipart, Part};

/// One change of something that has a name.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Away with it.
    Remove(String),
    /// Another name for it; whatever has that name goes.
    Rename(String, Template),
    /// Another value, where it is there.
    Replace(String, Template),
    /// A value, where it is not there.
    Add(String, Template),
    /// One value more.
    Append(String, Template),
}

impl Change {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Remove(name)
            | Self::Rename(name, _)
            | Self::Replace(name, _)
            | Self::Add(name, _)
            | Self::Append(name, _) => name,
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        match self {
            Self::Remove(_) => true,
            Self::Rename(_, template)
            | Self::Replace(_, template)
            | Self::Add(_, template)
            | Self::Append(_, template) => template.is_constant(),
        }
    }
}

/// A body after the changes; `None` where it is not of its form, or nothing changes.
pub(super) fn change_body(form: &Form, body: &[u8], changes: &[Change], facts: &Facts) -> Option<Vec<u8>> {
    let changed = match form {
        Form::Urlencoded => change_args(std::str::from_utf8(body).ok()?, changes, facts).into_bytes(),
        Form::Json => change_json(body, changes, facts)?.into_bytes(),
        Form::Multipart(boundary) => change_multipart(body, boundary, changes, facts)?,
    };
    Some(changed).filter(|changed| changed != body)
}

/// A query or a form after the changes.
pub(super) fn change_args(text: &str, changes: &[Change], facts: &Facts) -> String {
    let mut pairs: Vec<(String, String)> = text
        .split('&')
        .filter(|piece| !piece.is_empty())
        .filter_map(|piece| Some((args::pairs(piece).next()?.0.into_owned(), piece.to_owned())))
        .collect();
    let pair = |name: &str, value: &str| {
        let mut piece = String::new();
        args::push(&mut piece, name, Some(value));
        (name.to_owned(), piece)
    };
    for change in changes {
        let name = change.name();
        let first = pairs.iter().position(|(known, _)| known == name);
        match (change, first) {
            (Change::Remove(_), _) => pairs.retain(|(known, _)| known != name),
            (Change::Rename(_, new), Some(_)) => {
                let new = new.render(facts);
                if new != name {
                    pairs.retain(|(known, _)| *known != new);
                    pairs.iter_mut().filter(|(known, _)| known == name).for_each(|pair| rename(pair, &new));
                }
            }
            (Change::Replace(_, value), Some(first)) => {
                pairs[first] = pair(name, &value.render(facts));
                let mut index = 0;
                pairs.retain(|(known, _)| {
                    index += 1;
                    index <= first + 1 || known != name
                });
            }
            (Change::Add(_, value), None) | (Change::Append(_, value), _) => {
                pairs.push(pair(name, &value.render(facts)));
            }
            _ => {}
        }
    }
    pairs.into_iter().map(|(_, piece)| piece).collect::<Vec<_>>().join("&")
}

/// Keeps the value as it is written.
fn rename((name, piece): &mut (String, String), new: &str) {
    let mut renamed = String::new();
    args::push(&mut renamed, new, None);
    if let Some(equals) = piece.find('=') {
        renamed.push_str(&piece[equals..]);
    }
    *piece = renamed;
    new.clone_into(name);
}

fn change_json(body: &[u8], changes: &[Change], facts: &Facts) -> Option<String> {
    let mut object = if body.is_empty() { Object::default() } else { Object::parse(body)? };
    let mut has_changed = false;
    for change in changes {
        let name = change.name();
        let is_there = object.get(name).is_some();
        has_changed |= match change {
            Change::Remove(_) => object.remove(name).is_some(),
            Change::Rename(_, new) => object.rename(name, &new.render(facts)),
            Change::Replace(_, value) if is_there => {
                object.set(name, json::text(&value.render(facts)));
                true
            }
            Change::Add(_, value) if !is_there => {
                object.set(name, json::text(&value.render(facts)));
                true
            }
            Change::Append(_, value) => {
                object.append(name, json::text(&value.render(facts)));
                true
            }
            _ => false,
        };
    }
    has_changed.then(|| object.write())
}

fn change_multipart(body: &[u8], boundary: &str, changes: &[Change], facts: &Facts) -> Option<Vec<u8>> {
    let mut form =
        if body.is_empty() { Multipart { parts: Vec::new() } } else { Multipart::parse(body, boundary)? };
    // As in Kong, here renaming comes before removing, and nothing is appended.
    let renames = |change: &&Change| matches!(change, Change::Rename(..));
    let ordered: Vec<&Change> =
        changes.iter().filter(renames).chain(changes.iter().filter(|change| !renames(change))).collect();
    let values: Vec<String> = ordered
        .iter()
        .map(|change| match change {
            Change::Remove(_) | Change::Append(..) => String::new(),
            Change::Rename(_, value) | Change::Replace(_, value) | Change::Add(_, value) => {
                value.render(facts)
            }
        })
        .collect();
    let mut has_changed = false;
    for (change, value) in ordered.into_iter().zip(&values) {
        let name = change.name();
        let first = form.parts.iter().position(|part| part.is(name));
        match (change, first) {
            (Change::Remove(_), Some(_)) => form.parts.retain(|part| !part.is(name)),
            (Change::Rename(..), Some(_)) if value != name => {
                form.parts.retain(|part| !part.is(value));
                form.parts
                    .iter_mut()
                    .filter(|part| part.is(name))
                    .for_each(|part| *part = Part::new(value, part.body));
            }
            (Change::Replace(..), Some(first)) => {
                form.parts[first] = Part::new(name, value.as_bytes());
                let mut index = 0;
                form.parts.retain(|part| {
                    index += 1;
                    index <= first + 1 || !part.is(name)
                });
            }
            (Change::Add(..), None) => form.parts.push(Part::new(name, value.as_bytes())),
            _ => continue,
        }
        has_changed = true;
    }
    has_changed.then(|| form.write(boundary))
}
