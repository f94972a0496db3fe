//! Upstreams and their targets: several places that a service's requests may go to.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::definition::{CREATED_AT, Definition, ID, TAGS, UPDATED_AT};
use super::{Foreign, rule};
use crate::field::{Check, Default, Field, Rule, Schema, TEXT, Type};
use crate::value::{Record, Text, Value};

/// A checked upstream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Upstream {
    pub name: Text,
    pub algorithm: Algorithm,
    pub hash_on: HashOn,
    pub hash_fallback: HashOn,
    pub hash_on_header: Option<Text>,
    pub hash_fallback_header: Option<Text>,
    pub hash_on_cookie: Option<Text>,
    pub hash_on_cookie_path: Option<Text>,
    pub hash_on_query_arg: Option<Text>,
    pub hash_fallback_query_arg: Option<Text>,
    pub hash_on_uri_capture: Option<Text>,
    pub hash_fallback_uri_capture: Option<Text>,
    pub slots: u32,
    pub host_header: Option<Text>,
    pub client_certificate: Option<Foreign>,
    pub use_srv_name: bool,
    pub healthchecks: HealthChecks,
}

/// How a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "Kong's names")]
pub enum Algorithm {
    RoundRobin,
    ConsistentHashing,
    LeastConnections,
    Latency,
    StickySessions,
}

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Kong's names")]
pub enum HashOn {
    None,
    Consumer,
    Ip,
    Header,
    Cookie,
    Path,
    QueryArg,
    UriCapture,
}

/// How it is found out who is well.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct HealthChecks {
    /// Percent of the weight that must be well, or the whole upstream counts as unwell.
    pub threshold: f64,
    pub active: Active,
    pub passive: Passive,
}

/// By requests of our own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Active {
    #[serde(rename = "type")]
    pub kind: CheckKind,
    /// Seconds.
    pub timeout: f64,
    pub concurrency: u32,
    pub http_path: Text,
    pub https_sni: Option<Text>,
    pub https_verify_certificate: bool,
    pub headers: Option<BTreeMap<String, Vec<Text>>>,
    pub healthy: Healthy,
    pub unhealthy: Unhealthy,
}

/// By looking at what happens to users' requests.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Passive {
    #[serde(rename = "type")]
    pub kind: CheckKind,
    pub healthy: Healthy,
    pub unhealthy: Unhealthy,
}

/// What a check speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "Kong's names")]
pub enum CheckKind {
    Tcp,
    Http,
    Https,
    Grpc,
    Grpcs,
}

/// What makes a target well again.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Healthy {
    /// Seconds between active checks of what is well; 0: none.
    #[serde(default)]
    pub interval: f64,
    pub http_statuses: Vec<u16>,
    /// 0: never.
    pub successes: u32,
}

/// What makes a target unwell.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Unhealthy {
    /// Seconds between active checks of what is unwell; 0: none.
    #[serde(default)]
    pub interval: f64,
    pub http_statuses: Vec<u16>,
    /// 0: never, as the next two.
    pub tcp_failures: u32,
    pub timeouts: u32,
    pub http_failures: u32,
}

/// A place that requests may go to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Target {
    /// Whose it is.
    pub upstream: Foreign,
    /// `host:port`.
    #[serde(deserialize_with = "target")]
    pub target: Text,
    /// Its share; 0 takes it out.
    pub weight: u32,
}

/// Upstreams.
pub(crate) static UPSTREAMS: Definition = Definition {
    endpoint_key: Some("name"),
    holds: &["client_certificate"],
    defaults: Some("upstream"),
    path_key: Some("name"),
    beside: &["client_certificate"],
    masked: &["healthchecks.active.headers"],
    ..Definition::top("upstream", "upstreams", SCHEMA)
};

/// Targets of upstreams.
pub(crate) static TARGETS: Definition = Definition {
    cache_key: &["upstream", "target"],
    defaults: Some("target"),
    settle: Some(settle),
    path_key: Some("target"),
    owner: Some("upstream"),
    ..Definition::inside("target", "targets", TARGET)
};

/// The fields and checks of an upstream.
pub const SCHEMA: Schema = Schema { fields: FIELDS, checks: &[Check::Custom(hashing)] };

/// The fields of a target.
pub const TARGET: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::foreign("upstream", "upstreams").required().doc("Whose it is."),
        Field::string("target")
            .required()
            .rules(&[Rule::Custom(rule::target)])
            .doc("A name or an address, and a port; without one it is 8000."),
        Field::integer("weight")
            .default_int(100)
            .rules(&[Rule::Between(0.0, 65535.0)])
            .doc("Its share of the requests, by the sum of all; 0 takes it out."),
        TAGS,
    ],
    checks: &[],
};

const HASH_ON: &[Rule] =
    &[Rule::OneOf(&["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"])];
const HEADER: &[Rule] = &[Rule::Custom(rule::header_name)];
const TOKEN: &[Rule] = &[Rule::LengthMin(1), Rule::Custom(rule::token)];

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name")
        .required()
        .unique()
        .rules(&[Rule::Custom(rule::upstream_name)])
        .doc("The name, which services give as their host."),
    Field::string("algorithm")
        .default_text("round-robin")
        .rules(&[
            Rule::OneOf(&[
                "consistent-hashing",
                "least-connections",
                "round-robin",
                "latency",
                "sticky-sessions",
            ]),
            Rule::Custom(algorithm),
        ])
        .doc("How a target is chosen."),
    Field::string("hash_on").default_text("none").rules(HASH_ON).doc("What is hashed to choose a target."),
    Field::string("hash_fallback")
        .default_text("none")
        .rules(HASH_ON)
        .doc("What is hashed where that is missing."),
    Field::string("hash_on_header").rules(HEADER).doc("The header that is hashed."),
    Field::string("hash_fallback_header")
        .rules(HEADER)
        .doc("The header that is hashed where the first is missing."),
    Field::string("hash_on_cookie")
        .rules(TOKEN)
        .doc("The cookie that is hashed, and set where it is missing."),
    Field::string("hash_on_cookie_path")
        .default_text("/")
        .rules(&[Rule::Custom(rule::fixed_path)])
        .doc("The path of that cookie."),
    Field::string("hash_on_query_arg").rules(TOKEN).doc("The argument of the query that is hashed."),
    Field::string("hash_fallback_query_arg").rules(TOKEN).doc("The same where the first is missing."),
    Field::string("hash_on_uri_capture")
        .rules(TOKEN)
        .doc("The group of the route's expression that is hashed."),
    Field::string("hash_fallback_uri_capture").rules(TOKEN).doc("The same where the first is missing."),
    Field::integer("slots")
        .default_int(10000)
        .rules(&[Rule::Between(10.0, 65536.0)])
        .doc("How finely the weights are told apart."),
    Field::record("healthchecks", HEALTHCHECKS).required().doc("How it is found out who is well."),
    TAGS,
    Field::string("host_header")
        .rules(&[Rule::Custom(rule::host_or_wildcard)])
        .doc("The Host that targets see."),
    Field::foreign("client_certificate", "certificates").doc("The certificate that is shown to targets."),
    Field::boolean("use_srv_name")
        .default_bool(false)
        .doc("Whether the Host is the name out of the SRV record."),
];

const HEALTHCHECKS: &[Field] = &[
    Field::record("active", ACTIVE).required().doc("By requests of the gateway's own."),
    Field::record("passive", PASSIVE).required().doc("By what happens to users' requests."),
    Field::number("threshold")
        .default_int(0)
        .rules(&[Rule::Between(0.0, 100.0)])
        .doc("Percent of the weight that must be well, or the whole upstream counts as unwell."),
];

const ACTIVE: &[Field] = &[
    CHECK_TYPE,
    Field::number("timeout").default_int(1).rules(SECONDS).doc("Seconds until an answer must be there."),
    Field::integer("concurrency")
        .default_int(10)
        .rules(&[Rule::Between(1.0, 2_147_483_648.0)])
        .doc("How many targets are asked at once."),
    Field::string("http_path")
        .default_text("/")
        .rules(&[Rule::StartsWith("/")])
        .doc("The path that is asked for."),
    Field::string("https_sni")
        .rules(&[Rule::Custom(rule::host)])
        .doc("The server name that is asked for in TLS."),
    Field::boolean("https_verify_certificate")
        .required()
        .default_bool(true)
        .doc("Whether the target's certificate is checked."),
    Field::map("headers", &HEADER_NAME, &HEADER_VALUES).doc("Headers of the request."),
    Field::record(
        "healthy",
        &[
            Field::number("interval")
                .default_int(0)
                .rules(SECONDS)
                .doc("Seconds between checks of what is well."),
            statuses(&[200, 302]),
            count("successes"),
        ],
    )
    .required()
    .doc("What makes a target well again."),
    Field::record(
        "unhealthy",
        &[
            Field::number("interval")
                .default_int(0)
                .rules(SECONDS)
                .doc("Seconds between checks of what is unwell."),
            statuses(&[429, 404, 500, 501, 502, 503, 504, 505]),
            count("tcp_failures"),
            count("timeouts"),
            count("http_failures"),
        ],
    )
    .required()
    .doc("What makes a target unwell."),
];

const PASSIVE: &[Field] = &[
    CHECK_TYPE,
    Field::record(
        "healthy",
        &[
            statuses(&[
                200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308,
            ]),
            count("successes"),
        ],
    )
    .required()
    .doc("What makes a target well again."),
    Field::record(
        "unhealthy",
        &[statuses(&[429, 500, 503]), count("tcp_failures"), count("timeouts"), count("http_failures")],
    )
    .required()
    .doc("What makes a target unwell."),
];

const CHECK_TYPE: Field = Field::string("type")
    .default_text("http")
    .rules(&[Rule::OneOf(&["tcp", "http", "https", "grpc", "grpcs"])])
    .doc("What the check speaks.");
const SECONDS: &[Rule] = &[Rule::Between(0.0, 65535.0)];
const STATUS: Field = Field::new("", Type::Integer).rules(&[Rule::Between(100.0, 999.0)]);
const HEADER_NAME: Field = Field::new("", Type::String).rules(HEADER);
const HEADER_VALUES: Field = Field::new("", Type::Array(&TEXT));

const fn statuses(numbers: &'static [i64]) -> Field {
    Field::array("http_statuses", &STATUS).default(Default::Integers(numbers)).doc("The statuses that count.")
}

const fn count(name: &'static str) -> Field {
    Field::integer(name)
        .default_int(0)
        .rules(&[Rule::Between(0.0, 255.0)])
        .doc("How many it takes; 0: never.")
}

fn algorithm(value: &Value) -> Result<(), String> {
    match value.as_text() {
        Some("sticky-sessions") => Err("not supported yet: the algorithm sticky-sessions".to_owned()),
        _ => Ok(()),
    }
}

/// What is hashed must be named, and what stands in for it must be something else.
fn hashing(upstream: &Record) -> Result<(), (&'static str, String)> {
    let text = |field| upstream.text(field).unwrap_or("none");
    let (on, fallback) = (text("hash_on"), text("hash_fallback"));
    let named = [
        (on, "header", "hash_on_header"),
        (on, "cookie", "hash_on_cookie"),
        (on, "query_arg", "hash_on_query_arg"),
        (on, "uri_capture", "hash_on_uri_capture"),
        (fallback, "header", "hash_fallback_header"),
        (fallback, "cookie", "hash_on_cookie"),
        (fallback, "query_arg", "hash_fallback_query_arg"),
        (fallback, "uri_capture", "hash_fallback_uri_capture"),
    ];
    for (what, is, field) in named {
        if what == is && upstream.get(field).is_none() {
            return Err((field, "required field missing".to_owned()));
        }
    }
    if matches!(on, "none" | "cookie") && fallback != "none" {
        return Err(("hash_fallback", "expected one of: none".to_owned()));
    }
    if on == fallback && matches!(on, "consumer" | "ip" | "path") {
        return Err(("hash_fallback", format!("must differ from hash_on, which is {on} already")));
    }
    for (first, second) in [
        ("hash_on_header", "hash_fallback_header"),
        ("hash_on_query_arg", "hash_fallback_query_arg"),
        ("hash_on_uri_capture", "hash_fallback_uri_capture"),
    ] {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        if upstream.text(first).is_some_and(|a| upstream.text(second).is_some_and(|b| same(a, b))) {
            return Err((second, format!("values of these fields must be distinct: '{first}', '{second}'")));
        }
    }
    Ok(())
}

/// The port that a target has when it names none.
const DEFAULT_PORT: u16 = 8000;

/// A target may be given its port once its references are filled in.
fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
    let text = Text::deserialize(deserializer)?;
    Ok(with_port(&text).map_or(text, |target| Text::from(target.as_str())))
}

fn settle(target: &mut Record) {
    if let Some(text) = target.text("target").and_then(with_port) {
        target.set("target", Value::Text(Text::from(text.as_str())));
    }
}

/// The same with a port, where it names none.
pub fn with_port(target: &str) -> Option<String> {
    let is_address = target.parse::<std::net::Ipv6Addr>().is_ok();
    match target.rsplit_once(':') {
        _ if is_address => Some(format!("[{target}]:{DEFAULT_PORT}")),
        Some((_, port)) if !port.ends_with(']') => None,
        _ => Some(format!("{target}:{DEFAULT_PORT}")),
    }
}
