//! The login by a Kubernetes service account's token. Owns: its file, read at each login because the cluster replaces it,
//! and what the vault's refusals mean. Must not know: what is in the token.

use std::path::PathBuf;

use super::file::CredentialFile;
use super::jwt::jwt_in;
use super::{Method, mount, needed};
use crate::backend::hcv::api::Api;
use crate::backend::hcv::claims;
use crate::backend::hcv::token::Token;
use crate::kept::Fresh;
use crate::settings::{FieldError, Settings};
use crate::trail::Trail;
use crate::vault::VaultError;
use postern_secret::Secret;

/// Where a pod finds its service account's token.
const TOKEN_FILE: &str = "/run/secrets/kubernetes.io/serviceaccount/token";

/// A login by service account.
#[derive(Debug)]
pub(in crate::backend::hcv) struct Kubernetes {
    pub(super) method: Method,
    role: Secret,
    file: CredentialFile,
}

impl Kubernetes {
    pub(super) fn new(settings: &Settings) -> Result<Self, FieldError> {
        let path = settings.text("kube_api_token_file");
        let file = CredentialFile {
            field: "kube_api_token_file",
            path: PathBuf::from(path.as_ref().map_or(TOKEN_FILE, Secret::expose)),
            holds: "the service account's token",
        };
        let role = needed(settings, "kube_role")?;
        let method = Method {
            name: "kubernetes",
            title: "Kubernetes",
            adjective: "kubernetes",
            mount: mount(settings, "kube_auth_path")?,
            role: Some(role.expose().to_owned()),
        };
        Ok(Self { method, role, file })
    }

    pub(super) async fn client_token(&self, api: &Api, trail: &Trail) -> Result<Fresh<Token>, VaultError> {
        let mut step = trail.step("read the service account's token from its file");
        step.fact("file", self.file.path.display());
        let jwt = step.done(jwt_in(&self.file).await)?;
        let mut step = self.method.step(api, trail);
        if let Some(claims) = claims::shown(&jwt) {
            step.fact("claims of the JWT", claims);
        }
        let fields = [("role", &self.role), ("jwt", &jwt)];
        let outcome =
            self.method.log_in(api, &mut step, &fields, |status, body| self.hint(status, body, &jwt)).await;
        step.done(outcome)
    }

    /// What to do, by what the Kubernetes auth method says.
    pub(super) fn hint(&self, status: u16, body: &str, jwt: &Secret) -> Option<String> {
        let (mount, command) = (&self.method.mount, self.method.command());
        if body.contains("invalid role name") {
            return Some(self.method.no_role());
        }
        let advice = if body.contains("not authorized") {
            format!(
                "the service account must be among the role's bound_service_account_names and \
                 bound_service_account_namespaces: compare with {command}"
            )
        } else if body.contains("aud") {
            format!("the role's audience must be one of the token's: compare with {command}")
        } else if ["expired", "not yet valid"].iter().any(|words| body.contains(words)) {
            "the token is not valid now: does the cluster still replace it in its file, and do the clocks agree?"
                .to_owned()
        } else if status == 403 {
            format!(
                "is the Kubernetes auth method enabled at auth/{mount} (`vault auth list`), does the cluster accept the \
                 token, and may the service account use the role ({command})? The vault's log says which"
            )
        } else {
            return None;
        };
        match claims::shown(jwt) {
            Some(claims) => Some(format!("{advice}. The token says: {claims}")),
            None => Some(advice),
        }
    }
}
