//! The client token of a session: got once, kept while it lives, renewed in time, replaced when it dies.
//!
//! Owns: when to log in, and when not to: a policy that denies must never make a storm of logins. Must not know: how a
//! login works ([`super::login`]), or what a token is used for.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::api::Api;
use super::login::Login;
use crate::backoff::Backoff;
use crate::kept::{Fresh, Held, Kept};
use crate::trail::Trail;
use crate::vault::VaultError;
use postern_secret::Secret;

/// After logins that did not help.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// When a renewal failed for a passing reason, it is tried again after this.
const RENEW_AGAIN: Duration = Duration::from_secs(5);

/// The client token of a session.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    kept: Kept<Token, VaultError>,
    relogin: Mutex<Relogin>,
    proven: Mutex<Proven>,
    /// No renewal before this.
    renew_after: Mutex<Option<Instant>>,
}

/// A client token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) secret: Secret,
    pub(super) renewable: bool,
    /// How often it may still be used; `None`: as often as one likes.
    pub(super) uses: Option<Arc<AtomicU64>>,
}

/// Logins because of refusals: each that does not help makes the next wait longer.
#[derive(Debug, Default)]
struct Relogin {
    not_before: Option<Instant>,
    in_vain: u32,
}

/// What a token was good for. Refused there all the same, it was revoked, or the policy changed: a login helps or tells.
/// Refused elsewhere, it is most likely the policy that denies, and a login helps nobody.
#[derive(Debug, Default)]
struct Proven {
    token: Option<Secret>,
    /// Digests of paths.
    paths: HashSet<u64>,
}

/// The answer to a renewal.
#[derive(Deserialize)]
struct Renewed {
    auth: Option<RenewedAuth>,
}

#[derive(Deserialize)]
struct RenewedAuth {
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

impl Token {
    /// Takes one of its uses, if it has one left.
    fn take_use(&self) -> bool {
        let Some(uses) = &self.uses else { return true };
        let taken = |left: u64| left.checked_sub(1);
        uses.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).is_ok()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Tokens {
    /// Those of a session that has just logged in.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn holding(fresh: Fresh<Token>) -> Self {
        use futures_util::FutureExt as _;

        let tokens = Self::default();
        let _ = tokens.kept.get(|_| true, || std::future::ready(Ok(fresh))).now_or_never();
        tokens
    }

    /// A token for one request. Its use is counted.
    pub(super) async fn take(&self, login: &Login, api: &Api, trail: &Trail) -> Result<Token, VaultError> {
        self.kept.get(Token::take_use, || login.client_token(api, trail)).await
    }

    /// Another token instead of one that was refused for `path`, if logging in again may help and it is not too soon
    /// for it.
    pub(super) async fn replace(
        &self,
        refused: &Token,
        path: u64,
        login: &Login,
        api: &Api,
        trail: &Trail,
    ) -> Option<Result<Token, VaultError>> {
        if !login.can_repeat() {
            return None;
        }
        let is_held = self.kept.peek().is_some_and(|held| held.value == *refused);
        if is_held && !self.may_log_in_again(self.was_good(refused, path)) {
            return None;
        }
        self.kept.forget(refused);
        Some(self.take(login, api, trail).await)
    }

    /// A token was not refused for `path`. `helped` is whether another one was, just before.
    pub(super) fn accepted(&self, token: &Token, path: u64, helped: bool) {
        if helped {
            *self.relogin.lock().unwrap_or_else(PoisonError::into_inner) = Relogin::default();
        }
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.token.as_ref() != Some(&token.secret) {
            // One that is not held any longer is nobody's next token.
            if !self.kept.peek().is_some_and(|held| held.value == *token) {
                return;
            }
            *proven = Proven { token: Some(token.secret.clone()), paths: HashSet::new() };
        }
        proven.paths.insert(path);
    }

    fn was_good(&self, token: &Token, path: u64) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.token.as_ref() == Some(&token.secret) && proven.paths.contains(&path)
    }

    /// When the token is to be renewed: after two thirds of its life.
    pub(super) fn renewal_due(&self) -> Option<Instant> {
        let Held { value, since, life } = self.kept.peek()?;
        // Renewing takes a use, so a token with few uses is better replaced.
        let renewable = value.renewable && value.uses.is_none();
        let due = since + life.filter(|_| renewable)? * 2 / 3;
        let not_before = *self.renew_after.lock().unwrap_or_else(PoisonError::into_inner);
        Some(not_before.map_or(due, |not_before| due.max(not_before)))
    }

    /// The end of the token that is held: none where there is no token, or no end to it.
    pub(super) fn held(&self) -> Option<Option<Instant>> {
        self.kept.peek().map(|held| held.life.map(|life| held.since + life))
    }

    /// Renews the token. One that the vault will not renew is forgotten, which leads to one login.
    pub(super) async fn renew(&self, api: &Api) {
        let Some(Held { value: token, .. }) = self.kept.peek() else { return };
        let trail = Trail::off();
        let step = trail.step("renew the vault token");
        let outcome =
            api.post_as("auth/token/renew-self", Zeroizing::new("{}".to_owned()), &token.secret).await;
        let mut renew_after = None;
        match outcome {
            Ok(reply) if reply.is_success() => {
                let auth =
                    serde_json::from_slice::<Renewed>(reply.body()).ok().and_then(|renewed| renewed.auth);
                match auth {
                    Some(auth) if auth.lease_duration > 0 => {
                        self.kept.extend(&token, Some(Duration::from_secs(auth.lease_duration)));
                        // At the end of its longest life a renewal adds next to nothing: let it run out.
                        if !auth.renewable || auth.lease_duration < 3 {
                            renew_after =
                                Instant::now().checked_add(Duration::from_secs(auth.lease_duration));
                        }
                    }
                    _ => self.kept.forget(&token),
                }
            }
            Ok(reply) if matches!(reply.status, 400 | 403 | 404) => self.kept.forget(&token),
            Ok(_) | Err(_) => renew_after = Some(Instant::now() + RENEW_AGAIN),
        }
        *self.renew_after.lock().unwrap_or_else(PoisonError::into_inner) = renew_after;
        let _ = step.done(Ok::<(), VaultError>(()));
    }

    /// A refusal where the token `was_good` is answered at once. Of others in a row the first is, and each further one
    /// only after a longer pause.
    fn may_log_in_again(&self, was_good: bool) -> bool {
        let mut relogin = self.relogin.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if !was_good && relogin.not_before.is_some_and(|not_before| now < not_before) {
            return false;
        }
        relogin.in_vain = relogin.in_vain.saturating_add(1);
        relogin.not_before = Some(now + BACKOFF.after(relogin.in_vain));
        true
    }
}

/// A token just got.
pub(super) fn fresh(secret: Secret, lease_duration: u64, renewable: bool, num_uses: u64) -> Fresh<Token> {
    let uses = (num_uses > 0).then(|| Arc::new(AtomicU64::new(num_uses)));
    let life = (lease_duration > 0).then(|| Duration::from_secs(lease_duration));
    Fresh { value: Token { secret, renewable, uses }, life }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_life_is_too_long_for_the_times_that_follow_from_it() {
        for seconds in [1, 3600, u64::MAX / 2, u64::MAX] {
            let tokens = Tokens::holding(fresh(Secret::from("t"), seconds, true, 0));
            assert!(tokens.renewal_due().is_some(), "{seconds} s");
            assert!(matches!(tokens.held(), Some(Some(_))), "{seconds} s");
        }
    }
}
