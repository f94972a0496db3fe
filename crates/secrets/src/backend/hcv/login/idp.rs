//! Access tokens of an identity provider, kept while they live. Owns: the client's settings, and that one token serves
//! all logins. Must not know: what a vault does with it.

use url::Url;

use crate::backend::hcv::api::Api;
use crate::kept::{Fresh, Kept};
use crate::oauth2::{ClientAuthentication, FieldNames, TokenClient};
use crate::settings::{FieldError, Settings};
use crate::trail::Trail;
use crate::vault::VaultError;
use postern_secret::Secret;

use super::needed;

/// As users of this kind of vault know them.
const NAMES: FieldNames = FieldNames {
    endpoint: "oauth2_token_endpoint",
    client_id: "oauth2_client_id",
    client_secret: "oauth2_client_secret",
    audiences: "oauth2_audiences",
};

/// Access tokens of one client.
#[derive(Debug)]
pub(super) struct IdpTokens {
    client: TokenClient,
    kept: Kept<Secret, VaultError>,
}

impl IdpTokens {
    pub(super) fn new(settings: &Settings) -> Result<Self, FieldError> {
        Ok(Self { client: token_client(settings)?, kept: Kept::default() })
    }

    /// A token that lives, and that `is_jwt` accepts.
    pub(super) async fn token(
        &self,
        api: &Api,
        trail: &Trail,
        is_jwt: fn(&Secret) -> bool,
    ) -> Result<Secret, VaultError> {
        let ask = || async {
            let token = self.client.token(api.client(), trail).await.map_err(|error| VaultError::Idp {
                message: error.to_string(),
                hint: error.hint(&NAMES),
                transient: error.is_transient(),
            })?;
            if !is_jwt(&token.token) {
                return Err(opaque());
            }
            Ok(Fresh { value: token.token, life: Some(token.life) })
        };
        self.kept.get(|_| true, ask).await
    }

    /// The next login asks for another token than this one.
    pub(super) fn forget(&self, token: &Secret) {
        self.kept.forget(token);
    }
}

fn token_client(settings: &Settings) -> Result<TokenClient, FieldError> {
    let texts = |name| settings.texts(name).iter().map(|text| text.expose().to_owned()).collect();
    let endpoint = needed(settings, "oauth2_token_endpoint")?;
    let endpoint = Url::parse(endpoint.expose())
        .map_err(|error| FieldError::new("oauth2_token_endpoint", format!("not a URL: {error}")))?;
    let authentication = match settings.text("oauth2_client_auth_method") {
        Some(method) if method.expose() == "client_secret_basic" => ClientAuthentication::Basic,
        _ => ClientAuthentication::Post,
    };
    let (id, secret) = (needed(settings, "oauth2_client_id")?, needed(settings, "oauth2_client_secret")?);
    Ok(TokenClient {
        authentication,
        audiences: texts("oauth2_audiences"),
        scopes: texts("oauth2_scopes"),
        ..TokenClient::new(endpoint, id, secret)
    })
}

/// A token that only the IdP can make sense of.
fn opaque() -> VaultError {
    VaultError::Idp {
        message: "the access token is not a JWT".to_owned(),
        hint: Some(
            "ask for an audience (oauth2_audiences) for which the provider issues JWT access tokens; opaque tokens \
             cannot be shown to the vault"
                .to_owned(),
        ),
        transient: false,
    }
}
