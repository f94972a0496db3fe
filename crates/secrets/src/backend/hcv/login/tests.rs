//! The JSON of a login: whatever a credential holds, it stays one text of the object.

use super::*;

#[test]
fn a_credential_cannot_break_out_of_its_text() {
    for text in ["plain", "a\"b", "a\\b", "\u{0}\u{1f}\n\t", "ü€😀", "\",\"role\":\"admin"] {
        let secret = Secret::from(text);
        let json = json_object(&[("role_id", &Secret::from("id")), ("secret_id", &secret)]);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read, serde_json::json!({"role_id": "id", "secret_id": text}));
    }
    assert_eq!(json_object(&[]).as_str(), "{}");
}

#[test]
fn the_buffer_is_large_enough_from_the_start() {
    let secret = Secret::from("\u{1}".repeat(1000));
    let json = json_object(&[("a", &secret)]);
    assert!(json.capacity() >= json.len() && json.capacity() <= 6 * 1000 + 9);
}
