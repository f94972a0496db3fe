//! Rules of fields that several plugins have.
//!
//! Owns: the rules, in Kong's words where it has some. Must not know: any plugin.

use http::header::HeaderValue;
use postern_model::Value;
use postern_model::field::{Field, Rule};
use url::Url;

/// The name of a header, as an element of lists.
pub(super) const HEADER_NAME: Field = Field::string("").rules(&[Rule::Custom(header_name)]);

/// The name of a header.
pub(super) fn header_name(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) => is_header_name(text),
        _ => Ok(()),
    }
}

/// Longer ones cross no gateway: no server reads so long a line.
const HEADER_NAME_MAX: usize = 8 * 1024;

/// The same of a text.
pub(super) fn is_header_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("no header name provided".to_owned());
    }
    if name.len() > HEADER_NAME_MAX {
        return Err(format!("a header name has at most {HEADER_NAME_MAX} bytes"));
    }
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Ok(());
    }
    Err(format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"))
}

/// The same in the words of the transformers.
pub(super) fn is_header(name: &str) -> Result<(), String> {
    is_header_name(name).map_err(|_| format!("'{name}' is not a valid header"))
}

/// The value of a header, as an element of lists and maps.
pub(super) const HEADER_VALUE: Field = Field::string("").rules(&[Rule::Custom(header_value)]);

/// The value of a header, or a part of one. A control character would end the line, so it can be in no request.
pub(super) fn header_value(value: &Value) -> Result<(), String> {
    on_text(value, is_header_value)
}

/// The same of a text.
pub(super) fn is_header_value(text: &str) -> Result<(), String> {
    match HeaderValue::from_str(text) {
        Ok(_) => Ok(()),
        Err(_) => Err("must not contain control characters".to_owned()),
    }
}

/// A rule for texts.
pub(super) fn on_text(value: &Value, rule: impl FnOnce(&str) -> Result<(), String>) -> Result<(), String> {
    match value {
        Value::Text(text) => rule(text),
        _ => Ok(()),
    }
}

/// `name:value`, as Kong reads it: colons at the beginning of the value do not count, and nothing is no value.
pub(super) fn name_and_value(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, value)) => (name, Some(value.trim_start_matches(':')).filter(|value| !value.is_empty())),
        None => (text, None),
    }
}

/// A path: it begins with `/`, and has no two of them in a row.
pub(super) fn path(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(path) if !path.starts_with('/') => Err("should start with: /".to_owned()),
        Value::Text(path) if path.contains("//") => Err("must not have empty segments".to_owned()),
        _ => Ok(()),
    }
}

/// A status of an answer. One below 200 ends no request: another answer follows it.
pub(super) fn status(value: &Value) -> Result<(), String> {
    let is_one = match value {
        Value::Integer(number) => (200..=599).contains(number),
        Value::Number(number) => (200.0..=599.0).contains(number) && number.fract() == 0.0,
        _ => true,
    };
    if is_one { Ok(()) } else { Err("expected a status from 200 to 599".to_owned()) }
}

/// A URL of an HTTP server.
pub(super) fn http_url(value: &Value) -> Result<(), String> {
    let Value::Text(text) = value else { return Ok(()) };
    let url = Url::parse(text).map_err(|_| "missing host in url".to_owned())?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) => Ok(()),
        _ => Err("missing host in url".to_owned()),
    }
}
