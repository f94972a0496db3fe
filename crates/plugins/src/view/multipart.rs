//! `multipart/form-data` (RFC 7578) in memory: finding parts, and writing the form again.
//!
//! Owns: the delimiters. Must not know: who asks. A form that is not as the RFC says is none: nothing is guessed.

use std::ops::ControlFlow;

/// Far above what people send; beyond it, a form is none.
const PARTS_MAX: usize = 1000;

/// A form.
#[derive(Debug)]
pub struct Multipart<'a> {
    /// In their order.
    pub parts: Vec<Part<'a>>,
}

/// A part of a form.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub body: &'a [u8],
    /// Its headers, without the empty line.
    head: std::borrow::Cow<'a, [u8]>,
}

impl<'a> Part<'a> {
    /// A part with text.
    pub fn new(name: &str, body: &'a [u8]) -> Self {
        // As browsers write names that hold what would end them.
        let quoted = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let head = format!("Content-Disposition: form-data; name=\"{quoted}\"").into_bytes();
        Self { name: name.to_owned(), body, head: head.into() }
    }

    /// Whether it has this name.
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    fn parse(raw: &'a [u8]) -> Option<Self> {
        let (head, body) = match raw.strip_prefix(b"\r\n") {
            Some(body) => (&raw[..0], body),
            None => {
                let end = find(raw, b"\r\n\r\n")?;
                (&raw[..end], &raw[end + 4..])
            }
        };
        let name = std::str::from_utf8(head).ok()?.split("\r\n").find_map(|line| {
            let (header, value) = line.split_once(':')?;
            let is_it = header.trim().eq_ignore_ascii_case("content-disposition");
            is_it.then(|| parameter(value, "name").unwrap_or_default().to_owned())
        });
        Some(Self { name: name.unwrap_or_default(), body, head: head.into() })
    }
}

impl<'a> Multipart<'a> {
    /// Reads a form; `None` where it is not well-formed to its end.
    pub fn parse(body: &'a [u8], boundary: &str) -> Option<Self> {
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first delimiter may stand at the very beginning; what comes before it does not count.
        let mut rest = match body.strip_prefix(&delimiter[2..]) {
            Some(rest) => rest,
            None => &body[find(body, &delimiter)? + delimiter.len()..],
        };
        let mut parts = Vec::new();
        loop {
            match after_delimiter(rest)? {
                ControlFlow::Break(()) => return Some(Self { parts }),
                ControlFlow::Continue(part) => {
                    let end = find(part, &delimiter)?;
                    if parts.len() == PARTS_MAX {
                        return None;
                    }
                    parts.push(Part::parse(&part[..end])?);
                    rest = &part[end + delimiter.len()..];
                }
            }
        }
    }

    /// The form as bytes.
    pub fn write(&self, boundary: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            for piece in [b"--", boundary.as_bytes(), b"\r\n", &part.head, b"\r\n\r\n", part.body, b"\r\n"] {
                bytes.extend_from_slice(piece);
            }
        }
        for piece in [b"--", boundary.as_bytes(), b"--\r\n"] {
            bytes.extend_from_slice(piece);
        }
        bytes
    }
}

/// The boundary that a `Content-Type` names.
pub fn boundary(content_type: &str) -> Option<&str> {
    parameter(content_type, "boundary").filter(|text| !text.is_empty() && text.len() <= 70)
}

/// The end of the form, or what begins after the delimiter's line.
fn after_delimiter(rest: &[u8]) -> Option<ControlFlow<(), &[u8]>> {
    if rest.starts_with(b"--") {
        return Some(ControlFlow::Break(()));
    }
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest[blanks..].strip_prefix(b"\r\n").map(ControlFlow::Continue)
}

/// `; name=value` or `; name="value"`, whatever the case of the name.
fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    while let Some(semicolon) = rest.find(';') {
        rest = rest[semicolon + 1..].trim_start();
        let (known, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if known.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim_end());
        }
        rest = after;
    }
    None
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(parts in prop::collection::vec(("[a-z ]{1,5}", "[^b]{0,9}"), 0..4)) {
            let form = Multipart { parts: parts.iter().map(|(name, body)| Part::new(name, body.as_bytes())).collect() };
            let bytes = form.write("bb");
            let read = Multipart::parse(&bytes, "bb").unwrap();
            let read: Vec<_> = read.parts.iter().map(|part| (part.name.clone(), part.body.to_vec())).collect();
            let meant: Vec<_> = parts.iter().map(|(name, body)| (name.trim_end().to_owned(), body.as_bytes().to_vec())).collect();
            prop_assert_eq!(read, meant);
        }

        #[test]
        fn nothing_makes_it_panic(text in "(--b|\r\n|-|: ;=\"|name|[a-c]){0,40}") {
            let _ = Multipart::parse(text.as_bytes(), "b");
            let _ = boundary(&text);
        }
    }
}
