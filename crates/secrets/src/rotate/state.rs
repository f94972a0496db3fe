//! What is kept for every reference, and what each outcome changes. Pure: times and outcomes go in, jobs come out.
//!
//! Owns: groups (references whose values come from one read), cells (one reference each), and when what is due. Must
//! not know: tasks, sleeping, networks; [`super`] does those.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Nudge;
use super::status::{LastError, ReferenceState, ReferenceStatus};
use crate::cache::{self, Failure, Policy};
use crate::reference::Reference;
use crate::resolve::{Fetched, GroupKey, ResolveError, Resolver};
use crate::secret::Secret;
use crate::slot::Slot;
use crate::template::{Part, Template};
use crate::trail::Trail;

/// Names a group. Random, so that nodes that start together do not read in the same order.
type GroupId = u64;

/// Those who waited for a vault to come back do not all ask in the same moment.
const HELD_SPREAD: Duration = Duration::from_millis(250);

/// Everything that the reconciler knows.
#[derive(Debug)]
pub(super) struct State {
    resolver: Arc<Resolver>,
    slots: HashMap<Template, Weak<Slot>>,
    cells: HashMap<Reference, Cell>,
    groups: HashMap<GroupId, Group>,
    ids: HashMap<GroupKey, GroupId>,
    /// When to look at which group, soonest first.
    wakes: BTreeSet<(Instant, GroupId)>,
}

/// One fetch to be made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    group: GroupId,
    /// Any reference of the group: they differ only in what they pick.
    pub(super) reference: Reference,
}

/// One reference.
#[derive(Debug, Default)]
struct Cell {
    /// `None` where it cannot be asked for: there is no such vault, or it is misconfigured.
    asked: Option<Asked>,
    slots: Vec<Weak<Slot>>,
    value: Option<Secret>,
    read: Option<Instant>,
    error: Option<LastError>,
    invalid: Option<LastError>,
}

/// What a reference asks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    group: GroupId,
    policy: Policy,
    base64: bool,
}

/// References whose values come from one read.
#[derive(Debug, Default)]
struct Group {
    members: Vec<Reference>,
    in_flight: bool,
    again: bool,
    due: Option<Instant>,
    wake: Option<Instant>,
    failures: u32,
    tried: bool,
    took: Option<Duration>,
    waiters: Vec<oneshot::Sender<()>>,
}

impl State {
    pub(super) fn new(resolver: Arc<Resolver>) -> Self {
        Self {
            resolver,
            slots: HashMap::new(),
            cells: HashMap::new(),
            groups: HashMap::new(),
            ids: HashMap::new(),
            wakes: BTreeSet::new(),
        }
    }

    pub(super) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// The slot of a text, made if there is none.
    pub(super) fn slot(
        &mut self,
        template: &Template,
        now: Instant,
        dropped: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(template).and_then(Weak::upgrade) {
            return slot;
        }
        let slot = Arc::new(Slot::new(template.clone(), dropped));
        self.slots.insert(template.clone(), Arc::downgrade(&slot));
        for reference in template.references() {
            if !self.cells.contains_key(reference) {
                self.cells.insert(reference.clone(), Cell::default());
                self.ask(reference, now);
            }
            if let Some(cell) = self.cells.get_mut(reference) {
                cell.slots.push(Arc::downgrade(&slot));
            }
        }
        self.fill(&slot, now);
        slot
    }

    /// Everything that has to be fetched now; it counts as in flight from here on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Job> {
        self.sweep();
        let mut jobs = Vec::new();
        while let Some(&(at, id)) = self.wakes.first() {
            if at > now {
                break;
            }
            self.wakes.pop_first();
            self.expire(id, now);
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.wake = None;
            if group.due.is_some_and(|due| due <= now) && !group.in_flight {
                group.in_flight = true;
                group.due = None;
                if let Some(reference) = group.members.first() {
                    jobs.push(Job { group: id, reference: reference.clone() });
                }
            }
            self.schedule(id);
        }
        jobs
    }

    /// When to look again, if nothing else happens.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Takes over the outcome of a fetch that began at `started`.
    pub(super) fn apply(
        &mut self,
        job: &Job,
        started: Instant,
        now: Instant,
        outcome: Result<Fetched, ResolveError>,
    ) {
        let Some(group) = self.groups.get_mut(&job.group) else { return };
        group.in_flight = false;
        group.tried = true;
        group.took = Some(now - started);
        let members = group.members.clone();
        match outcome {
            Ok(fetched) => self.succeeded(job.group, &members, &fetched, now),
            Err(error) => self.failed(job.group, &members, &error, now),
        }
        let Some(group) = self.groups.get_mut(&job.group) else { return };
        if std::mem::take(&mut group.again) {
            group.due = Some(now);
        } else {
            for waiter in group.waiters.drain(..) {
                // Nobody waits any longer: fine.
                let _ = waiter.send(());
            }
        }
        self.schedule(job.group);
    }

    /// Makes something due now.
    pub(super) fn nudge(&mut self, what: &Nudge, now: Instant) {
        for id in self.meant(what) {
            if let Some(group) = self.groups.get_mut(&id) {
                if group.in_flight {
                    group.again = true;
                } else {
                    group.due = Some(now);
                }
                self.schedule(id);
            }
        }
    }

    /// Told when the groups of a nudge have been fetched.
    pub(super) fn wait_for_next(&mut self, what: &Nudge) -> Vec<oneshot::Receiver<()>> {
        let ids = self.meant(what);
        ids.into_iter().filter_map(|id| self.groups.get_mut(&id).map(Group::waiter)).collect()
    }

    /// Told when the groups behind these slots have been tried once.
    pub(super) fn wait_for_first(&mut self, slots: &[Arc<Slot>]) -> Vec<oneshot::Receiver<()>> {
        let references = slots.iter().flat_map(|slot| slot.template().references());
        let mut ids: Vec<GroupId> = references.filter_map(|reference| self.group_of(reference)).collect();
        ids.sort_unstable();
        ids.dedup();
        let untried = ids.into_iter().filter_map(|id| {
            let group = self.groups.get_mut(&id)?;
            (!group.tried).then(|| group.waiter())
        });
        untried.collect()
    }

    /// Another configuration: every reference is asked for anew; what it means now may be another group.
    pub(super) fn reconfigure(&mut self, mut resolver: Resolver, now: Instant) {
        resolver.take_sessions_from(&self.resolver);
        self.resolver = Arc::new(resolver);
        let references: Vec<Reference> = self.cells.keys().cloned().collect();
        for reference in references {
            let before = self.group_of(&reference);
            self.ask(&reference, now);
            let after = self.group_of(&reference);
            if before != after
                && let Some(group) = before.and_then(|id| self.groups.get_mut(&id))
            {
                group.members.retain(|member| *member != reference);
            }
            // A new ttl counts from the last read.
            if let Some(id) = after {
                self.plan(id, now);
                self.schedule(id);
            }
            let slots = self.cells.get(&reference).map(Cell::living_slots).unwrap_or_default();
            if after.is_none() {
                slots.iter().for_each(|slot| self.fill(slot, now));
            }
        }
        self.sweep();
    }

    /// The status of every reference.
    pub(super) fn references(&self, now: Instant) -> (Vec<ReferenceStatus>, Arc<Resolver>) {
        let status = self.cells.iter().map(|(reference, cell)| {
            let group = self.group_of(reference).and_then(|id| self.groups.get(&id));
            cell.status(reference, group, now)
        });
        let mut status: Vec<_> = status.collect();
        status.sort_by(|a, b| a.reference.cmp(&b.reference));
        (status, Arc::clone(&self.resolver))
    }

    /// Makes what was read longer ago than `age` due now, and tells when it has been fetched. A fetch that is under
    /// way is as good as a new one.
    pub(super) fn refresh_older_than(
        &mut self,
        reference: &Reference,
        age: Duration,
        now: Instant,
    ) -> Option<oneshot::Receiver<()>> {
        let read = self.cells.get(reference)?.read;
        let id = self.group_of(reference)?;
        let group = self.groups.get_mut(&id)?;
        if !group.in_flight {
            if read.is_some_and(|read| now - read < age) {
                return None;
            }
            group.due = Some(now);
        }
        let wait = group.waiter();
        self.schedule(id);
        Some(wait)
    }

    fn group_of(&self, reference: &Reference) -> Option<GroupId> {
        Some(self.cells.get(reference)?.asked?.group)
    }

    fn meant(&self, what: &Nudge) -> Vec<GroupId> {
        match what {
            Nudge::All => self.groups.keys().copied().collect(),
            Nudge::Reference(reference) => self.group_of(reference).into_iter().collect(),
            Nudge::Vault(name) => {
                let of_vault = |group: &Group| group.members.iter().any(|member| member.name() == name);
                self.groups.iter().filter(|(_, group)| of_vault(group)).map(|(id, _)| *id).collect()
            }
        }
    }

    /// Finds or makes the group of a reference, and puts its cell there.
    fn ask(&mut self, reference: &Reference, now: Instant) {
        let target = match self.resolver.target(reference) {
            Ok(target) => target,
            Err(error) => {
                if let Some(cell) = self.cells.get_mut(reference) {
                    // There is no such vault any longer, so there is no telling for how long its values may be used.
                    *cell = Cell { slots: std::mem::take(&mut cell.slots), ..Cell::default() };
                    cell.failed(reference, &error, now);
                }
                return;
            }
        };
        let id = *self.ids.entry(target.group).or_insert_with(|| fastrand::u64(..));
        let group = self.groups.entry(id).or_insert_with(|| Group { due: Some(now), ..Group::default() });
        if !group.members.contains(reference) {
            group.members.push(reference.clone());
            // What others have read may lack what this one picks, and is not kept whole.
            if group.in_flight {
                group.again = true;
            } else if group.tried {
                group.due = Some(now);
            }
        }
        if let Some(cell) = self.cells.get_mut(reference) {
            cell.asked = Some(Asked { group: id, policy: target.policy, base64: target.base64 });
        }
        self.schedule(id);
    }

    fn succeeded(&mut self, id: GroupId, members: &[Reference], fetched: &Fetched, now: Instant) {
        let mut slots = Vec::new();
        for reference in members {
            let Some(cell) = self.cells.get_mut(reference) else { continue };
            let Some(Asked { base64, .. }) = cell.asked else { continue };
            match fetched.pick(reference, base64, &Trail::off()) {
                Ok(value) => {
                    cell.value = Some(value);
                    cell.read = Some(now);
                    cell.error = None;
                }
                Err(error) => cell.failed(reference, &error, now),
            }
            slots.extend(cell.living_slots());
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.failures = 0;
        }
        self.plan(id, now);
        // All values first, then all slots: what belongs together changes together.
        slots.iter().for_each(|slot| self.fill(slot, now));
    }

    fn failed(&mut self, id: GroupId, members: &[Reference], error: &ResolveError, now: Instant) {
        let mut neg_ttl = None;
        for reference in members {
            let Some(cell) = self.cells.get_mut(reference) else { continue };
            cell.failed(reference, error, now);
            if let Some(Asked { policy, .. }) = cell.asked {
                neg_ttl = Some(neg_ttl.map_or(policy.neg_ttl, |known: Duration| known.min(policy.neg_ttl)));
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
        self.expire(id, now);
    }

    /// When the group is due, after a success or a change of policies: as soon as its shortest ttl says.
    fn plan(&mut self, id: GroupId, now: Instant) {
        let Some(group) = self.groups.get(&id) else { return };
        if group.in_flight || group.failures > 0 || !group.tried {
            return;
        }
        let luck = fastrand::f64();
        let mut due: Option<Instant> = None;
        for cell in group.members.iter().filter_map(|reference| self.cells.get(reference)) {
            let Some(Asked { policy, .. }) = cell.asked else { continue };
            let at = match (cell.read, &cell.error) {
                // It could not be picked: as good as absent.
                (_, Some(_)) | (None, None) => now.checked_add(policy.neg_ttl),
                (Some(read), None) => policy.due(read, luck),
            };
            due = [due, at].into_iter().flatten().min();
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.due = due;
        }
    }

    /// Takes away values whose time is over.
    fn expire(&mut self, id: GroupId, now: Instant) {
        let Some(group) = self.groups.get(&id) else { return };
        let mut slots = Vec::new();
        for reference in group.members.clone() {
            let Some(cell) = self.cells.get_mut(&reference) else { continue };
            if cell.usable_until().is_some_and(|end| end <= now) && cell.value.take().is_some() {
                tracing::warn!(%reference, "not usable any longer: it could not be read in time");
                slots.extend(cell.living_slots());
            }
        }
        slots.iter().for_each(|slot| self.fill(slot, now));
    }

    /// Puts the values into a slot, or takes its value away where one is missing.
    fn fill(&mut self, slot: &Arc<Slot>, now: Instant) {
        let parts: Option<Vec<Secret>> = slot
            .template()
            .parts()
            .iter()
            .map(|part| match part {
                Part::Literal(text) => Some(Secret::from(text.as_str())),
                Part::Reference(reference) => self.cells.get(reference)?.value.clone(),
            })
            .collect();
        let outcome = match parts.as_deref() {
            None => Ok(slot.clear()),
            Some([only]) => slot.set(only),
            Some(parts) => slot.set(&Secret::joined(parts)),
        };
        let invalid = outcome.err().map(|invalid| {
            tracing::warn!(%invalid, template = %slot.template(), "the old value serves on");
            LastError { message: invalid.to_string(), hint: None, at: now }
        });
        for reference in slot.template().references() {
            if let Some(cell) = self.cells.get_mut(reference) {
                cell.invalid.clone_from(&invalid);
            }
        }
    }

    /// Puts a group's next look into the index.
    fn schedule(&mut self, id: GroupId) {
        let Some(group) = self.groups.get(&id) else { return };
        let expiries =
            group.members.iter().filter_map(|member| self.cells.get(member)?.expiry(group.in_flight));
        let due = group.due.filter(|_| !group.in_flight);
        let wake = expiries.chain(due).min();
        let Some(group) = self.groups.get_mut(&id) else { return };
        if wake == group.wake {
            return;
        }
        if let Some(old) = std::mem::replace(&mut group.wake, wake) {
            self.wakes.remove(&(old, id));
        }
        if let Some(wake) = wake {
            self.wakes.insert((wake, id));
        }
    }

    /// Forgets what nobody holds any longer; the values are wiped by that.
    fn sweep(&mut self) {
        let before = self.slots.len();
        self.slots.retain(|_, slot| slot.strong_count() > 0);
        let moved = self.groups.values().any(|group| group.members.is_empty());
        if self.slots.len() == before && !moved {
            return;
        }
        self.cells.retain(|_, cell| {
            cell.slots.retain(|slot| slot.strong_count() > 0);
            !cell.slots.is_empty()
        });
        let cells = &self.cells;
        let wakes = &mut self.wakes;
        self.groups.retain(|id, group| {
            group.members.retain(|member| cells.contains_key(member));
            if group.members.is_empty()
                && let Some(wake) = group.wake
            {
                wakes.remove(&(wake, *id));
            }
            !group.members.is_empty()
        });
        let groups = &self.groups;
        self.ids.retain(|_, id| groups.contains_key(id));
    }
}

impl Cell {
    fn living_slots(&self) -> Vec<Arc<Slot>> {
        self.slots.iter().filter_map(Weak::upgrade).collect()
    }

    fn failed(&mut self, reference: &Reference, error: &ResolveError, now: Instant) {
        if self.error.is_none() {
            tracing::warn!(%reference, %error, "could not retrieve value for reference");
        }
        self.error = Some(LastError { message: error.to_string(), hint: error.hint(), at: now });
    }

    fn usable_until(&self) -> Option<Instant> {
        self.asked?.policy.usable_until(self.read?)
    }

    /// When to look whether the value may still be used: only where it is in doubt, because it could not be read, or
    /// because a vault that hangs has not said so yet.
    fn expiry(&self, in_flight: bool) -> Option<Instant> {
        let in_doubt = in_flight || self.error.is_some();
        self.usable_until().filter(|_| in_doubt && self.value.is_some())
    }

    fn status(&self, reference: &Reference, group: Option<&Group>, now: Instant) -> ReferenceStatus {
        let state = match (&self.value, &self.error, &self.invalid) {
            (_, _, Some(_)) => ReferenceState::Invalid,
            (None, ..) => ReferenceState::Unresolved,
            (Some(_), Some(_), _) => ReferenceState::Stale,
            (Some(_), None, _) => ReferenceState::Fresh,
        };
        ReferenceStatus {
            reference: reference.to_string(),
            vault: reference.name().to_owned(),
            state,
            age: self.read.map(|read| now - read),
            last_error: self.invalid.clone().or_else(|| self.error.clone()),
            next_refresh: group.and_then(|group| group.due).map(|due| due.saturating_duration_since(now)),
            fetch_duration: group.and_then(|group| group.took),
            users: self.slots.iter().map(Weak::strong_count).sum(),
        }
    }
}

impl Group {
    fn waiter(&mut self) -> oneshot::Receiver<()> {
        let (told, wait) = oneshot::channel();
        self.waiters.push(told);
        wait
    }
}
