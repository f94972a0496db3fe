//! What the end of a fetch changes. Owns: which values come and go by it, and when the next attempt is. Must not know:
//! how it was fetched.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cell::{Cell, Since};
use super::{GroupId, Job, State};
use crate::cache::{self, Failure};
use crate::reference::Reference;
use crate::resolve::{Fetched, ResolveError};
use crate::trail::Trail;

/// Those who waited for a vault to come back do not all ask in the same moment.
const HELD_SPREAD: Duration = Duration::from_millis(250);

impl State {
    /// Takes over the outcome of a fetch that began at `started`. Tells whether it was still waited for.
    pub(in crate::rotate) fn apply(
        &mut self,
        job: &Job,
        started: Instant,
        now: Instant,
        outcome: &Result<Fetched, ResolveError>,
    ) -> bool {
        let Some(group) = self.groups.get_mut(&job.group) else { return false };
        let is_awaited = group.end(job.fetch, now, now.saturating_duration_since(started));
        if is_awaited {
            self.take_outcome(job.group, now, outcome);
        }
        is_awaited
    }

    /// Takes over what a fetch of a group gave.
    pub(super) fn take_outcome(
        &mut self,
        id: GroupId,
        now: Instant,
        outcome: &Result<Fetched, ResolveError>,
    ) {
        let Some(group) = self.groups.get(&id) else { return };
        let members = group.members.clone();
        match outcome {
            Ok(fetched) => self.succeeded(id, &members, fetched, now),
            Err(error) => self.failed(id, &members, error, now),
        }
        // The slots are as they are to be: whoever waited finds them so.
        if let Some(group) = self.groups.get_mut(&id) {
            group.tell();
        }
        self.schedule(id);
    }

    fn succeeded(&mut self, id: GroupId, members: &[Arc<Reference>], fetched: &Fetched, now: Instant) {
        let (mut slots, picker) = (Vec::new(), fetched.picker());
        for reference in members {
            let Some(cell) = self.cells.get_mut(reference) else { continue };
            let Some(asked) = cell.asked else { continue };
            cell.tried = true;
            match picker.pick(reference, asked.base64, &Trail::off()) {
                Ok(value) => {
                    let lent_for = fetched.lent_for();
                    let changed = cell.take(value, Since { at: now, kept: None, current: true, lent_for });
                    cell.error = None;
                    if let (Some(keeping), Some(digest)) = (&mut self.keeping, asked.keep_as) {
                        keeping.supersede(&digest);
                        keeping.mark(changed, now);
                    }
                }
                Err(error) => {
                    cell.failed(reference, &error, now);
                    self.vault_denies(reference, now);
                }
            }
            slots.extend(self.cells.get(reference).into_iter().flat_map(Cell::living_slots));
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.failures = 0;
        }
        self.plan(id, now);
        self.fill_all(slots, now);
        self.expire(id, now);
    }

    fn failed(&mut self, id: GroupId, members: &[Arc<Reference>], error: &ResolveError, now: Instant) {
        let mut neg_ttl: Option<Duration> = None;
        let mut slots = Vec::new();
        for reference in members {
            let Some(cell) = self.cells.get_mut(reference) else { continue };
            cell.failed(reference, error, now);
            if let Some(asked) = cell.asked {
                let theirs = asked.policy.neg_ttl;
                neg_ttl = Some(neg_ttl.map_or(theirs, |known| known.min(theirs)));
            }
            let changed = if error.is_transient() {
                self.serve_kept(reference, now)
            } else {
                self.vault_denies(reference, now)
            };
            if changed {
                slots.extend(self.cells.get(reference).into_iter().flat_map(Cell::living_slots));
            }
        }
        let failure =
            if error.is_transient() { Failure::Transient(error.retry_after()) } else { Failure::Lasting };
        if let Some(group) = self.groups.get_mut(&id) {
            let pause = match error.held() {
                // The vault was not asked, so nothing was learned of this secret: it is tried as soon as others are.
                Some(wait) => {
                    group.failures = group.failures.max(1);
                    wait.saturating_add(HELD_SPREAD.mul_f64(fastrand::f64()))
                }
                None => {
                    group.failures = group.failures.saturating_add(1);
                    cache::pause(group.failures, failure, neg_ttl.unwrap_or_default(), fastrand::f64())
                }
            };
            group.due = now.checked_add(pause);
        }
        self.fill_all(slots, now);
        self.expire(id, now);
    }

    /// The vault cannot be asked: what was kept serves, if there is nothing newer. Tells whether it does from now on.
    fn serve_kept(&mut self, reference: &Reference, now: Instant) -> bool {
        let (Some(cell), Some(keeping)) = (self.cells.get_mut(reference), &mut self.keeping) else {
            return false;
        };
        let Some(asked) = cell.asked.filter(|_| cell.value.is_none()) else { return false };
        let kept = asked.keep_as.and_then(|digest| keeping.take(&digest, asked.policy.resurrect, now));
        let Some((entry, since)) = kept else { return false };
        tracing::warn!(%reference, age = since.age(now).as_secs(), "serving the last known good value");
        cell.take(entry.value, since);
        true
    }

    /// The vault can be asked, and gives no value: what was kept does not serve, or not any longer. Tells whether it
    /// did. (What the vault gave to this very process lives out its time.)
    fn vault_denies(&mut self, reference: &Reference, now: Instant) -> bool {
        let (Some(cell), Some(keeping)) = (self.cells.get_mut(reference), &mut self.keeping) else {
            return false;
        };
        if let Some(digest) = cell.asked.and_then(|asked| asked.keep_as) {
            keeping.forget(&digest, now);
        }
        let was_kept = cell.is_kept();
        if was_kept {
            cell.value = None;
            keeping.mark(true, now);
        }
        was_kept
    }

    /// What was kept for a reference that is not wanted any longer goes with the next write.
    pub(super) fn unkeep(&mut self, cell: &Cell, now: Instant) {
        if let (Some(keeping), Some(digest)) = (&mut self.keeping, cell.asked.and_then(|asked| asked.keep_as))
        {
            keeping.forget(&digest, now);
            keeping.mark(true, now);
        }
    }
}
