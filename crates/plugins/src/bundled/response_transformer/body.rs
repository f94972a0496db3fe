//! Changing the JSON object that a response's body is.
//!
//! Owns: which bodies are looked into, how much of one is kept, and what each change means. What is not meant stays byte
//! for byte, and a body that cannot be changed passes as it is. Must not know: the configuration.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::value::RawValue;
use tracing::warn;

use super::JsonType;
use crate::plugin::BodyFilter;
use crate::view::RequestId;
use crate::view::json::{self, Object};

/// The largest body that is changed, in bytes.
pub(super) const SIZE_MAX: usize = 8 << 20;

/// One change of an object.
#[derive(Debug)]
pub(super) enum Change {
    Remove(String),
    Rename(String, String),
    Replace(String, Box<RawValue>),
    Add(String, Box<RawValue>),
    Append(String, Box<RawValue>),
}

/// A text as a value of a type; `None` where it is not a number but has to be.
pub(super) fn value(text: &str, ty: Option<JsonType>) -> Option<Box<RawValue>> {
    match ty {
        None | Some(JsonType::String) => Some(json::text(text)),
        // As in Kong: what is not `true` is false.
        Some(JsonType::Boolean) => {
            Some(if text == "true" { RawValue::TRUE } else { RawValue::FALSE }.to_owned())
        }
        Some(JsonType::Number) => number(text),
    }
}

/// A number with the digits it is written with, if they are JSON's; else its value.
pub(super) fn number(text: &str) -> Option<Box<RawValue>> {
    let text = text.trim();
    let is_numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if text.is_empty() || !is_numeric(text) {
        return None;
    }
    if let Ok(json) = RawValue::from_string(text.to_owned()) {
        return Some(json);
    }
    let number = serde_json::Number::from_f64(text.parse().ok()?)?;
    RawValue::from_string(number.to_string()).ok()
}

/// Whether a body is JSON that can be read: `application/json` or `application/...+json`, and not compressed.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let plain = |value: &http::HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return false;
    }
    let kinds = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kinds.split(',').any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let (ty, subtype) = kind.split_once('/').unwrap_or_default();
        let is_suffix =
            || subtype.len() > 5 && subtype.as_bytes()[subtype.len() - 5..].eq_ignore_ascii_case(b"+json");
        ty.eq_ignore_ascii_case("application") && (subtype.eq_ignore_ascii_case("json") || is_suffix())
    })
}

/// A body, until it is complete or too large.
pub(super) struct Collected {
    changes: Arc<[Change]>,
    body: BytesMut,
    /// It is too large: it passes.
    passes: bool,
    request: RequestId,
}

impl Collected {
    pub(super) fn new(changes: Arc<[Change]>, request: RequestId) -> Self {
        Self { changes, body: BytesMut::new(), passes: false, request }
    }

    fn warn(&self, reason: &'static str) {
        warn!(request_id = %self.request, reason, "response-transformer left a body as it was");
    }
}

impl BodyFilter for Collected {
    fn chunk(&mut self, piece: Bytes) -> Bytes {
        if self.passes {
            return piece;
        }
        self.body.extend_from_slice(&piece);
        if self.body.len() <= SIZE_MAX {
            return Bytes::new();
        }
        self.passes = true;
        self.warn("it is larger than 8 MiB");
        std::mem::take(&mut self.body).freeze()
    }

    fn end(&mut self) -> Bytes {
        let body = std::mem::take(&mut self.body).freeze();
        // Answers to HEAD, and those without content.
        if body.is_empty() {
            return body;
        }
        let Some(mut object) = Object::parse(&body) else {
            self.warn("it is not a JSON object");
            return body;
        };
        let mut has_changed = false;
        for change in self.changes.iter() {
            has_changed |= change.apply(&mut object);
        }
        if has_changed { object.write().into() } else { body }
    }
}

impl Change {
    /// Says whether it changed anything.
    fn apply(&self, object: &mut Object) -> bool {
        match self {
            Self::Remove(name) => object.remove(name).is_some(),
            Self::Rename(old, new) => object.rename(old, new),
            Self::Replace(name, value) => {
                let is_there = object.get(name).is_some();
                if is_there {
                    object.set(name, value.clone());
                }
                is_there
            }
            Self::Add(name, value) => {
                let is_new = object.get(name).is_none();
                if is_new {
                    object.set(name, value.clone());
                }
                is_new
            }
            Self::Append(name, value) => {
                object.append(name, value.clone());
                true
            }
        }
    }
}
