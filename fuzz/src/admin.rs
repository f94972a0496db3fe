//! Bodies of requests to the Admin API. Owns: that decoding ends, stays bounded, and gives what another parser finds.

use postern_admin::server::decode::{Unreadable, entity};
use postern_model::Kind;
use serde_json::Value;

use crate::PLUGIN;

/// A line with a kind and a content type, and the body.
pub fn admin_body(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let first = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let body = lines.next().unwrap_or_default();
    let (kind, content_type) = first.split_once(' ').unwrap_or((first, "application/json"));
    let Some(kind) = Kind::named(kind) else { return };
    let plugins = vec![PLUGIN];
    let read = entity(Some(content_type), body, kind, Some("cors"), &plugins);
    let is_json = content_type.eq_ignore_ascii_case("application/json");
    if is_json && !body.is_empty() {
        agrees(body, &read);
    }
    let Ok(map) = read else { return };
    let value = Value::Object(map.clone());
    bounded(&value, 0);
    // Whatever was read is checked, and what is checked stays as it is.
    if let Ok(checked) = kind.check(&map, &plugins)
        && let Ok(again) = kind.check(&checked.body, &plugins)
    {
        assert_eq!(again.body, checked.body);
    }
}

/// The same value as `serde_json`, or a reason of its own.
fn agrees(body: &[u8], read: &Result<serde_json::Map<String, Value>, Unreadable>) {
    // With the feature `raw_value`, this one member means something of its own to serde_json.
    if String::from_utf8_lossy(body).contains("$serde_json") {
        return;
    }
    let theirs = serde_json::from_slice::<Value>(body);
    match (read, theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(Value::Object(ours.clone()), theirs),
        (Ok(_), Err(error)) => panic!("taken for JSON: {error}"),
        (Err(Unreadable::NotJson), Ok(theirs)) => assert!(!theirs.is_object(), "not taken for an object"),
        (Err(_), _) => {}
    }
}

fn bounded(value: &Value, depth: usize) {
    // A form's last list may add a level to those of its key.
    assert!(depth <= 33, "too deep");
    match value {
        Value::String(text) => assert!(!text.contains('\0')),
        Value::Array(items) => items.iter().for_each(|item| bounded(item, depth + 1)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            assert!(!name.contains('\0'));
            bounded(value, depth + 1);
        }),
        _ => {}
    }
}
