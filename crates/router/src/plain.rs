//! The slow matcher: all routes, one after the other, straight from their fields.
//!
//! Owns: the meaning of routes in its plainest form, for the index to be compared with. Must not know: the index and
//! its rules; only the one form of paths is shared. Tests and the fuzz target use it; nothing that serves does.

use std::cmp::Reverse;
use std::collections::HashMap;

use postern_model::entity::Route;
use postern_model::entity::route::Endpoint;
use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use crate::facts::Facts;
use crate::path::{decoded, normalise, undecoded_len};

/// Routes as they are.
#[derive(Debug)]
pub struct Plain<'r> {
    routes: Vec<(usize, &'r Route)>,
    /// Compiled once, by pattern.
    regexes: HashMap<String, Regex>,
}

impl<'r> Plain<'r> {
    /// From what [`crate::Router::new`] takes and compiles, in the flavour `traditional_compatible`. All routes must be
    /// about HTTP.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = (usize, &'r Route)>) -> Self {
        let routes: Vec<_> = routes.into_iter().collect();
        let paths = routes.iter().flat_map(|(_, route)| route.paths.iter().flatten());
        let paths = paths.filter_map(|path| path.strip_prefix('~').map(str::to_owned));
        let values =
            routes.iter().flat_map(|(_, route)| route.headers.iter().flatten()).flat_map(|(_, all)| all);
        let values =
            values.filter_map(|value| value.strip_prefix("~*").map(|pattern| format!("(?i){pattern}")));
        let patterns = paths.chain(values);
        let regexes =
            patterns.filter_map(|pattern| Some((pattern.clone(), Regex::new(&pattern).ok()?))).collect();
        Self { routes, regexes }
    }

    /// The number of the route of the first rank for a request, and how many bytes of the path it takes.
    #[must_use]
    pub fn find(&self, facts: &Facts<'_>) -> Option<(usize, Option<usize>)> {
        let mut ranked = Vec::new();
        for (order, (number, route)) in self.routes.iter().enumerate() {
            if !self.conditions(route, facts) {
                continue;
            }
            let paths = route.paths.as_deref().unwrap_or_default();
            let mut each: Vec<_> = paths.iter().map(|path| Some(&**path)).collect();
            if each.is_empty() {
                each.push(None);
            }
            for (place, path) in each.into_iter().enumerate() {
                if let Some(taken) = self.takes(path, facts.path) {
                    ranked.push(((rank(route, path), Reverse(order), Reverse(place)), *number, taken));
                }
            }
        }
        ranked.into_iter().max_by(|a, b| a.0.cmp(&b.0)).map(|(_, number, taken)| (number, taken))
    }

    /// How many bytes of the request's path a route's path takes; `None` inside if there is none to take any.
    fn takes(&self, path: Option<&str>, asked: &str) -> Option<Option<usize>> {
        let Some(path) = path else { return Some(None) };
        if let Some(pattern) = path.strip_prefix('~') {
            let text = decoded(asked);
            let found = self.regexes.get(pattern)?.find(Input::new(&*text).anchored(Anchored::Yes))?;
            return Some(Some(undecoded_len(asked, &text, found.end())));
        }
        let prefix = normalise(path).ok()?;
        asked.starts_with(&*prefix).then_some(Some(prefix.len()))
    }

    fn conditions(&self, route: &Route, facts: &Facts<'_>) -> bool {
        let tls = facts.scheme.is_tls();
        let methods = route.methods.iter().flatten().any(|method| **method == *facts.method.as_str());
        let hosts = route.hosts.iter().flatten().any(|host| host_is(host, facts));
        let snis =
            route.snis.iter().flatten().any(|wanted| facts.sni.is_some_and(|sni| name_is(wanted, sni)));
        let headers = route.headers.iter().flatten().all(|(name, values)| {
            facts.headers.iter().any(|(known, value)| {
                known.as_str().eq_ignore_ascii_case(name)
                    && values.iter().any(|wanted| self.header_is(wanted, value.as_bytes()))
            })
        });
        (none(&route.methods) || methods)
            && (none(&route.hosts) || hosts)
            && (none(&route.snis) || !tls || snis)
            && ends(&route.sources, facts.source)
            && ends(&route.destinations, facts.destination)
            && headers
    }

    fn header_is(&self, wanted: &str, value: &[u8]) -> bool {
        match wanted.strip_prefix("~*") {
            Some(pattern) => {
                let regex = self.regexes.get(&format!("(?i){pattern}"));
                std::str::from_utf8(value).is_ok_and(|value| regex.is_some_and(|regex| regex.is_match(value)))
            }
            None => wanted.as_bytes().eq_ignore_ascii_case(value),
        }
    }
}

/// Kong's priority, field by field: kinds of rule, plain hosts, headers, regular expression and its priority, length.
fn rank(route: &Route, path: Option<&str>) -> (usize, bool, usize, bool, i64, usize) {
    let kinds = [
        route.hosts.as_ref().is_some_and(|list| !list.is_empty()),
        route.methods.as_ref().is_some_and(|list| !list.is_empty()),
        route.headers.as_ref().is_some_and(|list| !list.is_empty()),
        route.snis.as_ref().is_some_and(|list| !list.is_empty()),
        route.sources.as_ref().is_some_and(|list| !list.is_empty()),
        route.destinations.as_ref().is_some_and(|list| !list.is_empty()),
        path.is_some(),
    ];
    let plain = route.hosts.as_ref().is_some_and(|hosts| !hosts.iter().any(|host| host.contains('*')));
    let regex = path.is_some_and(|path| path.starts_with('~'));
    (
        kinds.into_iter().filter(|given| *given).count(),
        plain,
        route.headers.as_ref().map_or(0, |headers| headers.len().min(255)),
        regex,
        if regex { route.regex_priority } else { 0 },
        path.filter(|_| !regex).map_or(0, |path| normalise(path).map_or(0, |path| path.len())),
    )
}

fn none<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

fn host_is(wanted: &str, facts: &Facts<'_>) -> bool {
    match wanted.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) => name_is(name, facts.host) && port == facts.port,
        _ => name_is(wanted, facts.host),
    }
}

fn name_is(wanted: &str, name: &str) -> bool {
    let dotless = |name: &str| match name.len() {
        0 | 1 => name.to_owned(),
        _ => name.strip_suffix('.').unwrap_or(name).to_owned(),
    };
    let (wanted, name) = (wanted.to_ascii_lowercase(), dotless(name));
    if let Some(end) = wanted.strip_prefix('*') {
        let end = dotless(end);
        return name.len() > end.len() && name.ends_with(&end);
    }
    if let Some(start) = wanted.strip_suffix('*') {
        return name.len() > start.len() && name.starts_with(start);
    }
    dotless(&wanted) == name
}

fn ends(wanted: &Option<Vec<Endpoint>>, end: Option<std::net::SocketAddr>) -> bool {
    let Some(wanted) = wanted.as_deref().filter(|wanted| !wanted.is_empty()) else { return true };
    let Some(end) = end else { return false };
    wanted.iter().any(|Endpoint { ip, port }| {
        let inside = ip.as_ref().is_none_or(|ip| {
            ip.parse::<cidr::IpInet>().is_ok_and(|range| range.network().contains(&end.ip().to_canonical()))
        });
        inside && port.is_none_or(|port| port == end.port())
    })
}
