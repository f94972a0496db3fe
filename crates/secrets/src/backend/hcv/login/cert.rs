//! The login by TLS client certificate. Owns: the certificate as configured, and what the vault's refusals mean. Must not
//! know: how TLS shows it ([`crate::client`] does).

use super::{Method, needed};
use crate::backend::hcv::api::Api;
use crate::backend::hcv::token::Token;
use crate::kept::Fresh;
use crate::settings::{FieldError, Settings};
use crate::trail::Trail;
use crate::vault::VaultError;
use postern_client::{Identity, IdentityError, TransportError};
use postern_secret::Secret;

/// A login by certificate.
#[derive(Debug)]
pub(in crate::backend::hcv) struct Cert {
    method: Method,
    identity: Identity,
    /// Without one the vault tries all.
    role: Option<Secret>,
}

impl Cert {
    pub(super) fn new(settings: &Settings) -> Result<Self, FieldError> {
        let chain = needed(settings, "cert_auth_cert")?;
        let key = needed(settings, "cert_auth_cert_key")?;
        let identity = Identity::from_pem(&chain, &key).map_err(|error| {
            let field = match error {
                IdentityError::Chain(_) => "cert_auth_cert",
                IdentityError::Key(_) | IdentityError::Mismatch => "cert_auth_cert_key",
            };
            let error = FieldError::new(field, error.to_string());
            error.with_hint(
                "PEM text is expected: the certificate first, then its chain; and the certificate's key",
            )
        })?;
        let role = settings.text("cert_auth_role_name").filter(|role| !role.expose().is_empty());
        let method = Method {
            name: "cert",
            title: "TLS certificate",
            adjective: "certificate-based",
            mount: "cert".to_owned(),
            role: role.as_ref().map(|role| role.expose().to_owned()),
        };
        Ok(Self { method, identity, role })
    }

    /// The certificate and its key.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) async fn client_token(&self, api: &Api, trail: &Trail) -> Result<Fresh<Token>, VaultError> {
        let mut step = self.method.step(api, trail);
        let fields: Vec<_> = self.role.iter().map(|role| ("name", role)).collect();
        let outcome = self.method.log_in(api, &mut step, &fields, |_, body| self.hint(body)).await;
        let outcome = outcome.map_err(|error| match error {
            VaultError::Unreachable(cause)
                if matches!(*cause, TransportError::Untrusted(_) | TransportError::Tls(_)) =>
            {
                VaultError::CertLogin(cause)
            }
            other => other,
        });
        step.done(outcome)
    }

    /// What to do, by what the certificate auth method says.
    fn hint(&self, body: &str) -> Option<String> {
        if !["certificate", "chain", "constraint"].iter().any(|words| body.contains(words)) {
            return None;
        }
        Some(match &self.role {
            Some(_) => format!(
                "the client certificate must be the role's, or issued by its CA, and meet its allowed_* rules: compare \
                 cert_auth_cert, with its whole chain, with {}",
                self.method.command()
            ),
            None => "the client certificate matches no role: compare cert_auth_cert, with its whole chain, with `vault \
                     list auth/cert/certs`, or name the role in cert_auth_role_name"
                .to_owned(),
        })
    }
}
