//! What JSON can say and YAML cannot: a character beyond U+FFFF as two `\u` escapes, as many tools write it.
//!
//! Owns: the rewriting to YAML's one escape. Must not know: anything else of either language. It makes the rest of
//! such a line two columns shorter, so columns behind it are off by two; lines stay.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// The text as YAML: itself, unless it is JSON with such pairs. YAML with such pairs stays as it is, because there
/// they may stand in a text without escapes.
pub(super) fn as_yaml(text: &str) -> Cow<'_, str> {
    let may_be_json = text.trim_start().starts_with('{') && find_pair(text).is_some();
    if !may_be_json || serde_json::from_str::<&RawValue>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut yaml = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, character)) = find_pair(rest) {
        yaml.push_str(&rest[..at]);
        yaml.push_str(&format!("\\U{:08X}", u32::from(character)));
        rest = &rest[at + PAIR..];
    }
    yaml.push_str(rest);
    Cow::Owned(yaml)
}

/// The length of `\ud83d\ude00`.
const PAIR: usize = 12;

/// The first pair: where it stands and what it means.
fn find_pair(text: &str) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let escape = |from: usize| {
            let digits = text.get(from..from + 6)?.strip_prefix("\\u")?;
            u32::from_str_radix(digits, 16).ok()
        };
        if let (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) = (escape(at), escape(at + 6)) {
            let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            return char::from_u32(code).map(|character| (at, character));
        }
        // The character after a backslash belongs to it, also when it is a backslash.
        at += 1 + bytes.get(at + 1).map_or(0, |byte| usize::from(byte.is_ascii()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_json_only() {
        let cases = [
            (r#"{"a": "\ud83d\ude00!\uD834\udd1e"}"#, r#"{"a": "\U0001F600!\U0001D11E"}"#),
            (r#"{"a": "\\ud83d\ude00"}"#, r#"{"a": "\\ud83d\ude00"}"#),
            (r#"{"a": "\u00e4\ud83d"}"#, r#"{"a": "\u00e4\ud83d"}"#),
            (r"{a: '\ud83d\ude00'}", r"{a: '\ud83d\ude00'}"),
            (r#"a: "\ud83d\ude00""#, r#"a: "\ud83d\ude00""#),
            ("{\"a\": \"\\ä\\", "{\"a\": \"\\ä\\"),
        ];
        for (text, yaml) in cases {
            assert_eq!(as_yaml(text), yaml);
        }
    }
}
