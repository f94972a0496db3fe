//! A request as endpoints see it, and what they give back.
//!
//! Owns: the parts of a request that was let in, and how they are asked for. Must not know: which endpoint serves it
//! (`dispatch` does).

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use serde_json::Value;

use super::Admin;
use super::error::Refusal;

/// What is known of a request once it may be served.
pub(crate) struct Call<'a> {
    pub(crate) admin: &'a Admin,
    pub(crate) method: Method,
    /// What stands in the path in place of parameters.
    pub(crate) parameters: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    /// Who asks, for the history.
    pub(crate) who: String,
    /// `/default` where the path began with it.
    pub(crate) prefix: &'static str,
}

/// The response, or the refusal that becomes one.
pub(crate) type Answered = Result<Response, Refusal>;

impl Call<'_> {
    /// The first value of a query argument.
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        // What cannot be read is a type all the same, and none that is known.
        self.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"))
    }

    pub(crate) fn parameter(&self, index: usize) -> &str {
        self.parameters.get(index).map_or("", String::as_str)
    }
}

/// 200 and JSON.
pub(crate) fn ok(body: Value) -> Answered {
    Ok(Json(body).into_response())
}
