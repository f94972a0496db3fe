//! What changes, told as it happens: `/events`, as server-sent events.
//!
//! Owns: the stream of one listener. It keeps nothing for a slow one: whoever reads again is told what changed since he
//! last read, each row once; or, where that is not known any longer, that he missed something. The identifier of an event
//! is its revision, so a client that connects again goes on where it was.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use http::StatusCode;
use postern_config::store::Revision;
use postern_secrets::rotate::{Engine, ReferenceState};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::Admin;
use super::call::{Answered, Call};
use super::error::Refusal;
use super::secrets::word;

/// More than so many at once are not told one by one.
const CHANGES_MAX: usize = 1000;
/// How often the state of secrets is looked at, and how long a store that fails is left alone.
const SECRETS_EVERY: Duration = Duration::from_secs(1);

/// `/events`
pub(crate) fn events(call: &Call<'_>) -> Answered {
    let listeners = std::sync::Arc::clone(&call.admin.0.listeners);
    let place =
        listeners.try_acquire_owned().map_err(|_| Refusal::Busy(StatusCode::SERVICE_UNAVAILABLE, 10))?;
    let last = match call.headers.get("last-event-id") {
        None => None,
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| Refusal::Bad("Last-Event-ID must be a revision".to_owned()))?)
        }
    };
    let listener = Listener {
        admin: call.admin.clone(),
        engine: call.admin.node().engine(),
        revision: last,
        secrets: None,
        ready: VecDeque::new(),
        _place: place,
    };
    Ok(Sse::new(stream(listener)).keep_alive(KeepAlive::default()).into_response())
}

struct Listener {
    admin: Admin,
    engine: Option<Engine>,
    /// What was told; `None` before the first look.
    revision: Option<Revision>,
    secrets: Option<HashMap<String, ReferenceState>>,
    ready: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

fn stream(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold(listener, |mut listener| async move {
        loop {
            if let Some(event) = listener.ready.pop_front() {
                return Some((Ok(event), listener));
            }
            listener.look().await;
        }
    })
}

impl Listener {
    /// Waits for something, and makes events of it.
    async fn look(&mut self) {
        self.secrets();
        let Some(revision) = self.revision else {
            return self.begin().await;
        };
        let waited = tokio::time::timeout(SECRETS_EVERY, self.admin.store().changed(revision)).await;
        if waited.is_err() {
            return;
        }
        match self.admin.store().since(revision).await {
            Ok(Some(changes)) if changes.changes.len() <= CHANGES_MAX => {
                for change in changes.changes {
                    let operation = if change.deleted { "delete" } else { "write" };
                    let told = json!({
                        "revision": change.revision, "entity_name": change.kind, "entity_id": change.id,
                        "operation": operation, "at": change.at, "by": change.by,
                    });
                    self.tell("configuration", Some(change.revision), &told);
                }
                self.revision = Some(changes.revision);
            }
            Ok(Some(changes)) => self.missed(changes.revision),
            // The store does not know so far back.
            Ok(None) => self.begin_again().await,
            Err(_) => tokio::time::sleep(SECRETS_EVERY).await,
        }
    }

    /// Where it stands now. The first event says so, so that a client knows that it is heard.
    async fn begin(&mut self) {
        match self.newest().await {
            Some(revision) => {
                self.revision = Some(revision);
                self.tell("hello", Some(revision), &json!({ "revision": revision }));
            }
            None => tokio::time::sleep(SECRETS_EVERY).await,
        }
    }

    async fn begin_again(&mut self) {
        match self.newest().await {
            Some(revision) => self.missed(revision),
            None => tokio::time::sleep(SECRETS_EVERY).await,
        }
    }

    async fn newest(&self) -> Option<Revision> {
        let store = self.admin.store();
        match store.history(1).await.ok()?.first() {
            Some(change) => Some(change.revision),
            // A store may have forgotten its history, but not where it stands.
            None => Some(store.all().await.ok()?.0),
        }
    }

    fn missed(&mut self, revision: Revision) {
        self.revision = Some(revision);
        self.tell("missed", Some(revision), &json!({ "revision": revision }));
    }

    /// What has another state than when it was last looked at.
    fn secrets(&mut self) {
        let Some(engine) = &self.engine else { return };
        let references = engine.status().references;
        let now: HashMap<String, ReferenceState> =
            references.iter().map(|status| (status.reference.clone(), status.state)).collect();
        if let Some(before) = self.secrets.replace(now) {
            for status in references {
                let was = before.get(&status.reference);
                if was == Some(&status.state) {
                    continue;
                }
                let told = json!({
                    "reference": status.reference, "vault": status.vault,
                    "state": word(status.state), "was": was.map(|was| word(*was)),
                });
                self.tell("secret", None, &told);
            }
        }
    }

    fn tell(&mut self, name: &str, revision: Option<Revision>, told: &serde_json::Value) {
        let event = Event::default().event(name).data(told.to_string());
        self.ready.push_back(match revision {
            Some(revision) => event.id(revision.to_string()),
            None => event,
        });
    }
}
