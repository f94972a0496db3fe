//! A small HTTP client.

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use postern_devstack::{DevVault, Idp};
use serde_json::{Value, json};

/// One request; the body as text.
pub(crate) async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<(u16, String), String> {
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(bytes::Bytes::from(body))).expect("a request");
    let client = Http::builder(TokioExecutor::new()).build_http();
    let reply = client.request(request).await.map_err(|error| format!("{error:?}"))?;
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Speaks to a vault, with a token or without.
pub(crate) struct Client {
    url: String,
    token: String,
}

impl Client {
    pub(crate) fn new(vault: &DevVault) -> Self {
        Self { url: vault.url(), token: String::new() }
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Status and body; a body that is not JSON is `null`.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/v1/{path}", self.url);
        let headers = [("x-vault-token", self.token.as_str()), ("content-type", "application/json")];
        let headers = if self.token.is_empty() { &headers[1..] } else { &headers[..] };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = send(method, &url, headers, body).await.expect("an answer");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// The answer to an empty request, wrapped; gives the wrapping token.
    pub(crate) async fn wrapped(&self, path: &str, ttl: &str) -> String {
        let url = format!("{}/v1/{path}", self.url);
        let headers = [("x-vault-token", self.token.as_str()), ("x-vault-wrap-ttl", ttl)];
        let (status, text) = send("POST", &url, &headers, "{}".to_owned()).await.expect("an answer");
        let reply: Value = serde_json::from_str(&text).unwrap_or_default();
        reply["wrap_info"]["token"].as_str().unwrap_or_else(|| panic!("{status} {text}")).to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, Value::Null).await
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self, method: &str, path: &str, body: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let (status, reply) = self.call(method, path, body).await;
            assert!((200..300).contains(&status), "{method} {path}: {status} {reply} ({place})");
            reply
        }
    }

    /// Status and first error of a refusal.
    pub(crate) async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, reply) = self.call(method, path, body).await;
        assert!(status >= 400, "{method} {path} was granted: {reply}");
        (status, reply["errors"][0].as_str().unwrap_or_default().trim().to_owned())
    }
}

/// Status and body of a token request.
pub(crate) async fn ask_for_token(idp: &Idp, headers: &[(&str, &str)], body: String) -> (u16, Value) {
    let (status, text) = send("POST", &idp.token_endpoint(), headers, body).await.expect("an answer");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A token for this audience.
pub(crate) async fn idp_token(idp: &Idp, audience: &str) -> String {
    let body = json!({
        "grant_type": "client_credentials", "client_id": idp.client_id(), "client_secret": idp.client_secret(),
        "audience": audience,
    });
    let (status, reply) = ask_for_token(idp, &[("content-type", "application/json")], body.to_string()).await;
    assert_eq!(status, 200, "{reply}");
    reply["access_token"].as_str().expect("a token").to_owned()
}
