//! What a server says of a token.
//!
//! Owns: which members of its answer count, for how long, and how the upstream is told. Must not know: who asked. The answer
//! is a lie until checked: a token without `active: true` is none, one that has ended is none whatever else is said, and what
//! cannot stand in a header is not told.

use http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// The members of RFC 7662, 2.2 that upstreams are told, besides `username`.
pub(super) const STANDARD: [&str; 10] =
    ["scope", "client_id", "token_type", "exp", "iat", "nbf", "sub", "aud", "iss", "jti"];

/// A longer value is not told.
const LONGEST: usize = 4096;

/// A server's word, as far as it is of use.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) active: bool,
    pub(super) username: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// When the token ends, in seconds since 1970.
    ends: Option<f64>,
    /// Until when this is not asked again.
    until: f64,
}

impl Verdict {
    /// Of an answer; `claims` are the members that upstreams are told.
    pub(super) fn of(reply: &Map<String, Value>, claims: &[(String, HeaderName)], now: u64) -> Self {
        let text = |name: &str| reply.get(name).and_then(Value::as_str).map(str::to_owned);
        let (ends, begins) = (time(reply, "exp"), time(reply, "nbf"));
        let in_time =
            ends.is_none_or(|ends| ends > seconds(now)) && begins.is_none_or(|begins| begins <= seconds(now));
        let active = reply.get("active") == Some(&Value::Bool(true)) && in_time;
        let header = |(name, header): &(String, HeaderName)| {
            Some((header.clone(), shown(reply.get(name).filter(|_| active)?)?))
        };
        Self {
            active,
            username: text("username"),
            client_id: text("client_id"),
            headers: claims.iter().filter_map(header).collect(),
            ends,
            until: 0.0,
        }
    }

    /// It holds for so many seconds, but not beyond the end of the token; for 0 until that.
    pub(super) fn keep(&mut self, ttl: f64, now: u64) {
        let longest = if ttl > 0.0 { seconds(now) + ttl } else { f64::INFINITY };
        // An end that has passed says nothing about how long a refusal holds.
        let ends = self.ends.filter(|_| self.active).unwrap_or(f64::INFINITY);
        self.until = longest.min(ends);
    }

    /// Whether nobody needs to be asked again.
    pub(super) fn holds(&self, now: u64) -> bool {
        seconds(now) < self.until
    }
}

fn seconds(time: u64) -> f64 {
    time as f64
}

/// A NumericDate; what is none has ended.
fn time(reply: &Map<String, Value>, name: &str) -> Option<f64> {
    match reply.get(name)? {
        Value::Null => None,
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(text.parse().unwrap_or(f64::NAN)),
        _ => Some(f64::NAN),
    }
}

/// A member as the value of a header: text as it is, lists of text joined, anything else as JSON.
fn shown(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    (text.len() <= LONGEST).then(|| HeaderValue::from_str(&text).ok()).flatten()
}
