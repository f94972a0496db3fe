//! Counts in a Redis, for all plugins that share theirs between nodes.
//!
//! Owns: under which names counts are kept there, what a count is that Redis answers with, and that trouble is told of once a
//! second at most. Must not know: what is counted, which commands count it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use tokio::time::Instant;
use uuid::Uuid;

use super::window::{Period, Window};
use crate::redis::Redis;
use crate::redis::connect::Failure;
use crate::redis::resp::Reply;
use crate::view::Request;

/// A Redis with counts. It outlives a configuration.
#[derive(Default)]
pub(in crate::bundled) struct Remote {
    pub(in crate::bundled) redis: Arc<Redis>,
    /// When was last told of trouble, in milliseconds since the first time.
    told: AtomicU64,
    began: OnceLock<Instant>,
}

impl Remote {
    /// Tells that counts cannot be read, and what comes of it.
    pub(in crate::bundled) fn unreadable(&self, request: &Request, failure: &Failure, fault_tolerant: bool) {
        let what = match fault_tolerant {
            true => "counts cannot be read; requests pass uncounted",
            false => "counts cannot be read; requests are refused",
        };
        self.complain(Some(request), failure, what);
    }

    /// Tells of trouble, once a second at most.
    pub(in crate::bundled) fn complain(&self, request: Option<&Request>, failure: &Failure, what: &str) {
        let began = *self.began.get_or_init(Instant::now);
        let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1000);
        let told = self.told.load(Ordering::Relaxed);
        if now.saturating_sub(told) >= 1000
            && self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let request_id = request.map(|request| tracing::field::display(&request.id));
            tracing::warn!(request_id, reason = %failure, "{what}");
        }
    }
}

/// Somebody, in the words of a plugin: the beginning of all names. The braces keep all counts of somebody on one server of a
/// cluster; who it is, is hashed: a header's value may be long, and is nobody's business.
pub(in crate::bundled) fn whose(plugin: &str, id: Uuid, who: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, who);
    let who: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("postern:{plugin}:{{{id}:{who}}}")
}

/// The name of a count.
pub(in crate::bundled) fn key(whose: &str, period: Period, window: &Window) -> String {
    format!("{whose}:{}:{}", period.name(), window.start)
}

/// So many counts.
///
/// # Errors
/// Redis answered with something else.
pub(in crate::bundled) fn counts(reply: Reply, number: usize) -> Result<Vec<u32>, Failure> {
    match reply {
        Reply::Array(parts) if parts.len() == number => parts.iter().map(count).collect(),
        // The first word is Redis's own; the rest may repeat what was sent.
        Reply::Error(error) => {
            Err(Failure::Away(format!("Redis says {}", error.split(' ').next().unwrap_or_default())))
        }
        _ => Err(unexpected()),
    }
}

/// Nothing is none; less than that there is not.
fn count(reply: &Reply) -> Result<u32, Failure> {
    let number = match reply {
        Reply::Integer(number) => Some(*number),
        Reply::Nothing => Some(0),
        Reply::Text(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    number.map(|number| u32::try_from(number.max(0)).unwrap_or(u32::MAX)).ok_or_else(unexpected)
}

/// An answer that is no count.
pub(in crate::bundled) fn unexpected() -> Failure {
    Failure::Away("Redis does not count".to_owned())
}
