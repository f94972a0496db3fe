//! Names of hosts: of services, in routes, of upstreams and targets, in TLS.
//!
//! Owns: what is a host. Must not know: name servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::about;
use crate::value::Value;

/// A name or an address, without a port.
pub(in crate::entity) fn host(value: &Value) -> Result<(), String> {
    about(value, |text| match split(text) {
        Some((name, None)) if is_name(name) || is_address(name) => Ok(()),
        Some((_, Some(_))) => Err("must not have a port".to_owned()),
        _ => Err(format!("invalid value: {text}")),
    })
}

/// A host of a route: perhaps with a `*` as its first or last label, perhaps with a port.
pub(in crate::entity) fn host_or_wildcard(value: &Value) -> Result<(), String> {
    about(value, |text| {
        one_wildcard(text)?;
        match split(&text.replacen('*', "x", 1)) {
            Some((name, _)) if is_name(name) || is_address(name) => Ok(()),
            _ => Err(format!("invalid hostname: {text}")),
        }
    })
}

/// A server name of TLS: perhaps with a `*` as its first or last label. Kong also takes `*` alone, for all.
pub(in crate::entity) fn server_name(value: &Value) -> Result<(), String> {
    about(value, |text| {
        if text == "*" {
            return Ok(());
        }
        one_wildcard(text)?;
        match split(&text.replacen('*', "x", 1)) {
            Some((_, Some(_))) => Err("must not have a port".to_owned()),
            Some((name, None)) if is_address(name) => Err("must not be an IP".to_owned()),
            Some((name, None)) if is_name(name) => Ok(()),
            _ => Err(format!("invalid hostname: {text}")),
        }
    })
}

/// The name of an upstream, which stands where a host could.
pub(in crate::entity) fn upstream_name(value: &Value) -> Result<(), String> {
    about(value, |text| match split(text) {
        Some((_, Some(_))) => Err("Invalid name; no port allowed".to_owned()),
        Some((name, None)) if is_address(name) => Err("Invalid name; no ip addresses allowed".to_owned()),
        Some((name, None)) if is_name(name) => Ok(()),
        _ => Err("Invalid name; must be a valid hostname".to_owned()),
    })
}

/// A target: a name or an address, and perhaps a port.
pub(in crate::entity) fn target(value: &Value) -> Result<(), String> {
    about(value, |text| match split(text) {
        Some((name, _)) if is_name(name) || is_address(name) => Ok(()),
        _ => Err(format!("Invalid target ('{text}'); not a valid hostname or ip address")),
    })
}

fn one_wildcard(text: &str) -> Result<(), String> {
    match text.matches('*').count() {
        0 => Ok(()),
        1 if text.starts_with("*.") || text.ends_with(".*") || text.contains(".*:") => Ok(()),
        1 => Err("invalid wildcard: must be placed at leftmost or rightmost label".to_owned()),
        _ => Err("invalid wildcard: must have at most one wildcard".to_owned()),
    }
}

/// A host and its port. An address of IPv6 with a port is in brackets.
fn split(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return match after.strip_prefix(':') {
            Some(port) => Some((address, Some(number(port)?))),
            None => after.is_empty().then_some((address, None)),
        };
    }
    match text.split_once(':') {
        Some((name, port)) => Some((name, Some(number(port)?))),
        None => Some((text, None)),
    }
}

/// Digits only: no sign.
fn number(port: &str) -> Option<u16> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| port.parse().ok()).flatten()
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// Labels of letters, digits, `-` and `_`, however long, as in Kong: a longer one than the DNS knows is not found there.
/// Four numbers with dots between them are an address or nothing.
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let like_an_address = text.split('.').count() == 4
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.parse::<Ipv4Addr>().is_err();
    text.len() <= 253 && text.split('.').all(is_label) && !like_an_address
}
