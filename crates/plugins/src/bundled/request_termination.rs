//! `request-termination`: the gateway answers, and nothing is asked of an upstream.
//!
//! Owns: what is answered, and to whom. Must not know: why; the operator does. Texts and order are Kong's.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use postern_model::Record;
use postern_model::entity::Protocol;
use postern_model::field::{Check, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rules;
use crate::plugin::{Answer, AnswerBody, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;
use crate::view::args::{self, Found};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "request-termination",
    priority: 2,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema { fields: FIELDS, checks: &[Check::Custom(one_answer)] },
    doc: "Answers requests with a fixed status and text.",
};

const FIELDS: &[Field] = &[
    Field::integer("status_code")
        .required()
        .default_int(503)
        .rules(&[Rule::Between(100.0, 599.0), Rule::Custom(rules::status)])
        .doc("The status of the answer, from 200: one below it ends no request."),
    Field::string("message").doc("The text of the answer, as the `message` of a JSON object."),
    Field::string("content_type").rules(&[Rule::Custom(rules::header_value)]).doc("What `body` is."),
    Field::string("body").doc("The answer as it is, in place of `message`."),
    Field::boolean("echo")
        .required()
        .default_bool(false)
        .doc("Whether the answer shows the request as it came here, for debugging: its credentials too."),
    Field::string("trigger")
        .rules(&[Rule::Custom(rules::header_name)])
        .doc("Only requests with this header or parameter are answered."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

fn one_answer(config: &Record) -> Result<(), (&'static str, String)> {
    let is_given = |name: &str| config.text(name).is_some();
    let has_body = is_given("content_type") || is_given("body");
    if is_given("message") && has_body {
        return Err(("message", "message cannot be used with content_type or body".to_owned()));
    }
    if is_given("content_type") && !is_given("body") {
        return Err(("content_type", "content_type requires a body".to_owned()));
    }
    if has_body && matches!(config.get("echo"), Some(postern_model::Value::Boolean(true))) {
        return Err(("echo", "echo cannot be used with content_type and body".to_owned()));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Config {
    status_code: u16,
    message: Option<String>,
    content_type: Option<String>,
    body: Option<String>,
    echo: bool,
    trigger: Option<String>,
}

struct RequestTermination {
    status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
    /// What an echo says beside the request.
    echo: Option<Option<String>>,
    trigger: Option<(String, HeaderName)>,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let Config { status_code, message, content_type, body, echo, trigger } = config.read()?;
    // hyper, as HTTP, takes a status below 200 for one that another follows.
    let status = StatusCode::from_u16(status_code).ok().filter(|status| !status.is_informational());
    let status = status.ok_or("status_code: expected a status from 200 to 599")?;
    let content_type = content_type.map_or(Ok(JSON), HeaderValue::try_from);
    let header = |name: String| HeaderName::try_from(&name).map(|header| (name, header));
    let message = message.or_else(|| usual(status).map(str::to_owned));
    Ok(Prepared::ready(RequestTermination {
        status,
        content_type: content_type.map_err(|_| "content_type: cannot stand in a header")?,
        body: match body {
            Some(body) => body.into(),
            None => message
                .as_ref()
                .map_or_else(|| json!({}), |text| json!({ "message": text }))
                .to_string()
                .into(),
        },
        echo: echo.then_some(message),
        trigger: trigger.map(header).transpose().map_err(|_| "trigger: not the name of a header")?,
    }))
}

/// Kong's words where none are given.
fn usual(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        401 => "Unauthorized",
        404 => "Not found",
        405 => "Method not allowed",
        500 => "An unexpected error occurred",
        502 => "Bad Gateway",
        503 => "Service unavailable",
        _ => return None,
    })
}

impl Plugin for RequestTermination {
    fn wants_body(&self, request: &Request) -> bool {
        self.echo.is_some() && self.is_for(request)
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        if !self.is_for(request) {
            return Step::Continue;
        }
        let body = match &self.echo {
            Some(message) => shown(request, message.as_deref()).to_string().into(),
            None => self.body.clone(),
        };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, self.content_type.clone())]);
        Answer { status: self.status, headers, body: AnswerBody::Bytes(body) }.into()
    }
}

impl RequestTermination {
    fn is_for(&self, request: &Request) -> bool {
        self.trigger.as_ref().is_none_or(|(name, header)| {
            let in_query = |query: &String| args::find(query, name) != Found::Nothing;
            request.headers.contains_key(header) || request.query.as_ref().is_some_and(in_query)
        })
    }
}

/// A request as the client is shown it.
fn shown(request: &Request, message: Option<&str>) -> Value {
    let mut headers: Map<String, Value> = Map::new();
    for name in request.headers.keys() {
        let mut values: Vec<Value> = request
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
            .collect();
        let one = if values.len() == 1 { values.remove(0) } else { values.into() };
        headers.insert(name.to_string(), one);
    }
    let body = request.body.as_ref().map(|body| String::from_utf8_lossy(body));
    json!({
        "message": message,
        "matched_route": request.route.as_ref().map(|route| json!({ "id": route.id, "name": route.name })),
        "matched_service": request.service.as_ref().map(|service| json!({ "id": service.id, "name": service.name })),
        "request": {
            "scheme": if request.client.scheme == Protocol::Https { "https" } else { "http" },
            "host": request.client.host,
            "port": request.client.port,
            "method": request.method.as_str(),
            "path": request.client_path(),
            "query": request.query,
            "headers": headers,
            "raw_body": body,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{access, check};

    fn plugin(config: &Value) -> Box<dyn Plugin> {
        crate::testing::make(&SCHEMA.config, make, config)
    }

    async fn said(config: Value, request: &mut Request) -> Option<(u16, String, String)> {
        let answer = access(&*plugin(&config), request).await?;
        let AnswerBody::Bytes(body) = &answer.body else { panic!("{:?}", answer.body) };
        let content_type = answer.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
        Some((answer.status.as_u16(), content_type, String::from_utf8(body.to_vec()).unwrap()))
    }

    fn json_said(status: u16, body: &str) -> Option<(u16, String, String)> {
        Some((status, "application/json; charset=utf-8".to_owned(), body.to_owned()))
    }

    #[tokio::test]
    async fn what_is_answered() {
        let request = &mut Request::for_test();
        assert_eq!(said(json!({}), request).await, json_said(503, r#"{"message":"Service unavailable"}"#));
        let custom = json!({"status_code": 403, "message": "So \"long\"!"});
        assert_eq!(said(custom, request).await, json_said(403, r#"{"message":"So \"long\"!"}"#));
        assert_eq!(said(json!({"status_code": 204}), request).await, json_said(204, "{}"));
        let raw = json!({"status_code": 200, "content_type": "text/html", "body": "<p>"});
        assert_eq!(said(raw, request).await, Some((200, "text/html".to_owned(), "<p>".to_owned())));
    }

    #[tokio::test]
    async fn only_who_asks_for_it() {
        let config = json!({"trigger": "X-Stop", "message": "stopped"});
        assert_eq!(said(config.clone(), &mut Request::for_test()).await, None);
        let mut request = Request::for_test();
        request.query = Some("a=1&X-Stop=yes".to_owned());
        assert!(said(config.clone(), &mut request).await.is_some());
        let mut request = Request::for_test();
        request.headers.insert("x-stop", HeaderValue::from_static(""));
        assert!(said(config, &mut request).await.is_some());
    }

    #[tokio::test]
    async fn an_echo_shows_the_request() {
        let mut request = Request::for_test();
        request.query = Some("b=1".to_owned());
        request.headers.insert("x-quote", HeaderValue::from_static("\"}"));
        let (status, _, body) = said(json!({"echo": true, "status_code": 200}), &mut request).await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &body["request"]["path"], &body["request"]["query"]),
            (200, &json!("/"), &json!("b=1"))
        );
        assert_eq!(body["request"]["headers"]["x-quote"], "\"}");
    }

    #[test]
    fn one_answer_only() {
        for (config, message) in [
            (json!({"message": "a", "body": "b"}), "message cannot be used with content_type or body"),
            (json!({"content_type": "text/plain"}), "content_type requires a body"),
            (json!({"echo": true, "body": "b"}), "echo cannot be used with content_type and body"),
            (json!({"trigger": "a b"}), "bad header name"),
        ] {
            let said = check(&SCHEMA.config, &config).unwrap_err();
            assert!(said.contains(message), "{said}");
        }
        assert!(check(&SCHEMA.config, &json!({"message": "a", "echo": true})).is_ok());
    }
}
