//! What of a request is hashed, and how.
//!
//! Owns: `hash_on` and `hash_fallback`, the cookie that is made where there is none, and a hash that is the same on
//! every node and in every version. Must not know: peers. The key goes to [`super::Balancer::pick`].

use std::net::IpAddr;

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use postern_model::entity::Upstream;
use postern_model::entity::upstream::{Algorithm, HashOn};
use uuid::Uuid;

/// What a request offers for hashing; each is looked at only if the upstream asks for it.
#[derive(Clone, Copy)]
pub struct HashInput<'a> {
    /// The authenticated consumer, or else the credential.
    pub consumer: Option<Uuid>,
    /// The client's address, behind trusted proxies the forwarded one.
    pub ip: IpAddr,
    /// Headers as they came.
    pub headers: &'a HeaderMap,
    /// The normalised path.
    pub path: &'a str,
    /// What follows `?`.
    pub query: Option<&'a str>,
    /// The named (or numbered) groups of the route's regular expression.
    pub capture: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// What [`HashInput`] came to. Made once a request, and used for all its tries.
#[derive(Clone, Debug, Default)]
pub struct Key {
    hash: Option<u64>,
    cookie: Option<HeaderValue>,
}

impl Key {
    /// For upstreams that hash nothing.
    pub const NONE: Self = Self { hash: None, cookie: None };

    /// `Set-Cookie` for the reply, if the cookie was made for this request.
    pub fn set_cookie(&self) -> Option<&HeaderValue> {
        self.cookie.as_ref()
    }

    pub(super) fn hash(&self) -> Option<u64> {
        self.hash
    }
}

/// What an upstream hashes: `hash_on`, then `hash_fallback`.
#[derive(Debug)]
pub(super) struct Hashing(Vec<Source>);

#[derive(Debug)]
enum Source {
    Consumer,
    Ip,
    Header(HeaderName),
    Cookie { name: String, path: String },
    Path,
    QueryArg(String),
    UriCapture(String),
}

impl Hashing {
    pub(super) fn new(upstream: &Upstream) -> Self {
        if upstream.algorithm != Algorithm::ConsistentHashing {
            return Self::none();
        }
        let text =
            |text: &Option<postern_model::value::Text>| text.as_ref().map(|text| text.as_str().to_owned());
        let source = |on, header, query_arg, capture| {
            Some(match on {
                HashOn::None => return None,
                HashOn::Consumer => Source::Consumer,
                HashOn::Ip => Source::Ip,
                HashOn::Header => Source::Header(text(header)?.parse().ok()?),
                // There is one cookie, whether it comes first or second.
                HashOn::Cookie => Source::Cookie {
                    name: text(&upstream.hash_on_cookie)?,
                    path: text(&upstream.hash_on_cookie_path).unwrap_or_else(|| "/".into()),
                },
                HashOn::Path => Source::Path,
                HashOn::QueryArg => Source::QueryArg(text(query_arg)?),
                HashOn::UriCapture => Source::UriCapture(text(capture)?),
            })
        };
        let first = source(
            upstream.hash_on,
            &upstream.hash_on_header,
            &upstream.hash_on_query_arg,
            &upstream.hash_on_uri_capture,
        );
        let second = source(
            upstream.hash_fallback,
            &upstream.hash_fallback_header,
            &upstream.hash_fallback_query_arg,
            &upstream.hash_fallback_uri_capture,
        );
        // As in Kong, nothing comes after `none`.
        let second = second.filter(|_| first.is_some());
        Self(first.into_iter().chain(second).collect())
    }

    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn key(&self, input: &HashInput<'_>) -> Key {
        self.0.iter().find_map(|source| source.key(input)).unwrap_or(Key::NONE)
    }
}

impl Source {
    fn key(&self, input: &HashInput<'_>) -> Option<Key> {
        let hash = match self {
            Self::Consumer => of(input.consumer?.as_bytes()),
            Self::Ip => match input.ip {
                IpAddr::V4(ip) => of(&ip.octets()),
                IpAddr::V6(ip) => of(&ip.octets()),
            },
            Self::Header(name) => {
                let mut values = input.headers.get_all(name).iter();
                let first = Fnv::default().with(values.next()?.as_bytes());
                values.fold(first, |hash, value| hash.with(b", ").with(value.as_bytes())).end()
            }
            Self::Cookie { name, path } => match cookie(input.headers, name) {
                Some(value) => of(value.as_bytes()),
                None => return made(name, path),
            },
            Self::Path => of(input.path.as_bytes()),
            Self::QueryArg(name) => query_arg(input.query?, name)?,
            Self::UriCapture(name) => of((input.capture)(name)?.as_bytes()),
        };
        Some(Key { hash: Some(hash), cookie: None })
    }
}

/// A value of our own for who has none; it comes back with the next request.
fn made(name: &str, path: &str) -> Option<Key> {
    let value = Uuid::new_v4().to_string();
    let cookie = format!("{name}={value}; Path={path}; SameSite=Lax; HttpOnly");
    Some(Key { hash: Some(of(value.as_bytes())), cookie: Some(HeaderValue::try_from(cookie).ok()?) })
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// Several values count whatever their order is, as in Kong, which sorts them.
fn query_arg(query: &str, name: &str) -> Option<u64> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| percent_decode_str(key).eq(name.bytes()))
        .map(|(_, value)| {
            percent_decode_str(value).fold(Fnv::default(), |hash, byte| hash.with(&[byte])).end()
        })
        .reduce(u64::wrapping_add)
}

fn of(bytes: &[u8]) -> u64 {
    Fnv::default().with(bytes).end()
}

/// FNV-1a with a finish that spreads the last bytes over all bits. Not for what an attacker may choose with profit: who
/// chooses the hashed value chooses the peer anyway.
#[derive(Clone, Copy)]
pub(super) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    #[must_use]
    pub(super) fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    pub(super) fn end(self) -> u64 {
        mixed(self.0)
    }
}

/// SplitMix64's finish: every bit of the input changes about half of the output's.
pub(super) fn mixed(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
