//! One reference: its value, since when, and what went wrong. Must not know: other references, or when it is due.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Group, GroupId};
use super::{Digest, Held};
use crate::cache::Policy;
use crate::reference::Reference;
use crate::resolve::ResolveError;
use crate::rotate::status::{LastError, ReferenceState, ReferenceStatus};
use crate::slot::Slot;
use crate::template::Template;
use postern_secret::Secret;

/// One reference.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// `None` where it cannot be asked for: there is no such vault, or it is misconfigured.
    pub(super) asked: Option<Asked>,
    pub(super) slots: Vec<Weak<Slot>>,
    pub(super) value: Option<Secret>,
    pub(super) since: Option<Since>,
    /// Whether it was tried to be fetched.
    pub(super) tried: bool,
    /// Whether the generation in effect asks the same for it, so that a candidate need not wait for it.
    pub(super) inherited: bool,
    pub(super) error: Option<LastError>,
}

/// What a reference asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) group: GroupId,
    pub(super) policy: Policy,
    pub(super) base64: bool,
    pub(super) keep_as: Option<Digest>,
}

/// Where a value is from, and how old it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// When it came here.
    pub(super) at: Instant,
    /// How old it was then, where it was kept from an earlier run.
    pub(super) kept: Option<Duration>,
    /// Whether it was read as the vault is configured now.
    pub(super) current: bool,
    /// For how long it may be used, where the vault has only lent it.
    pub(super) lent_for: Option<Duration>,
}

impl Since {
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.kept.unwrap_or_default().saturating_add(now.saturating_duration_since(self.at))
    }
}

impl Cell {
    pub(super) fn living_slots(&self) -> impl Iterator<Item = Arc<Slot>> {
        self.slots.iter().filter_map(Weak::upgrade)
    }

    /// Takes a value over. Tells whether it is another one.
    pub(super) fn take(&mut self, value: Secret, since: Since) -> bool {
        let changed = self.value.as_ref() != Some(&value);
        self.value = Some(value);
        self.since = Some(since);
        changed
    }

    pub(super) fn failed(&mut self, reference: &Reference, error: &ResolveError, now: Instant) {
        if self.error.is_none() {
            tracing::warn!(%reference, %error, "could not retrieve value for reference");
        }
        self.tried = true;
        self.error = Some(LastError { message: error.to_string(), hint: error.hint(), at: now });
    }

    /// Whether it has a value that was read as things are configured now.
    pub(super) fn is_current(&self) -> bool {
        self.value.is_some() && self.since.is_some_and(|since| since.current)
    }

    pub(super) fn is_kept(&self) -> bool {
        self.value.is_some() && self.since.is_some_and(|since| since.kept.is_some())
    }

    /// Until when the value may be used; `None`: without end, or there is none.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.value.as_ref()?;
        let (policy, since) = (self.asked?.policy, self.since?);
        match since.kept {
            None => policy.within(since.lent_for).usable_until(since.at),
            // So far away that it does not matter if the clock cannot say it.
            Some(age) => since.at.checked_add(policy.resurrect.saturating_sub(age)),
        }
    }

    /// When it is due again, after a fetch that could be made.
    pub(super) fn due(&self, now: Instant, luck: f64) -> Option<Instant> {
        let policy = self.asked?.policy;
        match (&self.since, &self.error) {
            // It could not be picked: as good as absent.
            (_, Some(error)) => error.at.checked_add(policy.neg_ttl),
            (None, None) => now.checked_add(policy.neg_ttl),
            (Some(since), None) => policy.within(since.lent_for).due(since.at, luck),
        }
    }

    pub(super) fn status(
        &self,
        reference: &Reference,
        group: Option<&Group>,
        held: &HashMap<Arc<Template>, Held>,
        now: Instant,
    ) -> ReferenceStatus {
        let (mut users, mut invalid) = (0, None);
        for slot in &self.slots {
            users += slot.strong_count();
            let held = slot.upgrade().and_then(|slot| held.get(slot.template()));
            let shown = held.and_then(|held| held.iter().find(|shown| shown.slot.ptr_eq(slot)));
            invalid = invalid.or_else(|| shown.and_then(|shown| shown.invalid.as_ref()));
        }
        let state = match (&self.value, &self.error, invalid) {
            (_, _, Some(_)) => ReferenceState::Invalid,
            (None, ..) => ReferenceState::Unresolved,
            (Some(_), Some(_), _) => ReferenceState::Stale,
            (Some(_), None, _) => ReferenceState::Fresh,
        };
        ReferenceStatus {
            reference: reference.to_string(),
            vault: reference.name().to_owned(),
            state,
            age: self.since.map(|since| since.age(now)),
            from_last_known_good: self.is_kept(),
            last_error: invalid.or(self.error.as_ref()).cloned(),
            next_refresh: group.and_then(Group::next).map(|due| due.saturating_duration_since(now)),
            fetch_duration: group.and_then(|group| group.took),
            users,
        }
    }
}
