//! From a request to its handler, by way of the seal, the mount, the token and the policies.
//!
//! Owns the order of these questions, which decides what a refused client gets to know. The routes stand in
//! [`ROUTES`], one list a backend, in the form of Vault's framework: a pattern, its operations, a help text.

use super::call::{Call, Operation};
use super::core::{Core, Shared};
use super::policy::Capability;
use super::reply::{Outcome, Refusal, Reply};
use super::sys::Backend;
use super::token::LastUse;
use super::{approle, jwt, kv, sys, token};
use crate::wire::{Request, Response};
use serde_json::json;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// All routes, by the backend that is mounted.
const ROUTES: [(Backend, &[Route]); 6] = [
    (Backend::System, sys::ROUTES),
    (Backend::Token, token::ROUTES),
    (Backend::Jwt, jwt::ROUTES),
    (Backend::AppRole, approle::ROUTES),
    (Backend::KvV1, kv::V1_ROUTES),
    (Backend::KvV2, kv::V2_ROUTES),
];

/// One path of a backend.
pub(super) struct Route {
    /// Segments; `{name}` takes one segment, `{name...}` any number, also none.
    pub(super) pattern: &'static str,
    pub(super) operations: &'static [(Operation, Handler)],
    pub(super) guard: Guard,
    /// Tells an update from a creation, where policies tell them apart.
    pub(super) exists: Option<fn(&Core, &Call) -> bool>,
    /// What `path-help` prints.
    pub(super) help: &'static str,
}

/// What a request needs to get to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// A token whose policies grant the operation.
    Policy,
    /// The same, and `sudo`.
    Sudo,
    /// A living token; the handler decides what it gets to see.
    AnyToken,
    /// Nothing: a login.
    Open,
}

/// Answers a call.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// With the state locked.
    Now(fn(&mut Core, &Call) -> Outcome),
    /// With IO in between: locks on its own.
    Later(fn(Arc<Shared>, Call) -> Later),
}

/// What a handler with IO returns.
pub(super) type Later = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Answers a request.
pub(super) async fn answer(shared: &Arc<Shared>, request: Request) -> Response {
    if let Some(clean) = cleaned(&request.path) {
        return redirect(&request, &clean);
    }
    let Some(path) = request.path.strip_prefix("/v1/") else {
        return match request.path.as_str() {
            "/" | "/ui" | "/ui/" => {
                Response::text(200, "text/plain; charset=utf-8", format!("{}\n", crate::WARNING))
            }
            _ => Response::text(404, "text/plain; charset=utf-8", "404 page not found\n"),
        };
    };
    let namespace = request.header("x-vault-namespace").unwrap_or_default().trim_matches('/');
    let in_root = namespace.is_empty() || namespace == "root";
    let open = sys::health(&mut shared.lock(), &request, path);
    let outcome = match open {
        Some(_) if !in_root => Err(Refusal::bad("operation unavailable in namespaces")),
        Some(outcome) => outcome,
        None => backends(shared, &request, path, in_root).await,
    };
    match outcome {
        Ok(reply) => reply.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// The path without empty and dotted segments, if it has any: Go's router sends clients there.
fn cleaned(path: &str) -> Option<String> {
    if path == "/v1/sys" {
        return Some("/v1/sys/".to_owned());
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let folder = path.ends_with('/') && !kept.is_empty();
    let clean = format!("/{}{}", kept.join("/"), if folder { "/" } else { "" });
    (clean != path).then_some(clean)
}

fn redirect(request: &Request, path: &str) -> Response {
    let page = if request.method == http::Method::GET {
        format!("<a href=\"{path}\">Temporary Redirect</a>.\n\n")
    } else {
        String::new()
    };
    let mut response = Response::text(307, "text/html; charset=utf-8", page);
    response.headers.push(("location", path.to_owned()));
    response
}

async fn backends(shared: &Arc<Shared>, request: &Request, path: &str, in_root: bool) -> Outcome {
    let Admitted { task, call, last_use } = admit(&mut shared.lock(), request, path, in_root)?;
    let token = call.token.as_ref().map(|token| token.id.clone());
    let (path, wrap_ttl) = (call.path.clone(), call.wrap_ttl);
    let outcome = match task {
        Task::Help(text) => Ok(Reply::Raw(200, json!({"help": text, "see_also": null, "openapi": null}))),
        Task::Run(Handler::Now(handler)) => handler(&mut shared.lock(), &call),
        Task::Run(Handler::Later(handler)) => handler(shared.clone(), call).await,
    };
    if let (Some(id), Some(last_use)) = (token, last_use) {
        shared.lock().tokens.after_use(&id, last_use);
    }
    match wrap_ttl {
        Some(ttl) => outcome.map(|reply| sys::wrap(&mut shared.lock(), &path, ttl, reply)),
        None => outcome,
    }
}

/// A call that may go on.
struct Admitted {
    task: Task,
    call: Call,
    last_use: Option<LastUse>,
}

enum Task {
    Run(Handler),
    Help(&'static str),
}

/// Asks all questions, in Vault's order.
fn admit(core: &mut Core, request: &Request, path: &str, in_root: bool) -> Result<Admitted, Refusal> {
    if core.seal.is_sealed() {
        return Err(Refusal::new(503, "Vault is sealed"));
    }
    if !in_root {
        return Err(Refusal::new(404, "namespace not found"));
    }
    let mut call = Call::read(request, path)?;
    let route = find(core, &mut call);
    if let Found::Route(Route { guard: Guard::Open, operations, .. }) = route {
        let handler =
            handler(operations, call.operation).ok_or(Refusal::new(405, "unsupported operation"))?;
        return Ok(Admitted { task: Task::Run(handler), call, last_use: None });
    }
    let id = call.token_id.as_deref().unwrap_or_default();
    let (token, last_use) = core.tokens.using(id).ok_or_else(Refusal::no_token)?;
    let used = token.id.clone();
    call.token = Some(token);
    match permitted(core, &call, &route).and_then(|()| task(&route, &call, request)) {
        Ok(task) => Ok(Admitted { task, call, last_use: Some(last_use) }),
        Err(refusal) => {
            core.tokens.after_use(&used, last_use);
            Err(refusal)
        }
    }
}

/// What a path leads to.
enum Found {
    Route(&'static Route),
    /// A mount, but no such path in it.
    Mount,
    Nothing,
}

/// Finds mount and route, and notes them in the call.
fn find(core: &Core, call: &mut Call) -> Found {
    let Some((mount, backend)) = core.mounts.find(&call.path) else {
        return Found::Nothing;
    };
    let rest = call.path.get(mount.len()..).unwrap_or_default().to_owned();
    mount.clone_into(&mut call.mount);
    let routes =
        ROUTES.iter().filter(|(mounted, _)| *mounted == backend).flat_map(|(_, routes)| routes.iter());
    // Only secrets have names in which a trailing slash means something.
    let bare = if backend.keeps_slashes() { &rest } else { rest.trim_end_matches('/') };
    for route in routes {
        if let Some(captured) = matched(route.pattern, bare) {
            call.captured = captured;
            return Found::Route(route);
        }
    }
    Found::Mount
}

/// Do the policies grant it?
fn permitted(core: &Core, call: &Call, found: &Found) -> Result<(), Refusal> {
    let guard = if let Found::Route(route) = found { route.guard } else { Guard::Policy };
    if guard == Guard::AnyToken {
        return Ok(());
    }
    let acl = core.policies.acl(&call.caller()?.policies);
    let exists = match found {
        Found::Route(Route { exists: Some(exists), .. }) => exists(core, call),
        _ => true,
    };
    let granted = acl.allows(&call.path, call.operation.capability(exists))
        && (guard != Guard::Sudo || acl.allows(&call.path, Capability::Sudo));
    if granted { Ok(()) } else { Err(Refusal::denied()) }
}

fn task(found: &Found, call: &Call, request: &Request) -> Result<Task, Refusal> {
    match found {
        Found::Nothing => {
            let path = &call.path;
            Err(Refusal::new(404, format!("no handler for route \"{path}\". route entry not found.")))
        }
        Found::Mount => Err(Refusal::unsupported_path()),
        Found::Route(route) if request.query("help").is_some() => Ok(Task::Help(route.help)),
        Found::Route(route) => handler(route.operations, call.operation)
            .map(Task::Run)
            .ok_or_else(Refusal::unsupported_operation),
    }
}

fn handler(operations: &[(Operation, Handler)], operation: Operation) -> Option<Handler> {
    operations.iter().find(|(known, _)| *known == operation).map(|(_, handler)| *handler)
}

/// Matches a path against a pattern, and says what the pattern's names took.
fn matched(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let wanted: Vec<&'static str> = pattern.split('/').collect();
    let segments: Vec<&str> = path.split('/').collect();
    let mut captured = Vec::new();
    take(&wanted, &segments, &mut captured).then_some(captured)
}

fn take(wanted: &[&'static str], segments: &[&str], captured: &mut Vec<(&'static str, String)>) -> bool {
    let Some((first, wanted)) = wanted.split_first() else {
        return segments.is_empty();
    };
    let Some(name) = first.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
        return segments.first() == Some(first) && take(wanted, &segments[1..], captured);
    };
    let Some(name) = name.strip_suffix("...") else {
        let taken = segments.first().is_some_and(|segment| !segment.is_empty());
        if taken {
            captured.push((name, segments[0].to_owned()));
        }
        return taken && take(wanted, &segments[1..], captured);
    };
    // The longest first, so that a literal after it is found at the end of the path.
    (1..=segments.len()).rev().any(|count| {
        let mut trial = vec![(name, segments[..count].join("/"))];
        let fits = take(wanted, &segments[count..], &mut trial);
        if fits {
            captured.append(&mut trial);
        }
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_segments() {
        let table: &[(&str, &str, Option<&[&str]>)] = &[
            ("policy", "policy", Some(&[])),
            ("policy", "policies", None),
            ("policy/{name}", "policy/a", Some(&["a"])),
            ("policy/{name}", "policy", None),
            ("policy/{name}", "policy/", None),
            ("policy/{name}", "policy/a/b", None),
            ("data/{path...}", "data/a/b", Some(&["a/b"])),
            ("data/{path...}", "data/", Some(&[""])),
            ("data/{path...}", "data", None),
            ("{path...}", "", Some(&[""])),
            ("mounts/{path...}/tune", "mounts/a/b/tune", Some(&["a/b"])),
            ("mounts/{path...}/tune", "mounts/a/b", None),
        ];
        for (pattern, path, names) in table {
            let taken = matched(pattern, path);
            let values = taken.map(|taken| taken.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
            assert_eq!(
                values,
                names.map(|names| names.iter().map(ToString::to_string).collect()),
                "{pattern} {path}"
            );
        }
    }
}
