//! The cookies of a request.
//!
//! Owns: the form `a=1; b=2`, over all `Cookie` lines. Must not know: whose cookies they are. Values are as they stand: what
//! browsers were given they give back.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

/// Names and values, in their order. What is no pair is left out, and so is a line that is no text.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// Takes all cookies of some names out.
pub fn remove(headers: &mut HeaderMap, names: &[&str]) {
    if !pairs(headers).any(|(name, _)| names.contains(&name)) {
        return;
    }
    let left: Vec<_> = pairs(headers)
        .filter(|(name, _)| !names.contains(name))
        .map(|(name, value)| [name, "=", value].concat())
        .collect();
    headers.remove(COOKIE);
    // It is made of what stood in a header.
    if let Ok(value) = HeaderValue::try_from(left.join("; "))
        && !left.is_empty()
    {
        headers.insert(COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn cookies_are_read_and_taken_out() {
        let mut all = headers(&["a=1; b=2=3;c", " a = 4 ;b="]);
        assert_eq!(pairs(&all).collect::<Vec<_>>(), [("a", "1"), ("b", "2=3"), ("a ", " 4"), ("b", "")]);
        remove(&mut all, &["b"]);
        assert_eq!(all[COOKIE], "a=1; a = 4");
        remove(&mut all, &["a", "a "]);
        assert!(!all.contains_key(COOKIE));
    }

    proptest! {
        #[test]
        fn what_is_taken_out_is_gone_and_the_rest_stays(line in "[a-c=; ]{0,30}") {
            let mut all = headers(&[&line]);
            let others = |all: &HeaderMap| -> Vec<_> {
                pairs(all).filter(|(name, _)| *name != "a").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            };
            let before = others(&all);
            remove(&mut all, &["a"]);
            prop_assert!(!pairs(&all).any(|(name, _)| name == "a"));
            prop_assert_eq!(others(&all), before);
        }
    }
}
