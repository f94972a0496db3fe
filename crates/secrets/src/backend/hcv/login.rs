//! From credentials to a client token.
//!
//! Owns: which logins there are, and what they have in common: one request to `auth/<mount>/login`, one form of answer,
//! one form of refusal. Each login has a file: `login/{jwt,approle,kubernetes,cert}.rs`. Must not know: what the token is
//! used for, or how long it is kept ([`crate::kept`] does).

mod approle;
mod cert;
mod file;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod idp;
mod jwt;
mod kubernetes;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::api::{Api, refused};
use super::token::{self, Token};
use crate::kept::Fresh;
use crate::settings::{FieldError, Settings};
use crate::trail::{OpenStep, Trail};
use crate::vault::VaultError;
use approle::AppRole;
use cert::Cert;
use jwt::Jwt;
use kubernetes::Kubernetes;
use postern_client::{Identity, Reply};
use postern_secret::Secret;

/// How to log in.
#[derive(Debug)]
pub(super) enum Login {
    /// The token is given.
    Token(Secret),
    /// A role id and a secret id.
    AppRole(AppRole),
    /// A service account's token.
    Kubernetes(Kubernetes),
    /// The client certificate of the TLS connection.
    Cert(Cert),
    /// A JWT from an IdP or a file.
    Jwt(Box<Jwt>),
}

/// One auth method at one mount: what errors and hints have to name.
#[derive(Debug)]
struct Method {
    /// As in `auth_method`.
    name: &'static str,
    /// As people call it: "AppRole".
    title: &'static str,
    /// As Kong's errors call it: "certificate-based".
    adjective: &'static str,
    /// Where it is mounted, below `auth/`.
    mount: String,
    /// The role to log in as, where it has a name that may be shown.
    role: Option<String>,
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
        Ok(match needed(settings, "auth_method")?.expose() {
            "token" => Self::Token(needed(settings, "token")?),
            "approle" => Self::AppRole(AppRole::new(settings)?),
            "kubernetes" => Self::Kubernetes(Kubernetes::new(settings)?),
            "cert" => Self::Cert(Cert::new(settings)?),
            _ => Self::Jwt(Box::new(Jwt::new(settings)?)),
        })
    }

    /// Who this side is in TLS, where that is how it logs in.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Cert(login) => Some(login.identity()),
            _ => None,
        }
    }

    /// Its name in the configuration.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::AppRole(_) => "approle",
            Self::Kubernetes(_) => "kubernetes",
            Self::Cert(_) => "cert",
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
            Self::AppRole(login) => login.client_token(api, trail).await,
            Self::Kubernetes(login) => login.client_token(api, trail).await,
            Self::Cert(login) => login.client_token(api, trail).await,
            Self::Jwt(login) => login.client_token(api, trail).await,
        }
    }
}

impl Method {
    /// Begins the step in which this login happens.
    fn step<'a>(&self, api: &Api, trail: &'a Trail) -> OpenStep<'a> {
        let mut step = trail.step("log in to the vault");
        step.fact("method", self.name);
        step.fact("vault", api.address());
        step.fact("path", format_args!("auth/{}/login", self.mount));
        if let Some(role) = &self.role {
            step.fact("role", role);
        }
        if let Some(namespace) = api.namespace() {
            step.fact("namespace", namespace);
        }
        step
    }

    /// Sends the login and reads its answer. `fields` become the JSON object; those that are credentials are blotted
    /// out of what is shown of a refusal. `advice` may know from the vault's words (in lower case) what to do.
    async fn log_in(
        &self,
        api: &Api,
        step: &mut OpenStep<'_>,
        fields: &[(&str, &Secret)],
        advice: impl Fn(u16, &str) -> Option<String>,
    ) -> Result<Fresh<Token>, VaultError> {
        let credentials: Vec<_> =
            fields.iter().filter(|(name, _)| !is_role(name)).map(|(_, value)| *value).collect();
        let reply =
            api.post(&format!("auth/{}/login", self.mount), json_object(fields), &credentials).await?;
        self.answered(&reply, step, advice)
    }

    /// What to make of a login's answer.
    fn answered(
        &self,
        reply: &Reply,
        step: &mut OpenStep<'_>,
        advice: impl Fn(u16, &str) -> Option<String>,
    ) -> Result<Fresh<Token>, VaultError> {
        if !reply.is_success() {
            let what = format!("performing {} authentication", self.adjective);
            return Err(refused(reply, "", what, |status, body| {
                let body = body.to_lowercase();
                Some(advice(status, &body).unwrap_or_else(|| self.hint(status, &body)))
            }));
        }
        let garbled = |message: &str| VaultError::Garbled {
            message: message.to_owned(),
            hint: Some("check that host and port are those of a vault".to_owned()),
        };
        // serde's own words would quote the reply.
        let read: LoginReply = serde_json::from_slice(reply.body())
            .map_err(|_| garbled("the answer to the login is not a login's JSON"))?;
        let auth = read.auth.ok_or_else(|| garbled("the answer to the login has no auth"))?;
        let token = auth.client_token.filter(|token| !token.expose().is_empty());
        let token = token.ok_or_else(|| garbled("the answer to the login has no client token"))?;
        step.fact("token policies", reply.cleaned(&auth.token_policies.unwrap_or_default().join(", ")));
        step.fact("token life", format_args!("{} s", auth.lease_duration));
        step.fact("token renewable", auth.renewable);
        Ok(token::fresh(token, auth.lease_duration, auth.renewable, auth.num_uses))
    }

    /// What to do when the vault's words say no more than that.
    fn hint(&self, status: u16, body: &str) -> String {
        let Self { title, mount, .. } = self;
        if body.contains("cannot create root tokens") {
            return format!(
                "the policies of this login name `root`, which no login may give: set others with token_policies \
                 ({})",
                self.command()
            );
        }
        if matches!(status, 403 | 404) {
            return format!("is the {title} auth method enabled at auth/{mount}? `vault auth list` shows it");
        }
        format!("see `vault read auth/{mount}/config` and {}, and the vault's log", self.command())
    }

    /// How to look at the role.
    fn command(&self) -> String {
        let folder = if self.name == "cert" { "certs" } else { "role" };
        match &self.role {
            Some(role) => format!("`vault read auth/{}/{folder}/{role}`", self.mount),
            None => format!("`vault list auth/{}/{folder}`", self.mount),
        }
    }

    /// That there is no such role.
    fn no_role(&self) -> String {
        let folder = if self.name == "cert" { "certs" } else { "role" };
        let (mount, role) = (&self.mount, self.role.as_deref().unwrap_or_default());
        format!(
            "there is no role {role:?} at auth/{mount}; `vault list auth/{mount}/{folder}` shows those that exist"
        )
    }
}

/// A field's value, which must be there by now.
fn needed(settings: &Settings, name: &'static str) -> Result<Secret, FieldError> {
    settings.text(name).ok_or_else(|| FieldError::new(name, "required field missing"))
}

/// The name of a mount.
fn mount(settings: &Settings, name: &'static str) -> Result<String, FieldError> {
    Ok(super::api::mount(needed(settings, name)?.expose()).to_owned())
}

fn is_role(field: &str) -> bool {
    matches!(field, "role" | "name")
}

/// A JSON object of texts, in one buffer that is wiped and never grows.
fn json_object(fields: &[(&str, &Secret)]) -> Zeroizing<String> {
    // Every character may need six: `\u001f`.
    let length = fields.iter().map(|(name, value)| name.len() + 6 * value.expose().len() + 6).sum::<usize>();
    let mut json = Zeroizing::new(String::with_capacity(length + 2));
    json.push('{');
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push('"');
        json.push_str(name);
        json.push_str("\":\"");
        push_escaped(&mut json, value.expose());
        json.push('"');
    }
    json.push('}');
    json
}

/// Escapes as RFC 8259, 7 asks.
fn push_escaped(json: &mut String, text: &str) {
    use std::fmt::Write as _;

    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            // Writing to a string cannot fail.
            c if c < ' ' => drop(write!(json, "\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
