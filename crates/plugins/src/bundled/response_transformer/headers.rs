//! Changing the headers of a response.
//!
//! Owns: what each change means. As in Kong, whether a header is there, and what it says, is looked up in the response as
//! it came to the plugin: what was removed can be renamed, but not added. Must not know: the configuration.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use postern_model::Text;

use super::name_and_value;

/// The changes in their order.
pub(super) struct Headers {
    changes: Vec<Change>,
    /// Whether a name is meant by two changes, so that it counts what was there before.
    meet: bool,
}

enum Change {
    Remove(HeaderName),
    Rename(HeaderName, HeaderName),
    Replace(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
    Append(HeaderName, HeaderValue),
}

/// Whether a header tells how long a response is. One that lies there makes two responses of one.
pub(super) fn is_framing(name: &str) -> bool {
    [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|framing| name.eq_ignore_ascii_case(framing.as_str()))
}

impl Headers {
    /// Of the lists remove, rename, replace, add and append.
    ///
    /// # Errors
    /// What cannot stand in a header; not which: it may come out of a secret.
    pub(super) fn new([remove, rename, replace, add, append]: [&[Text]; 5]) -> Result<Self, &'static str> {
        let name = |text: &str| match HeaderName::try_from(text) {
            Ok(name) => Ok(name),
            Err(_) => Err("a name cannot stand in a header"),
        };
        let mut changes = Vec::new();
        for text in remove {
            changes.push(Change::Remove(name(name_and_value(text).0)?));
        }
        for text in rename {
            let (old, new) = name_and_value(text);
            changes.push(Change::Rename(name(old)?, name(new.unwrap_or_default())?));
        }
        for (kind, list) in
            [(Change::Replace as fn(_, _) -> _, replace), (Change::Add, add), (Change::Append, append)]
        {
            for text in list {
                let (header, value) = name_and_value(text);
                let value = HeaderValue::try_from(value.unwrap_or_default());
                changes.push(kind(name(header)?, value.map_err(|_| "a value cannot stand in a header")?));
            }
        }
        let mut names: Vec<&HeaderName> = changes.iter().flat_map(Change::names).collect();
        let all = names.len();
        names.sort_unstable_by_key(|name| name.as_str());
        names.dedup();
        Ok(Self { meet: names.len() < all, changes })
    }

    /// Does the changes.
    pub(super) fn change(&self, headers: &mut HeaderMap) {
        if self.meet {
            let before = headers.clone();
            self.changes.iter().for_each(|change| change.apply(headers, Some(&before)));
        } else {
            self.changes.iter().for_each(|change| change.apply(headers, None));
        }
    }
}

impl Change {
    fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let (one, two) = match self {
            Self::Remove(name) | Self::Replace(name, _) | Self::Add(name, _) | Self::Append(name, _) => {
                (name, None)
            }
            Self::Rename(old, new) => (old, Some(new)),
        };
        std::iter::once(one).chain(two)
    }

    /// `before` is what came, where it may be another than what is there now.
    fn apply(&self, headers: &mut HeaderMap, before: Option<&HeaderMap>) {
        let was_there = |headers: &HeaderMap, name| before.unwrap_or(headers).contains_key(name);
        match self {
            Self::Remove(name) => drop(headers.remove(name)),
            Self::Rename(old, new) if old != new => {
                let values: Vec<HeaderValue> =
                    before.unwrap_or(headers).get_all(old).iter().cloned().collect();
                headers.remove(old);
                let mut values = values.into_iter();
                if let Some(first) = values.next() {
                    headers.insert(new, first);
                }
                for value in values {
                    headers.append(new, value);
                }
            }
            Self::Replace(name, value) if was_there(headers, name) => {
                headers.insert(name, value.clone());
            }
            Self::Add(name, value) if !was_there(headers, name) => {
                headers.insert(name, value.clone());
            }
            Self::Append(name, value) => {
                headers.append(name, value.clone());
            }
            _ => {}
        }
    }
}
