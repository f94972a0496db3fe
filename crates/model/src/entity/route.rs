//! The route entity: which requests are meant, and what happens to their path and host.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::definition::{CREATED_AT, Definition, ID, TAGS, UPDATED_AT};
use super::service::Protocol;
use super::{Foreign, rule};
use crate::decode::merge::edited;
use crate::document::{Entry, FormatVersion, Node};
use crate::field::{Check, Default, Field, Rule, Schema, Type};
use crate::value::{Record, Text, Value};
use crate::violation::{Report, Violation};

/// A checked route.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Route {
    pub name: Option<Text>,
    pub protocols: Vec<Protocol>,
    pub methods: Option<Vec<Text>>,
    pub hosts: Option<Vec<Text>>,
    /// Prefixes, or `~` and a regular expression.
    pub paths: Option<Vec<Text>>,
    /// A header's name, and the values of which one must be there; a single value that begins with `~*` is a regular
    /// expression.
    pub headers: Option<BTreeMap<String, Vec<Text>>>,
    pub snis: Option<Vec<Text>>,
    pub sources: Option<Vec<Endpoint>>,
    pub destinations: Option<Vec<Endpoint>>,
    /// For the flavour `expressions`; the fields above are null then.
    #[serde(default)]
    pub expression: Option<Text>,
    #[serde(default)]
    pub priority: Option<u64>,
    pub regex_priority: i64,
    pub strip_path: bool,
    pub path_handling: PathHandling,
    pub preserve_host: bool,
    pub https_redirect_status_code: u16,
    pub request_buffering: bool,
    pub response_buffering: bool,
    pub service: Option<Foreign>,
}

/// A network end: an address or range, a port, or both.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoint {
    /// An address, or a range in CIDR notation.
    pub ip: Option<Text>,
    /// A port.
    pub port: Option<u16>,
}

/// How the service's path, the route's and the request's become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathHandling {
    /// One slash between them.
    V0,
    /// Just put together.
    V1,
}

/// Routes.
pub(crate) static ROUTES: Definition = Definition {
    endpoint_key: Some("name"),
    holds: &["service"],
    identity: &["service", "protocols", "methods", "hosts", "paths", "headers", "snis"],
    defaults: Some("route"),
    rewrite: Some(rewrite),
    path_key: Some("name"),
    ..Definition::top("route", "routes", SCHEMA)
};

/// The fields and checks of a route.
pub const SCHEMA: Schema =
    Schema { fields: FIELDS, checks: &[Check::Custom(matches_something), Check::Custom(grpc)] };

const PROTOCOL: Field = Field::new("", Type::String)
    .rules(&[Rule::OneOf(super::service::PROTOCOLS), Rule::Custom(rule::protocol)]);
const METHOD: Field = Field::new("", Type::String).rules(&[Rule::Custom(rule::method)]);
const HOST: Field = Field::new("", Type::String).rules(&[Rule::Custom(rule::host_or_wildcard)]);
const PATH: Field = Field::new("", Type::String).rules(&[Rule::Custom(rule::path_or_regex)]);
const HEADER_NAME: Field = Field::new("", Type::String).rules(&[Rule::Custom(rule::route_header)]);
const HEADER_VALUES: Field = Field::new("", Type::Array(&crate::field::TEXT))
    .rules(&[Rule::LengthMin(1), Rule::Custom(header_values)]);
const SNI: Field = Field::new("", Type::String).rules(&[Rule::Custom(rule::server_name)]);
const ENDPOINT: Field = Field::new(
    "",
    Type::Record(&[Field::string("ip"), Field::integer("port").rules(&[Rule::Between(0.0, 65535.0)])]),
);
const STREAMS: &str = "routes of streams";

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name")
        .unique()
        .rules(&[Rule::Custom(rule::name)])
        .doc("The name, by which others refer to it."),
    Field::set("protocols", &PROTOCOL)
        .required()
        .default_texts(&["http", "https"])
        .rules(&[Rule::LengthMin(1), Rule::Custom(rule::route_protocols)])
        .doc("What a request must be spoken in; others get 426 or no match."),
    Field::integer("https_redirect_status_code")
        .required()
        .default_int(426)
        .rules(&[Rule::OneOfIntegers(&[426, 301, 302, 307, 308])])
        .doc("What a request in clear gets where only protocols in TLS are allowed."),
    Field::boolean("strip_path")
        .required()
        .default_bool(true)
        .doc("Whether the path that matched is taken off."),
    Field::boolean("preserve_host")
        .required()
        .default_bool(false)
        .doc("Whether the upstream sees the client's Host."),
    Field::boolean("request_buffering")
        .required()
        .default_bool(true)
        .doc("Whether a request is read whole first."),
    Field::boolean("response_buffering")
        .required()
        .default_bool(true)
        .doc("Whether a response is read whole first."),
    TAGS,
    Field::foreign("service", "services").doc("Where its requests go."),
    Field::set("snis", &SNI).doc("Server names of TLS, one of which the client must have asked for."),
    Field::set("sources", &ENDPOINT).unsupported(STREAMS).doc("Where a connection may come from."),
    Field::set("destinations", &ENDPOINT).unsupported(STREAMS).doc("Where a connection may go to."),
    Field::set("methods", &METHOD).doc("Methods, one of which the request must have."),
    Field::array("hosts", &HOST).doc("Hosts, one of which the request must ask for; `*.` or `.*` at an end."),
    Field::array("paths", &PATH).doc("Prefixes, or `~` and an expression, one of which must fit the path."),
    Field::map("headers", &HEADER_NAME, &HEADER_VALUES)
        .doc("Headers, each with the values of which one must be there; `~*` begins an expression."),
    Field::integer("regex_priority").default_int(0).doc("Among expressions that fit, the highest counts."),
    Field::string("path_handling")
        .default_text("v0")
        .rules(&[Rule::OneOf(&["v0", "v1"])])
        .doc("How the service's path, the route's and the request's become one."),
    Field::new("expression", Type::String).doc("An expression that a request must fit."),
    Field::new("priority", Type::Integer)
        .default(Default::None)
        .rules(&[Rule::Between(0.0, 70_368_744_177_663.0)])
        .doc("Among expressions that fit, the highest counts."),
];

/// A value that begins with `~*` is an expression, also among several.
fn header_values(value: &Value) -> Result<(), String> {
    let values = value.as_list().unwrap_or_default().iter().filter_map(Value::as_text);
    let mut patterns = values.filter_map(|value| value.strip_prefix("~*"));
    patterns.try_for_each(rule::header_regex)
}

/// A route that says nothing of its requests would take all of them; Kong refuses it.
fn matches_something(route: &Record) -> Result<(), (&'static str, String)> {
    let given = |field: &str| match route.get(field) {
        Some(Value::List(items)) => !items.is_empty(),
        Some(Value::Map(entries)) => !entries.is_empty(),
        other => other.is_some(),
    };
    if given("expression") {
        // Whether it says anything is the router's to find out, and whether it may stand here is router_flavor's.
        let others = ["methods", "hosts", "headers", "paths", "snis"];
        return match others.into_iter().find(|field| given(field)) {
            Some(field) => Err((field, "cannot be set where 'expression' is".to_owned())),
            None => Ok(()),
        };
    }
    if given("priority") {
        return Err(("priority", "belongs to an 'expression'".to_owned()));
    }
    let protocols = texts(route, "protocols");
    let has = |name: &str| protocols.contains(&name);
    if given("snis") && !["https", "grpcs", "wss"].into_iter().any(has) {
        let message =
            "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'";
        return Err(("snis", message.to_owned()));
    }
    let needs: &[(&str, &[&str])] = &[
        ("https", &["methods", "hosts", "headers", "paths", "snis"]),
        ("http", &["methods", "hosts", "headers", "paths"]),
        ("grpcs", &["hosts", "headers", "paths", "snis"]),
        ("grpc", &["hosts", "headers", "paths"]),
        ("wss", &["hosts", "headers", "paths", "snis"]),
        ("ws", &["hosts", "headers", "paths"]),
    ];
    let Some((protocol, fields)) = needs.iter().find(|(protocol, _)| has(protocol)) else { return Ok(()) };
    if fields.iter().any(|field| given(field)) {
        return Ok(());
    }
    let fields: Vec<_> = fields.iter().map(|field| format!("'{field}'")).collect();
    Err(("", format!("must set one of {} when 'protocols' is '{protocol}'", fields.join(", "))))
}

/// gRPC has one method, and its paths name services.
fn grpc(route: &Record) -> Result<(), (&'static str, String)> {
    if !texts(route, "protocols").iter().any(|name| name.starts_with("grpc")) {
        return Ok(());
    }
    if route.get("methods").is_some() {
        return Err(("methods", "cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs'".to_owned()));
    }
    if route.get("strip_path") == Some(&Value::Boolean(true)) {
        let message = "cannot set 'strip_path' to 'true' when 'protocols' is 'grpc' or 'grpcs'";
        return Err(("strip_path", message.to_owned()));
    }
    Ok(())
}

fn texts<'a>(route: &'a Record, field: &str) -> Vec<&'a str> {
    route.get(field).and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_text).collect()
}

/// Before 3.0 expressions in `paths` were not marked; and gRPC strips no path unless told to, as decK has it.
fn rewrite(node: &Node, version: Option<FormatVersion>, path: &str, report: &mut Report) -> Option<Node> {
    let old = matches!(version, Some(FormatVersion::V1_1 | FormatVersion::V2_1));
    let mut with = Vec::new();
    if let Some(entry) = node.entry("paths") {
        let paths = entry.value.as_list().unwrap_or_default();
        let unmarked = |path: &Node| {
            path.as_str().is_some_and(|text| {
                text.starts_with('/')
                    && rule::looks_like_regex(text)
                    && !postern_secrets::Template::has_reference(text)
            })
        };
        if old && paths.iter().any(unmarked) {
            let mark = |path: &Node| match path.as_str() {
                Some(text) if unmarked(path) => path.text_at(format!("~{text}")),
                _ => path.clone(),
            };
            let marked = crate::document::Value::List(paths.iter().map(mark).collect());
            with.push(Entry { key: entry.key.clone(), value: Node::new(entry.value.position(), marked) });
        }
        for (index, written) in paths.iter().enumerate().filter(|(_, path)| !old && unmarked(path)) {
            let message = "looks like a regular expression, but is taken as it stands";
            let violation =
                Violation::warning(format!("{path}.paths[{index}]"), Some(written.position()), message);
            report.push(violation.with_hint("an expression begins with ~"));
        }
    }
    let protocols = node.get("protocols").and_then(Node::as_list).unwrap_or_default();
    let is_grpc = protocols.iter().any(|name| matches!(name.as_str(), Some("grpc" | "grpcs")));
    if is_grpc && node.get("strip_path").is_none() {
        let key = crate::document::Key::made("strip_path", node.position());
        with.push(Entry { key, value: node.truth_at(false) });
    }
    let without: Vec<String> = with.iter().map(|entry| entry.key.text.to_string()).collect();
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    (!with.is_empty()).then(|| edited(node, &without, with.clone()))
}
