//! `multipart/form-data` (RFC 7578) that is there as a whole → the same tree as any form's.
//!
//! Owns: parts and their names. Files are texts like others: that is how PEM is sent with `curl -F cert=@cert.pem`.

use super::form::{self, Tree};
use super::{PAIRS, Unreadable};

/// Longer ones are not allowed (RFC 2046).
const BOUNDARY: usize = 70;

/// Reads all parts.
pub(super) fn tree(content_type: &str, bytes: &[u8]) -> Result<Tree, Unreadable> {
    let boundary = boundary(content_type).ok_or(Unreadable::NotForm("no boundary"))?;
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::NotUtf8)?;
    let delimiter = format!("\r\n--{boundary}");
    let Some(text) = text.strip_prefix(&delimiter[2..]) else {
        return Err(Unreadable::NotForm("it does not begin with its boundary"));
    };
    let mut pairs = Vec::new();
    let mut parts = text.split(delimiter.as_str());
    loop {
        let part = parts.next().ok_or(Unreadable::NotForm("it has no end"))?;
        if part.starts_with("--") {
            return form::tree(pairs);
        }
        if pairs.len() >= PAIRS {
            return Err(Unreadable::TooMany);
        }
        // Blanks may stand behind a boundary.
        let part = part.trim_start_matches([' ', '\t']).strip_prefix("\r\n");
        let (head, value) = part
            .and_then(|part| part.split_once("\r\n\r\n"))
            .ok_or(Unreadable::NotForm("a part without a head"))?;
        let name = name(head).ok_or(Unreadable::NotForm("a part without a name"))?;
        pairs.push((name, value.to_owned()));
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1);
    let value = parameters.filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (!value.is_empty() && value.len() <= BOUNDARY).then_some(value)
}

fn name(head: &str) -> Option<String> {
    let disposition =
        head.split("\r\n").filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value.trim())
        })?;
    let mut parameters = disposition.split(';');
    if !parameters.next()?.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let named = parameters.filter_map(|parameter| parameter.trim().split_once('='));
    named
        .filter(|(name, _)| name.eq_ignore_ascii_case("name"))
        .map(|(_, value)| value.trim_matches('"').replace("%22", "\""))
        .next()
}
