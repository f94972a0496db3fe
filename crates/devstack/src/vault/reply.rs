//! Answers, and Vault's envelope around them.
//!
//! Owns the wire form: `request_id`, `data`, `auth`, `warnings`, `errors`. Handlers make a [`Reply`] or a
//! [`Refusal`] and know nothing of HTTP beyond the status.

use crate::random;
use crate::wire::Response;
use serde_json::{Map, Value, json};

/// What a handler answers.
pub(super) type Outcome = Result<Reply, Refusal>;

/// A success.
#[derive(Debug)]
pub(super) enum Reply {
    /// 204.
    Nothing,
    /// The envelope.
    Wrapped(Box<Envelope>),
    /// A document of its own, as the health endpoints give it.
    Raw(u16, Value),
}

#[derive(Debug, Default)]
pub(super) struct Envelope {
    status: u16,
    data: Value,
    auth: Value,
    warnings: Vec<String>,
    /// What stands for an answer that was wrapped.
    wrap_info: Value,
    lease_duration: u64,
    /// Older endpoints under `sys/` repeat the data beside the envelope's own keys.
    repeat_data: bool,
}

impl Reply {
    fn wrapped(change: impl FnOnce(&mut Envelope)) -> Self {
        let mut envelope = Envelope { status: 200, ..Envelope::default() };
        change(&mut envelope);
        Self::Wrapped(Box::new(envelope))
    }

    /// 200 with `data`.
    pub(super) fn data(data: Value) -> Self {
        Self::wrapped(|envelope| envelope.data = data)
    }

    /// 200 with `data`, repeated at the top.
    pub(super) fn sys_data(data: Value) -> Self {
        Self::wrapped(|envelope| {
            envelope.data = data;
            envelope.repeat_data = true;
        })
    }

    /// 404 that still carries `data`: a deleted version.
    pub(super) fn gone(data: Value) -> Self {
        Self::wrapped(|envelope| {
            envelope.status = 404;
            envelope.data = data;
        })
    }

    /// 200 with `auth`: a login, a new token, a renewal.
    pub(super) fn auth(auth: Value, warnings: Vec<String>) -> Self {
        Self::wrapped(|envelope| {
            envelope.auth = auth;
            envelope.warnings = warnings;
        })
    }

    /// A warning and no data.
    pub(super) fn warning(status: u16, text: &str) -> Self {
        Self::wrapped(|envelope| {
            envelope.status = status;
            envelope.warnings = vec![text.to_owned()];
        })
    }

    /// 200 with what is told of a wrapped answer.
    pub(super) fn wrap_info(info: Value) -> Self {
        Self::wrapped(|envelope| envelope.wrap_info = info)
    }

    /// The document, if it is one that can be wrapped.
    pub(super) fn wrappable(&self) -> Option<Value> {
        match self {
            Self::Wrapped(envelope) if envelope.status == 200 => Some(envelope.document()),
            _ => None,
        }
    }

    /// Says for how many seconds the data is good.
    pub(super) fn leased(mut self, seconds: u64) -> Self {
        if let Self::Wrapped(envelope) = &mut self {
            envelope.lease_duration = seconds;
        }
        self
    }

    /// Keys in a list; none at all is a 404.
    pub(super) fn keys(keys: Vec<String>) -> Outcome {
        if keys.is_empty() { Err(Refusal::not_found()) } else { Ok(Self::data(json!({ "keys": keys }))) }
    }

    pub(super) fn into_response(self) -> Response {
        match self {
            Self::Nothing => Response::empty(204),
            Self::Raw(status, document) => Response::json(status, &document),
            Self::Wrapped(envelope) => Response::json(envelope.status, &envelope.document()),
        }
    }
}

impl Envelope {
    fn document(&self) -> Value {
        let mut document = Map::new();
        if let (true, Value::Object(data)) = (self.repeat_data, &self.data) {
            document.extend(data.clone());
        }
        // A wrapping's own answer has none.
        let request_id = if self.wrap_info.is_null() { random::uuid() } else { String::new() };
        document.insert("request_id".into(), request_id.into());
        document.insert("lease_id".into(), "".into());
        document.insert("renewable".into(), false.into());
        document.insert("lease_duration".into(), self.lease_duration.into());
        document.insert("data".into(), self.data.clone());
        document.insert("wrap_info".into(), self.wrap_info.clone());
        document.insert(
            "warnings".into(),
            if self.warnings.is_empty() { Value::Null } else { json!(self.warnings) },
        );
        document.insert("auth".into(), self.auth.clone());
        document.into()
    }
}

/// A refusal: a status and Vault's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) errors: Vec<String>,
}

impl Refusal {
    pub(super) fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, errors: vec![error.into()] }
    }

    /// 400: the client's mistake.
    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(400, error)
    }

    /// An error in the list form that Vault's framework prints: `1 error occurred:\n\t* ...`.
    pub(super) fn listed(status: u16, error: &str) -> Self {
        Self::new(status, format!("1 error occurred:\n\t* {error}\n\n"))
    }

    /// 404 without words: nothing is stored there.
    pub(super) fn not_found() -> Self {
        Self { status: 404, errors: Vec::new() }
    }

    /// 403 because of the token itself.
    pub(super) fn no_token() -> Self {
        Self::new(403, "permission denied")
    }

    /// 403 because of the token's policies.
    pub(super) fn denied() -> Self {
        Self::listed(403, "permission denied")
    }

    pub(super) fn unsupported_path() -> Self {
        Self::listed(404, "unsupported path")
    }

    pub(super) fn unsupported_operation() -> Self {
        Self::listed(405, "unsupported operation")
    }

    pub(super) fn into_response(self) -> Response {
        Response::json(self.status, &json!({ "errors": self.errors }))
    }
}
