//! What every kind of vault can do, and how it fails.
//!
//! Owns: the trait and the error. Must not know: any one kind, references, or caching; `resolve` calls the trait,
//! and `backend/` implements it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::time::Instant;

use crate::reference::Version;
use crate::settings::Settings;
use crate::trail::Trail;
use postern_client::TransportError;
use postern_secret::Secret;

/// A place that holds secrets. One instance serves all references whose settings agree in everything that a
/// reference cannot override, so it is where logins and connections are shared.
#[async_trait]
pub trait Vault: Debug + Send + Sync {
    /// Reads one resource, whole.
    async fn read(&self, request: &Read<'_>) -> Result<Reading, VaultError>;

    /// Another resource that a reference with a key may mean, tried when the first is absent; no key is picked
    /// from it.
    fn alternative(&self, _resource: &str, _key: &str) -> Option<String> {
        None
    }

    /// What the session says of itself, for people.
    fn session(&self) -> SessionStatus {
        SessionStatus::default()
    }

    /// When [`Vault::maintain`] wants to be called: before a token ends, say.
    fn maintenance_due(&self) -> Option<Instant> {
        None
    }

    /// Does what is due.
    async fn maintain(&self) {}
}

/// What is known of a session.
#[derive(Clone, Debug, Default)]
pub struct SessionStatus {
    /// Where the vault is.
    pub address: String,
    /// How it logs in.
    pub login: &'static str,
    /// Whether it holds a token now.
    pub logged_in: bool,
    /// When that token ends; `None` if it does not, or if there is none.
    pub token_ends: Option<Instant>,
}

/// What to read.
#[derive(Debug)]
pub struct Read<'a> {
    /// The effective settings: what the vault is configured with, overlaid with the reference's options.
    pub settings: &'a Settings,
    /// The resource, decoded.
    pub resource: &'a str,
    /// The version; each kind says what it means.
    pub version: Option<Version>,
    /// Where the steps are noted.
    pub trail: &'a Trail,
}

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Text, or the JSON text of an object.
    pub text: Secret,
    /// For how long the vault has given it; `None` where it says nothing of that.
    pub lease: Option<Lease>,
}

/// The loan of a secret that the vault takes back: credentials made for one reader, say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What the vault calls it; whoever may write to the vault could end it by that.
    pub id: Secret,
    /// From the read on. After that the secret is of no use any longer.
    pub duration: Duration,
    /// Whether the vault may give it for longer.
    pub is_renewable: bool,
}

impl From<Secret> for Reading {
    /// What is not on loan.
    fn from(text: Secret) -> Self {
        Self { text, lease: None }
    }
}

/// Who has to act when a read fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever wrote the configuration or the secret.
    Operator,
    /// The vault, or the way to it.
    Vault,
    /// The identity provider, or the way to it.
    Idp,
}

/// Why a vault gave no value. The text holds Kong's documented words where there are some, and no secret.
#[derive(Clone, Debug, Error)]
pub enum VaultError {
    /// The vault answered, and there is nothing under that name.
    #[error("{}", .message.as_deref().unwrap_or("no value found"))]
    Absent {
        /// What exactly is absent; `None` where there is no more to say than that.
        message: Option<String>,
        /// What to do.
        hint: Option<String>,
    },
    /// The request cannot be made, or its answer cannot be used, as things are configured.
    #[error("{message}")]
    Unusable {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The vault said no.
    #[error("{doing}invalid response code {status} received when {what}: {body}")]
    Refused {
        /// What was to be done, as a prefix ending in `: `, or nothing.
        doing: &'static str,
        /// What was asked: "performing jwt authentication".
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the vault said: shortened, without control characters, without anything that we sent in secret.
        body: String,
        /// What to do.
        hint: Option<String>,
        /// For how long the vault asked not to be asked.
        retry_after: Option<Duration>,
    },
    /// The vault failed so often that it is not asked now.
    #[error("{why} (not asked again for {} s)", .wait.as_secs().max(1))]
    Held {
        /// What it failed with.
        why: String,
        /// For how long.
        wait: Duration,
    },
    /// The vault's answer is not what a vault answers.
    #[error("unable to retrieve secret from vault: {message}")]
    Garbled {
        /// What is wrong with it; nothing of its text.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The vault could not be spoken to.
    #[error("unable to retrieve secret from vault: {0}")]
    Unreachable(#[source] Arc<TransportError>),
    /// The vault could not be spoken to over TLS for a login by certificate, which Kong tells in other words.
    #[error("failure performing certificate-based authentication: {0}")]
    CertLogin(#[source] Arc<TransportError>),
    /// The IdP gave no token.
    #[error("unable to get a token from the identity provider: {message}")]
    Idp {
        /// What it said, or why it could not be spoken to.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// Whether trying again may help.
        transient: bool,
    },
}

impl VaultError {
    /// Something that configuration or content rules out.
    pub fn unusable(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unusable { message: message.into(), hint: Some(hint.into()) }
    }

    /// Who has to act.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Absent { .. } | Self::Unusable { .. } => Blame::Operator,
            Self::Refused { status: 400..=404, .. } => Blame::Operator,
            Self::Refused { .. }
            | Self::Held { .. }
            | Self::Garbled { .. }
            | Self::Unreachable(_)
            | Self::CertLogin(_) => Blame::Vault,
            Self::Idp { .. } => Blame::Idp,
        }
    }

    /// Whether the same read may succeed later with nothing changed on our side.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Absent { .. } | Self::Unusable { .. } => false,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Held { .. } | Self::Garbled { .. } | Self::Unreachable(_) | Self::CertLogin(_) => true,
            Self::Idp { transient, .. } => *transient,
        }
    }

    /// For how long it was not asked at all, because it failed before.
    pub fn held(&self) -> Option<Duration> {
        match self {
            Self::Held { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    /// For how long not to ask again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Held { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    /// What to do about it, for people.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Absent { hint, .. }
            | Self::Unusable { hint, .. }
            | Self::Refused { hint, .. }
            | Self::Garbled { hint, .. }
            | Self::Idp { hint, .. } => hint.clone(),
            Self::Held { .. } => None,
            Self::Unreachable(cause) | Self::CertLogin(cause) => cause.hint(),
        }
    }
}
