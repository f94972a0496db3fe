//! Upstreams and their targets: several places that a service's requests may go to.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Foreign;
use crate::value::Text;

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
    pub target: Text,
    /// Its share; 0 takes it out.
    pub weight: u32,
}
