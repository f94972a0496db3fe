//! The server that tokens are introspected at.
//!
//! Owns: the request of RFC 7662, and fresh credentials once where the server refuses ours. Must not know: what an answer
//! means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName};
use postern_client::{self as client, Client, Limits, Outgoing, Reply, Trust};
use postern_secrets::Secret;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use crate::renewal::Renewal;

const PATH: HeaderName = HeaderName::from_static("x-request-path");
const METHOD: HeaderName = HeaderName::from_static("x-request-http-method");

/// One server, and who we are to it.
pub(super) struct Server {
    client: Client,
    url: Url,
    authorization: Secret,
    headers: Vec<(HeaderName, Secret)>,
    hint: Option<String>,
}

/// A server in effect.
pub(super) struct Present {
    pub(super) server: Server,
    pub(super) renewal: Renewal,
}

/// How it is asked.
pub(super) struct Terms {
    pub(super) authorization: Secret,
    pub(super) headers: BTreeMap<String, Secret>,
    pub(super) hint: Option<String>,
    pub(super) timeout: Duration,
    pub(super) idle: Duration,
}

impl Server {
    /// At a URL.
    ///
    /// # Errors
    /// The field that is wrong, without its value.
    pub(super) fn new(url: &str, terms: Terms, trust: &Trust) -> Result<Self, String> {
        let Terms { authorization, headers, hint, timeout, idle } = terms;
        let limits = Limits { exchange: timeout, reply: 256 * 1024 };
        let header = |(name, value): (String, Secret)| {
            let name = HeaderName::try_from(name);
            Ok((name.map_err(|_| "custom_introspection_headers: not the name of a header")?, value))
        };
        Ok(Self {
            client: Client::on_terms(trust, client::Terms { limits, idle, ..client::Terms::default() }),
            url: Url::parse(url).map_err(|_| "introspection_url: not a URL")?,
            authorization,
            headers: headers.into_iter().map(header).collect::<Result<_, String>>()?,
            hint,
        })
    }

    async fn send(&self, token: &Secret, about: Option<(&str, &Method)>) -> Result<Reply, String> {
        let length = 3 * token.expose().len() + 128 + self.hint.as_ref().map_or(0, |hint| 3 * hint.len());
        let mut form = Zeroizing::new(String::with_capacity(length));
        form.push_str("token=");
        form.extend(form_urlencoded::byte_serialize(token.expose().as_bytes()));
        if let Some(hint) = &self.hint {
            form.push_str("&token_type_hint=");
            form.extend(form_urlencoded::byte_serialize(hint.as_bytes()));
        }
        let asked = || {
            let mut request = Outgoing::new(Method::POST, self.url.clone())
                .header(ACCEPT, "application/json")?
                .secret_header(AUTHORIZATION, &self.authorization)?;
            for (name, value) in &self.headers {
                request = request.secret_header(name.clone(), value)?;
            }
            if let Some((path, method)) = about {
                request = request.header(PATH, path)?.header(METHOD, method.as_str())?;
            }
            Ok(request.body("application/x-www-form-urlencoded", form, &[token]))
        };
        let request = asked().map_err(|error: client::TransportError| error.to_string())?;
        self.client.send(request).await.map_err(|error| error.to_string())
    }
}

/// What the server says of a token. `server` gives the one of the present configuration: after fresh credentials came, that
/// is another one.
///
/// # Errors
/// It could not be asked, refused who we are, or said nonsense; for the log, without credentials.
pub(super) async fn introspect(
    server: impl Fn() -> Option<Arc<Present>>,
    token: &Secret,
    about: Option<(&str, &Method)>,
) -> Result<Map<String, Value>, String> {
    let present = || server().ok_or_else(|| "there is no server".to_owned());
    let asked = present()?;
    let mut reply = asked.server.send(token, about).await?;
    if matches!(reply.status, 401 | 403) && asked.renewal.renew().await {
        reply = present()?.server.send(token, about).await?;
    }
    if reply.status != 200 {
        return Err(format!("the server answered {}", reply.status));
    }
    match serde_json::from_slice(reply.body()) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err("the server's answer is not a JSON object".to_owned()),
    }
}
