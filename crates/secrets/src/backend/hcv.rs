//! HashiCorp Vault and OpenBao: a login, then reads from the KV engine.
//!
//! Owns: one session with one vault: its address, its connections and its client token, which every reference that
//! needs the same session shares. Must not know: references or caching of values. The parts, in the order in which a
//! read uses them: [`login`] (credentials → client token, kept until shortly before it ends), [`kv`] (path →
//! request → the secret's JSON text), [`api`] (what every request to a vault has in common).

mod api;
mod claims;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod kv;
mod login;
mod token;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::settings::{FieldError, Settings};
use crate::vault::{Read, Reading, SessionStatus, Vault, VaultError};
use postern_client::{Client, Trust};
use postern_secret::Secret;

use api::Api;
use login::Login;
use token::Tokens;

/// A session with one vault.
#[derive(Debug)]
pub struct Hcv {
    api: Api,
    login: Login,
    tokens: Tokens,
}

impl Hcv {
    /// A session as configured; nothing is sent before the first read. References must be filled in already.
    pub fn new(settings: &Settings, trust: &Trust) -> Result<Self, FieldError> {
        let login = Login::new(settings)?;
        let client = Client::with_identity(trust, settings.flag("ssl_verify"), login.identity());
        Ok(Self { api: Api::new(settings, client)?, login, tokens: Tokens::default() })
    }
}

#[async_trait]
impl Vault for Hcv {
    async fn read(&self, request: &Read<'_>) -> Result<Reading, VaultError> {
        let (trail, path) = (request.trail, digest(request));
        let mut token = self.tokens.take(&self.login, &self.api, trail).await?;
        let mut outcome = kv::read(&self.api, &token.secret, request).await;
        let mut replaced = false;
        // The token may have been revoked, or used up: one new login, one repeat.
        if is_refusal(&outcome)
            && let Some(other) = self.tokens.replace(&token, path, &self.login, &self.api, trail).await
        {
            token = other?;
            replaced = true;
            outcome = kv::read(&self.api, &token.secret, request).await;
        }
        if matches!(outcome, Ok(_) | Err(VaultError::Absent { .. })) {
            self.tokens.accepted(&token, path, replaced);
        }
        outcome.map(Reading::from)
    }

    fn session(&self) -> SessionStatus {
        let held = self.tokens.held();
        SessionStatus {
            address: self.api.address().to_owned(),
            login: self.login.name(),
            logged_in: held.is_some(),
            token_ends: held.flatten(),
        }
    }

    fn maintenance_due(&self) -> Option<Instant> {
        self.tokens.renewal_due()
    }

    async fn maintain(&self) {
        self.tokens.renew(&self.api).await;
    }
}

fn is_refusal(outcome: &Result<Secret, VaultError>) -> bool {
    matches!(outcome, Err(VaultError::Refused { status: 403, .. }))
}

/// Tells paths apart, as far as policies do.
fn digest(request: &Read<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.settings.text("mount").as_ref().map(Secret::expose).hash(&mut hasher);
    request.resource.hash(&mut hasher);
    hasher.finish()
}
