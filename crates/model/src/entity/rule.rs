//! What fields of several entities must satisfy, in Kong's words.
//!
//! Owns: names, hosts, paths, header names, methods, protocols, PEM texts. Must not know: which fields have these
//! rules. What is quoted in a message is hidden by the decoder where it came out of the environment or a vault.

mod host;
mod path;
mod pem;

use crate::value::Value;

pub(super) use host::{host, host_or_wildcard, server_name, target, upstream_name};
pub(super) use path::{fixed_path, header_regex, looks_like_regex, path_or_regex};
pub(super) use pem::{certificate, jwk, one_certificate, private_key, public_key};

/// A rule about a text, as a rule about a value.
fn about(value: &Value, rule: impl FnOnce(&str) -> Result<(), String>) -> Result<(), String> {
    value.as_text().map_or(Ok(()), rule)
}

/// A tag.
pub(super) fn tag(value: &Value) -> Result<(), String> {
    about(value, |tag| match tag.is_empty() || tag.contains([',', '/']) || tag.contains(char::is_control) {
        true => Err(format!(
            "invalid tag '{tag}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
        )),
        false => Ok(()),
    })
}

/// A name that may stand in the path of the Admin API.
pub(super) fn name(value: &Value) -> Result<(), String> {
    about(value, |name| {
        let fine = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || ".-_~".contains(c);
        match name.chars().all(fine) {
            true => Ok(()),
            false => Err(format!(
                "invalid value '{name}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
            )),
        }
    })
}

/// Longer names of headers cross no gateway: no server reads so long a line.
const HEADER_NAME_MAX: usize = 8 * 1024;

/// The name of a header.
pub(super) fn header_name(value: &Value) -> Result<(), String> {
    about(value, |name| {
        if name.len() > HEADER_NAME_MAX {
            return Err(format!("a header name has at most {HEADER_NAME_MAX} bytes"));
        }
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        match !name.is_empty() && name.bytes().all(fine) {
            true => Ok(()),
            false => {
                Err(format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"))
            }
        }
    })
}

/// The name of a header by which a route may be found.
pub(super) fn route_header(value: &Value) -> Result<(), String> {
    header_name(value)?;
    about(value, |name| match name.eq_ignore_ascii_case("host") {
        true => {
            Err("cannot contain 'host' header, which must be specified in the 'hosts' attribute".to_owned())
        }
        false => Ok(()),
    })
}

/// The name of a cookie, a query argument or a group of a regular expression.
pub(super) fn token(value: &Value) -> Result<(), String> {
    about(value, |token| {
        let fine = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c);
        if !token.is_empty() && token.chars().all(fine) {
            Ok(())
        } else {
            Err(format!("invalid value: {token}"))
        }
    })
}

/// A method: capital letters.
pub(super) fn method(value: &Value) -> Result<(), String> {
    about(value, |method| match !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(()),
        false => Err(format!("invalid value: {method}")),
    })
}

/// A protocol that this build can proxy.
pub(super) fn protocol(value: &Value) -> Result<(), String> {
    about(value, |name| match name {
        "tcp" | "tls" | "udp" | "tls_passthrough" => Err(format!(
            "not supported yet: streams ({name}); the protocols are http, https, grpc, grpcs, ws, wss"
        )),
        _ => Ok(()),
    })
}

/// Protocols that one route or plugin may have together.
pub(super) fn route_protocols(value: &Value) -> Result<(), String> {
    const TOGETHER: [&[&str]; 3] = [&["http", "https"], &["grpc", "grpcs"], &["ws", "wss"]];
    let names: Vec<&str> = value.as_list().unwrap_or_default().iter().filter_map(Value::as_text).collect();
    let fits = TOGETHER.iter().any(|set| names.iter().all(|name| set.contains(name)));
    if fits {
        return Ok(());
    }
    let sets: Vec<_> = TOGETHER.iter().map(|set| format!("('{}')", set.join("', '"))).collect();
    Err(format!("these sets are mutually exclusive: {}", sets.join(", ")))
}

#[cfg(test)]
mod tests;
