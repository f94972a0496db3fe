//! Values of references, and what logs show in their place.
//!
//! Owns: which values a request met on its way, and how they are found in a text however they are encoded there. Must not know:
//! which plugin put a value where. A plugin whose configuration holds references is wrapped in [`Marked`] when it is made: from
//! then on its values are known of each request that it sees, and every log blots them out wherever they appear. A request that
//! meets no such plugin costs nothing.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use postern_secrets::Secret;
use serde_json::{Map, Value as Json};
use smallvec::SmallVec;

use super::redact::BLOT;
use crate::plugin::{BodyFilter, Plugin, Step};
use crate::view::{Request, Response, Summary};

/// Shorter values are blotted out only where they are a whole field: they would be found in every text.
const SHORTEST: usize = 4;

/// The values that one configuration has from references.
#[derive(Debug)]
pub struct SecretValues(Vec<Secret>);

impl SecretValues {
    /// Of these; `None` where there is nothing to hide.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a Secret>) -> Option<Arc<Self>> {
        let mut all = Vec::new();
        for value in values {
            // What stands at the end of a file is in no header, and in no query.
            let text = value.expose().trim();
            if text.is_empty() {
                continue;
            }
            all.push(Secret::from(text));
            if text.len() >= SHORTEST {
                all.push(Secret::from(STANDARD_NO_PAD.encode(text)));
            }
        }
        // Of two that begin alike, all of the longer one goes.
        all.sort_by_key(|value| std::cmp::Reverse(value.expose().len()));
        (!all.is_empty()).then(|| Arc::new(Self(all)))
    }

    /// From now on, logs of this request do not show them.
    pub fn mark(self: &Arc<Self>, request: &mut Request) {
        let met = request.notes.get_or_insert_default::<Met>();
        if !met.0.iter().any(|known| Arc::ptr_eq(known, self)) {
            met.0.push(Arc::clone(self));
        }
    }
}

/// The values that a request met; in [`Request::notes`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Met(SmallVec<[Arc<SecretValues>; 2]>);

impl Met {
    /// Those of a request; `None` for most.
    pub(crate) fn of(request: &Request) -> Option<&Self> {
        request.notes.get()
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|values| &values.0).map(Secret::expose)
    }

    /// A text without them.
    pub(crate) fn blot<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.values().any(|value| value == text) {
            return Cow::Borrowed(BLOT);
        }
        let mut shown: Option<String> = None;
        let (mut at, mut copied) = (0, 0);
        while at < text.len() {
            let rest = &text.as_bytes()[at..];
            let long = self.values().filter(|value| value.len() >= SHORTEST);
            let Some(length) = long.filter_map(|value| found(rest, value.as_bytes())).max() else {
                at += 1;
                continue;
            };
            let shown = shown.get_or_insert_default();
            // A value begins and ends where a character does.
            shown.push_str(text.get(copied..at).unwrap_or_default());
            shown.push_str(BLOT);
            at += length;
            copied = at;
        }
        match shown {
            None => Cow::Borrowed(text),
            Some(mut shown) => {
                shown.push_str(text.get(copied..).unwrap_or_default());
                Cow::Owned(shown)
            }
        }
    }

    /// All texts of a log object without them, and the names of headers and parameters.
    pub(crate) fn blot_object(&self, object: &mut Map<String, Json>) {
        for (name, value) in object.iter_mut() {
            match value {
                Json::Object(named) if matches!(name.as_str(), "headers" | "querystring") => {
                    *named = std::mem::take(named)
                        .into_iter()
                        .map(|(name, value)| (self.blot(&name).into_owned(), value))
                        .collect();
                    self.blot_object(named);
                }
                value => self.blot_value(value),
            }
        }
    }

    fn blot_value(&self, value: &mut Json) {
        match value {
            Json::String(text) => {
                let shown = self.blot(text).into_owned();
                *text = shown;
            }
            Json::Array(all) => all.iter_mut().for_each(|value| self.blot_value(value)),
            Json::Object(object) => self.blot_object(object),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}

/// The bytes that a value takes at the beginning of a text, if it is there: as it is, or with any of its bytes escaped as URLs,
/// forms, JSON and nginx's logs do; in whatever case, as names of headers have another one.
fn found(text: &[u8], value: &[u8]) -> Option<usize> {
    if text.get(..value.len()).is_some_and(|text| text.eq_ignore_ascii_case(value)) {
        return Some(value.len());
    }
    let mut at = 0;
    for byte in value {
        at += escaped(&text[at..], *byte)?;
    }
    Some(at)
}

/// The bytes that one byte takes at the beginning of a text, escaped or not.
fn escaped(text: &[u8], byte: u8) -> Option<usize> {
    let hex = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    let is = |found: u8| found.eq_ignore_ascii_case(&byte);
    match text {
        [b'%', digits @ ..] if digits.len() >= 2 && hex(&digits[..2]).is_some_and(is) => Some(3),
        [b'\\', b'x', digits @ ..] if digits.len() >= 2 && hex(&digits[..2]).is_some_and(is) => Some(4),
        [b'\\', b'u', b'0', b'0', digits @ ..] if digits.len() >= 2 && hex(&digits[..2]).is_some_and(is) => {
            Some(6)
        }
        [b'\\', escape, ..] if json(*escape) == Some(byte) => Some(2),
        [b'+', ..] if byte == b' ' => Some(1),
        [first, ..] if is(*first) => Some(1),
        _ => None,
    }
}

fn json(escape: u8) -> Option<u8> {
    match escape {
        b'"' | b'\\' | b'/' => Some(escape),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'b' => Some(8),
        b'f' => Some(12),
        _ => None,
    }
}

/// A plugin whose configuration holds references: whatever it does with a request, its values are known of that request.
pub struct Marked {
    plugin: Box<dyn Plugin>,
    values: Arc<SecretValues>,
}

impl Marked {
    /// The plugin, with the values that its configuration has from references.
    pub fn wrap(plugin: Box<dyn Plugin>, values: Option<Arc<SecretValues>>) -> Box<dyn Plugin> {
        match values {
            Some(values) => Box::new(Self { plugin, values }),
            None => plugin,
        }
    }
}

impl Plugin for Marked {
    fn rewrite<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        self.values.mark(request);
        self.plugin.rewrite(request)
    }

    fn wants_body(&self, request: &Request) -> bool {
        self.plugin.wants_body(request)
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        self.values.mark(request);
        self.plugin.access(request)
    }

    fn chosen(&self, request: &mut Request) {
        self.values.mark(request);
        self.plugin.chosen(request);
    }

    fn response(&self, request: &Request, response: &mut Response) {
        self.plugin.response(request, response);
    }

    fn body_filter(&self, request: &Request, response: &Response) -> Option<Box<dyn BodyFilter>> {
        self.plugin.body_filter(request, response)
    }

    fn log(&self, request: &Request, summary: &Summary<'_>) {
        self.plugin.log(request, summary);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn met(values: &[&str]) -> Met {
        let values: Vec<_> = values.iter().map(|value| Secret::from(*value)).collect();
        Met(SmallVec::from_iter(SecretValues::of(&values)))
    }

    #[test]
    fn a_value_is_blotted_out_however_it_is_encoded() {
        for (value, text, shown) in [
            ("s3cr3t", "a s3cr3t, s3cr3t", "a ***, ***"),
            ("s3cr3t\n", "Bearer s3cr3t", "Bearer ***"),
            ("a b/c%", "/x?k=a%20b%2fc%25&l=a+b/c%25", "/x?k=***&l=***"),
            ("pa\"ss\\", r#"{"a":"pa\"ss\\"}"#, r#"{"a":"***"}"#),
            ("pa\"ss", r"pa\x22ss", "***"),
            ("a<b>c", r"a\u003cb>c", "***"),
            ("s3cr3t", "Basic czNjcjN0", "Basic ***"),
            ("größe", "gr%C3%B6%C3%9Fe größe", "*** ***"),
            ("S3cr3t", "x-s3CR3T", "x-***"),
            ("abc", "abcd", "abcd"),
            ("abc", "abc", "***"),
            ("s3cr3t", "s3cr3", "s3cr3"),
            ("s3cr3t", "ö", "ö"),
        ] {
            assert_eq!(met(&[value]).blot(text), shown, "{value}");
        }
        assert_eq!(met(&["abcd", "abcdef"]).blot("abcdef abcde"), "*** ***e");
    }

    #[test]
    fn an_object_keeps_its_shape() {
        let mut object = json!({
            "request": {"status": 200, "headers": {"x-status": ["status", "a"], "status": "b"}, "uri": "/status"},
            "status": true,
        });
        met(&["status"]).blot_object(object.as_object_mut().unwrap());
        assert_eq!(
            object,
            json!({
                "request": {"status": 200, "headers": {"x-***": ["***", "a"], "***": "b"}, "uri": "/***"},
                "status": true,
            })
        );
    }
}
