//! What may be stored, and for whom. Owns: that reading it ends, that no line of `Cache-Control` takes back what another one
//! forbids, and that no two different requests share an entry of a cache. A shared entry is somebody else's answer.

use http::HeaderValue;

/// `Cache-Control`: more lines never allow more.
pub fn cache_control(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.lines().collect();
    let (forbidden, ages) = postern_plugins::fuzzing::cache_control(&lines);
    for line in &lines {
        let (alone, age_alone) = postern_plugins::fuzzing::cache_control(&[line]);
        for (all, one) in forbidden.iter().zip(alone) {
            assert!(*all || !one, "{line:?} forbids what {text:?} does not");
        }
        for (all, one) in ages.iter().zip(age_alone) {
            assert!(
                one.is_none_or(|one| all.is_some_and(|all| all <= one)),
                "{line:?} lasts less than {text:?}"
            );
        }
    }
}

/// The key of an entry: two requests have the same one only if they are the same to whoever answers them. The first line is
/// the value of a header that counts, the others are two targets.
pub fn cache_key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let (Some(vary), Some(one), Some(other)) = (lines.next(), lines.next(), lines.next()) else { return };
    let Ok(vary) = HeaderValue::from_str(vary) else { return };
    let (Some(one), Some(other)) = (Target::read(one), Target::read(other)) else { return };
    let key = |target: &Target<'_>, vary| postern_plugins::fuzzing::cache_key(target.text, vary);
    assert_eq!(key(&one, &vary) == key(&other, &vary), one.means() == other.means());
    assert_eq!(
        key(&one, &vary) == key(&one, &HeaderValue::from_static("another")),
        vary == HeaderValue::from_static("another")
    );
}

struct Target<'a> {
    text: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    /// As HTTP takes it.
    fn read(text: &'a str) -> Option<Self> {
        let is_one = text.starts_with('/') && text.parse::<http::Uri>().is_ok() && !text.contains('#');
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        is_one.then_some(Self { text, path, query })
    }

    /// The path, and the parameters by name, those of one name in their order; with a value or without.
    fn means(&self) -> (&str, Vec<(String, Option<String>)>) {
        let pairs = postern_plugins::view::args::pairs(self.query);
        let mut pairs: Vec<_> =
            pairs.map(|(name, value)| (name.into_owned(), value.map(|value| value.into_owned()))).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        (self.path, pairs)
    }
}
