//! Where a JWT mount gets its keys from.
//!
//! A configuration is tried before it is taken: keys that cannot be fetched are an error now, not at the first login.

use super::Jwt;
use super::keys::{self, KeySet};
use crate::vault::call::Call;
use crate::vault::core::{Core, Shared};
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::vault::router::Later;
use serde_json::json;
use std::sync::Arc;

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Jwks { url: String, ca_pem: String },
    Discovery { url: String, ca_pem: String },
    Pem(Vec<String>),
}

/// A mount's configuration.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) source: Source,
    pub(super) bound_issuer: String,
    pub(super) default_role: String,
    /// Empty: all that are safe.
    pub(super) algorithms: Vec<String>,
}

impl Config {
    fn read(call: &Call) -> Result<Self, Refusal> {
        let fields = call.fields();
        let text = |name: &str| Ok::<_, Refusal>(fields.text(name)?.unwrap_or_default());
        let pems = fields.texts("jwt_validation_pubkeys")?.unwrap_or_default();
        let (jwks_url, discovery_url) = (text("jwks_url")?, text("oidc_discovery_url")?);
        for unknown in ["jwks_pairs", "provider_config"] {
            if fields.get(unknown).is_some() {
                return Err(Refusal::bad(format!("the dev vault does not know '{unknown}'")));
            }
        }
        let source = match (jwks_url.is_empty(), discovery_url.is_empty(), pems.is_empty()) {
            (false, true, true) => Source::Jwks { url: jwks_url, ca_pem: text("jwks_ca_pem")? },
            (true, false, true) => {
                Source::Discovery { url: discovery_url, ca_pem: text("oidc_discovery_ca_pem")? }
            }
            (true, true, false) => Source::Pem(pems),
            _ => {
                return Err(Refusal::bad(
                    "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', 'oidc_discovery_url', or \
                     'provider_config' must be set",
                ));
            }
        };
        let algorithms = fields.texts("jwt_supported_algs")?.unwrap_or_default();
        if let Some(name) = algorithms.iter().find(|name| !keys::ALGORITHMS.contains(&name.as_str())) {
            return Err(Refusal::bad(format!(
                "invalid jwt_supported_algs: unsupported signing algorithm \"{name}\""
            )));
        }
        Ok(Self {
            source,
            bound_issuer: text("bound_issuer")?,
            default_role: text("default_role")?.to_lowercase(),
            algorithms,
        })
    }

    fn describe(&self) -> serde_json::Value {
        let mut data = json!({
            "bound_issuer": self.bound_issuer, "default_role": self.default_role, "jwks_ca_pem": "", "jwks_url": "",
            "jwt_supported_algs": self.algorithms, "jwt_validation_pubkeys": [], "namespace_in_state": true,
            "oidc_client_id": "", "oidc_discovery_ca_pem": "", "oidc_discovery_url": "", "oidc_response_mode": "",
            "oidc_response_types": [], "override_allowed_server_names": [], "provider_config": {}, "status": "valid",
        });
        match &self.source {
            Source::Jwks { url, ca_pem } => {
                data["jwks_url"] = json!(url);
                data["jwks_ca_pem"] = json!(ca_pem);
            }
            Source::Discovery { url, ca_pem } => {
                data["oidc_discovery_url"] = json!(url);
                data["oidc_discovery_ca_pem"] = json!(ca_pem);
            }
            Source::Pem(pems) => data["jwt_validation_pubkeys"] = json!(pems),
        }
        data
    }
}

pub(super) fn read(core: &mut Core, call: &Call) -> Outcome {
    let config = core.mounts.jwt_ref(&call.mount).and_then(|jwt| jwt.config.as_ref());
    config.map(|config| Reply::data(config.describe())).ok_or_else(Refusal::not_found)
}

pub(super) fn write(shared: Arc<Shared>, call: Call) -> Later {
    Box::pin(async move {
        let config = Config::read(&call)?;
        let keys = keys::fetch(&config.source).await.map_err(|error| {
            tracing::warn!(%error, "the keys for JWT logins could not be had");
            Refusal::bad(error.to_vault())
        })?;
        let mut core = shared.lock();
        let Jwt { config: stored, keys: known, .. } =
            core.mounts.jwt(&call.mount).ok_or_else(Refusal::unsupported_path)?;
        *stored = Some(config);
        *known = KeySet::new(keys);
        Ok(Reply::Nothing)
    })
}
