//! A request as handlers see it: an operation on a path with fields, made by a token.
//!
//! Owns the translation from HTTP. Must not know which handler it goes to.

use super::field::{Fields, parse_seconds};
use super::policy::Capability;
use super::reply::Refusal;
use super::token::Token;
use crate::wire::Request;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use std::time::Duration;

/// What is asked for. `POST` and `PUT` are both [`Operation::Update`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    List,
    Update,
    Patch,
    Delete,
}

impl Operation {
    /// What a policy must grant for it. An update of what does not exist is a creation.
    pub(super) fn capability(self, exists: bool) -> Capability {
        match self {
            Self::Read => Capability::Read,
            Self::List => Capability::List,
            Self::Update if exists => Capability::Update,
            Self::Update => Capability::Create,
            Self::Patch => Capability::Patch,
            Self::Delete => Capability::Delete,
        }
    }
}

/// A request, decoded.
pub(super) struct Call {
    pub(super) operation: Operation,
    /// Without `/v1/`, decoded. A list's ends in `/`.
    pub(super) path: String,
    /// The mount that answers: `secret/`, `auth/jwt/`, `sys/`.
    pub(super) mount: String,
    /// What the route's pattern captured.
    pub(super) captured: Vec<(&'static str, String)>,
    pub(super) body: Map<String, Value>,
    pub(super) query: Vec<(String, String)>,
    /// For how long the answer is to be wrapped, if it is.
    pub(super) wrap_ttl: Option<Duration>,
    /// The text of the token that came along.
    pub(super) token_id: Option<String>,
    /// The token, once it is known to live.
    pub(super) token: Option<Token>,
}

impl Call {
    /// Decodes a request below `/v1/`.
    pub(super) fn read(request: &Request, path: &str) -> Result<Self, Refusal> {
        let mut path = percent_decode_str(path).decode_utf8_lossy().into_owned();
        let listing = matches!(request.query("list"), Some("true" | "1"));
        let operation = match request.method.as_str() {
            "GET" if listing => Operation::List,
            "GET" => Operation::Read,
            "LIST" => Operation::List,
            "POST" | "PUT" => Operation::Update,
            "PATCH" => Operation::Patch,
            "DELETE" => Operation::Delete,
            _ => return Err(Refusal { status: 405, errors: Vec::new() }),
        };
        if operation == Operation::List && !path.ends_with('/') {
            path.push('/');
        }
        let body = match operation {
            Operation::Update | Operation::Patch => body(request, operation)?,
            _ => Map::new(),
        };
        Ok(Self {
            operation,
            path,
            mount: String::new(),
            captured: Vec::new(),
            body,
            query: request.query.clone(),
            wrap_ttl: wrap_ttl(request)?,
            token_id: token_id(request),
            token: None,
        })
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields(&self.body)
    }

    /// What the pattern's `{name}` or `{name...}` matched.
    pub(super) fn captured(&self, name: &str) -> &str {
        self.captured.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The caller's token. Only routes that need no token may find none.
    pub(super) fn caller(&self) -> Result<&Token, Refusal> {
        self.token.as_ref().ok_or_else(Refusal::no_token)
    }
}

/// `X-Vault-Token`, or a bearer token.
pub(super) fn token_id(request: &Request) -> Option<String> {
    let bearer = || request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    request.header("x-vault-token").or_else(bearer).map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// `X-Vault-Wrap-TTL`: seconds, or a text with a unit.
fn wrap_ttl(request: &Request) -> Result<Option<Duration>, Refusal> {
    let Some(text) = request.header("x-vault-wrap-ttl").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let refused = |what: &str| Refusal::bad(format!("error parsing X-Vault-Wrap-TTL header: {what}"));
    let seconds = parse_seconds(text).map_err(|error| refused(&error))?;
    let seconds = u64::try_from(seconds).map_err(|_| refused("requested wrap ttl cannot be negative"))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn body(request: &Request, operation: Operation) -> Result<Map<String, Value>, Refusal> {
    let Some(body) = &request.body else {
        return Err(Refusal::new(413, "http: request body too large"));
    };
    let kind = request.header("content-type").unwrap_or_default();
    if operation == Operation::Patch && !kind.starts_with("application/merge-patch+json") {
        let text = format!("PATCH requires Content-Type of application/merge-patch+json, provided {kind}");
        return Err(Refusal::new(415, text));
    }
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Ok(Map::new()),
        Some(first) if kind.starts_with("application/x-www-form-urlencoded") && !b"{[".contains(first) => {
            Ok(form_urlencoded::parse(body).map(|(key, value)| (key.into_owned(), value.into())).collect())
        }
        Some(_) => match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(Value::Null) => Ok(Map::new()),
            Ok(Value::Array(_)) => Err(Refusal::bad(format!("{BAD_JSON}{NOT_A_MAP}"))),
            Ok(_) => Err(Refusal::bad(format!("{BAD_JSON}expected an object"))),
            Err(error) => Err(Refusal::bad(format!("{BAD_JSON}{error}"))),
        },
    }
}

const BAD_JSON: &str = "failed to decode JSON input: ";
const NOT_A_MAP: &str = "json: cannot unmarshal array into Go value of type map[string]interface {}";
