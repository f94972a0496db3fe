//! Responses that are kept, in this node's memory.
//!
//! Owns: how much they may take together and one by one, and which headers are kept. Must not know: which responses may be.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AGE, CONNECTION, CONTENT_LENGTH, RETRY_AFTER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::key::Key;

/// Bytes of all entries of the node.
const ALL: u64 = 128 * 1024 * 1024;
/// Bytes of the body of one.
pub(super) const LARGEST: usize = 8 * 1024 * 1024;
/// What an entry takes besides its texts, about.
const OVERHEAD: usize = 512;

/// A response that is kept.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// When it came, in seconds since 1970.
    pub(super) stored: u64,
    /// For how many seconds it is fresh.
    pub(super) ttl: u64,
    /// When it is let go, in seconds since 1970.
    pub(super) until: u64,
    /// What the request said in the headers that the response varies by.
    pub(super) varies: Vec<(HeaderName, Vec<HeaderValue>)>,
}

impl Entry {
    /// Whether a request says the same in the headers that count.
    pub(super) fn fits(&self, request: &HeaderMap) -> bool {
        self.varies.iter().all(|(name, values)| request.get_all(name).iter().eq(values))
    }

    fn bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        headers + self.body.len() + OVERHEAD
    }
}

#[derive(Clone, Debug)]
struct Bytewise;

impl Weighter<Key, Arc<Entry>> for Bytewise {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        entry.bytes() as u64
    }
}

/// All of them.
pub(super) struct Store(Cache<Key, Arc<Entry>, Bytewise>);

impl Default for Store {
    fn default() -> Self {
        Self::of(ALL)
    }
}

impl Store {
    fn of(bytes: u64) -> Self {
        Self(Cache::with_weighter(10_000, bytes, Bytewise))
    }

    /// What is kept for a key, unless its time is over.
    pub(super) fn get(&self, key: &Key, now: u64) -> Option<Arc<Entry>> {
        let entry = self.0.get(key)?;
        if entry.until > now {
            return Some(entry);
        }
        self.0.remove(key);
        None
    }

    pub(super) fn put(&self, key: Key, entry: Entry) {
        self.0.insert(key, Arc::new(entry));
    }
}

/// Of a response's headers those that another request may be shown.
pub(super) fn kept(headers: &HeaderMap) -> HeaderMap {
    const NOT: [HeaderName; 10] = [
        AGE,
        CONNECTION,
        CONTENT_LENGTH,
        RETRY_AFTER,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        VIA,
    ];
    // Those of this exchange: the gateway's own, and what rate limits say to somebody.
    const BEGIN: [&str; 7] =
        ["x-kong-", "x-cache-", "x-ratelimit-", "ratelimit-", "keep-alive", "proxy-", "kong-request-id"];
    let goes =
        |name: &HeaderName| NOT.contains(name) || BEGIN.iter().any(|begin| name.as_str().starts_with(begin));
    headers
        .iter()
        .filter(|(name, _)| !goes(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: usize, until: u64) -> Entry {
        Entry {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from(vec![0; size]),
            stored: 0,
            ttl: until,
            until,
            varies: Vec::new(),
        }
    }

    #[test]
    fn it_keeps_within_its_bytes_and_its_time() {
        let store = Store::of(100_000);
        for number in 0..100 {
            store.put([number; 32], entry(10_000, 10));
        }
        let kept = (0..100).filter(|number| store.get(&[*number; 32], 0).is_some()).count();
        assert!((1..10).contains(&kept), "{kept}");
        store.put([200; 32], entry(1, 10));
        assert!(store.get(&[200; 32], 9).is_some());
        assert!(store.get(&[200; 32], 10).is_none());
        assert!(store.get(&[200; 32], 9).is_none(), "it is gone");
    }

    #[test]
    fn headers_of_one_exchange_are_not_kept() {
        let names = [
            "content-type",
            "etag",
            "set-cookie",
            "x-kong-request-id",
            "ratelimit-remaining",
            "via",
            "proxy-authenticate",
        ];
        let headers =
            names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))).collect();
        let kept = kept(&headers);
        let mut kept: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["content-type", "etag"]);
    }
}
