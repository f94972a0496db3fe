//! The token of one plugin: got when it is needed, kept, and renewed before it ends.
//!
//! Owns: that the identity provider is asked once for all requests that wait, not at all for those that need not, and not
//! again and again while it fails. Must not know: requests. A token outlives a change of the configuration as long as it is
//! what the new one asks for: when the client's secret rotates, the old token serves until the new one is there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use postern_client::Client;
use postern_secrets::oauth2::{AccessToken, FieldNames, OAuth2Error, TokenClient};
use postern_secrets::trail::Trail;
use tokio::runtime::Handle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::prepared::Living;
use crate::renewal::Renewal;

/// For how long a failure is the answer for who comes next.
const FAILING: Duration = Duration::from_secs(1);
/// A token is renewed when less than a fifth of its life is left, or so much.
const RENEWED: Duration = Duration::from_secs(30);
/// As users of this plugin know them.
const NAMES: FieldNames = FieldNames {
    endpoint: "oauth.token_endpoint",
    client_id: "oauth.client_id",
    client_secret: "oauth.client_secret",
    audiences: "oauth.audience",
};

/// Where tokens come from.
pub(super) struct Source {
    pub(super) grant: TokenClient,
    /// Which token it is, whatever secret it is got with.
    pub(super) what: [u8; 32],
    /// A hash of the secrets that it is got with.
    pub(super) with: [u8; 32],
    pub(super) client: Client,
    /// How long before its end a token has ended.
    pub(super) eagerly: Duration,
}

/// A source in effect.
struct Present {
    source: Source,
    renewal: Renewal,
    /// Where renewals run.
    runtime: Handle,
}

/// A token that is kept.
pub(super) struct Token {
    /// `Bearer` and the token.
    pub(super) header: HeaderValue,
    what: [u8; 32],
    /// It is renewed from here on.
    renewed_from: Instant,
    ends: Instant,
}

#[derive(Default)]
pub(super) struct Tokens {
    source: ArcSwapOption<Present>,
    token: ArcSwapOption<Token>,
    /// Held by who asks.
    asking: Arc<tokio::sync::Mutex<()>>,
    failed: Mutex<Option<(Instant, Arc<String>)>>,
}

impl Tokens {
    /// From now on they come from here.
    pub(super) fn ask_here_from_now_on(self: &Arc<Self>, source: Source, living: &Living<'_>) {
        let with = source.with;
        let present = Present { source, renewal: living.renewal.clone(), runtime: living.io.clone() };
        let before = self.source.swap(Some(Arc::new(present)));
        if before.is_some_and(|before| before.source.with != with) {
            // What failed with the old secret may work with the new one.
            *self.failed() = None;
            // Got with a secret that is no longer ours: it serves on until there is another.
            if self.token.load().is_some() {
                self.renew();
            }
        }
    }

    /// A token that needs no waiting for. If its end is near, a new one is got meanwhile.
    pub(super) fn at_hand(self: &Arc<Self>) -> Option<Arc<Token>> {
        let (source, token) = (self.source.load(), self.token.load_full()?);
        let now = Instant::now();
        if token.what != source.as_ref()?.source.what || token.ends <= now {
            return None;
        }
        if token.renewed_from <= now {
            self.renew();
        }
        Some(token)
    }

    /// A token, after waiting for it.
    ///
    /// # Errors
    /// Why there is none, for the log: it holds no credential.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Arc<Token>, Arc<String>> {
        let _asking = self.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(token) = self.at_hand() {
            return Ok(token);
        }
        if let Some((_, reason)) = self.failed().as_ref().filter(|(at, _)| at.elapsed() < FAILING) {
            return Err(Arc::clone(reason));
        }
        self.ask().await
    }

    /// Forgets a token that the upstream does not take, unless another one is there already.
    pub(super) fn purge(&self, token: &Arc<Token>) {
        self.token.compare_and_swap(token, None);
    }

    /// Gets a new one in the background, unless that is under way or has just failed.
    fn renew(self: &Arc<Self>) {
        let runtime = self.source.load().as_ref().map(|present| present.runtime.clone());
        let is_failing = self.failed().as_ref().is_some_and(|(at, _)| at.elapsed() < FAILING);
        if let Some(runtime) = runtime.filter(|_| !is_failing)
            && let Ok(asking) = Arc::clone(&self.asking).try_lock_owned()
        {
            let tokens = Arc::clone(self);
            runtime.spawn(async move {
                if let Err(reason) = tokens.ask().await {
                    tracing::warn!(
                        reason = reason.as_str(),
                        "a token could not be renewed; the old one serves on"
                    );
                }
                drop(asking);
            });
        }
    }

    /// Asks, and once more with fresh credentials where ours are refused.
    async fn ask(&self) -> Result<Arc<Token>, Arc<String>> {
        let source = || self.source.load_full().ok_or_else(|| Arc::new("there is no source".to_owned()));
        let mut asked = source()?;
        let mut got = asked.source.ask().await;
        if got.as_ref().is_err_and(OAuth2Error::refuses_the_client) && asked.renewal.renew().await {
            asked = source()?;
            got = asked.source.ask().await;
        }
        let got = got.map_err(|error| told(&error)).and_then(|token| asked.source.keep(&token));
        match got {
            Ok(token) => {
                let token = Arc::new(token);
                self.token.store(Some(Arc::clone(&token)));
                *self.failed() = None;
                Ok(token)
            }
            Err(reason) => {
                let reason = Arc::new(reason);
                *self.failed() = Some((Instant::now(), Arc::clone(&reason)));
                Err(reason)
            }
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<String>)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no token, and what to do.
fn told(error: &OAuth2Error) -> String {
    error.hint(&NAMES).map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"))
}

impl Source {
    async fn ask(&self) -> Result<AccessToken, OAuth2Error> {
        self.grant.token(&self.client, &Trail::off()).await
    }

    /// As it is sent and for as long as it lives.
    fn keep(&self, token: &AccessToken) -> Result<Token, String> {
        let text = Zeroizing::new(["Bearer ", token.token.expose()].concat());
        let header = HeaderValue::from_str(&text);
        let mut header = header.map_err(|_| "the token cannot stand in a header".to_owned())?;
        header.set_sensitive(true);
        let now = Instant::now();
        // An IdP may say anything; a day is enough before it is asked again.
        let life = token.life.min(Duration::from_secs(86_400)).saturating_sub(self.eagerly);
        let renewed = life.saturating_sub((life / 5).min(RENEWED));
        Ok(Token { header, what: self.what, renewed_from: now + renewed, ends: now + life })
    }
}
