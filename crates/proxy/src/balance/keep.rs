//! The tasks that keep a balancer's peers true: one for each name, one that follows changes of health, active checks.
//!
//! Owns: when a name is asked for again. Must not know: what an answer changes ([`super::places`] says).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use postern_secrets::backoff::Backoff;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::places::Resolved;
use super::{Control, Shared, check};
use crate::dns::{Dns, DnsError, literal};

/// After a name was not resolved.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// Asks once for each name of which nothing is known.
pub(super) async fn look_up(shared: &Shared, control: &Control) {
    let is_unknown = |resolved: &Resolved| {
        resolved.entries.is_empty() && resolved.error.is_none() && literal(&resolved.place.host).is_none()
    };
    let unknown: Vec<(usize, Arc<str>)> = shared
        .places()
        .iter()
        .enumerate()
        .filter(|(_, resolved)| is_unknown(resolved))
        .map(|(index, resolved)| (index, resolved.place.host.clone()))
        .collect();
    let asked = unknown.into_iter().map(async |(index, host)| {
        match control.dns.resolve(&host).await {
            Ok(answer) => {
                shared.change(index, |resolved| resolved.answered(&answer, shared.use_srv_name));
            }
            // The log is told by the task that asks again and again.
            Err(error) => shared.change(index, |resolved| resolved.failed(error.to_string(), false)),
        }
    });
    join_all(asked).await;
}

/// Starts what this balancer needs; the tasks end when the set is dropped.
pub(super) fn start(shared: &Arc<Shared>, control: &Control) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (index, place) in shared.places().iter().map(|resolved| resolved.place.clone()).enumerate() {
        if literal(&place.host).is_none() {
            let ask = follow_name(shared.clone(), control.dns.clone(), index, place.host);
            tasks.spawn_on(ask, &control.handle);
        }
    }
    if shared.checked {
        tasks.spawn_on(follow_health(shared.clone()), &control.handle);
    }
    if let Some(checks) = &shared.active {
        for (every, up) in checks.rhythms() {
            tasks.spawn_on(check::follow(shared.clone(), checks.clone(), every, up), &control.handle);
        }
    }
    tasks
}

async fn follow_name(shared: Arc<Shared>, dns: Dns, index: usize, host: Arc<str>) {
    let mut failures = 0_u32;
    loop {
        let outcome = dns.resolve(&host).await;
        let until = match &outcome {
            Ok(answer) => {
                failures = 0;
                shared.change(index, |resolved| resolved.answered(answer, shared.use_srv_name));
                answer.until
            }
            Err(error) => {
                let keep = matches!(error, DnsError::Unanswered(_) | DnsError::System(_));
                match shared.names_hosts {
                    true => {
                        tracing::warn!(upstream = %shared.label, %host, %error, keep, "name was not resolved")
                    }
                    false => tracing::warn!(upstream = %shared.label, keep, "name was not resolved"),
                }
                shared.change(index, |resolved| resolved.failed(error.to_string(), keep));
                failures = failures.saturating_add(1);
                Instant::now() + jittered(BACKOFF.after(failures))
            }
        };
        // An answer that others got earlier may end at once.
        sleep_until(until.max(Instant::now() + Duration::from_millis(50))).await;
    }
}

/// The request path only notes a change of health; the turns are made anew here.
async fn follow_health(shared: Arc<Shared>) {
    loop {
        shared.changed.notified().await;
        shared.rebuild();
        // A storm of changes costs one set in a while.
        sleep(Duration::from_millis(10)).await;
    }
}

/// Names that failed together must not be asked for together for ever.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + 0.2 * fastrand::f64())
}
