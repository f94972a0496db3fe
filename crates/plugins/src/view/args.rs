//! Query strings and forms: reading, changing and writing them in the order in which they stand.
//!
//! Owns: the form `a=1&b&c=x%20y`, and that what is not changed stays as it was. Must not know: who asks.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// What stays as it is in a name or a value.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The pairs, decoded. A name without `=` has no value.
pub fn pairs(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Option<Cow<'_, str>>)> {
    raw_pairs(text).map(|(name, value)| (decode(name), value.map(decode)))
}

/// What [`find`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The name is not there.
    Nothing,
    /// It is there once, with this value; `None` where it stands without `=`.
    Once(Option<Cow<'a, str>>),
    /// It is there more than once.
    Often,
}

/// Whether a name stands in it, how often, and its value. Allocates only for what needs decoding.
pub fn find<'a>(text: &'a str, name: &str) -> Found<'a> {
    let mut found = Found::Nothing;
    for (known, value) in raw_pairs(text) {
        if known != name && (!known.contains(['%', '+']) || decode(known) != name) {
            continue;
        }
        found = match found {
            Found::Nothing => Found::Once(value.map(decode)),
            _ => return Found::Often,
        };
    }
    found
}

/// The same text without the pairs of this name; the others stay as they are, byte for byte.
pub fn without(text: &str, name: &str) -> String {
    let is_other = |piece: &&str| {
        let raw = piece.split_once('=').map_or(*piece, |(name, _)| name);
        decode(raw) != name
    };
    text.split('&').filter(is_other).collect::<Vec<_>>().join("&")
}

/// Writes a pair at the end.
pub fn push(text: &mut String, name: &str, value: Option<&str>) {
    if !text.is_empty() {
        text.push('&');
    }
    text.extend(percent_encode(name.as_bytes(), ESCAPED));
    if let Some(value) = value {
        text.push('=');
        text.extend(percent_encode(value.as_bytes(), ESCAPED));
    }
}

fn raw_pairs(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split('&').filter(|piece| !piece.is_empty()).map(|piece| match piece.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (piece, None),
    })
}

/// `+` and percent escapes; what is not UTF-8 then is replaced.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        for (text, name, found) in [
            ("apikey=x", "apikey", Found::Once(Some("x".into()))),
            ("a=1&apikey=x%2By+z&b", "apikey", Found::Once(Some("x+y z".into()))),
            ("%61pikey=x", "apikey", Found::Once(Some("x".into()))),
            ("apikey", "apikey", Found::Once(None)),
            ("apikey=", "apikey", Found::Once(Some("".into()))),
            ("apikey=a&api%6bey=b", "apikey", Found::Often),
            ("apikeys=x&APIKEY=x", "apikey", Found::Nothing),
            ("", "apikey", Found::Nothing),
        ] {
            assert_eq!(find(text, name), found, "{text}");
        }
    }

    #[test]
    fn what_is_not_meant_stays_byte_for_byte() {
        for (text, left) in [
            ("a=%7e&apikey=x&b=+&&c", "a=%7e&b=+&&c"),
            ("%61pikey=x", ""),
            ("apikey&apikey=2", ""),
            ("x=1", "x=1"),
        ] {
            assert_eq!(without(text, "apikey"), left, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut text = String::new();
        push(&mut text, "a b", Some("x&y=é%"));
        push(&mut text, "c", None);
        let read: Vec<_> = pairs(&text).collect();
        assert_eq!(read, [("a b".into(), Some("x&y=é%".into())), ("c".into(), None)]);
    }
}
