//! The client credentials grant (RFC 6749, 4.4), with Auth0's words.
//!
//! Owns who is served and what stands in a token. A refusal says what Auth0 says, and never repeats the secret.

use super::Provider;
use crate::wire::{Request, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::sync::PoisonError;

/// A refused token request: status, `error`, `error_description`.
#[derive(Debug)]
pub(super) struct Refusal(u16, &'static str, String);

impl Refusal {
    fn new(status: u16, error: &'static str, description: impl Into<String>) -> Self {
        Self(status, error, description.into())
    }

    fn client() -> Self {
        Self::new(401, "access_denied", "Unauthorized")
    }

    pub(super) fn into_response(self) -> Response {
        let Self(status, error, description) = self;
        let mut response = Response::json(status, &json!({"error": error, "error_description": description}));
        if status == 401 {
            response.headers.push(("www-authenticate", "Basic realm=\"dev stack\"".to_owned()));
        }
        response
    }
}

/// Checks the request and signs a token. `refuse_client` is the fault switch.
pub(super) fn answer(provider: &Provider, request: &Request, refuse_client: bool) -> Result<Value, Refusal> {
    let form = Form::read(request)?;
    let Some(grant_type) = form.one("grant_type")? else {
        return Err(Refusal::new(400, "invalid_request", "Missing required parameter: grant_type"));
    };
    match grant_type {
        "client_credentials" => {}
        "authorization_code" | "refresh_token" | "password" => {
            let text = format!("Grant type '{grant_type}' not allowed for the client.");
            return Err(Refusal::new(403, "unauthorized_client", text));
        }
        other => {
            return Err(Refusal::new(
                400,
                "unsupported_grant_type",
                format!("Unsupported grant type: {other}"),
            ));
        }
    }
    let (id, secret) = client(request, &form)?;
    if refuse_client || id != provider.client_id || secret != provider.client_secret {
        return Err(Refusal::client());
    }
    token(provider, &form)
}

fn token(provider: &Provider, form: &Form) -> Result<Value, Refusal> {
    let mut audiences: Vec<&str> = form.all("audience").filter(|audience| !audience.is_empty()).collect();
    if audiences.is_empty() {
        audiences.extend(provider.default_audience.as_deref());
    }
    let audience = match audiences[..] {
        [] => {
            let text = "No audience parameter was provided, and no default audience has been configured";
            return Err(Refusal::new(403, "access_denied", text));
        }
        [one] => json!(one),
        ref several => json!(several),
    };
    let (issued, life) = (provider.clock.unix(), provider.token_life.as_secs());
    let mut claims = json!({
        "iss": provider.issuer,
        "sub": format!("{}@clients", provider.client_id),
        "aud": audience,
        "azp": provider.client_id,
        "gty": "client-credentials",
        "iat": issued,
        "exp": issued + life,
    });
    let mut reply = json!({"token_type": "Bearer", "expires_in": life});
    if let Some(scope) = form.one("scope")? {
        claims["scope"] = json!(scope);
        reply["scope"] = json!(scope);
    }
    let keys = provider.keys.read().unwrap_or_else(PoisonError::into_inner);
    let token = keys.current().sign(&claims);
    reply["access_token"] =
        json!(token.ok_or_else(|| Refusal::new(500, "server_error", "Signing failed"))?);
    Ok(reply)
}

/// The client's id and secret: from the `Authorization` header, else from the body; not from both.
fn client(request: &Request, form: &Form) -> Result<(String, String), Refusal> {
    let posted = form.one("client_secret")?;
    let Some(header) = request.header("authorization") else {
        let (Some(id), Some(secret)) = (form.one("client_id")?, posted) else {
            return Err(Refusal::client());
        };
        return Ok((id.to_owned(), secret.to_owned()));
    };
    if posted.is_some() {
        let text = "Client credentials were sent twice, in the header and in the body";
        return Err(Refusal::new(400, "invalid_request", text));
    }
    basic(header).ok_or_else(Refusal::client)
}

/// `Basic base64(id:secret)`, both form-encoded before (RFC 6749, 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((form_decode(id)?, form_decode(secret)?))
}

fn form_decode(text: &str) -> Option<String> {
    Some(percent_decode_str(&text.replace('+', " ")).decode_utf8().ok()?.into_owned())
}

/// The parameters, from a form or from JSON; a JSON array is a repeated parameter.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(request: &Request) -> Result<Self, Refusal> {
        let invalid = |text: &str| Refusal::new(400, "invalid_request", text);
        let body = request.body.as_ref().ok_or_else(|| invalid("The body is too large"))?;
        let kind = request.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/json") {
            return Ok(Self(form_urlencoded::parse(body).into_owned().collect()));
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err(invalid("The body is not a JSON object"));
        };
        let mut pairs = Vec::new();
        for (key, value) in members {
            match value {
                Value::String(text) => pairs.push((key, text)),
                Value::Array(items) => {
                    pairs.extend(
                        items.iter().filter_map(Value::as_str).map(|text| (key.clone(), text.to_owned())),
                    );
                }
                _ => {}
            }
        }
        Ok(Self(pairs))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Refusal> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            let text = format!("Parameter was sent more than once: {name}");
            return Err(Refusal::new(400, "invalid_request", text));
        }
        Ok(first)
    }
}
