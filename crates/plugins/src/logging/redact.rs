//! Which headers and parameters of a request are credentials, and how a log shows them.
//!
//! Owns: the names, and the blot. Must not know: which log. A log is public: who may read it may not act for everybody
//! who sent a request. What an authentication plugin took a credential from is known for sure ([`Redaction::header`] is
//! told by `HeaderValue::is_sensitive`, a parameter by [`Secrets`]); everything else goes by its name.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::secret_values::Met;
use crate::view::Request;
use crate::view::args;

/// What stands in place of a credential.
pub const BLOT: &str = "***";

/// Words that make a name that of a credential, wherever they stand in it.
const WORDS: [&str; 11] = [
    "apikey",
    "api-key",
    "api_key",
    "authorization",
    "cookie",
    "passwd",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];

/// Names that are those of credentials as they are.
const NAMES: [&str; 8] = ["auth", "client_assertion", "code", "jwt", "key", "pass", "pwd", "sig"];

/// What an operator wants to see in logs as it is.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    shown: Vec<String>,
}

/// Parameters of a query in which a credential was found; in [`Request::notes`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Vec<String>);

/// Where an authentication plugin looks for credentials, as far as names do not say so by themselves.
#[derive(Debug, Default)]
pub(crate) struct Unusual {
    headers: Vec<HeaderName>,
    parameters: Vec<String>,
}

impl Unusual {
    /// Of these headers and parameters of a query, those whose names say nothing.
    pub(crate) fn of<'a>(
        headers: impl IntoIterator<Item = &'a HeaderName>,
        parameters: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        Self {
            headers: headers.into_iter().filter(|name| !is_credential(name.as_str())).cloned().collect(),
            parameters: parameters.into_iter().filter(|name| !is_credential(name)).cloned().collect(),
        }
    }

    /// Tells logs about those that a request has, before any is taken out of it.
    pub(crate) fn mark(&self, request: &mut Request) {
        for name in &self.headers {
            if let http::header::Entry::Occupied(mut values) = request.headers.entry(name) {
                values.iter_mut().for_each(|value| value.set_sensitive(true));
            }
        }
        for name in &self.parameters {
            let query = request.query.as_deref().unwrap_or_default();
            if args::find(query, name) != args::Found::Nothing {
                request.notes.get_or_insert_default::<Secrets>().0.push(name.clone());
            }
        }
    }
}

impl Redaction {
    /// Headers and parameters of these names are shown, in whatever case they are written.
    pub fn showing<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { shown: names.into_iter().map(str::to_ascii_lowercase).collect() }
    }

    fn hides(&self, name: &str) -> bool {
        is_credential(name) && !self.shows(name)
    }

    fn shows(&self, name: &str) -> bool {
        self.shown.iter().any(|shown| shown.eq_ignore_ascii_case(name))
    }

    /// The value of a header as a log may show it.
    pub fn header<'a>(&self, name: &HeaderName, value: &'a HeaderValue) -> Cow<'a, str> {
        // A header's name is in small letters already.
        let is_secret = value.is_sensitive() || names_a_credential(name.as_str().as_bytes());
        if is_secret && !self.shows(name.as_str()) {
            return Cow::Borrowed(BLOT);
        }
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(value.as_bytes()),
        }
    }

    /// The value of a parameter of the request's query.
    pub(crate) fn parameter<'a>(&self, request: &Request, name: &str, value: Cow<'a, str>) -> Cow<'a, str> {
        if self.hides_of(request, name) { Cow::Borrowed(BLOT) } else { value }
    }

    fn hides_of(&self, request: &Request, name: &str) -> bool {
        let found =
            || request.notes.get::<Secrets>().is_some_and(|Secrets(names)| names.iter().any(|n| n == name));
        self.hides(name) || found() && !self.shows(name)
    }

    /// A text without the values of references that the request met.
    pub fn text<'a>(&self, request: &Request, text: Cow<'a, str>) -> Cow<'a, str> {
        match Met::of(request) {
            None => text,
            Some(met) => Cow::Owned(met.blot(&text).into_owned()),
        }
    }

    /// Whether [`Redaction::text`] may change anything of this request.
    pub fn met_any(&self, request: &Request) -> bool {
        Met::of(request).is_some()
    }

    /// A query, without its `?`. What is not redacted stays byte for byte.
    pub fn query<'a>(&self, request: &Request, query: &'a str) -> Cow<'a, str> {
        let hides = |piece: &str| {
            let name = piece.split_once('=').map_or(piece, |(name, _)| name);
            self.hides_of(request, &args::decode(name))
        };
        if !query.split('&').any(hides) {
            return Cow::Borrowed(query);
        }
        let pieces = query.split('&').map(|piece| match piece.split_once('=') {
            Some((name, _)) if hides(piece) => Cow::Owned([name, "=", BLOT].concat()),
            _ => Cow::Borrowed(piece),
        });
        Cow::Owned(pieces.collect::<Vec<_>>().join("&"))
    }
}

/// Whether something of this name is a credential.
fn is_credential(name: &str) -> bool {
    // Names are short; a longer one is no name that anybody gave.
    let mut buffer = [0; 64];
    let Some(lower) = buffer.get_mut(..name.len()) else { return true };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    names_a_credential(lower)
}

/// The same of a name in small letters.
fn names_a_credential(lower: &[u8]) -> bool {
    // Most places in most names are not where a word could begin: this is asked for each header of each request.
    let mut starts = (0..lower.len()).filter(|at| matches!(lower[*at], b'a' | b'c' | b'p' | b's' | b't'));
    starts.any(|at| WORDS.iter().any(|word| lower[at..].starts_with(word.as_bytes())))
        || NAMES.iter().any(|known| known.as_bytes() == lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_their_names() {
        for name in
            ["Authorization", "apikey", "X-API-Key", "set-cookie", "access_token", "client_secret", "jwt"]
        {
            assert!(is_credential(name), "{name}");
        }
        for name in
            ["accept", "x-consumer-username", "x-credential-identifier", "keyword", "content-type", "page"]
        {
            assert!(!is_credential(name), "{name}");
        }
    }

    #[test]
    fn every_word_is_found_wherever_it_stands() {
        for word in WORDS {
            for name in [word.to_owned(), format!("x-{word}"), format!("{word}-id"), format!("my-{word}s")] {
                assert!(is_credential(&name), "{name}");
            }
        }
        assert!(NAMES.iter().all(|name| is_credential(name)));
    }

    #[test]
    fn a_query_is_redacted_however_it_is_written() {
        let redaction = Redaction::default();
        let mut request = Request::for_test().to("/?k%20y=1");
        Unusual::of([], [&"k y".to_owned(), &"gone".to_owned()]).mark(&mut request);
        for (query, shown) in [
            ("a=1&b", "a=1&b"),
            ("a=%20&apikey=x&b=2", "a=%20&apikey=***&b=2"),
            ("%61pikey=x&APIKEY=y", "%61pikey=***&APIKEY=***"),
            ("k+y=1&k%20y=2&ky=3", "k+y=***&k%20y=***&ky=3"),
            ("token", "token"),
        ] {
            assert_eq!(redaction.query(&request, query), shown);
        }
        assert_eq!(Redaction::showing(["APIKEY"]).query(&request, "apikey=x&token=y"), "apikey=x&token=***");
    }

    #[test]
    fn what_a_plugin_took_a_credential_from_is_hidden_whatever_its_name() {
        let name = HeaderName::from_static("x-badge");
        let mut request = Request::for_test().with("x-badge", "a").with("x-badge", "s3cr3t");
        assert_eq!(Redaction::default().header(&name, &request.headers["x-badge"]), "a");
        Unusual::of([&name], []).mark(&mut request);
        for value in request.headers.get_all("x-badge") {
            assert_eq!(Redaction::default().header(&name, value), BLOT);
            assert_ne!(Redaction::showing(["X-Badge"]).header(&name, value), BLOT);
        }
    }
}
