//! What is made of a value: a key's string, base64, and the file of last known good values. Owns: comparing with other
//! implementations, and with the way back. Must not know: how it is done.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_secrets::Secret;
use postern_secrets::fuzzing::{SubkeyError, decode_base64, pick, snapshot_key};
use postern_secrets::snapshot::{Entries, Entry, Key, decode, encode, parse};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::CANARY_WORD;

/// Of AES-256.
const KEY: [u8; 32] = *b"an example of thirty-two bytes..";
/// Magic, format, nonce and tag of a file of last known good values: what is not its content.
const FRAME: usize = 7 + 1 + 12 + 16;

/// A line with a key, and the text to pick it from: what `serde_json` finds there is found.
pub fn subkey(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (key, text) = text.split_once('\n').unwrap_or(("", text));
    base64_comes_back(text);
    let picked = pick(&Secret::from(text), key);
    let said = picked.as_ref().err().map(|error| format!("{error} {error:?}")).unwrap_or_default();

    // With the feature `raw_value`, this one member means something of its own to serde_json.
    if text.contains("$serde_json") {
        return;
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        // It also refuses what is JSON and no value of its own: 1e999, half a character, great depth.
        if serde_json::from_str::<&RawValue>(text).is_err() {
            assert!(matches!(picked, Err(SubkeyError::NotJson { .. })), "taken for JSON: {text:?}");
            assert!(!said.contains(CANARY_WORD), "the text is quoted: {said}");
        }
        return;
    };
    let word = type_word(&value);
    let expected = match &value {
        Value::Object(members) => match members.get(key) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(other) => {
                Err(format!("unexpected {} value in JSON secret for subfield {key}", type_word(other)))
            }
            None => Err(format!("subfield {key} not found in JSON secret")),
        },
        Value::Array(_) => Err(format!("subfield {key} not found in JSON secret")),
        _ => Err(format!("unable to json decode value ({word}): not an object")),
    };
    let found = picked.as_ref().map(Secret::expose).map_err(ToString::to_string);
    assert_eq!(found, expected, "{key:?} of {text:?}");
    if let (Err(SubkeyError::NoMember { names, .. }), Value::Object(members)) = (&picked, &value) {
        let mut all: Vec<_> = members.keys().cloned().collect();
        all.sort();
        assert_eq!(*names, all, "the names in {text:?}");
    }
    let named = |value: &Value| {
        value.as_object().is_some_and(|all| all.keys().any(|name| name.contains(CANARY_WORD)))
    };
    if !key.contains(CANARY_WORD) && !named(&value) {
        assert!(!said.contains(CANARY_WORD), "a value is quoted: {said}");
    }
}

/// Lua's word for a type.
fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    }
}

fn base64_comes_back(text: &str) {
    let encoded = STANDARD.encode(text);
    for form in [encoded.as_str(), encoded.trim_end_matches('='), &format!(" {encoded}\r\n")] {
        assert_eq!(decode_base64(&Secret::from(form)).as_ref().map(Secret::expose), Some(text), "{form:?}");
    }
    let _ = decode_base64(&Secret::from(text));
}

/// A file of last known good values, what is encrypted in it, and the file of its key.
pub fn snapshot(data: &[u8]) {
    let key = Key::from_bytes(KEY);
    if let Ok(entries) = decode(data, &key) {
        comes_back(&entries, &key, data.len(), data);
    }
    if let Ok(entries) = parse(data) {
        comes_back(&entries, &key, data.len() + FRAME, data);
    }
    comes_back(&entries_of(data), &key, 0, data);
    a_key_has_one_meaning(data);
}

/// What is written is read, nothing else can be, and there is one way to write it, the order aside.
fn comes_back(entries: &Entries, key: &Key, length: usize, choice: &[u8]) {
    let bytes = encode(entries, key).expect("small enough");
    assert!(length == 0 || bytes.len() == length, "{} bytes from {length}", bytes.len());
    assert_eq!(decode(&bytes, key).as_ref(), Ok(entries), "not what was written");
    let chosen =
        choice.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let mut other = bytes.clone();
    other[chosen % bytes.len()] ^= 1 << (chosen % 8);
    assert!(decode(&other, key).is_err(), "bit {} of byte {}", chosen % 8, chosen % bytes.len());
    assert!(decode(&bytes[..chosen % bytes.len()], key).is_err(), "{} bytes", chosen % bytes.len());
    let mut another = KEY;
    another[chosen % 32] ^= 1 << (chosen % 8);
    assert!(decode(&bytes, &Key::from_bytes(another)).is_err(), "another key");
}

/// Some entries, whatever the bytes are: one a line.
fn entries_of(data: &[u8]) -> Entries {
    let lines = data.split(|byte| *byte == b'\n').take(16).enumerate();
    let entry = |(index, line): (usize, &[u8])| {
        let mut digest = [0; 32];
        digest[0] = u8::try_from(index).unwrap_or_default();
        for (byte, from) in digest[1..].iter_mut().zip(line) {
            *byte = *from;
        }
        let seconds = line.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let value = Secret::from(String::from_utf8_lossy(line).into_owned());
        (digest, Entry { value, read: Duration::from_secs(seconds) })
    };
    lines.map(entry).collect()
}

/// 32 bytes are a key in three spellings; and no key is shown.
fn a_key_has_one_meaning(data: &[u8]) {
    if let Some(key) = snapshot_key(data) {
        assert_eq!(format!("{key:?}"), "***");
    }
    let mut bytes = [0; 32];
    for (byte, from) in bytes.iter_mut().zip(data) {
        *byte = *from;
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(bytes);
    let bare = base64.trim_end_matches('=').to_owned();
    let meant = Key::from_bytes(bytes);
    for text in [hex.to_uppercase(), format!(" {hex}\n"), base64, bare] {
        assert!(snapshot_key(text.as_bytes()).as_ref() == Some(&meant), "{text}");
    }
    assert!(snapshot_key(&bytes).as_ref() == Some(&meant));
}
