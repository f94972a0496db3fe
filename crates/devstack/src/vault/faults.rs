//! What the vault was told to do wrong, and how many requests it got.
//!
//! Owns switches and counters; decides before the request is looked at. Must not know tokens or secrets.

use crate::wire::{Payload, Response};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a request is about, told from its path alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathClass {
    /// `auth/<mount>/login`.
    Login,
    /// `auth/token/...`.
    Token,
    /// The rest of `auth/...`: configuration and roles.
    Auth,
    /// `sys/health`, `sys/seal-status`, `sys/leader`, `sys/init`.
    Health,
    /// `sys/wrapping/...`.
    Wrapping,
    /// The rest of `sys/...`.
    System,
    /// Everything else: the secrets engines.
    Secret,
}

impl PathClass {
    /// Of a path as sent, with `/v1/` in front.
    fn of(path: &str) -> Self {
        let path = path.strip_prefix("/v1/").unwrap_or(path);
        match path.split_once('/') {
            Some(("auth", rest)) if rest.starts_with("token/") => Self::Token,
            Some(("auth", rest)) if rest.ends_with("/login") => Self::Login,
            Some(("auth", _)) => Self::Auth,
            Some(("sys", "health" | "seal-status" | "leader" | "init")) => Self::Health,
            Some(("sys", rest)) if rest.starts_with("wrapping/") => Self::Wrapping,
            Some(("sys", _)) => Self::System,
            _ => Self::Secret,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Nonsense {
    Garbage,
    Huge(u64),
    Silence,
}

/// What to do with a request.
pub(super) enum Outcome {
    Proceed,
    Answer(Response),
    Silence,
}

#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    delay: Duration,
    nonsense: Option<Nonsense>,
    failures: Vec<Failure>,
    counts: HashMap<(String, PathClass), u64>,
}

#[derive(Debug)]
struct Failure {
    class: Option<PathClass>,
    left: usize,
    status: u16,
    body: String,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(super) fn set(&self, nonsense: Option<Nonsense>) {
        self.lock().nonsense = nonsense;
    }

    pub(super) fn fail_next(&self, class: Option<PathClass>, n: usize, status: u16, body: &str) {
        let mut state = self.lock();
        state.failures.retain(|failure| failure.class != class);
        state.failures.push(Failure { class, left: n, status, body: body.to_owned() });
    }

    pub(super) fn count_one(&self, method: &str, path: &str) {
        *self.lock().counts.entry((method.to_owned(), PathClass::of(path))).or_default() += 1;
    }

    pub(super) fn count(&self, method: &str, class: PathClass) -> u64 {
        self.lock().counts.get(&(method.to_owned(), class)).copied().unwrap_or_default()
    }

    /// Waits, and decides.
    pub(super) async fn strike(&self, path: &str) -> Outcome {
        let delay = self.lock().delay;
        tokio::time::sleep(delay).await;
        let mut state = self.lock();
        let class = PathClass::of(path);
        let hit = |failure: &&mut Failure| failure.left > 0 && failure.class.is_none_or(|it| it == class);
        if let Some(failure) = state.failures.iter_mut().find(hit) {
            failure.left -= 1;
            return Outcome::Answer(Response::text(failure.status, "application/json", failure.body.clone()));
        }
        match state.nonsense {
            None => Outcome::Proceed,
            Some(Nonsense::Silence) => Outcome::Silence,
            Some(Nonsense::Garbage) => {
                Outcome::Answer(Response::text(200, "application/json", &b"\x00\xff{\"data\": not json"[..]))
            }
            Some(Nonsense::Huge(bytes)) => {
                Outcome::Answer(Response { body: Payload::Endless(bytes), ..Response::empty(200) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_path_is_about() {
        let table = [
            ("/v1/auth/jwt/login", PathClass::Login),
            ("/v1/auth/a/b/login", PathClass::Login),
            ("/v1/auth/token/lookup-self", PathClass::Token),
            ("/v1/auth/jwt/role/demo", PathClass::Auth),
            ("/v1/sys/health", PathClass::Health),
            ("/v1/sys/wrapping/unwrap", PathClass::Wrapping),
            ("/v1/sys/mounts", PathClass::System),
            ("/v1/secret/data/password", PathClass::Secret),
        ];
        for (path, class) in table {
            assert_eq!(PathClass::of(path), class, "{path}");
        }
    }
}
