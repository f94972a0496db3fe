//! The grammar of references, both ways: `{vault://NAME/RESOURCE[/KEY][/][?k=v[&k=v...]][#VERSION]}`.
//!
//! Owns: what counts as a reference, how its text is taken apart, and the canonical text of one. Must not
//! know: which vaults exist or what a key means to them; no IO. Data goes on to [`crate::Template`] (text
//! with references inside) and to `resolve` (name → vault → value).
//!
//! Kong users bring their files along, so the steps and their order are Kong's, traps included: a fragment
//! is cut before the query, params after `;` are dropped, and path segments are decoded twice
//! ([`decode`] says how). What differs: text that is not UTF-8 after decoding, and a version that is not a
//! finite number, are errors here.

mod decode;
mod print;
#[cfg(test)]
mod tests;
mod version;

use thiserror::Error;

pub use version::Version;

/// How a reference starts; case-sensitive, nothing before it.
pub const OPENING: &str = "{vault://";

/// Kong's limit on query options; what follows is ignored.
const MAX_OPTIONS: usize = 100;

/// One parsed reference. Equality is by meaning, not by spelling: `{vault://env/a%62}` equals `{vault://env/ab}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    name: String,
    resource: String,
    key: Option<String>,
    options: Vec<(String, OptionValue)>,
    version: Option<Version>,
}

/// The value of one query option.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OptionValue {
    /// `?option`, without `=`.
    True,
    /// `?option=text`; the text may be empty.
    Text(String),
    /// The option was given more than once; the items are never lists themselves.
    List(Vec<OptionValue>),
}

/// Why a text is not a reference. The messages are Kong's; each holds the whole text as written.
///
/// References are no secrets: a message may be logged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// The text does not start with `{vault://` or does not end with `}`.
    #[error("not a reference [{0}]")]
    NotAReference(String),
    /// Nothing between `//` and the next `/`.
    #[error("reference url is missing host [{0}]")]
    MissingHost(String),
    /// No `/` after the name.
    #[error("reference url is missing path [{0}]")]
    MissingPath(String),
    /// Only a `/` after the name.
    #[error("reference url has empty path [{0}]")]
    EmptyPath(String),
    /// The fragment is not a number.
    #[error("reference url has invalid version [{0}]")]
    InvalidVersion(String),
    /// Only slashes after the name.
    #[error("reference url has invalid path [{0}]")]
    InvalidPath(String),
    /// The percent-decoded text is not UTF-8 (ours: Kong would pass the bytes on).
    #[error("reference url is not valid UTF-8 when decoded [{0}]")]
    NotUtf8(String),
}

impl ReferenceError {
    /// What to do about it, for people.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAReference(_) => {
                "write it as {vault://NAME/RESOURCE/KEY}, in braces, with NAME a vault's prefix or kind"
            }
            Self::MissingHost(_) => {
                "name a vault after the two slashes: {vault://NAME/RESOURCE}, where NAME is its prefix or kind"
            }
            Self::MissingPath(_) | Self::EmptyPath(_) | Self::InvalidPath(_) => {
                "say what to read after the vault's name: {vault://NAME/RESOURCE} or {vault://NAME/RESOURCE/KEY}"
            }
            Self::InvalidVersion(_) => {
                "a version is a number at the very end: {vault://NAME/RESOURCE/KEY?option=value#2}"
            }
            Self::NotUtf8(_) => "percent-encode the UTF-8 bytes of the name",
        }
    }
}

impl Reference {
    /// Whether Kong would take this whole text for a reference: a test of its two ends and of nothing between.
    pub fn is_reference(text: &str) -> bool {
        text.starts_with(OPENING) && text.ends_with('}')
    }

    /// Takes a reference apart. `text` is the whole reference, braces included; whitespace is significant.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let whole = || text.to_owned();
        if !Self::is_reference(text) {
            return Err(ReferenceError::NotAReference(whole()));
        }
        // `{vault:` and `}` are known; what is left starts with `//`.
        let rest = &text["{vault:".len()..text.len() - 1];

        let (rest, fragment) = cut(rest, '#');
        let (authority, rest) = {
            let after = &rest["//".len()..];
            after.split_at(after.find('/').unwrap_or(after.len()))
        };
        let (rest, query) = cut(rest, '?');
        let (path, _params) = cut(rest, ';');

        let name = host(authority);
        if name.is_empty() {
            return Err(ReferenceError::MissingHost(whole()));
        }
        match path {
            "" => return Err(ReferenceError::MissingPath(whole())),
            "/" => return Err(ReferenceError::EmptyPath(whole())),
            _ => {}
        }
        let version = match fragment.map(Version::parse) {
            None => None,
            Some(Some(version)) => Some(version),
            Some(None) => return Err(ReferenceError::InvalidVersion(whole())),
        };

        let mut segments: Vec<Vec<u8>> =
            path.split('/').filter(|segment| !segment.is_empty()).map(decode::segment).collect();
        let key = match segments.len() {
            0 => return Err(ReferenceError::InvalidPath(whole())),
            1 => None,
            _ if path.ends_with('/') => None,
            _ => segments.pop(),
        };
        let text_of = |bytes: &[u8]| {
            String::from_utf8(decode::unescape(bytes)).map_err(|_| ReferenceError::NotUtf8(whole()))
        };
        let resource = text_of(&segments.join(&b'/'))?;
        let key = key.as_deref().map(text_of).transpose()?;
        let options = match query {
            Some(query) => options(query).ok_or_else(|| ReferenceError::NotUtf8(whole()))?,
            None => Vec::new(),
        };
        Ok(Self { name: name.to_owned(), resource, key, options, version })
    }

    /// The vault: its prefix, or its kind for a default vault.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What to read from the vault, decoded; may hold slashes.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The member of the JSON object found there; without it, the whole value is meant.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The query options in the order of their first mention; each name once.
    pub fn options(&self) -> &[(String, OptionValue)] {
        &self.options
    }

    /// The version; what it means is up to the kind of vault.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The same reference with another key, for "did you mean".
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The reference whose resource is this one's resource and key together, for "did you mean".
    pub fn whole(&self) -> Self {
        let resource = match &self.key {
            Some(key) => format!("{}/{key}", self.resource),
            None => self.resource.clone(),
        };
        Self { resource, key: None, ..self.clone() }
    }
}

/// `text` before the first `mark`, and what follows the mark if there is one.
fn cut(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// The host of a URL's authority: without `user@`, without `:port`, brackets unwrapped.
fn host(authority: &str) -> &str {
    let host = authority.split_once('@').map_or(authority, |(_user, host)| host);
    // A colon inside `[...]` does not start a port.
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => host,
    };
    match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) if !inner.is_empty() => inner,
        _ => host,
    }
}

/// The query options, or `None` where one is not UTF-8 after decoding.
fn options(query: &str) -> Option<Vec<(String, OptionValue)>> {
    let mut options: Vec<(String, OptionValue)> = Vec::new();
    let pairs = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with('='));
    for pair in pairs.take(MAX_OPTIONS) {
        let (name, value) = cut(pair, '=');
        let decoded = |text: &str| String::from_utf8(decode::unescape(text.as_bytes())).ok();
        let name = decoded(name)?;
        let value = match value {
            Some(value) => OptionValue::Text(decoded(value)?),
            None => OptionValue::True,
        };
        match options.iter_mut().find(|(known, _)| *known == name) {
            Some((_, OptionValue::List(items))) => items.push(value),
            Some((_, first)) => *first = OptionValue::List(vec![first.clone(), value]),
            None => options.push((name, value)),
        }
    }
    Some(options)
}
