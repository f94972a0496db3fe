//! The OIDC provider that we did not write: npm's `oidc-provider`, with the client-credentials grant.
//!
//! `oidc-provider/server.mjs` is its configuration. Access tokens are JWTs (RS256) whose audience is the
//! resource asked for and whose subject is the client id.

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

use crate::{
    checkout,
    http::{Body, send},
    search_path,
    server::Server,
    tool,
};

/// A running provider.
pub struct OidcProvider {
    // Held for its drop.
    _server: Server,
    endpoints: Endpoints,
    client_secret: String,
}

#[derive(Deserialize)]
struct Endpoints {
    issuer: String,
    token_endpoint: String,
    jwks_url: String,
}

/// The one resource that the provider issues tokens for; shaped like Auth0's Management API.
const AUDIENCE: &str = "https://postern.test/api/v2/";

const CLIENT_ID: &str = "postern-conformance";

impl OidcProvider {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start() -> Self {
        // Characters that form and Basic encoding must escape are part of the secret, as in real life.
        let client_secret = format!("s+/ :&%={}", Uuid::new_v4());
        let settings = json!({
            "audience": AUDIENCE,
            "client_id": CLIENT_ID,
            "client_secret": client_secret,
        });
        let mut command = Command::new(tool("bin/node"));
        command
            .env_clear()
            .env("PATH", search_path())
            .arg(checkout().join("tests/conformance/oidc-provider/server.mjs"))
            .arg(tool("node"))
            .arg(settings.to_string());
        let directory = TempDir::new().expect("a temporary directory");
        let mut server = Server::start("oidc-provider", command, directory);
        let endpoints = server
            .ready(async |log| log.lines().find_map(|line| serde_json::from_str::<Endpoints>(line).ok()))
            .await;
        Self { _server: server, endpoints, client_secret }
    }

    /// `http://127.0.0.1:PORT`, as in the token's `iss`.
    pub fn issuer(&self) -> &str {
        &self.endpoints.issuer
    }

    /// Where tokens are asked for.
    pub fn token_endpoint(&self) -> &str {
        &self.endpoints.token_endpoint
    }

    /// Where the signing keys are published.
    pub fn jwks_url(&self) -> &str {
        &self.endpoints.jwks_url
    }

    /// The audience to ask for, as `audience` or as `resource`.
    pub fn audience(&self) -> &str {
        AUDIENCE
    }

    /// The one client. It may send its secret in the form (`client_secret_post`) or in the header
    /// (`client_secret_basic`).
    pub fn client_id(&self) -> &str {
        CLIENT_ID
    }

    /// Its secret, new in each run.
    pub fn client_secret(&self) -> &str {
        &self.client_secret
    }

    /// The Authorization header of `client_secret_basic`, as RFC 6749 2.3.1 has it.
    pub fn basic_authorization(&self) -> String {
        let pair = format!("{}:{}", form_encode(CLIENT_ID), form_encode(&self.client_secret));
        format!("Basic {}", STANDARD.encode(pair))
    }

    /// Posts a form to the token endpoint; returns status and JSON. For tests that need a token of their own.
    ///
    /// # Panics
    /// When the provider does not answer.
    pub async fn token_request(&self, form: &[(&str, &str)], headers: &[(&str, &str)]) -> (u16, Value) {
        let body = Body::Form(form_body(form));
        send("POST", self.token_endpoint(), headers, body).await.expect("the OIDC provider answers")
    }

    /// An access token for `audience`, by `client_secret_post`.
    ///
    /// # Panics
    /// When the provider refuses.
    pub async fn access_token(&self, audience: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id()),
            ("client_secret", self.client_secret()),
            ("audience", audience),
        ];
        let (status, reply) = self.token_request(&form, &[]).await;
        assert_eq!(status, 200, "{reply}");
        reply["access_token"].as_str().expect("a token in the reply").to_owned()
    }
}

fn form_body(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", form_encode(name), form_encode(value))).collect();
    pairs.join("&")
}

fn form_encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
