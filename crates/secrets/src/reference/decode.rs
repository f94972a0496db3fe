//! The two decoding passes of a path segment. Owns: `%XX` and `+`; knows nothing of references.
//!
//! Kong decodes a segment once as a URL and once more with nginx's unescape function, so a literal `+` must be
//! written `%252B` and a literal `%2F` as `%25252F`. Bytes, not characters: UTF-8 is checked after the last pass.

/// First pass: `%XX` only; `+` stays, a `%` without two hex digits stays.
pub(super) fn segment(text: &str) -> Vec<u8> {
    decoded(text.as_bytes(), false)
}

/// Second pass, and the only one for query options: `%XX`, and `+` becomes a space.
pub(super) fn unescape(bytes: &[u8]) -> Vec<u8> {
    decoded(bytes, true)
}

fn decoded(bytes: &[u8], plus_is_space: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        out.push(match byte {
            b'%' => match after {
                [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    rest = after;
                    nibble(*high) << 4 | nibble(*low)
                }
                _ => b'%',
            },
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    out
}

/// The value of an ASCII hex digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}
