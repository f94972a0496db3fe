//! A server that speaks the HTTP API of HashiCorp Vault and OpenBao.
//!
//! Owns the running server and its fault switches. What a request means is decided below: `router` finds the
//! route, the token and the policy; `sys`, `kv`, `token`, `jwt` and `approle` hold the handlers with their state; `reply`
//! writes Vault's envelope.
//!
//! For development only: unsealed, in memory, without encryption. Absent on purpose, with Vault's own error for an
//! unknown path: identity entities, cubbyhole, audit, leases of dynamic secrets, namespaces
//! other than the root one.

mod approle;
mod call;
mod core;
mod faults;
mod field;
mod jwt;
mod kv;
mod policy;
mod reply;
mod router;
mod sys;
mod token;

pub use faults::PathClass;

use crate::wire::{self, LOOPBACK, PortChoice, Request, Response, Server, Service, StartError};
use core::Shared;
use faults::Faults;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The port of the vault unless told otherwise.
pub const DEFAULT_PORT: u16 = 8200;

/// How to start a [`DevVault`]. The default: port 8200 or a free one, a root token at random.
#[derive(Clone)]
pub struct VaultOptions {
    /// The address to listen on; only loopback addresses are accepted.
    pub bind: IpAddr,
    /// The port to listen on.
    pub port: PortChoice,
    /// The root token; at random when `None`.
    pub root_token: Option<String>,
}

impl Default for VaultOptions {
    fn default() -> Self {
        Self { bind: LOOPBACK, port: PortChoice::Preferred(DEFAULT_PORT), root_token: None }
    }
}

/// A running Vault-compatible server, as after `vault server -dev`: unsealed, KV v2 at `secret/`. Stops when it is
/// dropped.
pub struct DevVault {
    address: SocketAddr,
    port_was_taken: bool,
    root_token: String,
    unseal_key: String,
    front: Arc<Front>,
    server: Server,
}

/// What stands between the wire and the router: the switches and counters.
struct Front {
    shared: Arc<Shared>,
    faults: Faults,
}

impl DevVault {
    /// Binds, and answers.
    ///
    /// # Errors
    /// When the address is not a loopback one or the port cannot be had.
    pub async fn start(options: VaultOptions) -> Result<Self, StartError> {
        let bound = wire::bind(options.bind, options.port).await?;
        let (address, port_was_taken) = (bound.address, bound.port_was_taken);
        let root_token = options.root_token.unwrap_or_else(token::new_id);
        let shared = Arc::new(Shared::new(&root_token));
        let unseal_key = shared.lock().seal.key().to_owned();
        let front = Arc::new(Front { shared, faults: Faults::default() });
        let server = Server::start(bound, front.clone());
        tracing::info!(%address, "vault for development is up");
        Ok(Self { address, port_was_taken, root_token, unseal_key, front, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What to put into `VAULT_ADDR` or `BAO_ADDR`: `http://127.0.0.1:8200`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What to put into `VAULT_TOKEN` or `BAO_TOKEN`.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The one key that `operator unseal` asks for.
    pub fn unseal_key(&self) -> &str {
        &self.unseal_key
    }

    /// The preferred port was taken, and another one was chosen.
    pub fn port_was_taken(&self) -> bool {
        self.port_was_taken
    }

    /// Stops, and returns when the port is free again.
    pub async fn shutdown(self) {
        self.server.stop().await;
    }
}

impl std::fmt::Debug for DevVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevVault").field("address", &self.address).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for VaultOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bind, port, root_token: _ } = self;
        f.debug_struct("VaultOptions").field("bind", bind).field("port", port).finish_non_exhaustive()
    }
}

/// Fault switches and counters, for tests. All faults are off at the start.
impl DevVault {
    /// Seals it: everything but the health endpoints answers 503 `Vault is sealed`.
    pub fn seal(&self) {
        self.front.shared.lock().seal.seal();
    }

    /// Unseals it, without the key.
    pub fn unseal(&self) {
        self.front.shared.lock().seal.unseal();
    }

    /// Ends every token but the root token, batch tokens included, as if all their lives were over.
    pub fn expire_tokens(&self) {
        self.front.shared.lock().tokens.expire_all_but(&self.root_token);
    }

    /// Waits this long before each answer.
    pub fn delay(&self, delay: Duration) {
        self.front.faults.delay(delay);
    }

    /// Answers the next `n` requests with this status and body, whatever they ask.
    pub fn fail_next(&self, n: usize, status: u16, body: &str) {
        self.front.faults.fail_next(None, n, status, body);
    }

    /// Answers the next `n` requests to these paths with this status and body.
    pub fn fail_next_in(&self, class: PathClass, n: usize, status: u16, body: &str) {
        self.front.faults.fail_next(Some(class), n, status, body);
    }

    /// Answers 200 and bytes that are not JSON.
    pub fn answer_garbage(&self, on: bool) {
        self.front.faults.set(on.then_some(faults::Nonsense::Garbage));
    }

    /// Answers 200 and this many bytes, until 0.
    pub fn answer_huge(&self, bytes: u64) {
        self.front.faults.set((bytes > 0).then_some(faults::Nonsense::Huge(bytes)));
    }

    /// Reads requests and never answers.
    pub fn answer_nothing(&self, on: bool) {
        self.front.faults.set(on.then_some(faults::Nonsense::Silence));
    }

    /// How many requests came in with this method for these paths, failed ones included.
    pub fn count(&self, method: &str, class: PathClass) -> u64 {
        self.front.faults.count(method, class)
    }

    /// How many logins were asked for, refused ones included.
    pub fn logins(&self) -> u64 {
        self.count("POST", PathClass::Login) + self.count("PUT", PathClass::Login)
    }

    /// How many secrets were read, refused and failed reads included.
    pub fn reads(&self) -> u64 {
        self.count("GET", PathClass::Secret)
    }
}

impl Service for Front {
    async fn answer(self: Arc<Self>, request: Request) -> Option<Response> {
        self.faults.count_one(request.method.as_str(), &request.path);
        match self.faults.strike(&request.path).await {
            faults::Outcome::Answer(response) => Some(response),
            faults::Outcome::Silence => None,
            faults::Outcome::Proceed => Some(router::answer(&self.shared, request).await),
        }
    }
}
