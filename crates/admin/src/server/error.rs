//! What is answered when something is refused: the one way from errors to statuses and bodies.
//!
//! Owns: Kong's codes, names and words, which clients and people look for. Must not know: why something was refused. A
//! body always has a `message`; no value of a credential is in it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use postern_config::store::{Row, StoreError};
use postern_model::{Kind, Severity, Violation};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::decode::Unreadable;

/// Why a request is not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such page or entity.
    NotFound,
    /// `No plugin named 'x'`, or another 404 that says more.
    Unknown(String),
    /// The page takes only these.
    Method(&'static [&'static str]),
    /// The body is none.
    Unreadable(Unreadable),
    /// The entity is wrong.
    Schema(Vec<Violation>),
    /// The name in the path is none.
    Unique(&'static str, String),
    /// Another one is like it.
    NotUnique(Map<String, Value>),
    /// It exists already.
    Exists(Uuid),
    /// It refers to what is not there.
    Dangling {
        /// The field that does.
        field: String,
        /// To which kind.
        kind: String,
        /// By which field of the other one.
        by: &'static str,
        /// Its value.
        value: String,
    },
    /// Others refer to it.
    Referenced {
        /// Its kind.
        kind: String,
        /// Theirs.
        by: String,
    },
    /// The `offset` is not one that was given.
    Offset(String),
    /// `size` is not from 1 to 1000.
    Size,
    /// The filter cannot be understood.
    Tags(&'static str),
    /// It cannot be done with this way of keeping entities.
    Unsupported(String),
    /// The document that was to be loaded is wrong.
    Document(Value),
    /// Something else is wrong with what was asked for.
    Bad(String),
    /// No token, or a wrong one.
    Unauthorized,
    /// It came from where it must not.
    Forbidden(&'static str),
    /// Others were faster, again and again; or the document is not the one that was read.
    Stale(StatusCode),
    /// Too much at once, or too many wrong tokens: after so many seconds again.
    Busy(StatusCode, u64),
    /// What it takes cannot be reached now.
    Unavailable(&'static str),
    /// A fault of ours, which the log tells.
    Unexpected,
}

impl Refusal {
    /// What a store said of a write of these rows.
    pub(crate) fn of_write(error: StoreError, rows: &[&Row]) -> Self {
        match error {
            StoreError::NotUnique { kind, key, .. } => Self::NotUnique(not_unique(&kind, &key.field, rows)),
            StoreError::Dangling { kind, id, reference } if reference.field == "ca_certificates" => {
                let message = format!("the following CA certificates don't exist: {id}");
                debug_assert_eq!(kind, "ca_certificates");
                Self::Schema(vec![Violation::error(reference.field, None, message)])
            }
            StoreError::Dangling { kind, id, reference } => {
                Self::Dangling { field: reference.field, kind, by: "id", value: id.to_string() }
            }
            StoreError::Referenced { kind, by, .. } => Self::Referenced { kind, by },
            StoreError::Stale => Self::Stale(StatusCode::CONFLICT),
            other => other.into(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Method(_) | Self::Unsupported(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unreadable(Unreadable::MediaType) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unreadable(Unreadable::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotUnique(_) | Self::Exists(_) => StatusCode::CONFLICT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Stale(status) | Self::Busy(status, _) => *status,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unexpected => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn body(&self) -> Value {
        let plain = |message: &str| json!({ "message": message });
        match self {
            Self::NotFound => plain("Not found"),
            Self::Method(_) => plain("Method not allowed"),
            Self::Unreadable(reason) => plain(&reason.to_string()),
            Self::Unknown(message) | Self::Bad(message) => plain(message),
            Self::Schema(violations) => schema(violations),
            Self::Unique(field, message) => {
                coded(10, &format!("invalid unique {field}"), message, json!({ *field: message }))
            }
            Self::NotUnique(fields) => {
                let message = format!("UNIQUE violation detected on '{}'", shown(fields));
                coded(5, "unique constraint violation", &message, fields.clone().into())
            }
            Self::Exists(id) => {
                let message = format!("primary key violation on key '{{id=\"{id}\"}}'");
                coded(3, "primary key violation", &message, json!({ "id": id }))
            }
            Self::Dangling { field, kind, by, value } => {
                let message = format!(
                    "the foreign key '{{{by}={value:?}}}' does not reference an existing '{kind}' entity."
                );
                coded(4, "foreign key violation", &message, json!({ field: { *by: value } }))
            }
            Self::Referenced { kind, by } => {
                let message = format!("an existing '{by}' entity references this '{kind}' entity");
                coded(4, "foreign key violation", &message, json!({ "@referenced_by": by }))
            }
            Self::Offset(offset) => {
                let message =
                    format!("'{}' is not a valid offset: bad base64 encoding", offset.escape_debug());
                coded(7, "invalid offset", &message, Value::Null)
            }
            Self::Size => coded(9, "invalid size", "size must be an integer between 1 and 1000", Value::Null),
            Self::Tags(reason) => coded(
                11,
                "invalid options",
                &format!("invalid option (tags: {reason})"),
                json!({ "tags": reason }),
            ),
            Self::Unsupported(message) => coded(12, "operation unsupported", message, Value::Null),
            Self::Document(body) => body.clone(),
            Self::Unauthorized => plain("Unauthorized"),
            Self::Forbidden(why) | Self::Unavailable(why) => plain(why),
            Self::Stale(_) => plain("it has changed meanwhile"),
            Self::Busy(status, _) if *status == StatusCode::TOO_MANY_REQUESTS => {
                plain("too many wrong tokens")
            }
            Self::Busy(..) => plain("too many requests at once"),
            Self::Unexpected => plain("An unexpected error occurred"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Method(allowed) => {
                if let Ok(value) = HeaderValue::try_from(allowed.join(", ")) {
                    headers.insert(header::ALLOW, value);
                }
            }
            Self::Busy(_, seconds) => {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Kong-Admin-Token"));
            }
            _ => {}
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => {
                tracing::error!(%reason, "the database cannot be used");
                Self::Unavailable("the database cannot be used")
            }
            StoreError::Stale => Self::Stale(StatusCode::CONFLICT),
            error => {
                tracing::error!(%error, "what the store said was not to be expected");
                Self::Unexpected
            }
        }
    }
}

impl From<Unreadable> for Refusal {
    fn from(reason: Unreadable) -> Self {
        Self::Unreadable(reason)
    }
}

fn coded(code: u8, name: &str, message: &str, fields: Value) -> Value {
    let mut body = json!({ "code": code, "name": name, "message": message });
    if !fields.is_null() {
        body["fields"] = fields;
    }
    body
}

/// `{name="svc1"}`, as Kong writes it.
fn shown(fields: &Map<String, Value>) -> String {
    let value = |value: &Value| match value {
        Value::Object(fields) => shown(fields),
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    };
    let fields: Vec<_> = fields.iter().map(|(name, json)| format!("{name}={}", value(json))).collect();
    format!("{{{}}}", fields.join(","))
}

/// What two rows would share. Credentials are starred, which Kong does not do: whoever writes one might learn those
/// of others from a log.
fn not_unique(kind: &str, fields: &str, rows: &[&Row]) -> Map<String, Value> {
    let definitions = Kind::named(kind).map(Kind::fields).unwrap_or_default();
    let is_secret = |name: &str| definitions.iter().any(|field| field.name == name && field.secret);
    let row = rows.iter().find(|row| row.kind == kind && row.keys.iter().any(|key| key.field == fields));
    let value = |name: &str| match row.and_then(|row| row.body.get(name)) {
        Some(_) if is_secret(name) => "***".into(),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    fields.split(',').map(|name| (name.to_owned(), value(name))).collect()
}

/// `schema violation (host: required field missing)`, and the same as a tree.
fn schema(violations: &[Violation]) -> Value {
    let errors = || violations.iter().filter(|violation| violation.severity == Severity::Error);
    let mut fields = Value::Object(Map::new());
    let mut said = Vec::new();
    for violation in errors() {
        let steps = steps(&violation.path);
        said.push(format!("{}: {}", spelt(&steps), violation.message));
        place(&mut fields, &steps, &violation.message);
    }
    said.sort();
    said.dedup();
    let message = match said.len() {
        1 => format!("schema violation ({})", said.concat()),
        count => format!("{count} schema violations ({})", said.join("; ")),
    };
    coded(2, "schema violation", &message, fields)
}

/// One step down, as a violation's path spells it.
#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    /// From 0.
    Index(usize),
}

/// `config.headers["x.y"]`, `paths[1]`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let end = quoted.find("\"]").unwrap_or(quoted.len());
            steps.push(Step::Key(quoted[..end].to_owned()));
            rest = quoted.get(end + 2..).unwrap_or_default();
        } else if let Some(index) = rest.strip_prefix('[') {
            let end = index.find(']').unwrap_or(index.len());
            steps.push(match index[..end].parse() {
                Ok(number) => Step::Index(number),
                Err(_) => Step::Key(index[..end].to_owned()),
            });
            rest = index.get(end + 1..).unwrap_or_default();
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end > 0 {
                steps.push(Step::Key(name[..end].to_owned()));
            }
            // What is neither name nor bracket is not written by the model; it must not stop this walk.
            rest = match end {
                0 if rest.len() == name.len() => name.get(1..).unwrap_or_default(),
                _ => &name[end..],
            };
        }
    }
    steps
}

/// The same path as Kong spells it.
pub(crate) fn as_kong_spells(path: &str) -> String {
    spelt(&steps(path))
}

/// As Kong spells it: indices are counted from 1, and what concerns the whole entity is `@entity`.
fn spelt(steps: &[Step]) -> String {
    if steps.is_empty() {
        return "@entity".to_owned();
    }
    let step = |step: &Step| match step {
        Step::Key(name) => name.clone(),
        Step::Index(index) => (index + 1).to_string(),
    };
    steps.iter().map(step).collect::<Vec<_>>().join(".")
}

/// A list in `fields` has at most so many places; what is wrong further on is in the message only.
const PLACES: usize = 1000;

fn place(tree: &mut Value, steps: &[Step], message: &str) {
    let Some((step, rest)) = steps.split_first() else {
        match tree {
            Value::Object(fields) => {
                let said = fields.entry("@entity").or_insert_with(|| json!([]));
                if let Some(said) = said.as_array_mut() {
                    said.push(message.into());
                }
            }
            other => *other = message.into(),
        }
        return;
    };
    let below = match step {
        Step::Key(name) => {
            if !tree.is_object() {
                *tree = json!({});
            }
            let Some(fields) = tree.as_object_mut() else { return };
            fields.entry(name.clone()).or_insert(Value::Null)
        }
        Step::Index(index) if *index < PLACES => {
            if !tree.is_array() {
                *tree = json!([]);
            }
            let Some(items) = tree.as_array_mut() else { return };
            if items.len() <= *index {
                items.resize(index + 1, Value::Null);
            }
            &mut items[*index]
        }
        Step::Index(_) => return,
    };
    match rest {
        [] => *below = message.into(),
        rest => place(below, rest, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_are_told_as_kong_does() {
        let one = [Violation::error("host", None, "required field missing")];
        assert_eq!(
            schema(&one),
            json!({
                "code": 2, "name": "schema violation", "fields": { "host": "required field missing" },
                "message": "schema violation (host: required field missing)",
            })
        );
        let several = [
            Violation::error("paths[1]", None, "should start with: /"),
            Violation::error("config.headers[\"x.y\"]", None, "expected a string"),
            Violation::error("", None, "at least one"),
            Violation::warning("tags", None, "not told"),
        ];
        let body = schema(&several);
        assert_eq!(
            body["message"],
            "3 schema violations (@entity: at least one; config.headers.x.y: expected a string; \
             paths.2: should start with: /)"
        );
        assert_eq!(body["fields"]["paths"], json!([null, "should start with: /"]));
        assert_eq!(body["fields"]["config"]["headers"]["x.y"], "expected a string");
        assert_eq!(body["fields"]["@entity"], json!(["at least one"]));
    }

    #[test]
    fn every_path_has_an_end() {
        for path in ["", ".", "..", "a.", "a[", "a[\"", "a[1", "a[x]", "[", "]", "a]b", "ä.ö[0]"] {
            let _ = spelt(&steps(path));
            place(&mut json!({}), &steps(path), "no");
        }
    }
}
