//! Unwrapping a secret id, which a wrapping token allows once.
//!
//! Owns: that no token is used up twice. What was unwrapped is held in memory for all later logins, also when the file
//! with the token is gone by then; another token in that file is unwrapped in its turn. A request whose answer did not
//! arrive, or was not clear, may have used the token up: before it is sent again the vault is asked whether the token is
//! still there, which does not use it. Must not know: how the secret id is used.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::backend::hcv::api::{Api, refused};
use crate::backend::hcv::login::json_object;
use crate::trail::Trail;
use crate::vault::VaultError;
use postern_client::{Reply, TransportError};
use postern_secret::Secret;

/// The vault's words for a token that was used, has expired, or never was.
const NOT_THERE: &str = "wrapping token is not valid";

/// What came of the wrapping tokens so far.
#[derive(Debug, Default)]
pub(super) struct Unwrapped(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The last secret id that was unwrapped.
    secret_id: Option<Secret>,
    /// The last wrapping token that was sent, and what came of it.
    last: Option<(Secret, Came)>,
}

#[derive(Debug)]
enum Came {
    /// The secret id that is held.
    SecretId,
    /// Nothing, for good.
    Nothing(VaultError),
    /// It may have been used up, or not.
    Unknown(String),
}

#[derive(Deserialize)]
struct UnwrapReply {
    data: Option<Wrapped>,
}

#[derive(Deserialize)]
struct Wrapped {
    secret_id: Option<Secret>,
}

impl Unwrapped {
    /// The secret id that `wrapping` wraps, unwrapped now or earlier.
    pub(super) async fn secret_id(
        &self,
        wrapping: Result<Secret, VaultError>,
        api: &Api,
        mount: &str,
        trail: &Trail,
    ) -> Result<Secret, VaultError> {
        let mut step = trail.step("unwrap the secret id");
        step.fact("vault", api.address());
        let (state, api, mount) = (Arc::clone(&self.0), api.clone(), mount.to_owned());
        // A task of its own: whoever asks may leave in the middle, and the answer comes once.
        let task = tokio::spawn(async move { state.lock().await.secret_id(wrapping, &api, &mount).await });
        let outcome = task.await.unwrap_or_else(|_| {
            Err(VaultError::unusable("the unwrapping was cancelled", "start again with a new wrapping token"))
        });
        step.done(outcome)
    }
}

impl State {
    async fn secret_id(
        &mut self,
        wrapping: Result<Secret, VaultError>,
        api: &Api,
        mount: &str,
    ) -> Result<Secret, VaultError> {
        let held = self.secret_id.clone();
        let outcome = match wrapping {
            Ok(wrapping) => self.unwrapped(wrapping, api, mount).await,
            Err(error) => Err(error),
        };
        match (outcome, held) {
            (Err(error), Some(held)) => {
                tracing::warn!(%error, "no new secret id was unwrapped; the login goes on with the one before");
                Ok(held)
            }
            (outcome, _) => outcome,
        }
    }

    async fn unwrapped(&mut self, wrapping: Secret, api: &Api, mount: &str) -> Result<Secret, VaultError> {
        let last = self.last.as_ref().filter(|(token, _)| *token == wrapping).map(|(_, came)| came);
        match (last, &self.secret_id) {
            (Some(Came::SecretId), Some(secret_id)) => return Ok(secret_id.clone()),
            (Some(Came::Nothing(error)), _) => return Err(error.clone()),
            (Some(Came::Unknown(why)), _) => {
                if let Err(error) = still_there(&wrapping, api, mount, why).await {
                    if let Some(came @ Came::Nothing(_)) = Came::with(&error) {
                        self.last = Some((wrapping, came));
                    }
                    return Err(error);
                }
            }
            _ => {}
        }
        // Should this be broken off, nobody knows either.
        self.last = Some((wrapping.clone(), Came::Unknown("it was broken off".to_owned())));
        match unwrap(&wrapping, api, mount).await {
            Ok(secret_id) => {
                self.last = Some((wrapping, Came::SecretId));
                self.secret_id = Some(secret_id.clone());
                Ok(secret_id)
            }
            Err(error) => {
                self.last = Came::with(&error).map(|came| (wrapping, came));
                Err(error)
            }
        }
    }
}

impl Came {
    /// What a failure means for the token; `None`: nothing, the vault did not see it.
    fn with(error: &VaultError) -> Option<Self> {
        match error {
            VaultError::Unusable { .. } => Some(Self::Nothing(error.clone())),
            VaultError::Refused { body, .. } if body.contains(NOT_THERE) => {
                Some(Self::Nothing(error.clone()))
            }
            VaultError::Unreachable(cause) if was_not_sent(cause) => None,
            _ => Some(Self::Unknown(error.to_string())),
        }
    }
}

/// Uses the token up. It goes into the header alone: given in the body as well it would be used twice.
async fn unwrap(wrapping: &Secret, api: &Api, mount: &str) -> Result<Secret, VaultError> {
    let reply = api.post_as("sys/wrapping/unwrap", Zeroizing::new("{}".to_owned()), wrapping).await?;
    unwrapped(&reply, mount)
}

/// What to make of the answer to the unwrapping.
pub(in crate::backend::hcv::login) fn unwrapped(reply: &Reply, mount: &str) -> Result<Secret, VaultError> {
    if !reply.is_success() {
        return Err(not_unwrapped(reply, || used_or_expired(mount)));
    }
    // serde's own words would quote the reply.
    let garbled = |message: &str| VaultError::Garbled { message: message.to_owned(), hint: None };
    let reply: UnwrapReply = serde_json::from_slice(reply.body())
        .map_err(|_| garbled("the answer to the unwrapping is not a vault's JSON"))?;
    let wrapped = reply.data.ok_or_else(|| garbled("the answer to the unwrapping has no data"))?;
    wrapped.secret_id.filter(|secret_id| !secret_id.expose().is_empty()).ok_or_else(|| {
        VaultError::unusable(
            "what the wrapping token wrapped is no secret id",
            format!("the token is used up now. A new one: {}", new_token(mount)),
        )
    })
}

/// Asks whether the token can still be unwrapped.
async fn still_there(wrapping: &Secret, api: &Api, mount: &str, why: &str) -> Result<(), VaultError> {
    let json = json_object(&[("token", wrapping)]);
    let reply = api.post("sys/wrapping/lookup", json, &[wrapping]).await?;
    if reply.is_success() {
        return Ok(());
    }
    Err(not_unwrapped(&reply, || {
        format!(
            "an earlier attempt to unwrap it ended without a clear answer ({why}), and the secret id may have been in \
             that answer. A new wrapping token: {}",
            new_token(mount)
        )
    }))
}

fn not_unwrapped(reply: &Reply, hint: impl Fn() -> String) -> VaultError {
    refused(reply, "", "unwrapping the secret id".to_owned(), |_, body| body.contains(NOT_THERE).then(&hint))
}

fn used_or_expired(mount: &str) -> String {
    format!(
        "the wrapping token was used already, or has expired. It can be unwrapped once, so each process needs one of \
         its own: {}. If nobody of yours used it, somebody else knows the secret id now: destroy it",
        new_token(mount)
    )
}

fn new_token(mount: &str) -> String {
    format!("`vault write -wrap-ttl=5m -force auth/{mount}/role/ROLE/secret-id`")
}

/// Whether the request certainly did not get to the vault.
fn was_not_sent(cause: &TransportError) -> bool {
    match cause {
        TransportError::Connect { .. }
        | TransportError::Untrusted(_)
        | TransportError::Tls(_)
        | TransportError::Request(_) => true,
        TransportError::Broken { .. } | TransportError::Timeout { .. } | TransportError::TooLarge { .. } => {
            false
        }
    }
}
