//! What makes two requests the same to the cache.
//!
//! Owns: the parts of a key, and that no two different lists of parts have the same one. Must not know: what is stored.

use aws_lc_rs::digest::{Context, SHA256};
use http::HeaderName;

use crate::view::Request;
use crate::view::args;

/// SHA-256 over all parts.
pub(crate) type Key = [u8; 32];

/// What of a request counts, besides what always does.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Only these parameters; all, where none is named.
    pub(crate) parameters: Option<Vec<String>>,
    /// These headers.
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) ignore_case: bool,
}

impl Parts {
    /// The key of a request: method, host, route, service, consumer, path, parameters, headers, body.
    pub(crate) fn key(&self, request: &Request) -> Key {
        let mut hash = Hash(Context::new(&SHA256));
        hash.part(request.method.as_str().as_bytes());
        hash.part(request.client.host.as_bytes());
        hash.part(&request.client.port.to_be_bytes());
        let ids = [
            request.route.as_ref().map(|route| route.id),
            request.service.as_ref().map(|service| service.id),
            request.consumer.as_ref().map(|consumer| consumer.id),
            request.credential,
        ];
        for id in ids {
            hash.part(id.as_ref().map_or(&[][..], |id| id.as_bytes()));
        }
        self.text(&mut hash, request.client_path());
        // As the upstream gets it: plugins may have changed it.
        self.text(&mut hash, &request.path);
        self.query(&mut hash, request.query.as_deref().unwrap_or_default());
        for name in &self.headers {
            let values: Vec<_> = request.headers.get_all(name).iter().collect();
            hash.part(name.as_str().as_bytes());
            hash.count(values.len());
            values.iter().for_each(|value| hash.part(value.as_bytes()));
        }
        hash.part(request.body.as_deref().unwrap_or_default());
        hash.end()
    }

    fn text(&self, hash: &mut Hash, text: &str) {
        match self.ignore_case {
            true => hash.part(text.to_ascii_lowercase().as_bytes()),
            false => hash.part(text.as_bytes()),
        }
    }

    /// Parameters by name; those of one name in the order in which they stand, which may mean something.
    fn query(&self, hash: &mut Hash, query: &str) {
        let counts =
            |name: &str| self.parameters.as_ref().is_none_or(|named| named.iter().any(|known| known == name));
        let mut pairs: Vec<_> = args::pairs(query).filter(|(name, _)| counts(name)).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        hash.count(pairs.len());
        for (name, value) in pairs {
            self.text(hash, &name);
            hash.part(&[u8::from(value.is_some())]);
            self.text(hash, value.as_deref().unwrap_or_default());
        }
    }
}

/// Hashes parts, each with its length in front.
struct Hash(Context);

impl Hash {
    fn part(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn count(&mut self, number: usize) {
        self.0.update(&(number as u64).to_be_bytes());
    }

    fn end(self) -> Key {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.finish().as_ref());
        key
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::directory::Consumer;

    fn key(target: &str) -> Key {
        Parts::default().key(&Request::for_test().to(target))
    }

    #[test]
    fn parameters_count_whatever_their_order() {
        assert_eq!(key("/?a=1&b=2"), key("/?b=2&a=1"));
        assert_ne!(key("/?a=1&a=2"), key("/?a=2&a=1"));
        assert_ne!(key("/?a"), key("/?a="));
        assert_eq!(key("/?%61=1"), key("/?a=1"));
    }

    #[test]
    fn nothing_runs_into_its_neighbour() {
        for (one, other) in [
            ("/?a=1&b=2", "/?a=1%26b=2"),
            ("/?a=b", "/?a%3Db"),
            ("/?ab=c", "/?a=bc"),
            ("/a?b", "/a%3Fb"),
            ("/a|b", "/a?|b"),
        ] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn nobody_shares_with_others() {
        let plain = Parts::default();
        let base = plain.key(&Request::for_test());
        let mut keys = vec![base];
        let mut add = |change: &dyn Fn(&mut Request)| {
            let mut request = Request::for_test();
            change(&mut request);
            keys.push(plain.key(&request));
        };
        let consumer = |id| Some(Arc::new(Consumer::new(Uuid::from_u128(id), None, None)));
        add(&|request| request.method = http::Method::HEAD);
        add(&|request| request.client.host = "other.example".to_owned());
        add(&|request| request.client.port = 81);
        add(&|request| request.consumer = consumer(1));
        add(&|request| request.consumer = consumer(2));
        add(&|request| request.credential = Some(Uuid::from_u128(3)));
        add(&|request| request.path = "/other".to_owned());
        add(&|request| request.body = Some("x".into()));
        add(&|request| request.route = Some(Arc::default()));
        let number = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), number);
    }

    #[test]
    fn what_counts_is_configured() {
        let some = Parts { parameters: Some(vec!["a".to_owned()]), ..Parts::default() };
        assert_eq!(
            some.key(&Request::for_test().to("/?a=1&b=2")),
            some.key(&Request::for_test().to("/?a=1&c=3"))
        );
        assert_ne!(some.key(&Request::for_test().to("/?a=1")), some.key(&Request::for_test().to("/?a=2")));
        let accept = Parts { headers: vec![http::header::ACCEPT], ..Parts::default() };
        assert_ne!(accept.key(&Request::for_test().with("accept", "a")), accept.key(&Request::for_test()));
        let folded = Parts { ignore_case: true, ..Parts::default() };
        assert_eq!(
            folded.key(&Request::for_test().to("/A?B=C")),
            folded.key(&Request::for_test().to("/a?b=c"))
        );
    }

    proptest! {
        #[test]
        fn different_targets_have_different_keys(one in "/[a-b&=|?%]{0,12}", other in "/[a-b&=|?%]{0,12}") {
            let sorted = |target: &str| {
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let mut pairs: Vec<_> =
                    args::pairs(query).map(|(name, value)| (name.into_owned(), value.map(|value| value.into_owned()))).collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                (path.to_owned(), pairs)
            };
            prop_assert_eq!(key(&one) == key(&other), sorted(&one) == sorted(&other));
        }
    }
}
