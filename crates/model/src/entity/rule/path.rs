//! Paths: of services, and in routes, where they may be regular expressions.
//!
//! Owns: what is a path, and that an expression can be compiled. Must not know: how paths are matched.

use regex_automata::nfa::thompson;

use super::about;
use crate::value::Value;

/// The longest expression. The router compiles it, which takes memory in proportion.
const MAX_REGEX: usize = 8 * 1024;
/// What one may take of memory, in bytes. The router has more room: what is accepted here fits there.
const MAX_COMPILED: usize = 5 * 1024 * 1024;
/// So short ones are small, unless they count repetitions.
const SHORT: usize = 100;

/// A path of a service: no expressions.
pub(in crate::entity) fn fixed_path(value: &Value) -> Result<(), String> {
    about(value, fixed)
}

/// A path of a route: a prefix, or `~` and an expression.
pub(in crate::entity) fn path_or_regex(value: &Value) -> Result<(), String> {
    about(value, |path| match path.strip_prefix('~') {
        Some(pattern) if pattern.starts_with('/') => expression(pattern),
        None if path.starts_with('/') => fixed(path).and_then(|()| can_be_asked_for(path)),
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

/// The path of a request is brought into one form before it is looked at. What has none is refused there, so no request could
/// ever be meant.
fn can_be_asked_for(path: &str) -> Result<(), String> {
    if path.contains('\0') || path.contains("%00") {
        return Err(format!("invalid path: '{path}' (a NUL character can be in no request)"));
    }
    let plain = path.replace("%2e", ".").replace("%2E", ".");
    let mut depth: usize = 0;
    for segment in plain.split('/') {
        match segment {
            "" | "." => {}
            ".." if depth == 0 => return Err(format!("invalid path: '{path}' (it leaves the root)")),
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    Ok(())
}

fn expression(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_REGEX {
        return Err(format!("invalid regex: longer than {MAX_REGEX} bytes"));
    }
    match regex_syntax::parse(pattern) {
        Ok(_) if pattern.len() < SHORT && !pattern.contains('{') => Ok(()),
        Ok(expression) => {
            let limit = thompson::Config::new().nfa_size_limit(Some(MAX_COMPILED));
            match thompson::Compiler::new().configure(limit).build_from_hir(&expression) {
                Ok(_) => Ok(()),
                Err(_) => Err("invalid regex: compiled it is too big".to_owned()),
            }
        }
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
