//! The one form of a path.
//!
//! Owns: which spellings are the same path. Must not know: routes. The proxy calls [`normalise`] before anything looks
//! at the path, and forwards the outcome: what was matched is what is sent.

use std::borrow::Cow;
use std::fmt::Write;

/// Why a path is refused. The request is to be answered with 400, as Kong's nginx does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No two hexadecimal digits follow a `%`. Servers differ in what they take it for.
    #[error("the path has a % that two hexadecimal digits do not follow")]
    BadEscape,
    /// NUL, plain or escaped. It ends the path for servers written in C.
    #[error("the path has a NUL character")]
    Nul,
    /// More `..` than there are segments to leave. No client of good faith sends it.
    #[error("the path leaves the root")]
    AboveRoot,
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    NoSlash,
}

/// The one form of a path without query. Doing it twice is doing it once.
///
/// Somebody who asks for `/%6Bey`, `//key`, `/./key` or `/x/%2e%2e/key` must meet the plugins of the route for `/key`,
/// so of all spellings that servers take for the same path only one is left. After RFC 3986, section 6.2.2, in order:
///
/// 1. An escape of a letter, digit, `-`, `.`, `_` or `~` is that character: they are equivalent by the RFC. It comes
///    first, or `%2e%2e` would survive.
/// 2. Other escapes stay, in upper case. Above all `%2F` stays: it is not a separator, and must not become one.
/// 3. What may not stand in a path as it is (spaces, controls, `"<>\^{|}` and backquote, `?`, `#`, everything outside
///    ASCII) is escaped. A backslash so never becomes a slash, and `/a b` in a route is `/a%20b` in a request.
/// 4. Slashes that follow each other are one, as most servers behind take them.
/// 5. `.` and `..` are removed with what they stand for.
///
/// The empty path is `/`. Upper and lower case differ, and parameters (`;v=1`) are part of their segment, as in Kong.
///
/// # Errors
/// A path that servers may understand in different ways: [`PathError`].
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathError> {
    if path.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    if !path.starts_with('/') {
        return Err(PathError::NoSlash);
    }
    if is_normal(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    without_dots(&one_spelling(path.as_bytes())?).map(Cow::Owned)
}

/// The path as Kong's router sees it: also spaces, characters outside ASCII and the like are plain. Only for matching,
/// and only for regular expressions: a reserved character stays escaped, bytes that are no text too, so
/// each form leads back to one path.
pub(crate) fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match escape(bytes, at) {
            Some(byte) if !is_reserved(byte) => {
                plain.push(byte);
                at += 3;
            }
            _ => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    let mut text = String::with_capacity(plain.len());
    for chunk in plain.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| push_escape(&mut text, *byte));
    }
    Cow::Owned(text)
}

/// How many bytes of the path stand behind the first bytes of its decoded form.
pub(crate) fn undecoded_len(path: &str, decoded: &str, len: usize) -> usize {
    let (path, decoded) = (path.as_bytes(), decoded.as_bytes());
    let mut at = 0;
    for byte in decoded.iter().take(len) {
        // A `%` in both is an escape that stayed.
        at += if path.get(at) == Some(&b'%') && *byte != b'%' { 3 } else { 1 };
    }
    at.min(path.len())
}

/// Whether a byte may stand in a normal path as it is; `%` not.
pub(crate) fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || is_reserved(byte) && !matches!(byte, b'%' | b'?' | b'#')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, section 2.2, and `%`.
fn is_reserved(byte: u8) -> bool {
    b"!*'();:@&=+$,/?%#[]".contains(&byte)
}

/// The byte that an escape at this place stands for.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let hex = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    if bytes[at] != b'%' {
        return None;
    }
    u8::try_from(hex(at + 1)? * 16 + hex(at + 2)?).ok()
}

fn push_escape(text: &mut String, byte: u8) {
    // Writing to a String does not fail.
    let _ = write!(text, "%{byte:02X}");
}

/// Most paths are in their one form already, and nothing is copied then.
fn is_normal(path: &[u8]) -> bool {
    let mut at = 0;
    while at < path.len() {
        match path[at] {
            b'%' => match escape(path, at) {
                Some(byte)
                    if byte != 0
                        && !is_unreserved(byte)
                        && !path[at + 1..at + 3].iter().any(u8::is_ascii_lowercase) =>
                {
                    at += 2;
                }
                _ => return false,
            },
            b'/' => match path[at + 1..] {
                [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..] => {
                    return false;
                }
                _ => {}
            },
            byte if !is_plain(byte) => return false,
            _ => {}
        }
        at += 1;
    }
    true
}

/// Rules 1 to 3.
fn one_spelling(path: &[u8]) -> Result<String, PathError> {
    let mut text = String::with_capacity(path.len() + 16);
    let mut at = 0;
    while at < path.len() {
        let byte = match path[at] {
            b'%' => {
                let byte = escape(path, at).ok_or(PathError::BadEscape)?;
                at += 2;
                (byte, is_unreserved(byte))
            }
            byte => (byte, is_plain(byte)),
        };
        match byte {
            (0, _) => return Err(PathError::Nul),
            (byte, true) => text.push(char::from(byte)),
            (byte, false) => push_escape(&mut text, byte),
        }
        at += 1;
    }
    Ok(text)
}

/// Rules 4 and 5. A path that ends in a dot segment ends in a slash.
fn without_dots(path: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut open = true;
    for segment in path.split('/').skip(1) {
        open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => out.truncate(out.rfind('/').ok_or(PathError::AboveRoot)?),
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    if open {
        out.push('/');
    }
    Ok(out)
}
