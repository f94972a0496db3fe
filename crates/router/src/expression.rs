//! Routes that are expressions: the flavour `expressions`, on Kong's own engine.
//!
//! Owns: Kong's fields, and how they are filled from a request. Must not know: the language (`atc-router` does).
//!
//! As in Kong: the highest `priority` wins, and a route's protocols are part of its expression, unless it has only
//! `https` and so answers other requests with a redirect. Fields that no expression names are not filled.

mod patterns;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug, Formatter};

use atc_router::ast::{Expression, LogicalExpression, Type, Value};
use atc_router::context::{self, Context};
use atc_router::interpreter::Execute;
use atc_router::parser::parse;
use atc_router::schema::Schema;
use atc_router::semantics::{FieldCounter, Validate};
use postern_model::entity::Route;

use crate::facts::{Captures, Group, Match, Request};
use crate::path::undecoded_len;
use crate::rule::{Budget, Schemes, is_stream};

/// Longer and deeper ones would overflow the stack of the engine, which is recursive.
const MAX_LEN: usize = 32 * 1024;
const MAX_DEPTH: usize = 64;

/// Kong's fields.
const TEXTS: &[&str] = &[
    "net.protocol",
    "tls.sni",
    "http.method",
    "http.host",
    "http.path",
    "http.path.segments.*",
    "http.headers.*",
    "http.queries.*",
];
const NUMBERS: &[&str] = &["net.port", "net.src.port", "net.dst.port", "http.path.segments.len"];
const ADDRESSES: &[&str] = &["net.src.ip", "net.dst.ip"];

/// All expressions of a configuration.
pub(crate) struct Expressions {
    schema: Schema,
    /// The fields that expressions name.
    fields: HashMap<String, usize>,
    /// In the order in which they win.
    routes: Vec<Compiled>,
}

struct Compiled {
    number: usize,
    priority: u64,
    schemes: Schemes,
    expression: Expression,
}

impl Default for Expressions {
    fn default() -> Self {
        let mut schema = Schema::default();
        TEXTS.iter().for_each(|name| schema.add_field(name, Type::String));
        NUMBERS.iter().for_each(|name| schema.add_field(name, Type::Int));
        ADDRESSES.iter().for_each(|name| schema.add_field(name, Type::IpAddr));
        Self { schema, fields: HashMap::new(), routes: Vec::new() }
    }
}

impl Debug for Expressions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expressions").field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl Expressions {
    /// Adds a route. Where priorities are alike, the earlier wins; Kong takes identifiers.
    pub(crate) fn add(&mut self, number: usize, route: &Route, expression: &str) -> Result<(), String> {
        if is_stream(route) {
            return Ok(());
        }
        let expression = compile(expression)?;
        check_segments(&expression)?;
        expression.validate(&self.schema).map_err(|reason| format!("expression: {reason}"))?;
        expression.add_to_counter(&mut self.fields);
        let priority = route.priority.unwrap_or(0);
        let place = self.routes.partition_point(|other| other.priority >= priority);
        let schemes = Schemes::of(&route.protocols, true);
        self.routes.insert(place, Compiled { number, priority, schemes, expression });
        Ok(())
    }

    /// The route that a request is for.
    pub(crate) fn find(&self, request: &Request<'_>) -> Option<Match> {
        if self.routes.is_empty() {
            return None;
        }
        let mut context = Context::new(&self.schema);
        for field in self.fields.keys() {
            fill(&mut context, field, request);
        }
        self.routes.iter().filter(|route| route.schemes.hold(request)).find_map(|route| {
            // The engine's own loop keeps what expressions noted that then did not match; so it is not used.
            let mut found = context::Match::new();
            route.expression.execute(&mut context, &mut found).then(|| route.found(found, request))
        })
    }
}

impl Compiled {
    fn found(&self, found: context::Match, request: &Request<'_>) -> Match {
        let path = match found.matches.get("http.path") {
            Some(Value::String(path)) => {
                Some(undecoded_len(request.facts.path, request.decoded(), path.len()))
            }
            _ => None,
        };
        let captures = captures(found.captures);
        Match { route: self.number, path, captures, needs_https: self.schemes.needs_https(request) }
    }
}

fn compile(expression: &str) -> Result<Expression, String> {
    if expression.len() > MAX_LEN || depth(expression) > MAX_DEPTH {
        return Err(format!("expression: more than {MAX_LEN} bytes, or {MAX_DEPTH} levels"));
    }
    // The engine compiles regular expressions while it reads, each as large as it likes.
    let mut budget = Budget::default();
    for pattern in patterns::of(expression) {
        budget.foresee(&pattern).map_err(|reason| format!("expression: {reason}"))?;
    }
    parse(expression).map_err(|error| {
        // Its text quotes the expression, after a first line that says where.
        let text = error.to_string();
        let place = text.lines().next().unwrap_or_default().trim_start_matches([' ', '-', '>']);
        format!("expression: not understood at {place} (line:character)")
    })
}

/// How deep parentheses and negations may be nested, those in texts included: an upper bound.
fn depth(expression: &str) -> usize {
    let mut depth: usize = 0;
    let mut deepest = 0;
    for byte in expression.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Kong's rule for `http.path.segments.*`: `len`, a number, or two of which the first is smaller.
fn check_segments(expression: &Expression) -> Result<(), String> {
    match expression {
        Expression::Logical(logical) => match logical.as_ref() {
            LogicalExpression::And(a, b) | LogicalExpression::Or(a, b) => {
                check_segments(a).and_then(|()| check_segments(b))
            }
            LogicalExpression::Not(inner) => check_segments(inner),
        },
        Expression::Predicate(predicate) => {
            match predicate.lhs.var_name.strip_prefix("http.path.segments.") {
                Some(range) if range != "len" && segment_range(range).is_none() => {
                    Err("expression: illformed http.path.segments.* field".to_owned())
                }
                _ => Ok(()),
            }
        }
    }
}

fn fill(context: &mut Context<'_>, field: &str, request: &Request<'_>) {
    let facts = request.facts;
    let mut text = |value: &str| context.add_value(field, Value::String(value.to_owned()));
    match field {
        "net.protocol" => text(if request.is_tls() { "https" } else { "http" }),
        "http.method" => text(facts.method.as_str()),
        "http.host" => text(request.host),
        "http.path" => text(request.decoded()),
        "tls.sni" => request.sni.into_iter().for_each(text),
        "net.port" => context.add_value(field, Value::Int(facts.port.into())),
        "http.path.segments.len" => {
            let count = i64::try_from(segments(request.decoded()).len()).unwrap_or(i64::MAX);
            context.add_value(field, Value::Int(count));
        }
        "net.src.ip" | "net.dst.ip" | "net.src.port" | "net.dst.port" => {
            let end = if field.starts_with("net.src") { facts.source } else { facts.destination };
            if let Some(end) = end {
                let ip = Value::IpAddr(end.ip().to_canonical());
                let is_port = field.ends_with("port");
                context.add_value(field, if is_port { Value::Int(end.port().into()) } else { ip });
            }
        }
        _ => named(field, request, &mut text),
    }
}

/// Fields with names of one's own.
fn named(field: &str, request: &Request<'_>, text: &mut impl FnMut(&str)) {
    if let Some(range) = field.strip_prefix("http.path.segments.") {
        let segments = segments(request.decoded());
        let range = segment_range(range).and_then(|(first, last)| segments.get(first..=last));
        range.into_iter().for_each(|range| text(&range.join("/")));
    } else if let Some(name) = field.strip_prefix("http.headers.") {
        let name = name.replace('_', "-");
        let values = request.facts.headers.get_all(name).iter();
        values.for_each(|value| text(&String::from_utf8_lossy(value.as_bytes())));
    } else if let Some(name) = field.strip_prefix("http.queries.") {
        let pairs = form_urlencoded::parse(request.facts.query.unwrap_or_default().as_bytes());
        pairs.filter(|(known, _)| known == name).for_each(|(_, value)| text(&value));
    }
}

fn segments(path: &str) -> Vec<&str> {
    let mut segments: Vec<_> = path.split('/').skip(1).collect();
    while segments.last().is_some_and(|last| last.is_empty()) {
        segments.pop();
    }
    segments
}

/// First and last of `2` or `0_1`.
fn segment_range(range: &str) -> Option<(usize, usize)> {
    let number = |text: &str| match text.as_bytes() {
        [b'0', _, ..] | [b'+', ..] => None,
        _ => text.parse::<usize>().ok(),
    };
    match range.split_once('_') {
        None => number(range).map(|only| (only, only)),
        Some((first, last)) => Some((number(first)?, number(last)?)).filter(|(first, last)| first < last),
    }
}

/// The engine tells groups by number and by name in one map; named groups so come after the numbered.
fn captures(found: impl IntoIterator<Item = (String, String)>) -> Captures {
    let (mut numbered, mut named) = (BTreeMap::new(), Vec::new());
    for (key, text) in found {
        match key.parse::<usize>() {
            Ok(number) => _ = numbered.insert(number, text),
            Err(_) => named.push((key, text)),
        }
    }
    if numbered.len() + named.len() < 2 {
        return Captures::default();
    }
    let count = numbered.last_key_value().map_or(0, |(last, _)| last + 1);
    let mut groups: Vec<Group> =
        (0..count).map(|number| (None, numbered.remove(&number).map(Into::into))).collect();
    named.sort_unstable();
    groups.extend(named.into_iter().map(|(name, text)| (Some(name.into()), Some(text.into()))));
    Captures::new(groups)
}
