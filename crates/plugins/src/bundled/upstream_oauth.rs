//! `upstream-oauth`: an access token of the gateway's own for the upstream.
//!
//! Owns: the field list, what the upstream is sent, and what a client is told where there is no token. Must not know: how a
//! token is got and kept (`tokens` does), how a grant works (`postern_secrets::oauth2` does).

mod fields;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use postern_client::{Client, Limits, Terms};
use postern_model::Record;
use postern_model::field::{Check, HTTP_PROTOCOLS, PluginSchema, Schema};
use postern_secrets::Secret;
use postern_secrets::hashed::Hashed;
use postern_secrets::oauth2::{ClientAuthentication, JwtAlgorithm, TokenClient};
use serde::Deserialize;
use url::Url;

use self::tokens::{Source, Token, Tokens};
use crate::plugin::{Answer, AnswerBody, Outcome, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::{self, Request, Response};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "upstream-oauth",
    priority: 760,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema { fields: fields::FIELDS, checks: &[Check::Custom(fields::grant_is_whole)] },
    doc: "Sends an access token of the gateway's own to the upstream.",
};

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, response: true, rewrite: false, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    client: ConfigClient,
    oauth: ConfigGrant,
    cache: ConfigCache,
    behavior: Behavior,
}

#[derive(Deserialize)]
struct ConfigClient {
    auth_method: String,
    client_secret_jwt_alg: String,
    timeout: u64,
    keep_alive: bool,
    ssl_verify: bool,
}

#[derive(Deserialize)]
struct ConfigGrant {
    token_endpoint: String,
    token_headers: Option<BTreeMap<String, Secret>>,
    token_post_args: Option<BTreeMap<String, Secret>>,
    grant_type: String,
    client_id: Option<Secret>,
    client_secret: Option<Secret>,
    username: Option<Secret>,
    password: Option<Secret>,
    audience: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ConfigCache {
    eagerly_expire: i64,
    default_ttl: f64,
}

#[derive(Deserialize)]
struct Behavior {
    upstream_access_token_header_name: String,
    idp_error_response_status_code: u16,
    idp_error_response_content_type: String,
    idp_error_response_message: String,
    idp_error_response_body_template: String,
    purge_token_on_upstream_status_codes: Option<Vec<u16>>,
}

struct UpstreamOauth {
    tokens: Arc<Tokens>,
    header: HeaderName,
    failure: Failure,
    purge_on: Vec<StatusCode>,
}

/// What a client is told where there is no token; the same for all, so it is made once.
struct Failure {
    status: StatusCode,
    content_type: HeaderValue,
    body: bytes::Bytes,
}

/// The token that a request went out with.
#[derive(Clone)]
struct Sent(Arc<Token>);

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let source = source(&config, context)?;
    let Behavior {
        upstream_access_token_header_name: header,
        idp_error_response_status_code: status,
        idp_error_response_content_type: content_type,
        idp_error_response_message: message,
        idp_error_response_body_template: template,
        purge_token_on_upstream_status_codes: purge_on,
    } = config.behavior;
    let codes = purge_on.into_iter().flatten().map(StatusCode::from_u16);
    let body = template.replace("{{status}}", &status.to_string()).replace("{{message}}", &message);
    let header = HeaderName::try_from(header).map_err(|_| "behavior: not the name of a header")?;
    let failure = Failure {
        status: StatusCode::from_u16(status).map_err(|_| "behavior: not a status")?,
        content_type: HeaderValue::try_from(content_type).map_err(|_| "behavior: not a content type")?,
        body: body.into(),
    };
    let purge_on = codes.collect::<Result<_, _>>().map_err(|_| "behavior: not a status")?;
    Ok(Prepared::at_commit(move |living| {
        let tokens = living.state.of(living.id, Tokens::default);
        tokens.ask_here_from_now_on(source, living);
        UpstreamOauth { tokens, header, failure, purge_on }
    }))
}

fn source(config: &Config, context: &Context<'_>) -> Result<Source, String> {
    let Config { client, oauth, cache, .. } = config;
    let endpoint = Url::parse(&oauth.token_endpoint).map_err(|_| "oauth: token_endpoint is not a URL")?;
    let header = |(name, value): (&String, &Secret)| {
        let name = HeaderName::try_from(name).map_err(|_| "oauth: token_headers has what is no header")?;
        Ok((name, value.clone()))
    };
    let user = match (oauth.grant_type.as_str(), &oauth.username, &oauth.password) {
        ("password", Some(name), Some(password)) => Some((name.clone(), password.clone())),
        ("password", ..) => return Err("oauth: the password grant needs username and password".to_owned()),
        _ => None,
    };
    let empty = || Secret::from("");
    let id = oauth.client_id.clone().unwrap_or_else(empty);
    let secret = oauth.client_secret.clone().unwrap_or_else(empty);
    let grant = TokenClient {
        authentication: match (client.auth_method.as_str(), client.client_secret_jwt_alg.as_str()) {
            ("client_secret_basic", _) => ClientAuthentication::Basic,
            ("client_secret_jwt", "HS256") => ClientAuthentication::Jwt(JwtAlgorithm::Hs256),
            ("client_secret_jwt", _) => ClientAuthentication::Jwt(JwtAlgorithm::Hs512),
            ("none", _) => ClientAuthentication::None,
            _ => ClientAuthentication::Post,
        },
        user,
        audiences: oauth.audience.clone().unwrap_or_default(),
        scopes: oauth.scopes.clone().unwrap_or_default(),
        headers: oauth.token_headers.iter().flatten().map(header).collect::<Result<_, String>>()?,
        parameters: oauth
            .token_post_args
            .iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        unstated_life: Duration::try_from_secs_f64(cache.default_ttl).unwrap_or(Duration::from_secs(3600)),
        ..TokenClient::new(endpoint, id, secret)
    };
    let terms = Terms {
        verify: client.ssl_verify,
        limits: Limits { exchange: Duration::from_millis(client.timeout.max(1)), reply: 1024 * 1024 },
        idle: if client.keep_alive { Duration::from_secs(60) } else { Duration::ZERO },
        ..Terms::default()
    };
    Ok(Source {
        what: what(&grant),
        with: with(&grant),
        grant,
        client: Client::on_terms(&context.node.trust, terms),
        // A time that is over says nothing of the token.
        eagerly: Duration::from_secs(u64::try_from(cache.eagerly_expire).unwrap_or(0)),
    })
}

/// What decides which token is issued, but for the secrets by which it is: a token that was got with the secret before is
/// as good.
fn what(grant: &TokenClient) -> [u8; 32] {
    let user = grant.user.as_ref().map(|(name, _)| name.expose());
    let head = [grant.endpoint.as_str(), grant.client_id.expose(), user.unwrap_or_default()];
    let lists =
        [&grant.audiences, &grant.scopes].map(|list| list.iter().map(String::as_str).collect::<Vec<_>>());
    let parameters = grant.parameters.iter().flat_map(|(name, value)| [name.as_str(), value.expose()]);
    hash(&[&head, &lists[0], &lists[1], &parameters.collect::<Vec<_>>()])
}

/// The secrets by which it is.
fn with(grant: &TokenClient) -> [u8; 32] {
    let password = grant.user.as_ref().map(|(_, password)| password.expose());
    let headers = grant.headers.iter().flat_map(|(name, value)| [name.as_str(), value.expose()]);
    hash(&[&[grant.client_secret.expose(), password.unwrap_or_default()], &headers.collect::<Vec<_>>()])
}

/// Of lists of texts, each with its length, so that no two are the same by the way they are cut.
fn hash(lists: &[&[&str]]) -> [u8; 32] {
    let begun = Hashed::of("a token of upstream-oauth");
    lists.iter().fold(begun, |hashed, list| hashed.list(list.iter())).end()
}

impl Plugin for UpstreamOauth {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        // Nothing of the client's passes for the gateway's, whatever comes of this.
        request.headers.remove(&self.header);
        if let Some(token) = self.tokens.at_hand() {
            self.send(request, token);
            return Step::Continue;
        }
        Step::Wait(Box::pin(async move {
            match self.tokens.get().await {
                Ok(token) => {
                    self.send(request, token);
                    Outcome::Continue
                }
                Err(reason) => {
                    tracing::warn!(request_id = %request.id, reason = reason.as_str(), "no token for the upstream");
                    Outcome::Answer(Box::new(self.failure.answer()))
                }
            }
        }))
    }

    fn response(&self, request: &Request, response: &mut Response) {
        if response.source == view::Source::Upstream
            && self.purge_on.contains(&response.status)
            && let Some(Sent(token)) = request.notes.get()
        {
            self.tokens.purge(token);
        }
    }
}

impl UpstreamOauth {
    fn send(&self, request: &mut Request, token: Arc<Token>) {
        request.headers.insert(self.header.clone(), token.header.clone());
        if !self.purge_on.is_empty() {
            request.notes.insert(Sent(token));
        }
    }
}

impl Failure {
    fn answer(&self) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        Answer { status: self.status, headers, body: AnswerBody::Bytes(self.body.clone()) }
    }
}

#[cfg(test)]
mod tests;
