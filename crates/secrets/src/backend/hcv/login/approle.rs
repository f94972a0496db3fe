//! The login by AppRole: a role id and a secret id. Owns: where the secret id comes from, and what the vault's refusals
//! mean. Must not know: how a wrapped secret id is unwrapped ([`unwrap`] does).

pub(super) mod unwrap;

use std::path::PathBuf;

use super::file::CredentialFile;
use super::{Method, mount, needed};
use crate::backend::hcv::api::Api;
use crate::backend::hcv::token::Token;
use crate::kept::Fresh;
use crate::settings::{FieldError, Settings};
use crate::trail::Trail;
use crate::vault::VaultError;
use postern_secret::Secret;
use unwrap::Unwrapped;

/// A login by AppRole.
#[derive(Debug)]
pub(in crate::backend::hcv) struct AppRole {
    pub(super) method: Method,
    role_id: Secret,
    source: Source,
    /// There when what is given is not the secret id, but a token that wraps it.
    unwrapped: Option<Unwrapped>,
}

/// Where the secret id, or the token that wraps it, comes from.
#[derive(Debug)]
enum Source {
    Given(Secret),
    File(CredentialFile),
}

impl AppRole {
    pub(super) fn new(settings: &Settings) -> Result<Self, FieldError> {
        let wrapping = settings.flag("approle_response_wrapping");
        let source = match settings.text("approle_secret_id") {
            Some(secret_id) => Source::Given(secret_id),
            None => Source::File(CredentialFile {
                field: "approle_secret_id_file",
                path: PathBuf::from(needed(settings, "approle_secret_id_file")?.expose()),
                holds: if wrapping { "one wrapping token" } else { "one secret id" },
            }),
        };
        let method = Method {
            name: "approle",
            title: "AppRole",
            adjective: "approle",
            mount: mount(settings, "approle_auth_path")?,
            role: None,
        };
        let role_id = needed(settings, "approle_role_id")?;
        Ok(Self { method, role_id, source, unwrapped: wrapping.then(Unwrapped::default) })
    }

    pub(super) async fn client_token(&self, api: &Api, trail: &Trail) -> Result<Fresh<Token>, VaultError> {
        let secret_id = match &self.unwrapped {
            None => self.source.read(trail, "read the secret id from its file").await?,
            Some(unwrapped) => {
                let wrapping = self.source.read(trail, "read the wrapping token from its file").await;
                unwrapped.secret_id(wrapping, api, &self.method.mount, trail).await?
            }
        };
        let mut step = self.method.step(api, trail);
        let fields = [("role_id", &self.role_id), ("secret_id", &secret_id)];
        let advice = |_, body: &str| self.hint(body, &secret_id);
        let outcome = self.method.log_in(api, &mut step, &fields, advice).await;
        step.done(outcome)
    }

    /// What to do, by what the AppRole auth method says.
    pub(super) fn hint(&self, body: &str, secret_id: &Secret) -> Option<String> {
        let mount = &self.method.mount;
        if !["role id", "role_id", "secret id", "secret_id"].iter().any(|words| body.contains(words)) {
            return None;
        }
        let looks_wrapped = ["s.", "hvs."].iter().any(|prefix| secret_id.expose().starts_with(prefix));
        if self.unwrapped.is_none() && looks_wrapped {
            return Some(
                "what is given as secret id looks like a wrapping token: if it is one, set \
                 approle_response_wrapping: true"
                    .to_owned(),
            );
        }
        Some(format!(
            "the vault does not tell which of the two is wrong. Compare approle_role_id with `vault read \
             auth/{mount}/role/ROLE/role-id`; a secret id may have expired or have no uses left (secret_id_ttl, \
             secret_id_num_uses): `vault write -force auth/{mount}/role/ROLE/secret-id` makes a new one"
        ))
    }
}

impl Source {
    async fn read(&self, trail: &Trail, doing: &'static str) -> Result<Secret, VaultError> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::File(file) => {
                let mut step = trail.step(doing);
                step.fact("file", file.path.display());
                step.done(file.read().await)
            }
        }
    }
}
