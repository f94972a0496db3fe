//! The login by JWT (also spelled `oauth2`). Owns: where the JWT comes from, and what the vault's refusals mean. Must not
//! know: how an identity provider is asked ([`super::idp`] does).

use std::path::PathBuf;

use super::file::CredentialFile;
use super::idp::IdpTokens;
use super::{Method, mount, needed};
use crate::backend::hcv::api::Api;
use crate::backend::hcv::claims;
use crate::backend::hcv::token::Token;
use crate::kept::Fresh;
use crate::settings::{FieldError, Settings};
use crate::trail::Trail;
use crate::vault::VaultError;
use postern_secret::Secret;

/// A login by JWT.
#[derive(Debug)]
pub(in crate::backend::hcv) struct Jwt {
    pub(super) method: Method,
    role: Secret,
    source: Source,
}

/// Where a JWT comes from.
#[derive(Debug)]
enum Source {
    /// An IdP, by the client-credentials grant.
    Idp(Box<IdpTokens>),
    /// A file.
    File(CredentialFile),
}

impl Jwt {
    pub(super) fn new(settings: &Settings) -> Result<Self, FieldError> {
        let source = match settings.text("jwt_file") {
            Some(path) => Source::File(CredentialFile {
                field: "jwt_file",
                path: PathBuf::from(path.expose()),
                holds: "one JWT",
            }),
            None => Source::Idp(Box::new(IdpTokens::new(settings)?)),
        };
        let role = needed(settings, "jwt_role")?;
        let method = Method {
            name: "jwt",
            title: "JWT",
            adjective: "jwt",
            mount: mount(settings, "jwt_auth_path")?,
            role: Some(role.expose().to_owned()),
        };
        Ok(Self { method, role, source })
    }

    pub(super) async fn client_token(&self, api: &Api, trail: &Trail) -> Result<Fresh<Token>, VaultError> {
        let jwt = self.source.jwt(api, trail).await?;
        let mut step = self.method.step(api, trail);
        if let Some(claims) = claims::shown(&jwt) {
            step.fact("claims of the JWT", claims);
        }
        let fields = [("role", &self.role), ("jwt", &jwt)];
        let outcome =
            self.method.log_in(api, &mut step, &fields, |status, body| self.hint(status, body, &jwt)).await;
        if let (Err(_), Source::Idp(tokens)) = (&outcome, &self.source) {
            // The next attempt shall not show the same JWT again.
            tokens.forget(&jwt);
        }
        step.done(outcome)
    }

    /// What to do, by what the JWT auth method says.
    pub(super) fn hint(&self, status: u16, body: &str, jwt: &Secret) -> Option<String> {
        let mount = &self.method.mount;
        let command = self.method.command();
        let advice = if body.contains("role") && body.contains("could not be found") {
            return Some(self.method.no_role());
        } else if ["expired", "not yet valid", "in the future"].iter().any(|words| body.contains(words)) {
            "the token is not valid now: compare the clocks of the vault, the IdP and this machine".to_owned()
        } else if body.contains("aud") {
            format!("the role's bound_audiences must hold the token's audience: compare with {command}")
        } else if body.contains("sub") || body.contains("claim") {
            format!(
                "the token must satisfy the role's bound_subject and bound_claims: compare with {command}"
            )
        } else if body.contains("signature") || body.contains("verif") || body.contains("key") {
            format!(
                "the vault must trust the IdP's keys: compare jwks_url in `vault read auth/{mount}/config` with the \
                 IdP"
            )
        } else {
            self.method.hint(status, body)
        };
        match claims::shown(jwt) {
            Some(claims) => Some(format!("{advice}. The token says: {claims}")),
            None => Some(advice),
        }
    }
}

impl Source {
    async fn jwt(&self, api: &Api, trail: &Trail) -> Result<Secret, VaultError> {
        match self {
            Self::Idp(tokens) => tokens.token(api, trail, is_jwt).await,
            Self::File(file) => {
                let mut step = trail.step("read the JWT from its file");
                step.fact("file", file.path.display());
                step.done(jwt_in(file).await)
            }
        }
    }
}

/// The JWT in a file.
pub(super) async fn jwt_in(file: &CredentialFile) -> Result<Secret, VaultError> {
    let jwt = file.read().await?;
    if is_jwt(&jwt) {
        return Ok(jwt);
    }
    Err(VaultError::unusable(
        format!("the text in {} is not a JWT", file.shown()),
        format!(
            "{} names a file with one JWT: three parts of base64url with dots between them, and nothing else",
            file.field
        ),
    ))
}

/// Three parts of base64url: what a JWT is made of, and nothing that could mean anything to JSON or HTTP.
pub(super) fn is_jwt(token: &Secret) -> bool {
    let is_part =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    token.expose().split('.').count() == 3 && token.expose().split('.').all(is_part)
}
