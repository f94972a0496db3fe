//! `Cache-Control` (RFC 9111, 5.2).
//!
//! Owns: the directives that a shared cache needs. Must not know: what comes of them. What cannot be read counts as the most
//! careful value: a `max-age` that is no number is 0.

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// The directives of a message. Durations are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) no_store: bool,
    pub(crate) no_cache: bool,
    pub(crate) private: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) min_fresh: Option<u64>,
    /// Without a value: any staleness will do.
    pub(crate) max_stale: Option<u64>,
}

impl Control {
    /// Of all `Cache-Control` lines together.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            // What is no text could say anything.
            match value.to_str() {
                Ok(text) => control.read(text),
                Err(_) => control.no_store = true,
            }
        }
        control
    }

    pub(crate) fn read(&mut self, text: &str) {
        for directive in pieces(text) {
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
                None => (directive.trim(), None),
            };
            let seconds = || value.and_then(|value| value.parse::<u64>().ok());
            // Of two, the smaller one.
            let least = |known: Option<u64>| Some(seconds().unwrap_or(0).min(known.unwrap_or(u64::MAX)));
            match name.to_ascii_lowercase().as_str() {
                "no-store" => self.no_store = true,
                // With names of headers it would be for these only; that much is not told apart.
                "no-cache" => self.no_cache = true,
                "private" => self.private = true,
                "only-if-cached" => self.only_if_cached = true,
                "max-age" => self.max_age = least(self.max_age),
                "s-maxage" => self.s_maxage = least(self.s_maxage),
                "min-fresh" => self.min_fresh = Some(seconds().unwrap_or(u64::MAX)),
                "max-stale" if value.is_none() => self.max_stale = Some(u64::MAX),
                "max-stale" => self.max_stale = least(self.max_stale),
                _ => {}
            }
        }
    }
}

/// At commas, but not within quotes; where one is open to the end, no quote hides anything.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let is_even = text.bytes().filter(|byte| *byte == b'"').count() % 2 == 0;
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= is_even && character == '"';
        character == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Control {
        let mut control = Control::default();
        control.read(text);
        control
    }

    #[test]
    fn directives_are_read() {
        let none = Control::default();
        for (text, expected) in [
            ("", none),
            ("public, immutable", none),
            ("No-Store", Control { no_store: true, ..none }),
            ("private=\"set-cookie, x\", max-age=5", Control { private: true, max_age: Some(5), ..none }),
            ("max-age=\"7\" , s-maxage = 9", Control { max_age: Some(7), s_maxage: Some(9), ..none }),
            ("max-age=never", Control { max_age: Some(0), ..none }),
            ("max-age=-1", Control { max_age: Some(0), ..none }),
            ("max-age=10, max-age=5, max-age=20", Control { max_age: Some(5), ..none }),
            ("max-stale", Control { max_stale: Some(u64::MAX), ..none }),
            ("max-stale=3,min-fresh=4", Control { max_stale: Some(3), min_fresh: Some(4), ..none }),
            ("x=\"no-store, private\", only-if-cached", Control { only_if_cached: true, ..none }),
            ("x=\", no-store", Control { no_store: true, ..none }),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_forbidden_stays_forbidden_whatever_stands_around_it(before in "[a-z=0-9 ,-]{0,40}", after in "\\PC{0,40}") {
            let forbidden = read(&[before.as_str(), ",no-store,", &after].concat());
            prop_assert!(forbidden.no_store);
            let capped = read(&["max-age=5,", after.as_str()].concat());
            prop_assert!(capped.max_age.is_some_and(|age| age <= 5));
        }
    }
}
