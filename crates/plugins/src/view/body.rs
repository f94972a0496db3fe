//! Bodies with named parts: forms, JSON objects, multipart forms.
//!
//! Owns: which form a body has, finding a name in it, taking one out. What is not meant stays byte for byte. Must not
//! know: who asks. `json` and `multipart` know their forms; `args` knows that of forms.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::args::{self, Found};
use super::json::Object;
use super::multipart::Multipart;

/// The form of a body with named parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/x-www-form-urlencoded`
    Urlencoded,
    /// `application/json`
    Json,
    /// `multipart/form-data`, with its boundary.
    Multipart(String),
}

impl Form {
    /// What the headers say.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let begins =
            |kind: &str| text.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
        if begins("application/x-www-form-urlencoded") {
            Some(Self::Urlencoded)
        } else if begins("application/json") {
            Some(Self::Json)
        } else if begins("multipart/form-data") {
            super::multipart::boundary(text).map(|boundary| Self::Multipart(boundary.to_owned()))
        } else {
            None
        }
    }

    /// Looks for a name. A body that is not of its form has none.
    pub fn find<'a>(&self, body: &'a [u8], name: &str) -> Found<'a> {
        match self {
            Self::Urlencoded => match std::str::from_utf8(body) {
                Ok(text) => args::find(text, name),
                Err(_) => Found::Nothing,
            },
            Self::Json => Object::parse(body).map_or(Found::Nothing, |object| object.find(name)),
            Self::Multipart(boundary) => {
                let Some(form) = Multipart::parse(body, boundary) else { return Found::Nothing };
                let mut values = form.parts.iter().filter(|part| part.is(name)).map(|part| part.body);
                match (values.next(), values.next()) {
                    (None, _) => Found::Nothing,
                    (Some(value), None) => Found::Once(Some(match String::from_utf8_lossy(value) {
                        Cow::Borrowed(text) => Cow::Borrowed(text),
                        Cow::Owned(text) => Cow::Owned(text),
                    })),
                    (Some(_), Some(_)) => Found::Often,
                }
            }
        }
    }

    /// The body without a name; `None` where it is not of its form.
    pub fn without(&self, body: &[u8], name: &str) -> Option<Bytes> {
        match self {
            Self::Urlencoded => Some(args::without(std::str::from_utf8(body).ok()?, name).into()),
            Self::Json => {
                let mut object = Object::parse(body)?;
                object.remove(name);
                Some(object.write().into())
            }
            Self::Multipart(boundary) => {
                let mut form = Multipart::parse(body, boundary)?;
                form.parts.retain(|part| !part.is(name));
                Some(form.write(boundary).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const MULTIPART: &str = "--b\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\nk\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"apikey\"\r\n\r\nx\r\n--y\r\n--b--\r\n";

    #[test]
    fn the_form_is_what_the_header_says() {
        for (header, form) in [
            ("application/json; charset=utf-8", Some(Form::Json)),
            ("Application/X-WWW-form-urlencoded", Some(Form::Urlencoded)),
            ("multipart/form-data; boundary=b", Some(Form::Multipart("b".into()))),
            ("multipart/form-data; charset=x; Boundary=\"a b\"", Some(Form::Multipart("a b".into()))),
            ("multipart/form-data", None),
            ("text/plain", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(header))]);
            assert_eq!(Form::of(&headers), form, "{header}");
        }
    }

    #[test]
    fn names_are_found_and_taken_out() {
        let multipart = Form::Multipart("b".to_owned());
        for (form, body, found, left) in [
            (Form::Urlencoded, "a=1&apikey=k", Found::Once(Some("k".into())), Some("a=1")),
            (
                Form::Json,
                r#"{"b": 1.50, "apikey":"k","a":[ 1]}"#,
                Found::Once(Some("k".into())),
                Some(r#"{"b":1.50,"a":[ 1]}"#),
            ),
            (Form::Json, r#"{"apikey": ["k"]}"#, Found::Often, Some("{}")),
            (Form::Json, r#"{"apikey": 7}"#, Found::Once(None), Some("{}")),
            (Form::Json, r#"{"apikey": "k", "apikey": "l"}"#, Found::Often, Some("{}")),
            (Form::Json, r#"["apikey"]"#, Found::Nothing, None),
            (Form::Json, r#"{"apikey": "k"#, Found::Nothing, None),
            (
                multipart.clone(),
                MULTIPART,
                Found::Once(Some("k".into())),
                Some(
                    "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"apikey\"\r\n\r\nx\r\n--y\r\n--b--\r\n",
                ),
            ),
            (multipart, "apikey=k", Found::Nothing, None),
        ] {
            assert_eq!(form.find(body.as_bytes(), "apikey"), found, "{body}");
            let without = form.without(body.as_bytes(), "apikey");
            assert_eq!(without.as_deref(), left.map(str::as_bytes), "{body}");
        }
    }
}
