//! A route's rules, compiled, and which come first.
//!
//! Owns: what a rule means, the order of Kong's flavour `traditional_compatible`. Must not know: how candidates are
//! found (`index.rs`). As in Kong, a route is split by its paths: one [`Rule`] for all regular expressions, one for the
//! prefixes of each length; a route may so stand at several places of the order.

mod name;
mod net;
mod regex;

use std::cmp::Reverse;
use std::sync::Arc;

use http::{HeaderName, Method};
use postern_model::entity::{Protocol, Route};
use postern_model::value::Text;

pub(crate) use name::Name;
use net::Net;
pub(crate) use regex::{Budget, Regex};

use crate::facts::{Captures, Match, Request};
use crate::path::{normalise, undecoded_len};

/// One place in the order: a route, with those of its paths that rank alike.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) conditions: Arc<Conditions>,
    pub(crate) paths: Paths,
    rank: Rank,
}

/// What a route asks for besides its path.
#[derive(Debug)]
pub(crate) struct Conditions {
    route: usize,
    /// Each with the port that must have been asked for, if it says one.
    pub(crate) hosts: Vec<(Name, Option<u16>)>,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, Vec<HeaderValue>)>,
    snis: Vec<Name>,
    sources: Vec<Net>,
    destinations: Vec<Net>,
    schemes: Schemes,
}

/// The paths of a rule.
#[derive(Debug)]
pub(crate) enum Paths {
    /// All.
    Any,
    /// Sorted, all of one length.
    Prefixes(Vec<Box<str>>),
    /// In the order of the route; the first that matches counts.
    Regexes(Vec<Regex>),
}

#[derive(Debug)]
enum HeaderValue {
    Plain(Text),
    Regex(Regex),
}

/// The bits of Kong's priority, the most important first; bigger wins.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// How many kinds of rule the route has.
    weight: u8,
    /// None of its hosts has a wildcard.
    plain_hosts: bool,
    headers: u8,
    regex: bool,
    /// 0 unless `regex`.
    regex_priority: i64,
    /// 0 if `regex`.
    path_len: usize,
}

/// What a route's protocols ask of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schemes {
    clear: bool,
    tls: bool,
    /// Another connection does not match. Kong checks that in the flavour `expressions` only, and not for routes that
    /// have only `https`: these are to answer with a redirect.
    strict: bool,
    needs_https: bool,
}

/// Compiles a route. One that is not about HTTP has no rules.
pub(crate) fn compile(number: usize, route: &Route, strict: bool) -> Result<Vec<Rule>, String> {
    if is_stream(route) {
        return Ok(Vec::new());
    }
    let mut budget = Budget::default();
    let conditions = Arc::new(Conditions::compile(number, route, strict, &mut budget)?);
    let rank = |weight: u8| Rank {
        weight: conditions.kinds() + weight,
        plain_hosts: route.hosts.as_ref().is_some_and(|hosts| hosts.iter().all(|host| !host.contains('*'))),
        headers: u8::try_from(conditions.headers.len()).unwrap_or(u8::MAX),
        ..Rank::default()
    };
    let paths = compile_paths(route.paths.as_deref().unwrap_or_default(), &mut budget)?;
    if paths.is_empty() && conditions.kinds() == 0 {
        return Err(
            "no rule says which requests are meant: set `hosts`, `paths`, `methods`, `headers`, `snis`, \
                    `sources` or `destinations`"
                .to_owned(),
        );
    }
    if paths.is_empty() {
        return Ok(vec![Rule { rank: rank(0), conditions: Arc::clone(&conditions), paths: Paths::Any }]);
    }
    let rules = paths.into_iter().map(|paths| {
        let rank = match &paths {
            Paths::Regexes(_) => Rank { regex: true, regex_priority: route.regex_priority, ..rank(1) },
            Paths::Prefixes(prefixes) => {
                Rank { path_len: prefixes.first().map_or(0, |p| p.len()), ..rank(1) }
            }
            Paths::Any => rank(0),
        };
        Rule { rank, conditions: Arc::clone(&conditions), paths }
    });
    Ok(rules.collect())
}

/// Sorts rules: what comes first wins. Those that rank alike stay in the order in which they were given, which is that
/// of their creation; Kong takes their identifiers, which nobody chose.
pub(crate) fn sort(rules: &mut [Rule]) {
    rules.sort_by(|a, b| Reverse(&a.rank).cmp(&Reverse(&b.rank)));
}

/// Whether a route is about connections, not requests.
pub(crate) fn is_stream(route: &Route) -> bool {
    let stream = [Protocol::Tcp, Protocol::Tls, Protocol::TlsPassthrough, Protocol::Udp];
    route.protocols.first().is_some_and(|first| stream.contains(first))
}

/// Regular expressions together, prefixes by length, in the order in which the route first has them.
fn compile_paths(paths: &[Text], budget: &mut Budget) -> Result<Vec<Paths>, String> {
    let mut groups: Vec<Paths> = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let refused = |reason: String| format!("paths[{number}]: {reason}");
        if let Some(pattern) = path.strip_prefix('~') {
            let regex = Regex::anchored(pattern, budget).map_err(refused)?;
            match groups.iter_mut().find_map(Paths::regexes) {
                Some(regexes) => regexes.push(regex),
                None => groups.push(Paths::Regexes(vec![regex])),
            }
        } else {
            let prefix: Box<str> = normalise(path).map_err(|error| refused(error.to_string()))?.into();
            match groups.iter_mut().find_map(|group| group.prefixes(prefix.len())) {
                Some(prefixes) => prefixes.push(prefix),
                None => groups.push(Paths::Prefixes(vec![prefix])),
            }
        }
    }
    for group in &mut groups {
        if let Paths::Prefixes(prefixes) = group {
            prefixes.sort_unstable();
        }
    }
    Ok(groups)
}

impl Rule {
    /// Whether the request is meant, provided that its host is.
    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        self.conditions.hold(request) && self.paths.contain(request)
    }

    /// What is told of a match.
    pub(crate) fn found(&self, request: &Request<'_>) -> Match {
        let (path, captures) = match &self.paths {
            Paths::Any => (None, Captures::default()),
            Paths::Prefixes(prefixes) => (prefixes.first().map(|prefix| prefix.len()), Captures::default()),
            Paths::Regexes(regexes) => {
                let path = request.decoded();
                let taken = regexes.iter().find_map(|regex| regex.take(path));
                let (len, captures) = taken.unzip();
                (len.map(|len| undecoded_len(request.facts.path, path, len)), captures.unwrap_or_default())
            }
        };
        let needs_https = self.conditions.schemes.needs_https(request);
        Match { route: self.conditions.route, path, captures, needs_https }
    }
}

impl Conditions {
    fn compile(route: usize, from: &Route, strict: bool, budget: &mut Budget) -> Result<Self, String> {
        let hosts = from.hosts.iter().flatten().map(|host| name::host(host)).collect();
        let snis = from.snis.iter().flatten().map(|sni| name::sni(sni)).collect();
        let methods = from.methods.iter().flatten();
        let methods = methods.map(|method| Method::from_bytes(method.as_bytes()));
        let methods = methods.collect::<Result<_, _>>().map_err(|_| "methods: not a method of HTTP")?;
        let headers = from.headers.iter().flatten().map(|(name, values)| {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| "headers: not a name of a header")?;
            Ok((
                name,
                values.iter().map(|value| HeaderValue::compile(value, budget)).collect::<Result<_, _>>()?,
            ))
        });
        Ok(Self {
            route,
            hosts,
            methods,
            headers: headers.collect::<Result<_, String>>()?,
            snis,
            sources: net::compile(from.sources.as_deref()).map_err(|reason| format!("sources{reason}"))?,
            destinations: net::compile(from.destinations.as_deref())
                .map_err(|reason| format!("destinations{reason}"))?,
            schemes: Schemes::of(&from.protocols, strict),
        })
    }

    /// How many kinds of condition there are.
    fn kinds(&self) -> u8 {
        let kinds = [
            self.hosts.is_empty(),
            self.methods.is_empty(),
            self.headers.is_empty(),
            self.snis.is_empty(),
            self.sources.is_empty(),
            self.destinations.is_empty(),
        ];
        kinds.into_iter().map(|empty| u8::from(!empty)).sum()
    }

    /// All but the hosts, cheap ones first.
    fn hold(&self, request: &Request<'_>) -> bool {
        let facts = request.facts;
        (self.methods.is_empty() || self.methods.contains(facts.method))
            && self.schemes.hold(request)
            && self.sni_holds(request)
            && net::hold(&self.sources, facts.source)
            && net::hold(&self.destinations, facts.destination)
            && self.headers.iter().all(|(name, wanted)| {
                facts
                    .headers
                    .get_all(name)
                    .iter()
                    .any(|value| wanted.iter().any(|w| w.matches(value.as_bytes())))
            })
    }

    /// Without TLS there is no server name, and Kong does not ask for one.
    fn sni_holds(&self, request: &Request<'_>) -> bool {
        self.snis.is_empty()
            || !request.is_tls()
            || request.sni.is_some_and(|sni| self.snis.iter().any(|wanted| wanted.matches(sni)))
    }
}

impl Paths {
    fn contain(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Prefixes(prefixes) => {
                let len = prefixes.first().map_or(0, |prefix| prefix.len());
                request.facts.path.as_bytes().get(..len).is_some_and(|start| {
                    prefixes.binary_search_by(|prefix| prefix.as_bytes().cmp(start)).is_ok()
                })
            }
            Self::Regexes(regexes) => regexes.iter().any(|regex| regex.is_match(request.decoded())),
        }
    }

    fn regexes(&mut self) -> Option<&mut Vec<Regex>> {
        match self {
            Self::Regexes(regexes) => Some(regexes),
            _ => None,
        }
    }

    fn prefixes(&mut self, len: usize) -> Option<&mut Vec<Box<str>>> {
        match self {
            Self::Prefixes(prefixes) if prefixes.first().is_some_and(|prefix| prefix.len() == len) => {
                Some(prefixes)
            }
            _ => None,
        }
    }
}

impl HeaderValue {
    /// As Kong's code does it, `~*` begins a regular expression also among several values.
    fn compile(value: &Text, budget: &mut Budget) -> Result<Self, String> {
        match value.strip_prefix("~*") {
            Some(pattern) => {
                let regex = Regex::ignoring_case(pattern, budget);
                Ok(Self::Regex(regex.map_err(|reason| format!("headers: {reason}"))?))
            }
            None => Ok(Self::Plain(value.clone())),
        }
    }

    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Plain(wanted) => wanted.as_bytes().eq_ignore_ascii_case(value),
            Self::Regex(regex) => std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value)),
        }
    }
}

impl Schemes {
    pub(crate) fn of(protocols: &[Protocol], strict: bool) -> Self {
        let tls = protocols.iter().any(|protocol| protocol.is_tls());
        let clear = protocols.iter().any(|protocol| !protocol.is_tls());
        let https = protocols.contains(&Protocol::Https) && !protocols.contains(&Protocol::Http);
        Self {
            clear,
            tls,
            strict: strict && protocols != [Protocol::Https],
            needs_https: https || tls && !clear,
        }
    }

    pub(crate) fn hold(self, request: &Request<'_>) -> bool {
        !self.strict || if request.is_tls() { self.tls } else { self.clear }
    }

    pub(crate) fn needs_https(self, request: &Request<'_>) -> bool {
        self.needs_https && !request.is_tls()
    }
}
