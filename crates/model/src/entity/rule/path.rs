//! Paths: of services, and in routes, where they may be regular expressions.
//!
//! Owns: what is a path, and that an expression can be compiled. Must not know: how paths are matched.

use super::about;
use crate::value::Value;

/// The longest expression. The router compiles it, which takes memory in proportion.
const MAX_REGEX: usize = 8 * 1024;

/// A path of a service: no expressions.
pub(in crate::entity) fn fixed_path(value: &Value) -> Result<(), String> {
    about(value, fixed)
}

/// A path of a route: a prefix, or `~` and an expression.
pub(in crate::entity) fn path_or_regex(value: &Value) -> Result<(), String> {
    about(value, |path| match path.strip_prefix('~') {
        Some(pattern) if pattern.starts_with('/') => expression(pattern),
        None if path.starts_with('/') => fixed(path),
        _ => Err("should start with: / (fixed path) or ~/ (regex path)".to_owned()),
    })
}

/// Whether Kong before 3.0 took a path for an expression.
pub(in crate::entity) fn looks_like_regex(path: &str) -> bool {
    !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~/%-".contains(&byte))
}

/// The expression of a header, behind its `~*`.
pub(in crate::entity) fn header_regex(pattern: &str) -> Result<(), String> {
    expression(pattern)
}

fn fixed(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("should start with: /".to_owned());
    }
    if path.contains("//") {
        return Err("must not have empty segments".to_owned());
    }
    // RFC 3986: what is unreserved, what is reserved and has a meaning in a path, and escapes.
    let fine = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%".contains(c) || !c.is_ascii();
    if !path.chars().all(fine) {
        return Err(format!(
            "invalid path: '{path}' (characters outside of the reserved list of RFC 3986 found)"
        ));
    }
    let bytes = path.as_bytes();
    for (index, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let escape = bytes.get(index + 1..index + 3).unwrap_or_default();
        if escape.len() < 2 || !escape.iter().all(u8::is_ascii_hexdigit) {
            let shown = String::from_utf8_lossy(&bytes[index..(index + 3).min(bytes.len())]);
            return Err(format!("invalid url-encoded value: '{shown}'"));
        }
    }
    Ok(())
}

fn expression(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_REGEX {
        return Err(format!("invalid regex: longer than {MAX_REGEX} bytes"));
    }
    match regex_syntax::parse(pattern) {
        Ok(_) => Ok(()),
        Err(error) => {
            let kind = match &error {
                regex_syntax::Error::Parse(error) => error.kind().to_string(),
                regex_syntax::Error::Translate(error) => error.kind().to_string(),
                _ => "not an expression".to_owned(),
            };
            Err(format!("invalid regex: '{pattern}' ({kind})"))
        }
    }
}
