//! Picking the key: from a JSON object's text to one member's string.
//!
//! Owns: Kong's rules (flat, verbatim, strings only) and its words; and base64, which comes after. Must not know:
//! where the text comes from. Errors name members and their types, never their values, so serde's own messages,
//! which quote values, are not used.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::nearest::nearest;
use postern_secret::Secret;

/// Takes base64 with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How alike two names must be for "did you mean" when there are several.
const RESEMBLES: f64 = 0.5;

/// Why a member cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubkeyError {
    /// The value is not JSON.
    #[error("unable to json decode value (nil): syntax error at line {line} column {column}")]
    NotJson {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// The value is a JSON string, number, boolean or null.
    #[error("unable to json decode value ({0}): not an object")]
    NotAnObject(&'static str),
    /// There is no such member.
    #[error("subfield {key} not found in JSON secret")]
    NoMember {
        /// The key.
        key: String,
        /// The names that there are, sorted.
        names: Vec<String>,
        /// The name that was probably meant.
        nearest: Option<String>,
    },
    /// The member is not a string.
    #[error("unexpected {found} value in JSON secret for subfield {key}")]
    NotAString {
        /// The key.
        key: String,
        /// Lua's word for its type.
        found: &'static str,
    },
}

/// The members of a JSON object, found once for all who pick from it. No `Debug`: it would quote them.
pub(crate) struct Members<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Members<'a> {
    /// Those of the JSON object `text`.
    pub(crate) fn of(text: &'a Secret) -> Result<Self, SubkeyError> {
        // The blanks of JSON (RFC 8259, 2), which are fewer than ASCII's.
        let text = text.expose().trim_start_matches([' ', '\t', '\n', '\r']);
        // An array has no members; Kong says so in the words for a missing one.
        if text.starts_with('[') && serde_json::from_str::<&RawValue>(text).is_ok() {
            return Ok(Self(BTreeMap::new()));
        }
        if !text.starts_with('{') {
            serde_json::from_str::<&RawValue>(text).map_err(|error| syntax(&error))?;
            return Err(SubkeyError::NotAnObject(type_word(text)));
        }
        serde_json::from_str(text).map(Self).map_err(|error| syntax(&error))
    }

    /// The string that stands under `key`.
    pub(crate) fn pick(&self, key: &str) -> Result<Secret, SubkeyError> {
        let Some(member) = self.0.get(key) else {
            let names: Vec<String> = self.0.keys().map(ToString::to_string).collect();
            let nearest = resembling(key, &names);
            return Err(SubkeyError::NoMember { key: key.to_owned(), names, nearest });
        };
        unescaped(member.get())
            .ok_or_else(|| SubkeyError::NotAString { key: key.to_owned(), found: type_word(member.get()) })
    }
}

/// The text that a JSON string means; `None` for what is none, or means no text. By hand, because serde_json works in a
/// buffer that it does not wipe, and keys in PEM always have line ends.
fn unescaped(json: &str) -> Option<Secret> {
    let mut rest = json.trim_ascii().strip_prefix('"')?.strip_suffix('"')?;
    // Never longer than it is written, so the buffer does not grow.
    let mut text = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + escape.len_utf8()..];
        text.push(match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = unit(&mut rest)?;
                let second = if (0xD800..0xDC00).contains(&first) {
                    rest = rest.strip_prefix("\\u")?;
                    Some(unit(&mut rest)?)
                } else {
                    None
                };
                // Half of a pair is no character.
                char::decode_utf16([first].into_iter().chain(second)).next()?.ok()?
            }
            _ => return None,
        });
    }
    text.push_str(rest);
    Some(Secret::from(text))
}

/// Four hex digits.
fn unit(rest: &mut &str) -> Option<u16> {
    let (digits, after) = rest.split_at_checked(4)?;
    *rest = after;
    // `from_str_radix` would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// The text that `text` is the base64 of; blanks and line ends around and inside are allowed.
pub(crate) fn decode_base64(text: &Secret) -> Option<Secret> {
    // Sized before it is filled: a buffer that grows leaves pieces of itself behind.
    let mut joined = Zeroizing::new(Vec::with_capacity(text.expose().len()));
    joined.extend(text.expose().bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let bytes = Zeroizing::new(LENIENT.decode(&joined).ok()?);
    std::str::from_utf8(&bytes).ok().map(Secret::from)
}

/// With one name there is nothing else to mean; with several, it must resemble.
fn resembling(key: &str, names: &[String]) -> Option<String> {
    if let [only] = names {
        return Some(only.clone());
    }
    let close = nearest(key, names.iter().map(String::as_str));
    let alike = |name: &&str| strsim::jaro_winkler(key, name) >= RESEMBLES;
    let closest = || {
        let scored = names.iter().map(String::as_str).filter(alike);
        scored.max_by(|a, b| strsim::jaro_winkler(key, a).total_cmp(&strsim::jaro_winkler(key, b)))
    };
    close.or_else(closest).map(str::to_owned)
}

fn syntax(error: &serde_json::Error) -> SubkeyError {
    SubkeyError::NotJson { line: error.line(), column: error.column() }
}

/// Lua's word for the type of a JSON text: Kong prints these.
fn type_word(json: &str) -> &'static str {
    match json.trim_start().as_bytes().first() {
        Some(b'{' | b'[') => "table",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "userdata",
        Some(b'"') => "string",
        _ => "number",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pick(json: &str, key: &str) -> Result<Secret, SubkeyError> {
        Members::of(&Secret::from(json))?.pick(key)
    }

    fn picked(json: &str, key: &str) -> Result<String, String> {
        let picked = pick(json, key).map(|secret| secret.expose().to_owned());
        picked.map_err(|error| error.to_string())
    }

    #[test]
    fn follows_kongs_rules() {
        let cases: &[(&str, &str, Result<&str, &str>)] = &[
            (r#"{"username":"user", "password":"pass"}"#, "password", Ok("pass")),
            (r#" {"a.b":"c"}"#, "a.b", Ok("c")),
            (r#"{"a":""}"#, "a", Ok("")),
            (r#"{"a":"\u00fc\n"}"#, "a", Ok("ü\n")),
            (r#"{"a":"1","a":"2"}"#, "a", Ok("2")),
            (r#"{"a":1}"#, "a", Err("unexpected number value in JSON secret for subfield a")),
            (r#"{"a":-1.5}"#, "a", Err("unexpected number value in JSON secret for subfield a")),
            (r#"{"a":true}"#, "a", Err("unexpected boolean value in JSON secret for subfield a")),
            (r#"{"a":{"b":"c"}}"#, "a", Err("unexpected table value in JSON secret for subfield a")),
            (r#"{"a":["c"]}"#, "a", Err("unexpected table value in JSON secret for subfield a")),
            (r#"{"a":null}"#, "a", Err("unexpected userdata value in JSON secret for subfield a")),
            (r#"{"a":{"b":"c"}}"#, "a.b", Err("subfield a.b not found in JSON secret")),
            (r#"["a"]"#, "a", Err("subfield a not found in JSON secret")),
            ("plain", "a", Err("unable to json decode value (nil): syntax error at line 1 column 1")),
            (
                "\u{c}{\"a\":\"b\"}",
                "a",
                Err("unable to json decode value (nil): syntax error at line 1 column 1"),
            ),
            ("", "a", Err("unable to json decode value (nil): syntax error at line 1 column 0")),
            ("123", "a", Err("unable to json decode value (number): not an object")),
            (r#""hunter2""#, "a", Err("unable to json decode value (string): not an object")),
            (r#"{"a":"b""#, "a", Err("unable to json decode value (nil): syntax error at line 1 column 8")),
        ];
        for (json, key, expected) in cases {
            assert_eq!(picked(json, key), expected.map(Into::into).map_err(Into::into), "{key} of {json}");
        }
    }

    #[test]
    fn a_missing_member_names_those_that_exist_and_the_nearest() {
        let nearest = |json: &str, key: &str| match pick(json, key) {
            Err(SubkeyError::NoMember { names, nearest, .. }) => {
                (names.join(" "), nearest.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(nearest(r#"{"pass":"x"}"#, "pw1"), ("pass".into(), "pass".into()));
        assert_eq!(nearest(r#"{"user":"x","pass":"y"}"#, "pw1"), ("pass user".into(), "pass".into()));
        assert_eq!(
            nearest(r#"{"user":"x","password":"y"}"#, "passwd"),
            ("password user".into(), "password".into())
        );
        assert_eq!(nearest(r#"{"xyz":"x","uvw":"y"}"#, "a"), ("uvw xyz".into(), String::new()));
    }

    proptest! {
        #[test]
        fn escapes_mean_what_json_says(text in any::<String>(), json in "\"[ -~]{0,12}\"", ascii in any::<bool>()) {
            let mut written = serde_json::to_string(&text).unwrap();
            if ascii {
                let escaped = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect();
                let plain = |c: char| if c.is_ascii() { c.to_string() } else { escaped(c) };
                written = written.chars().map(plain).collect();
            }
            let meant = unescaped(&written).unwrap();
            prop_assert_eq!(meant.expose(), &text);
            // Whatever else is JSON: as serde_json reads it.
            if serde_json::from_str::<&RawValue>(&json).is_ok() {
                let expected = serde_json::from_str::<String>(&json).ok();
                prop_assert_eq!(unescaped(&json).map(|text| text.expose().to_owned()), expected);
            }
        }
    }

    #[test]
    fn escapes_in_pairs() {
        let json = |text: &str| unescaped(text).map(|text| text.expose().to_owned());
        assert_eq!(
            json(r#""\ud83d\ude00 \uD83D\uDE00 \"\\\/\b\f\n\r\t""#).as_deref(),
            Some("😀 😀 \"\\/\u{8}\u{c}\n\r\t")
        );
        for wrong in [
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d""#,
            "1",
            r#"["a"]"#,
            "\"",
        ] {
            assert_eq!(json(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn deep_json_is_an_error_and_no_crash() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(picked(&deep, "a").is_err());
    }

    #[test]
    fn base64_is_taken_with_and_without_padding_and_line_ends() {
        let decoded = |text: &str| decode_base64(&Secret::from(text)).map(|s| s.expose().to_owned());
        assert_eq!(decoded("aHVudGVyMg=="), Some("hunter2".into()));
        assert_eq!(decoded("aHVudGVyMg"), Some("hunter2".into()));
        assert_eq!(decoded("aHVu\ndGVy\nMg==\n"), Some("hunter2".into()));
        assert_eq!(decoded(""), Some(String::new()));
        assert_eq!(decoded("hunter2!"), None);
        assert_eq!(decoded("/w=="), None, "not UTF-8");
    }
}
