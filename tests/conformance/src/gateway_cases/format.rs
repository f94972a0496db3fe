//! What a file of `cases/gateway/` may say.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Deserialize;
use serde_json::Value;

/// A gateway, and what is asked of it, one after the other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scene {
    /// What it is about.
    pub(crate) name: String,
    /// As in kong.conf; in capitals: variables of the environment.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// The text of its kong.yaml. `${port.NAME}` is the port of an upstream that is started for it, `${tls.NAME}` of
    /// one in TLS, `${closed}` a port where nobody listens.
    pub(crate) config: String,
    pub(crate) steps: Vec<Step>,
}

/// One request, and what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// What it shows; the request, where that says enough.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Method and target: `GET /path?query`.
    pub(crate) send: String,
    #[serde(default = "localhost")]
    pub(crate) host: String,
    /// A value, or several.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) over: Over,
    /// The name that TLS asks for; the host without its port, where it is not given.
    #[serde(default)]
    pub(crate) sni: Option<String>,
    /// The address that the request comes from: one of 127.0.0.0/8.
    #[serde(default)]
    pub(crate) from: Option<Ipv4Addr>,
    /// How often it is sent; each must go as the step says.
    #[serde(default = "once")]
    pub(crate) times: usize,
    /// It is sent until it goes as the step says.
    #[serde(default)]
    pub(crate) eventually: bool,
    /// What upstreams answer; 200 and `hello`, where it is not given.
    #[serde(default)]
    pub(crate) answer: Answer,

    /// The status that comes back.
    pub(crate) status: u16,
    /// Headers that come back: a text, a regular expression behind `~`, a list of all values, or null for none.
    #[serde(default)]
    pub(crate) response: BTreeMap<String, Value>,
    /// The body that comes back: a text, or a regular expression behind `~`.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// The same as JSON.
    #[serde(default)]
    pub(crate) json: Option<Value>,
    /// What an upstream got.
    #[serde(default)]
    pub(crate) upstream: Upstream,
    /// Regular expressions, each of which fits a line of the gateway's log.
    #[serde(default)]
    pub(crate) log: Vec<String>,
    /// A regular expression that fits a line of the access log.
    #[serde(default)]
    pub(crate) access_log: Option<String>,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Over {
    #[default]
    Http,
    H2c,
    Https,
    Https2,
}

/// What upstreams answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Answer {
    /// 0 breaks the connection.
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, Value>,
    pub(crate) body: String,
    pub(crate) delay_ms: u64,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: 200, headers: BTreeMap::new(), body: "hello".to_owned(), delay_ms: 0 }
    }
}

/// What is expected of upstreams.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Upstream {
    /// Nothing came to any.
    pub(crate) none: bool,
    /// How many requests came to all of them.
    pub(crate) count: Option<usize>,
    /// The name of the one that was asked.
    pub(crate) at: Option<String>,
    /// Method and target.
    pub(crate) got: Option<String>,
    pub(crate) host: Option<String>,
    /// As `response`.
    pub(crate) headers: BTreeMap<String, Value>,
    /// As `text`.
    pub(crate) body: Option<String>,
    /// The same as JSON.
    pub(crate) json: Option<Value>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub(crate) version: Option<String>,
}

fn localhost() -> String {
    "localhost".to_owned()
}

fn once() -> usize {
    1
}
