//! Answers of the gateway's own: errors and what plugins answer, in the form that the client accepts.
//!
//! Owns: Kong's texts for what can go wrong, and the four forms of an error's body. Must not know: why it went wrong.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use postern_plugins::plugin::{Answer, AnswerBody};
use postern_plugins::view::RequestId;

use crate::options::ErrorType;

/// What Kong says of a status that the gateway itself gives.
pub(crate) fn message(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "Bad request",
        404 => "Not found",
        405 => "Method not allowed",
        408 => "Request timeout",
        411 => "Length required",
        412 => "Precondition failed",
        413 => "Request body too large",
        414 => "Request URI too large",
        417 => "Expectation failed",
        426 => "Please use HTTPS protocol",
        431 => "Request header or cookie too large",
        500 => "An unexpected error occurred",
        502 => "An invalid response was received from the upstream server",
        503 => "The upstream server is currently unavailable",
        504 => "The upstream server is timing out",
        _ => "The upstream server responded with an error",
    }
}

/// An answer's headers and body, for a client that accepts what `request` says.
pub(crate) fn render(
    answer: Answer,
    request: &HeaderMap,
    default: ErrorType,
    id: RequestId,
) -> (HeaderMap, Bytes) {
    let Answer { status, mut headers, body } = answer;
    let body = match body {
        // To a HEAD: the length is that of what a GET would get.
        AnswerBody::Empty if headers.contains_key(CONTENT_LENGTH) => return (headers, Bytes::new()),
        AnswerBody::Empty => Bytes::new(),
        AnswerBody::Bytes(bytes) => bytes,
        // A gRPC client reads the status and the reason from headers.
        AnswerBody::Message(message) if is_grpc(request) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(grpc_status(status)));
            if let Ok(message) = HeaderValue::from_str(&message) {
                headers.insert("grpc-message", message);
            }
            Bytes::new()
        }
        AnswerBody::Message(message) => {
            let form = accepted(request, default);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(form)));
            body_of(form, &message, id).into()
        }
    };
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    (headers, body)
}

fn is_grpc(request: &HeaderMap) -> bool {
    request.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// gRPC's own mapping of HTTP's codes, and Kong's for those that gateways give.
fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 10,
        429 => 8,
        499 => 1,
        500 => 13,
        501 => 12,
        502..=503 => 14,
        504 => 4,
        _ => 2,
    }
}

fn content_type(form: ErrorType) -> &'static str {
    match form {
        ErrorType::Json => "application/json; charset=utf-8",
        ErrorType::Html => "text/html; charset=utf-8",
        ErrorType::Xml => "application/xml; charset=utf-8",
        ErrorType::Plain => "text/plain; charset=utf-8",
    }
}

fn body_of(form: ErrorType, message: &str, id: RequestId) -> String {
    match form {
        ErrorType::Json => {
            let message = escaped(message, json_escape);
            format!("{{\n  \"message\":\"{message}\",\n  \"request_id\":\"{id}\"\n}}")
        }
        ErrorType::Html => {
            let message = escaped(message, xml_escape);
            format!(
                "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  \
                 <body>\n    <h1>Error</h1>\n    <p>{message}.</p>\n    <p>request_id: {id}</p>\n  </body>\n</html>\n"
            )
        }
        ErrorType::Xml => {
            let message = escaped(message, xml_escape);
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>{message}</message>\n  \
                 <requestid>{id}</requestid>\n</error>"
            )
        }
        ErrorType::Plain => format!("{message}\nrequest_id: {id}\n"),
    }
}

fn escaped(text: &str, escape: fn(char) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match escape(c) {
            Some(escaped) => out.push_str(escaped),
            None => out.push(c),
        }
    }
    out
}

fn json_escape(c: char) -> Option<&'static str> {
    match c {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        c if c.is_control() => Some(" "),
        _ => None,
    }
}

fn xml_escape(c: char) -> Option<&'static str> {
    match c {
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '&' => Some("&amp;"),
        '"' => Some("&quot;"),
        c if c.is_control() => Some(" "),
        _ => None,
    }
}

/// The form of the best quality among those that the client names; the first of equals. Who accepts anything, or
/// nothing of this, gets JSON, and who says nothing gets the default.
fn accepted(request: &HeaderMap, default: ErrorType) -> ErrorType {
    let Some(accept) = request.get(ACCEPT).and_then(|accept| accept.to_str().ok()) else { return default };
    let mut best = (0, ErrorType::Json);
    for item in accept.split(',').take(32) {
        let mut parts = item.split(';').map(str::trim);
        let form = match parts.next().unwrap_or_default() {
            "application/json" | "application/*" | "*/*" => ErrorType::Json,
            "text/html" | "text/*" => ErrorType::Html,
            "application/xml" | "text/xml" => ErrorType::Xml,
            "text/plain" => ErrorType::Plain,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
        if quality > best.0 {
            best = (quality, form);
        }
    }
    best.1
}

fn thousandths(quality: &str) -> u32 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u32>().unwrap_or(0).min(1) * 1000 + fraction.parse::<u32>().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: Option<&'static str>) -> ErrorType {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        accepted(&headers, ErrorType::Plain)
    }

    #[test]
    fn the_client_chooses_the_form() {
        let cases = [
            (None, ErrorType::Plain),
            (Some("*/*"), ErrorType::Json),
            (Some("image/png"), ErrorType::Json),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), ErrorType::Html),
            (Some("application/json;q=0.5, text/plain;q=0.6"), ErrorType::Plain),
            (Some("text/xml"), ErrorType::Xml),
            (Some("text/plain;q=0, application/json;q=0.001"), ErrorType::Json),
        ];
        for (accept, expected) in cases {
            assert_eq!(form(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_message_cannot_break_out_of_its_form() {
        let id = RequestId(0xabc);
        let json = body_of(ErrorType::Json, "a \"b\\\n", id);
        assert_eq!(
            json,
            "{\n  \"message\":\"a \\\"b\\\\ \",\n  \"request_id\":\"00000000000000000000000000000abc\"\n}"
        );
        assert!(!body_of(ErrorType::Html, "<script>", id).contains("<script>"));
        assert!(!body_of(ErrorType::Xml, "</message>&", id).contains("</message>&"));
    }
}
