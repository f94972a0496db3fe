//! From credentials to a client token.
//!
//! Owns: one variant a login, and what each sends. Must not know: what the token is used for, or how long it is
//! kept ([`crate::kept`] does).

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::api::{Api, mount, refused};
use super::claims;
use super::token::{self, Token};
use crate::io_reason::io_reason;
use crate::kept::{Fresh, Kept};
use crate::oauth2::{ClientAuthentication, ClientCredentials};
use crate::secret::Secret;
use crate::settings::{FieldError, Settings};
use crate::trail::Trail;
use crate::vault::VaultError;

/// A JWT in a file is at most this long.
const MAX_JWT: u64 = 64 * 1024;

/// How to log in.
#[derive(Debug)]
pub(super) enum Login {
    /// The token is given.
    Token(Secret),
    /// A JWT is shown to the vault's JWT auth method.
    Jwt(Box<JwtLogin>),
}

/// A login by JWT.
#[derive(Debug)]
pub(super) struct JwtLogin {
    /// Where the method is mounted.
    mount: String,
    /// The role to log in as.
    role: String,
    /// Where the JWT comes from.
    source: JwtSource,
}

/// Where a JWT comes from.
#[derive(Debug)]
pub(super) enum JwtSource {
    /// An IdP, by the client-credentials grant.
    Idp(Box<IdpTokens>),
    /// A file, read at each login because whoever writes it replaces it.
    File(PathBuf),
}

/// Access tokens of one client.
#[derive(Debug)]
pub(super) struct IdpTokens {
    client: ClientCredentials,
    kept: Kept<Secret, VaultError>,
}

/// A login's answer.
#[derive(Deserialize)]
struct LoginReply {
    auth: Option<Auth>,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Option<Secret>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    num_uses: u64,
    #[serde(default)]
    token_policies: Option<Vec<String>>,
}

impl Login {
    pub(super) fn new(settings: &Settings) -> Result<Self, FieldError> {
        // The same rules as at check time: a query option or a reference may have changed what they are about.
        if let Some(error) = settings.missing().into_iter().next() {
            return Err(error);
        }
        let secret = |name: &'static str| {
            settings.text(name).ok_or_else(|| FieldError::new(name, "required field missing"))
        };
        let plain = |name| secret(name).map(|text| text.expose().to_owned());
        match plain("auth_method")?.as_str() {
            "token" => Ok(Self::Token(secret("token")?)),
            _ => {
                let source = match settings.text("jwt_file") {
                    Some(path) => JwtSource::File(PathBuf::from(path.expose())),
                    None => JwtSource::Idp(Box::new(IdpTokens {
                        client: client_credentials(settings)?,
                        kept: Kept::default(),
                    })),
                };
                let mount = mount(&plain("jwt_auth_path")?).to_owned();
                Ok(Self::Jwt(Box::new(JwtLogin { mount, role: plain("jwt_role")?, source })))
            }
        }
    }

    /// Its name in the configuration.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Jwt(_) => "jwt",
        }
    }

    /// Whether logging in again can give another token.
    pub(super) fn can_repeat(&self) -> bool {
        !matches!(self, Self::Token(_))
    }

    /// A client token, asked for now.
    pub(super) async fn client_token(&self, api: &Api, trail: &Trail) -> Result<Fresh<Token>, VaultError> {
        match self {
            Self::Token(token) => {
                let mut step = trail.step("log in to the vault");
                step.fact("method", "token");
                step.done(Ok(token::fresh(token.clone(), 0, false, 0)))
            }
            Self::Jwt(login) => {
                let JwtLogin { mount, role, source } = login.as_ref();
                let jwt = source.jwt(api, trail).await?;
                let mut step = trail.step("log in to the vault");
                step.fact("method", "jwt");
                step.fact("vault", api.address());
                step.fact("path", format_args!("auth/{mount}/login"));
                step.fact("role", role);
                if let Some(namespace) = api.namespace() {
                    step.fact("namespace", namespace);
                }
                if let Some(claims) = claims::shown(&jwt) {
                    step.fact("claims of the JWT", claims);
                }
                let outcome = jwt_login(api, mount, role, &jwt).await;
                let outcome = outcome.map(|auth| {
                    step.fact("token policies", auth.token_policies.unwrap_or_default().join(", "));
                    step.fact("token life", format_args!("{} s", auth.lease_duration));
                    step.fact("token renewable", auth.renewable);
                    token::fresh(auth.token, auth.lease_duration, auth.renewable, auth.num_uses)
                });
                if outcome.is_err() {
                    // The next attempt shall not show the same JWT again.
                    source.forget(&jwt);
                }
                step.done(outcome)
            }
        }
    }
}

/// A login's answer, checked.
struct Checked {
    token: Secret,
    lease_duration: u64,
    renewable: bool,
    num_uses: u64,
    token_policies: Option<Vec<String>>,
}

async fn jwt_login(api: &Api, mount: &str, role: &str, jwt: &Secret) -> Result<Checked, VaultError> {
    // The role cannot break out of its string, and a JWT that could is refused when it is read.
    let role_json = serde_json::Value::from(role).to_string();
    let mut json = Zeroizing::new(String::with_capacity(jwt.expose().len() + role_json.len() + 32));
    for part in ["{\"role\":", &role_json, ",\"jwt\":\"", jwt.expose(), "\"}"] {
        json.push_str(part);
    }
    let reply = api.post(&format!("auth/{mount}/login"), json, &[jwt]).await?;
    if !reply.is_success() {
        return Err(refused(&reply, "", "performing jwt authentication".to_owned(), |status, body| {
            Some(login_hint(status, body, mount, role, jwt))
        }));
    }
    let garbled = |message: &str| VaultError::Garbled {
        message: message.to_owned(),
        hint: Some("check that host and port are those of a vault".to_owned()),
    };
    // serde's own words would quote the reply.
    let reply: LoginReply = serde_json::from_slice(reply.body())
        .map_err(|_| garbled("the answer to the login is not a login's JSON"))?;
    let auth = reply.auth.ok_or_else(|| garbled("the answer to the login has no auth"))?;
    match auth.client_token {
        Some(token) if !token.expose().is_empty() => Ok(Checked {
            token,
            lease_duration: auth.lease_duration,
            renewable: auth.renewable,
            num_uses: auth.num_uses,
            token_policies: auth.token_policies,
        }),
        _ => Err(garbled("the answer to the login has no client token")),
    }
}

/// What to do, by what the JWT auth method says.
fn login_hint(status: u16, body: &str, mount: &str, role: &str, jwt: &Secret) -> String {
    let body = body.to_lowercase();
    let command = format!("`vault read auth/{mount}/role/{role}`");
    let advice = if body.contains("role") && body.contains("could not be found") {
        return format!(
            "there is no role {role:?} at auth/{mount}; `vault list auth/{mount}/role` shows those that exist"
        );
    } else if ["expired", "not yet valid", "in the future"].iter().any(|words| body.contains(words)) {
        "the token is not valid now: compare the clocks of the vault, the IdP and this machine".to_owned()
    } else if body.contains("aud") {
        format!("the role's bound_audiences must hold the token's audience: compare with {command}")
    } else if body.contains("sub") || body.contains("claim") {
        format!("the token must satisfy the role's bound_subject and bound_claims: compare with {command}")
    } else if body.contains("signature") || body.contains("verif") || body.contains("key") {
        format!(
            "the vault must trust the IdP's keys: compare jwks_url in `vault read auth/{mount}/config` with the IdP"
        )
    } else if status == 403 || status == 404 {
        format!("is the JWT auth method enabled at auth/{mount}? `vault auth list` shows it")
    } else {
        format!("see `vault read auth/{mount}/config` and {command}, and the vault's log")
    };
    match claims::shown(jwt) {
        Some(claims) => format!("{advice}. The token says: {claims}"),
        None => advice,
    }
}

impl JwtSource {
    async fn jwt(&self, api: &Api, trail: &Trail) -> Result<Secret, VaultError> {
        match self {
            Self::Idp(tokens) => {
                let ask = || async {
                    let token =
                        tokens.client.token(api.client(), trail).await.map_err(|error| VaultError::Idp {
                            message: error.to_string(),
                            hint: error.hint(),
                            transient: error.is_transient(),
                        })?;
                    if !is_jwt(&token.token) {
                        return Err(opaque());
                    }
                    Ok(Fresh { value: token.token, life: Some(token.life) })
                };
                tokens.kept.get(|_| true, ask).await
            }
            Self::File(path) => {
                let mut step = trail.step("read the JWT from its file");
                step.fact("file", path.display());
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || jwt_from_file(&path)).await;
                step.done(
                    read.unwrap_or_else(|_| Err(VaultError::unusable("the read was cancelled", "try again"))),
                )
            }
        }
    }

    fn forget(&self, jwt: &Secret) {
        if let Self::Idp(tokens) = self {
            tokens.kept.forget(jwt);
        }
    }
}

fn client_credentials(settings: &Settings) -> Result<ClientCredentials, FieldError> {
    let secret = |name: &'static str| {
        settings.text(name).ok_or_else(|| FieldError::new(name, "required field missing"))
    };
    let texts = |name| settings.texts(name).iter().map(|text| text.expose().to_owned()).collect();
    let endpoint = secret("oauth2_token_endpoint")?;
    let endpoint = Url::parse(endpoint.expose())
        .map_err(|error| FieldError::new("oauth2_token_endpoint", format!("not a URL: {error}")))?;
    let authentication = match settings.text("oauth2_client_auth_method") {
        Some(method) if method.expose() == "client_secret_basic" => ClientAuthentication::Basic,
        _ => ClientAuthentication::Post,
    };
    Ok(ClientCredentials {
        endpoint,
        client_id: secret("oauth2_client_id")?,
        client_secret: secret("oauth2_client_secret")?,
        authentication,
        audiences: texts("oauth2_audiences"),
        scopes: texts("oauth2_scopes"),
    })
}

fn jwt_from_file(path: &std::path::Path) -> Result<Secret, VaultError> {
    use std::io::Read as _;

    let unreadable = |error: std::io::Error| {
        VaultError::unusable(
            format!("cannot read jwt_file {}: {}", path.display(), io_reason(&error)),
            "jwt_file names a file with one JWT that this process may read",
        )
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = Zeroizing::new(String::with_capacity(8 * 1024));
    file.take(MAX_JWT).read_to_string(&mut text).map_err(unreadable)?;
    let jwt = Secret::from(text.trim());
    if is_jwt(&jwt) {
        return Ok(jwt);
    }
    Err(VaultError::unusable(
        format!("the text in jwt_file {} is not a JWT", path.display()),
        "jwt_file names a file with one JWT: three parts of base64url with dots between them, and nothing else",
    ))
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

/// Three parts of base64url: what a JWT is made of, and nothing that could mean anything to JSON or HTTP.
fn is_jwt(token: &Secret) -> bool {
    let is_part =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    token.expose().split('.').count() == 3 && token.expose().split('.').all(is_part)
}
