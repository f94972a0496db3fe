//! A small JSON client for preparing and asking servers: one request, one connection, plain HTTP.
//!
//! Not the product's client, on purpose: a fault there must not hide behind itself here.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::time::timeout;

/// Body and content type of a request.
pub enum Body<'a> {
    /// None.
    None,
    /// JSON.
    Json(&'a Value),
    /// A form, encoded.
    Form(String),
}

/// Sends one request; returns status and JSON (`Null` for an empty body, a string for anything else).
///
/// # Errors
/// A text for connection faults, so that callers can poll.
pub async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Body<'_>,
) -> Result<(u16, Value), String> {
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let bytes = match body {
        Body::None => Bytes::new(),
        Body::Json(json) => {
            request = request.header("content-type", "application/json");
            Bytes::from(json.to_string())
        }
        Body::Form(form) => {
            request = request.header("content-type", "application/x-www-form-urlencoded");
            Bytes::from(form)
        }
    };
    let request = request.body(Full::new(bytes)).map_err(|error| error.to_string())?;

    let client = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let reply = client.request(request).await.map_err(|error| format!("{error:?}"))?;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, json_or_text(&body)))
    };
    timeout(Duration::from_secs(30), exchange)
        .await
        .map_err(|_| format!("{method} {url}: no reply in 30 s"))?
}

fn json_or_text(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}
