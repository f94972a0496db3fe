//! Who did what: a line for every request that may change something and for every refused one, and the history that the store keeps of every change.
//!
//! Owns: what is told of a request: never its body, its query or its headers, nor a credential that is part of its path.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::call::{Answered, Call, ok};
use super::error::Refusal;
use super::foreign::identifier;
use super::page;
use super::route::{Endpoint, Peer, by_credential};

/// The line for a request, as far as it is known.
pub(crate) struct Entry {
    who: String,
    peer: String,
    method: Method,
    path: String,
}

impl Entry {
    pub(crate) fn new(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<Peer>();
        // What fits no endpoint may hold anything.
        let first = parts.uri.path().split('/').nth(1).unwrap_or_default();
        Self {
            who: "nobody".to_owned(),
            peer: peer.map_or_else(|| "unknown".to_owned(), |peer| peer.address.to_string()),
            method: parts.method.clone(),
            path: format!("/{}/...", first.chars().take(40).collect::<String>()),
        }
    }

    pub(crate) fn who(&mut self, who: &str) {
        who.clone_into(&mut self.who);
    }

    /// The path is known to be one of ours.
    pub(crate) fn path(&mut self, endpoint: &Endpoint, parameters: &[String]) {
        let kinds = endpoint.serves.parameters();
        let mut parameters = parameters.iter().enumerate();
        let part = |part: &str| {
            if !part.starts_with('{') {
                return part.to_owned();
            }
            let Some((index, text)) = parameters.next() else { return String::new() };
            let is_credential = kinds.get(index).is_some_and(|kind| by_credential(*kind));
            match is_credential && identifier(text).is_none() {
                true => "***".to_owned(),
                false => text.clone(),
            }
        };
        self.path = endpoint.path.split('/').map(part).collect::<Vec<_>>().join("/");
    }

    /// A request that may change something, or that was refused for who asks, is told always; the others for who debugs.
    pub(crate) fn write(&self, to: &AuditLog, status: StatusCode, took: Duration) {
        let Self { who, peer, method, path } = self;
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let status = status.as_u16();
        if method.is_safe() && !is_refused {
            tracing::debug!(target: "audit", who, peer, %method, path = ?path, status, milliseconds, "admin request");
            return;
        }
        match to {
            AuditLog::Off => {}
            AuditLog::OwnLog => {
                tracing::info!(target: "audit", who, peer, %method, path = ?path, status, milliseconds, "admin request");
            }
            AuditLog::Lines(write) => {
                let at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
                let line = json!({
                    "time": at, "who": who, "peer": peer, "method": method.as_str(), "path": path, "status": status,
                    "milliseconds": milliseconds,
                });
                write(format!("{line}\n"));
            }
        }
    }
}

/// Where the lines go: one for each request that may change something, and for each that was refused for who asks.
#[derive(Clone, Default)]
pub enum AuditLog {
    /// The node's own log, target `audit`.
    #[default]
    OwnLog,
    /// Nowhere.
    Off,
    /// A function that takes each record as a line of JSON. It must not block.
    Lines(Arc<dyn Fn(String) + Send + Sync>),
}

impl Debug for AuditLog {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnLog => "OwnLog",
            Self::Off => "Off",
            Self::Lines(_) => "Lines",
        })
    }
}

/// `/audit`: the last changes, newest first.
pub(crate) async fn history(call: &Call<'_>) -> Answered {
    let changes = call.admin.store().history(page::size(call)?).await.map_err(Refusal::from)?;
    let data: Vec<_> = changes
        .into_iter()
        .map(|change| {
            json!({
                "revision": change.revision, "entity_name": change.kind, "entity_id": change.id,
                "operation": if change.deleted { "delete" } else { "write" },
                "at": change.at, "by": change.by,
            })
        })
        .collect();
    ok(json!({ "data": data, "next": null }))
}
