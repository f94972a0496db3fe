//! The route entity: which requests are meant, and what happens to their path and host.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Foreign;
use super::service::Protocol;
use crate::value::Text;

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
