//! The path that the upstream is asked for.
//!
//! Owns: Kong's table of `path_handling`, `strip_path` and slashes. Must not know: hosts, queries. The proxy sends the
//! outcome with the query behind it.

use postern_model::entity::route::PathHandling;

/// Service's path, route's path and request's path, as one.
///
/// `matched` is [`crate::Match::path`]: so many bytes are left out if `strip_path` says so. Both paths are in their one
/// form ([`crate::normalise`]); so is the outcome, unless the service's path is not.
///
/// | service | route | request | strip | v0 | v1 |
/// | --- | --- | --- | --- | --- | --- |
/// | `/s` | `/fv0` | `/fv0/req` | no | `/s/fv0/req` | `/sfv0/req` |
/// | `/s` | `/fv0` | `/fv0req` | yes | `/s/req` | `/sreq` |
/// | `/s/` | `/fv0` | `/fv0/req` | yes | `/s/req` | `/s/req` |
/// | `/s/` | `/fv0` | `/fv0` | yes | `/s` | `/s/` |
#[must_use]
pub fn upstream_path(
    service: Option<&str>,
    request: &str,
    matched: Option<usize>,
    strip_path: bool,
    handling: PathHandling,
) -> String {
    let base = service.filter(|path| !path.is_empty()).unwrap_or("/");
    // Without anything to strip, the first slash is what is stripped.
    let rest = rest_of(request, matched.filter(|_| strip_path).unwrap_or(1));
    match handling {
        PathHandling::V1 if strip_path => join_plainly(base, rest),
        PathHandling::V1 => [base, request.get(1..).unwrap_or_default()].concat(),
        PathHandling::V0 if strip_path => stripped(base, rest, request),
        PathHandling::V0 => match base.strip_suffix('/') {
            Some(_) => [base, request.get(1..).unwrap_or_default()].concat(),
            None if request == "/" => base.to_owned(),
            None => [base, request].concat(),
        },
    }
}

/// What is behind the match. `/foo` takes the beginning of `/foo../admin`, too; what is left must not be a way up.
fn rest_of(request: &str, matched: usize) -> &str {
    let rest = request.get(matched..).unwrap_or_default();
    match rest {
        "." | ".." => "",
        _ => rest.strip_prefix("./").or_else(|| rest.strip_prefix("../")).unwrap_or(rest),
    }
}

fn join_plainly(base: &str, rest: &str) -> String {
    match base.strip_suffix('/') {
        Some(bare) if rest.starts_with('/') => [bare, rest].concat(),
        _ => [base, rest].concat(),
    }
}

/// One slash between the two; whether there is one at the end, the request says.
fn stripped(base: &str, rest: &str, request: &str) -> String {
    let bare = base.strip_suffix('/').unwrap_or(base);
    match rest {
        "" if base == "/" => "/".to_owned(),
        // Kong asks for more than a slash only where the service's path has none at its end.
        "" if request.ends_with('/') && (base.len() > bare.len() || request.len() > 1) => {
            [bare, "/"].concat()
        }
        "" => bare.to_owned(),
        _ if rest.starts_with('/') => [bare, rest].concat(),
        _ => [bare, "/", rest].concat(),
    }
}
