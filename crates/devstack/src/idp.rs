//! An identity provider in the shape of Auth0: client credentials in, signed access tokens out.
//!
//! Owns one client, its signing keys and what it was told to break. It must not know who checks the tokens: they
//! leave through the reply of `POST /oauth/token`, and the keys through `/.well-known/jwks.json`.
//!
//! For development only: it speaks plain HTTP on loopback and keeps its keys in memory.

mod grant;
mod keys;

use crate::clock::Clock;
use crate::random;
use crate::wire::{self, LOOPBACK, PortChoice, Request, Response, Server, Service, StartError};
use keys::Keys;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// The port of the identity provider unless told otherwise.
pub const DEFAULT_PORT: u16 = 8300;

/// How to start an [`Idp`]. The default: port 8300 or a free one, client id and secret at random.
#[derive(Clone)]
pub struct IdpOptions {
    /// The address to listen on; only loopback addresses are accepted.
    pub bind: IpAddr,
    /// The port to listen on.
    pub port: PortChoice,
    /// The client's id; at random when `None`.
    pub client_id: Option<String>,
    /// The client's secret; at random when `None`.
    pub client_secret: Option<String>,
    /// The audience of a token when a request names none. `None` refuses such requests, as Auth0 does.
    pub default_audience: Option<String>,
    /// How long tokens live.
    pub token_life: Duration,
}

impl Default for IdpOptions {
    fn default() -> Self {
        Self {
            bind: LOOPBACK,
            port: PortChoice::Preferred(DEFAULT_PORT),
            client_id: None,
            client_secret: None,
            default_audience: None,
            token_life: Duration::from_secs(86_400),
        }
    }
}

impl std::fmt::Debug for IdpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bind, port, client_id, client_secret: _, default_audience, token_life } = self;
        f.debug_struct("IdpOptions")
            .field("bind", bind)
            .field("port", port)
            .field("client_id", client_id)
            .field("default_audience", default_audience)
            .field("token_life", token_life)
            .finish_non_exhaustive()
    }
}

/// What an [`Idp`] may be told to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdpFault {
    /// Refuse the client, with 401 and `access_denied`.
    RefuseClient,
    /// Answer the token request with 200 and an HTML page.
    Html,
    /// Answer the token request with JSON that has no `access_token`.
    NoAccessToken,
    /// Answer everything with 500.
    ServerError,
}

/// A running identity provider. Stops when it is dropped.
#[derive(Debug)]
pub struct Idp {
    address: SocketAddr,
    port_was_taken: bool,
    provider: Arc<Provider>,
    server: Server,
}

/// What the requests need.
struct Provider {
    issuer: String,
    client_id: String,
    client_secret: String,
    default_audience: Option<String>,
    token_life: Duration,
    clock: Clock,
    keys: RwLock<Keys>,
    fault: Mutex<Faults>,
    token_requests: AtomicU64,
    key_requests: AtomicU64,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    fault: Option<IdpFault>,
    delay: Duration,
}

impl Idp {
    /// Generates a signing key, binds, and answers.
    ///
    /// # Errors
    /// When the address is not a loopback one or the port cannot be had.
    pub async fn start(options: IdpOptions) -> Result<Self, StartError> {
        let bound = wire::bind(options.bind, options.port).await?;
        let (address, port_was_taken) = (bound.address, bound.port_was_taken);
        let provider = Arc::new(Provider {
            issuer: format!("http://{address}/"),
            client_id: options.client_id.unwrap_or_else(|| random::alphanumeric(32)),
            client_secret: options.client_secret.unwrap_or_else(|| random::alphanumeric(64)),
            default_audience: options.default_audience,
            token_life: options.token_life,
            clock: Clock::start(),
            keys: RwLock::new(Keys::generate().await?),
            fault: Mutex::default(),
            token_requests: AtomicU64::new(0),
            key_requests: AtomicU64::new(0),
        });
        let server = Server::start(bound, provider.clone());
        tracing::info!(url = provider.issuer, "identity provider for development is up");
        Ok(Self { address, port_was_taken, provider, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The issuer, with a trailing slash as Auth0 writes it: `http://127.0.0.1:8300/`.
    pub fn url(&self) -> String {
        self.provider.issuer.clone()
    }

    /// Where to ask for tokens.
    pub fn token_endpoint(&self) -> String {
        format!("{}oauth/token", self.provider.issuer)
    }

    /// Where the public keys are.
    pub fn jwks_url(&self) -> String {
        format!("{}.well-known/jwks.json", self.provider.issuer)
    }

    /// The audience to ask for: the default one when there is one, else `<issuer>api/v2/` as with Auth0's
    /// Management API. Any other audience is granted just as well.
    pub fn audience(&self) -> String {
        let default = self.provider.default_audience.clone();
        default.unwrap_or_else(|| format!("{}api/v2/", self.provider.issuer))
    }

    /// The id of the one client.
    pub fn client_id(&self) -> &str {
        &self.provider.client_id
    }

    /// The secret of the one client.
    pub fn client_secret(&self) -> &str {
        &self.provider.client_secret
    }

    /// The preferred port was taken, and another one was chosen.
    pub fn port_was_taken(&self) -> bool {
        self.port_was_taken
    }

    /// Signs with a new key from now on. The previous one stays published, so that its tokens remain good; the one
    /// before it goes. `POST /dev/rotate-keys` does the same.
    ///
    /// # Errors
    /// When no key could be generated; the old one then stays.
    pub async fn rotate_keys(&self) -> Result<(), StartError> {
        self.provider.rotate_keys().await
    }

    /// How many requests the token endpoint got, refused ones included.
    pub fn requests_to_token_endpoint(&self) -> u64 {
        self.provider.token_requests.load(Ordering::Relaxed)
    }

    /// How many requests for the public keys there were.
    pub fn requests_to_jwks(&self) -> u64 {
        self.provider.key_requests.load(Ordering::Relaxed)
    }

    /// Breaks what is named, until `None`.
    pub fn fault(&self, fault: Option<IdpFault>) {
        self.provider.faults().fault = fault;
    }

    /// Waits this long before each answer.
    pub fn delay(&self, delay: Duration) {
        self.provider.faults().delay = delay;
    }

    /// Stops, and returns when the port is free again.
    pub async fn shutdown(self) {
        self.server.stop().await;
    }
}

impl Provider {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn rotate_keys(&self) -> Result<(), StartError> {
        let fresh = keys::SigningKey::generate().await?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).rotate(fresh);
        Ok(())
    }

    fn jwks(&self) -> serde_json::Value {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).jwks()
    }

    /// The discovery document, as far as it is true here.
    fn discovery(&self) -> serde_json::Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}authorize"),
            "token_endpoint": format!("{issuer}oauth/token"),
            "jwks_uri": format!("{issuer}.well-known/jwks.json"),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        })
    }
}

impl Service for Provider {
    async fn answer(self: Arc<Self>, request: Request) -> Option<Response> {
        let path = request.path.as_str();
        let token_request = path == "/oauth/token";
        if token_request {
            self.token_requests.fetch_add(1, Ordering::Relaxed);
        }
        let Faults { fault, delay } = *self.faults();
        tokio::time::sleep(delay).await;
        Some(match fault {
            Some(IdpFault::ServerError) => {
                Response::json(500, &json!({"error": "server_error", "error_description": "Told to fail"}))
            }
            Some(IdpFault::Html) if token_request => {
                let page = "<!DOCTYPE html><html><body>Service temporarily unavailable</body></html>";
                Response::text(200, "text/html; charset=utf-8", page)
            }
            Some(IdpFault::NoAccessToken) if token_request => {
                Response::json(200, &json!({"token_type": "Bearer", "expires_in": 86_400}))
            }
            _ => self.route(&request, fault == Some(IdpFault::RefuseClient)).await,
        })
    }
}

impl Provider {
    async fn route(&self, request: &Request, refuse_client: bool) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/oauth/token") => match grant::answer(self, request, refuse_client) {
                Ok(reply) => Response::json(200, &reply),
                Err(refusal) => refusal.into_response(),
            },
            ("GET", "/.well-known/jwks.json") => {
                self.key_requests.fetch_add(1, Ordering::Relaxed);
                Response::json(200, &self.jwks())
            }
            ("GET", "/.well-known/openid-configuration") => Response::json(200, &self.discovery()),
            ("POST", "/dev/rotate-keys") => match self.rotate_keys().await {
                Ok(()) => Response::json(200, &self.jwks()),
                Err(error) => Response::json(500, &json!({"error": error.to_string()})),
            },
            ("GET", "/") => Response::text(200, "text/plain; charset=utf-8", format!("{}\n", crate::WARNING)),
            _ => Response::text(404, "text/plain; charset=utf-8", "Not found."),
        }
    }
}
