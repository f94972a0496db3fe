//! Judges what a verified token says, against the mount's configuration and the role.
//!
//! Owns the rules and the words of Vault's JWT backend. Must not know signatures or HTTP.

use super::config::Config;
use super::role::Role;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Clocks may differ by this much, in seconds.
const CLOCK_SKEW: i64 = 60;
/// A token without `exp` or `nbf` is given this much after or before what it has, in seconds.
const LEEWAY: i64 = 150;

/// The checks that come with the prefix `error validating token: `.
pub(super) fn validate(
    claims: &Map<String, Value>,
    algorithm: &str,
    config: &Config,
    role: &Role,
    now: u64,
) -> Result<(), String> {
    if !config.algorithms.is_empty() && !config.algorithms.iter().any(|known| known == algorithm) {
        let text = "invalid algorithm (alg) header parameter: token signed with unexpected algorithm";
        return Err(text.to_owned());
    }
    well_typed(claims)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if !config.bound_issuer.is_empty() && config.bound_issuer != text("iss") {
        return Err("invalid issuer (iss) claim".to_owned());
    }
    if !role.bound_subject.is_empty() && role.bound_subject != text("sub") {
        return Err("invalid subject (sub) claim".to_owned());
    }
    let audiences = audiences(claims);
    if !role.bound_audiences.is_empty()
        && !audiences.iter().any(|one| role.bound_audiences.iter().any(|b| b == one))
    {
        let text = "invalid audience (aud) claim: audience claim does not match any expected audience";
        return Err(text.to_owned());
    }
    times(claims, role, i64::try_from(now).unwrap_or(i64::MAX))
}

/// The registered claims must have their registered types, whatever the role asks for.
fn well_typed(claims: &Map<String, Value>) -> Result<(), String> {
    for name in ["iss", "sub"] {
        let kind = match claims.get(name) {
            None | Some(Value::Null | Value::String(_)) => continue,
            Some(Value::Bool(_)) => "bool",
            Some(Value::Number(_)) => "number",
            Some(Value::Array(_)) => "array",
            Some(Value::Object(_)) => "object",
        };
        return Err(format!(
            "json: cannot unmarshal {kind} into Go struct field Claims.{name} of type string"
        ));
    }
    let audience_fits = match claims.get("aud") {
        None | Some(Value::Null | Value::String(_)) => true,
        Some(Value::Array(items)) => items.iter().all(Value::is_string),
        Some(_) => false,
    };
    if !audience_fits {
        return Err("go-jose/go-jose/jwt: expected string or array value to unmarshal to Audience".to_owned());
    }
    let numeric = |name: &&str| claims.get(*name).is_none_or(|value| value.is_null() || value.is_number());
    if !["exp", "nbf", "iat"].iter().all(numeric) {
        return Err("go-jose/go-jose/jwt: expected number value to unmarshal NumericDate".to_owned());
    }
    Ok(())
}

fn times(claims: &Map<String, Value>, role: &Role, now: i64) -> Result<(), String> {
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).map_or(0, |seconds| seconds as i64);
    let (issued, mut not_before, mut expiry) = (time("iat"), time("nbf"), time("exp"));
    if (issued, not_before, expiry) == (0, 0, 0) {
        let text = "no issued at (iat), not before (nbf), or expiration time (exp) claims in token";
        return Err(text.to_owned());
    }
    // 0 in a role means the default, a negative number means none.
    let or_default = |leeway: i64, default: i64| if leeway == 0 { default } else { leeway.max(0) };
    if expiry == 0 {
        expiry = issued.max(not_before) + or_default(role.expiration_leeway, LEEWAY);
    }
    if not_before == 0 {
        not_before = if issued == 0 { expiry - or_default(role.not_before_leeway, LEEWAY) } else { issued };
    }
    let skew = or_default(role.clock_skew_leeway, CLOCK_SKEW);
    if now + skew < not_before {
        return Err("invalid not before (nbf) claim: token not yet valid".to_owned());
    }
    if now - skew > expiry {
        return Err("invalid expiration time (exp) claim: token is expired".to_owned());
    }
    if now + skew < issued {
        return Err("invalid issued at (iat) claim: token issued in the future".to_owned());
    }
    Ok(())
}

/// `aud`, which may be a text or a list.
pub(super) fn audiences(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The checks that come with the prefix `error validating claims: `.
pub(super) fn bound(claims: &Map<String, Value>, role: &Role) -> Result<(), String> {
    for (name, wanted) in &role.bound_claims {
        let found = claim(claims, name).ok_or_else(|| format!("claim \"{name}\" is missing"))?;
        let (found, wanted) = (as_list(found), as_list(wanted));
        let fits = |wanted: &Value, found: &Value| match (role.bound_claims_glob, wanted, found) {
            (true, Value::String(pattern), Value::String(text)) => glob(pattern, text),
            (_, Value::Number(wanted), Value::Number(found)) => wanted.as_f64() == found.as_f64(),
            _ => wanted == found,
        };
        if !found.iter().any(|found| wanted.iter().any(|wanted| fits(wanted, found))) {
            return Err(format!("claim \"{name}\" does not match any associated bound claim values"));
        }
    }
    Ok(())
}

/// Who logs in.
pub(super) fn user(claims: &Map<String, Value>, role: &Role) -> Result<String, String> {
    let name = &role.user_claim;
    match claim(claims, name) {
        None => Err(format!("claim \"{name}\" not found in token")),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("claim \"{name}\" could not be converted to string")),
    }
}

/// The token's metadata: the role, and the claims that the role maps.
pub(super) fn metadata(
    claims: &Map<String, Value>,
    role_name: &str,
    role: &Role,
) -> Result<BTreeMap<String, String>, String> {
    let mut metadata = BTreeMap::from([("role".to_owned(), role_name.to_owned())]);
    for (name, key) in &role.claim_mappings {
        match claim(claims, name) {
            None => {}
            Some(Value::String(text)) => drop(metadata.insert(key.clone(), text.clone())),
            Some(_) => return Err(format!("error converting claim '{name}' to string")),
        }
    }
    Ok(metadata)
}

/// A claim by name, or by JSON pointer when the name starts with `/`.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(pointer) = name.strip_prefix('/') else {
        return claims.get(name);
    };
    let mut segments = pointer.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~"));
    let first = claims.get(&segments.next()?)?;
    segments.try_fold(first, |value, segment| match value {
        Value::Object(members) => members.get(&segment),
        Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A list as it is, and one value as a list of one.
pub(super) fn as_list(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        one => std::slice::from_ref(one),
    }
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(first) else {
        return false;
    };
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| glob(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c", "abcd", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
