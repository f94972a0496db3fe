//! Postern's dev stack: servers that run inside this process, for tests, demos and `postern dev`.
//!
//! - [`DevVault`]: speaks the HTTP API of HashiCorp Vault and OpenBao, so that their command lines and every client
//!   of theirs can be used against it: KV v1 and v2, tokens, response wrapping, logins by JWT and AppRole, policies, sealing.
//! - [`Idp`]: an identity provider in the shape of Auth0: client credentials in, signed access tokens out.
//! - [`Upstream`]: an HTTP service that says what reached it, for what stands in front of it.
//! - [`Stack`]: all of them, with the ports and names that the tutorial uses.
//!
//! They live in memory, listen on loopback only, and can be told to fail in the ways real ones fail.
//!
//! **For development only.** The vault starts unsealed, with a root token that may well be `root`; nothing is
//! encrypted, nothing is kept. [`WARNING`] says so to users, and whoever starts a stack for a person prints it.
//!
//! The way of a request: `wire.rs` reads it whole; `vault.rs` counts it and applies the fault switches;
//! `vault/router.rs` finds the mount, the token and the route, and asks the policies; a handler in
//! `vault/{sys,kv,token,jwt,approle}` answers; `vault/reply.rs` puts the answer into Vault's envelope. The identity
//! provider is small enough for one `match` in `idp.rs`, and so is the upstream in `upstream.rs`.
//!
//! This crate uses no other crate of Postern, so that it can judge them.

mod clock;
mod fetch;
pub mod idp;
mod random;
pub mod upstream;
pub mod vault;
mod wire;

pub use idp::{Idp, IdpFault, IdpOptions};
pub use upstream::{Upstream, UpstreamOptions};
pub use vault::{DevVault, PathClass, VaultOptions};
pub use wire::{PortChoice, StartError};

/// What a person who starts these servers has to read.
pub const WARNING: &str = "\
WARNING: the dev stack is for development only. It keeps everything in memory and loses it when it stops, starts \
unsealed with a known root token, speaks plain HTTP on loopback, and encrypts nothing. Never put a real secret in it.";

/// How to start a [`Stack`]. The default: the default ports or free ones, token and client at random.
#[derive(Clone, Default)]
pub struct StackOptions {
    /// The vault's port. `None`: 8200, or a free one if it is taken. `Some(0)`: a free one.
    pub vault_port: Option<u16>,
    /// The identity provider's port. `None`: 8300, or a free one if it is taken. `Some(0)`: a free one.
    pub idp_port: Option<u16>,
    /// The upstream's port. `None`: 8400, or a free one if it is taken. `Some(0)`: a free one.
    pub upstream_port: Option<u16>,
    /// The vault's root token; at random when `None`.
    pub root_token: Option<String>,
    /// The id of the identity provider's client; at random when `None`.
    pub client_id: Option<String>,
    /// The secret of the identity provider's client; at random when `None`.
    pub client_secret: Option<String>,
}

impl std::fmt::Debug for StackOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { vault_port, idp_port, upstream_port, root_token: _, client_id, client_secret: _ } = self;
        f.debug_struct("StackOptions")
            .field("vault_port", vault_port)
            .field("idp_port", idp_port)
            .field("upstream_port", upstream_port)
            .field("client_id", client_id)
            .finish_non_exhaustive()
    }
}

/// A vault, an identity provider and an upstream. They stop when this is dropped.
#[derive(Debug)]
pub struct Stack {
    /// The Vault-compatible server.
    pub vault: DevVault,
    /// The identity provider.
    pub idp: Idp,
    /// The echo service.
    pub upstream: Upstream,
}

impl Stack {
    /// Starts them. They answer when this returns.
    ///
    /// # Errors
    /// When a port that was asked for is taken.
    pub async fn start(options: StackOptions) -> Result<Self, StartError> {
        let vault = DevVault::start(VaultOptions {
            port: port_choice(options.vault_port, vault::DEFAULT_PORT),
            root_token: options.root_token,
            ..VaultOptions::default()
        })
        .await?;
        let idp = Idp::start(IdpOptions {
            port: port_choice(options.idp_port, idp::DEFAULT_PORT),
            client_id: options.client_id,
            client_secret: options.client_secret,
            ..IdpOptions::default()
        })
        .await?;
        let upstream = Upstream::start(UpstreamOptions {
            port: port_choice(options.upstream_port, upstream::DEFAULT_PORT),
            ..UpstreamOptions::default()
        })
        .await?;
        Ok(Self { vault, idp, upstream })
    }

    /// Stops them, and returns when their ports are free again.
    pub async fn shutdown(self) {
        self.vault.shutdown().await;
        self.idp.shutdown().await;
        self.upstream.shutdown().await;
    }
}

fn port_choice(asked: Option<u16>, default: u16) -> PortChoice {
    match asked {
        None => PortChoice::Preferred(default),
        Some(0) => PortChoice::Free,
        Some(port) => PortChoice::Exact(port),
    }
}
