//! HashiCorp Vault and OpenBao: a login, then reads from the KV engine.
//!
//! Owns: one session with one vault: its address, its connections and its client token, which every reference that
//! needs the same session shares. Must not know: references or caching of values. The parts, in the order in which a
//! read uses them: [`login`] (credentials → client token, kept until shortly before it ends), [`kv`] (path →
//! request → the secret's JSON text), [`api`] (what every request to a vault has in common).

mod api;
mod claims;
mod kv;
mod login;

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::client::{Client, Trust};
use crate::kept::Kept;
use crate::secret::Secret;
use crate::settings::{FieldError, Settings};
use crate::trail::Trail;
use crate::vault::{Read, Vault, VaultError};

use api::Api;
use login::Login;

/// A session with one vault.
#[derive(Debug)]
pub struct Hcv {
    api: Api,
    login: Login,
    token: Kept<Secret, VaultError>,
}

impl Hcv {
    /// A session as configured; nothing is sent before the first read. References must be filled in already.
    pub fn new(settings: &Settings, trust: &Trust) -> Result<Self, FieldError> {
        let client = Client::new(trust, settings.flag("ssl_verify"));
        Ok(Self { api: Api::new(settings, client)?, login: Login::new(settings)?, token: Kept::default() })
    }

    /// The client token, and whether it was got just now.
    async fn token(&self, trail: &Trail) -> Result<(Secret, bool), VaultError> {
        let fresh = AtomicBool::new(false);
        let log_in = || {
            fresh.store(true, Ordering::Relaxed);
            self.login.client_token(&self.api, trail)
        };
        let token = self.token.get(log_in).await?;
        Ok((token, fresh.into_inner()))
    }
}

#[async_trait]
impl Vault for Hcv {
    async fn read(&self, request: &Read<'_>) -> Result<Secret, VaultError> {
        let (token, fresh) = self.token(request.trail).await?;
        match kv::read(&self.api, &token, request).await {
            // A token that was kept may have been revoked meanwhile; one that was got just now is simply not allowed.
            Err(VaultError::Refused { status: 403, .. }) if !fresh && self.login.can_repeat() => {
                self.token.forget(&token).await;
                let (token, _) = self.token(request.trail).await?;
                kv::read(&self.api, &token, request).await
            }
            outcome => outcome,
        }
    }
}
