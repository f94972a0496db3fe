//! Requests to an Admin API: paths, headers, pages, and what a failure says.
//!
//! Owns: the base address, the workspace in front of each path, the limits, and that no token and no credential gets into
//! an error. Must not know: what entities are. Every reply is a lie until checked: bounded in size, time and number of
//! pages, and of the right shape. Nothing is asked twice: a failure is told, and the next run goes on from there.

use std::collections::HashSet;
use std::time::Duration;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use postern_client::{Client, Identity, Limits, Outgoing, Reply, Terms, TransportError, Trust};
use postern_secrets::Secret;
use serde_json::Value as Json;
use thiserror::Error;
use url::Url;
use zeroize::Zeroizing;

use super::kinds::Body;

/// Bytes of an answer: a page of 1000 entities with certificates, and more.
const MAX_REPLY: usize = 128 * 1024 * 1024;
/// Entities of one list.
const MAX_ENTITIES: usize = 1_000_000;
/// How many entities a page may have; gateways take no more.
const PAGE: &str = "1000";

/// Where a gateway is, and how to be with it.
#[derive(Debug)]
pub struct Connection {
    /// `http://localhost:8001`; a path in it stands in front of every other.
    pub address: String,
    /// The workspace.
    pub workspace: Option<String>,
    /// Headers for every request; their values may be credentials.
    pub headers: Vec<(String, Secret)>,
    /// `Kong-Admin-Token`.
    pub token: Option<Secret>,
    /// Whom to trust over TLS.
    pub trust: Trust,
    /// Whether the gateway's certificate is checked.
    pub verify: bool,
    /// A client certificate.
    pub identity: Option<Identity>,
    /// The name that its certificate must bear, if it is not the address's host.
    pub server_name: Option<String>,
    /// For a whole request and its answer.
    pub timeout: Duration,
}

/// A gateway that can be asked.
#[derive(Debug)]
pub struct Gateway {
    client: Client,
    base: Url,
    workspace: Option<String>,
    headers: Vec<(HeaderName, Secret)>,
}

/// Why a gateway did not do what was asked.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// It cannot be asked like that.
    #[error("{0}")]
    Connection(String),
    /// There is no answer.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// It refuses.
    #[error("HTTP status {status} (message: {message:?})")]
    Status {
        /// The status.
        status: u16,
        /// Its words, without the credentials of the request.
        message: String,
    },
    /// It answers something that no Admin API would.
    #[error("{path}: {problem}")]
    Reply {
        /// What was asked for.
        path: String,
        /// What is wrong with the answer.
        problem: String,
    },
}

impl GatewayError {
    /// The status, if that is what is wrong.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Transport(error) => error.hint(),
            Self::Status { status: 401 | 403, .. } => {
                Some("is --kong-admin-token, or --headers with a token, right?".to_owned())
            }
            _ => None,
        }
    }
}

impl Gateway {
    /// Gets ready to ask; nothing is sent yet.
    ///
    /// # Errors
    /// What cannot be an address or a header.
    pub fn new(connection: Connection) -> Result<Self, GatewayError> {
        let Connection { address, workspace, headers, token, trust, verify, identity, server_name, timeout } =
            connection;
        let wrong = |reason: &str| GatewayError::Connection(format!("the gateway's address {reason}"));
        let base = Url::parse(address.trim_end_matches('/'))
            .map_err(|error| wrong(&format!("is no URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("must begin with http:// or https://"));
        }
        if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
            return Err(wrong("must hold neither credentials nor a query; credentials are for --headers"));
        }
        let token = token.map(|token| ("kong-admin-token".to_owned(), token));
        let header = |(name, value): (String, Secret)| {
            let unusable = |_| GatewayError::Connection(format!("{name:?} is no name of a header"));
            Ok::<_, GatewayError>((HeaderName::try_from(name.as_str()).map_err(unusable)?, value))
        };
        let headers = headers.into_iter().chain(token).map(header).collect::<Result<Vec<_>, _>>()?;
        if headers.iter().any(|(_, value)| HeaderValue::from_str(value.expose()).is_err()) {
            return Err(GatewayError::Connection("a header's value cannot stand in a header".to_owned()));
        }
        let limits = Limits { exchange: timeout, reply: MAX_REPLY };
        let terms = Terms { verify, identity: identity.as_ref(), server_name, limits, ..Terms::default() };
        Ok(Self { client: Client::on_terms(&trust, terms), base, workspace, headers })
    }

    /// The workspace, if one was named.
    pub fn workspace(&self) -> Option<&str> {
        self.workspace.as_deref()
    }

    /// What the gateway says of itself: `version` and more. Roles that may only see a workspace are asked there.
    ///
    /// # Errors
    /// No answer, or none of a gateway.
    pub async fn root(&self) -> Result<Body, GatewayError> {
        let outcome = self.ask(Method::GET, self.url(None, &[]), None).await;
        let body = match (outcome, &self.workspace) {
            (Err(GatewayError::Status { .. }), Some(workspace)) => {
                self.ask(Method::GET, self.url(Some(workspace), &["kong"]), None).await?
            }
            (outcome, _) => outcome?,
        };
        object("/", body)
    }

    /// Whether the workspace that was named is there.
    ///
    /// # Errors
    /// No answer, or another refusal than 404.
    pub async fn has_workspace(&self) -> Result<bool, GatewayError> {
        let Some(workspace) = &self.workspace else { return Ok(true) };
        match self.get(&["workspaces", workspace]).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the workspace that was named.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn create_workspace(&self) -> Result<(), GatewayError> {
        let body = serde_json::json!({ "name": self.workspace });
        self.ask(Method::POST, self.url(None, &["workspaces"]), Some((&body, &[]))).await.map(drop)
    }

    /// One object.
    ///
    /// # Errors
    /// No answer, a refusal, or something that is no object.
    pub async fn get(&self, path: &[&str]) -> Result<Body, GatewayError> {
        let body = self.ask(Method::GET, self.url(self.workspace(), path), None).await?;
        object(&path.join("/"), body)
    }

    /// Writes one object. Should the answer repeat one of `secrets`, errors do not.
    ///
    /// # Errors
    /// No answer, a refusal, or something that is no JSON.
    pub async fn write(
        &self,
        method: Method,
        path: &[&str],
        body: &Json,
        secrets: &[Secret],
    ) -> Result<Json, GatewayError> {
        self.ask(method, self.url(self.workspace(), path), Some((body, secrets))).await
    }

    /// Deletes one object.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn delete(&self, path: &[&str]) -> Result<(), GatewayError> {
        self.ask(Method::DELETE, self.url(self.workspace(), path), None).await.map(drop)
    }

    /// All objects of a list with all of these tags.
    ///
    /// # Errors
    /// No answer, a refusal, or something that is no list or has no end.
    pub async fn list(&self, path: &[&str], tags: &[String]) -> Result<Vec<Body>, GatewayError> {
        let (mut found, mut offset, mut seen) = (Vec::new(), None::<String>, HashSet::new());
        let wrong = |problem: String| GatewayError::Reply { path: path.join("/"), problem };
        loop {
            let mut url = self.url(self.workspace(), path);
            if let Some(offset) = &offset {
                url.query_pairs_mut().append_pair("offset", offset);
            }
            url.query_pairs_mut().append_pair("size", PAGE);
            if !tags.is_empty() {
                url.query_pairs_mut().append_pair("tags", &tags.join(","));
            }
            let mut page = object(&path.join("/"), self.ask(Method::GET, url, None).await?)?;
            match page.remove("data") {
                Some(Json::Array(items)) => {
                    for item in items {
                        found.push(object(&path.join("/"), item)?);
                    }
                }
                // An empty table of Lua may come as an object.
                Some(Json::Object(nothing)) if nothing.is_empty() => {}
                _ => return Err(wrong("the answer has no list `data`".to_owned())),
            }
            if found.len() > MAX_ENTITIES {
                return Err(wrong(format!("more than {MAX_ENTITIES} entities")));
            }
            match page.remove("offset") {
                None | Some(Json::Null) => return Ok(found),
                Some(Json::String(next)) if next.is_empty() => return Ok(found),
                Some(Json::String(next)) if seen.insert(next.clone()) => offset = Some(next),
                Some(Json::String(_)) => return Err(wrong("an `offset` comes twice".to_owned())),
                Some(_) => return Err(wrong("the `offset` is no text".to_owned())),
            }
        }
    }

    fn url(&self, workspace: Option<&str>, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(workspace).extend(path);
            if workspace.is_none() && path.is_empty() {
                segments.push("");
            }
        }
        url
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<(&Json, &[Secret])>,
    ) -> Result<Json, GatewayError> {
        let path = url.path().to_owned();
        let is_delete = method == Method::DELETE;
        let mut outgoing = Outgoing::new(method, url);
        for (name, value) in &self.headers {
            outgoing = outgoing.secret_header(name.clone(), value)?;
        }
        if let Some((body, secrets)) = body {
            let text = Zeroizing::new(body.to_string());
            let secrets: Vec<&Secret> = secrets.iter().collect();
            outgoing = outgoing.body("application/json", text, &secrets);
        }
        let reply = self.client.send(outgoing).await?;
        match reply.is_success() {
            true if is_delete => Ok(Json::Null),
            true => serde_json::from_slice(reply.body()).map_err(|error| {
                // Where it is wrong, never what stands there.
                let problem =
                    format!("the answer is no JSON (line {}, column {})", error.line(), error.column());
                GatewayError::Reply { path, problem }
            }),
            false => Err(GatewayError::Status { status: reply.status, message: message_of(&reply) }),
        }
    }
}

/// What the gateway says of a refusal.
fn message_of(reply: &Reply) -> String {
    let body: Option<Json> = serde_json::from_slice(reply.body()).ok();
    match body.as_ref().map(|body| body.get("message").and_then(Json::as_str)) {
        Some(Some(message)) => reply.cleaned(message),
        Some(None) => String::new(),
        None if reply.location.is_some() => "a redirect, which is not followed".to_owned(),
        None => "<failed to parse response body: it is no JSON>".to_owned(),
    }
}

fn object(path: &str, body: Json) -> Result<Body, GatewayError> {
    match body {
        Json::Object(body) => Ok(body),
        _ => Err(GatewayError::Reply {
            path: path.to_owned(),
            problem: "expected an object, got something else".to_owned(),
        }),
    }
}
