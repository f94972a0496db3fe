//! What is kept for every reference, and what each outcome changes. Pure: times and outcomes go in, jobs come out.
//!
//! Owns: [`group`]s (references whose values come from one read), [`cell`]s (one reference each), the index of when to
//! look at which group, and which slot shows what. Must not know: tasks, sleeping, networks; [`super`] does those.

mod ask;
mod candidate;
mod cell;
mod commit;
mod group;
mod keep;
#[cfg(test)]
mod model;
mod outcome;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Nudge;
use super::status::{LastError, ReferenceStatus};
use crate::reference::Reference;
use crate::resolve::{GroupKey, Resolver};
use crate::slot::Slot;
use crate::snapshot::Digest;
use crate::template::{Part, Template};
use cell::Cell;
use group::Group;
use keep::Keeping;
use postern_secret::Secret;

pub(super) use group::GroupId;

/// Everything that the reconciler knows of one generation.
#[derive(Debug)]
pub(super) struct State {
    resolver: Arc<Resolver>,
    /// Whether equal settings mean the same here and in the generation in effect.
    is_comparable: bool,
    slots: HashMap<Arc<Template>, Held>,
    cells: HashMap<Arc<Reference>, Cell>,
    groups: HashMap<GroupId, Group>,
    ids: HashMap<Arc<GroupKey>, GroupId>,
    /// When to look at which group, soonest first.
    wakes: BTreeSet<(Instant, GroupId)>,
    /// Groups that are no more, until somebody asks for them.
    gone: Vec<GroupId>,
    keeping: Option<Keeping>,
}

/// One fetch to be made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) group: GroupId,
    fetch: u64,
    /// Any reference of the group: they differ only in what they pick.
    pub(super) reference: Arc<Reference>,
    /// Who fetches it.
    pub(super) resolver: Arc<Resolver>,
}

/// The slots of one text. There is one, or also an older one that somebody still holds: the newest comes last.
type Held = Vec<Shown>;

/// A slot that somebody holds.
#[derive(Debug)]
struct Shown {
    slot: Weak<Slot>,
    /// Why it does not show the newest value.
    invalid: Option<LastError>,
}

impl State {
    pub(super) fn new(resolver: Arc<Resolver>) -> Self {
        Self {
            resolver,
            is_comparable: true,
            slots: HashMap::new(),
            cells: HashMap::new(),
            groups: HashMap::new(),
            ids: HashMap::new(),
            wakes: BTreeSet::new(),
            gone: Vec::new(),
            keeping: None,
        }
    }

    pub(super) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// The slot of a text, made if there is none. `dropped` is told when nobody holds it any longer.
    pub(super) fn slot(
        &mut self,
        template: &Template,
        now: Instant,
        dropped: impl Fn(&Arc<Template>) + Send + Sync + 'static,
    ) -> Arc<Slot> {
        self.living_slot(template).unwrap_or_else(|| self.new_slot(template, None, now, dropped))
    }

    /// The newest slot of a text that somebody holds.
    fn living_slot(&self, template: &Template) -> Option<Arc<Slot>> {
        self.slots.get(template)?.iter().rev().find_map(|shown| shown.slot.upgrade())
    }

    /// Makes a slot; in a candidate it starts from what is known in the generation in effect.
    fn new_slot(
        &mut self,
        template: &Template,
        in_effect: Option<&Self>,
        now: Instant,
        dropped: impl Fn(&Arc<Template>) + Send + Sync + 'static,
    ) -> Arc<Slot> {
        let template = Arc::new(template.clone());
        let slot = Arc::new(Slot::new(Arc::clone(&template), dropped));
        let weak = Arc::downgrade(&slot);
        let held = self.slots.entry(Arc::clone(&template)).or_default();
        held.retain(|shown| shown.slot.strong_count() > 0);
        held.push(Shown { slot: Weak::clone(&weak), invalid: None });
        for reference in template.references() {
            if !self.cells.contains_key(reference) {
                let reference = Arc::new(reference.clone());
                match in_effect {
                    Some(in_effect) => self.begin_as(in_effect, &reference, now),
                    None => {
                        self.cells.insert(Arc::clone(&reference), Cell::default());
                        self.ask(&reference, None, now);
                    }
                }
            }
            if let Some(cell) = self.cells.get_mut(reference)
                // A text may hold a reference twice.
                && !cell.slots.last().is_some_and(|last| last.ptr_eq(&weak))
            {
                cell.slots.push(Weak::clone(&weak));
            }
        }
        self.fill(&slot, now);
        slot
    }

    /// Everything that has to be fetched now; it counts as in flight from here on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Job> {
        let mut jobs = Vec::new();
        while let Some(&(at, id)) = self.wakes.first() {
            if at > now {
                break;
            }
            self.wakes.pop_first();
            self.expire(id, now);
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.wake = None;
            if group.next().is_some_and(|due| due <= now)
                && let Some(reference) = group.members.first().cloned()
            {
                let resolver = Arc::clone(&self.resolver);
                jobs.push(Job { group: id, fetch: group.begin(now), reference, resolver });
            }
            self.schedule(id);
        }
        jobs
    }

    /// When to look again, if nothing else happens.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Makes something due now.
    pub(super) fn nudge(&mut self, what: &Nudge, now: Instant) {
        let meant = self.meant(what);
        self.nudge_groups(&meant, now);
    }

    /// Makes these groups due now. What is under way for them began too early to count.
    pub(super) fn nudge_groups(&mut self, ids: &[GroupId], now: Instant) {
        for id in ids {
            if let Some(group) = self.groups.get_mut(id) {
                group.hurry(now);
                self.schedule(*id);
            }
        }
    }

    /// Told when the groups of a nudge have been fetched.
    pub(super) fn wait_for_next(&mut self, what: &Nudge) -> Vec<oneshot::Receiver<()>> {
        let ids = self.meant(what);
        ids.into_iter().filter_map(|id| self.groups.get_mut(&id).map(Group::wait_for_next)).collect()
    }

    /// Told when what was never tried behind these slots has been; nothing if everything was.
    pub(super) fn wait_for_first(&mut self, slots: &[Arc<Slot>]) -> Vec<oneshot::Receiver<()>> {
        let references = slots.iter().flat_map(|slot| slot.template().references());
        let cells = references.filter_map(|reference| self.cells.get(reference));
        let untried = cells.filter(|cell| !cell.tried).filter_map(|cell| cell.asked);
        let ids: HashSet<GroupId> = untried.map(|asked| asked.group).collect();
        ids.into_iter().filter_map(|id| self.groups.get_mut(&id).map(Group::wait_for_any)).collect()
    }

    /// Makes what was fetched longer ago than `age` due now, and tells when it has been fetched. A fetch that is under
    /// way is as good as a new one.
    pub(super) fn refresh_older_than(
        &mut self,
        reference: &Reference,
        age: Duration,
        now: Instant,
    ) -> Option<oneshot::Receiver<()>> {
        let id = self.group_of(reference)?;
        let group = self.groups.get_mut(&id)?;
        if !group.is_in_flight() {
            if group.is_younger_than(age, now) {
                return None;
            }
            group.hurry(now);
        }
        let wait = group.wait_for_any();
        self.schedule(id);
        Some(wait)
    }

    /// The status of every reference.
    pub(super) fn references(&self, now: Instant) -> (Vec<ReferenceStatus>, Arc<Resolver>) {
        let status = self.cells.iter().map(|(reference, cell)| {
            let group = cell.asked.and_then(|asked| self.groups.get(&asked.group));
            cell.status(reference, group, &self.slots, now)
        });
        let mut status: Vec<_> = status.collect();
        status.sort_by(|a, b| a.reference.cmp(&b.reference));
        (status, Arc::clone(&self.resolver))
    }

    /// Forgets what nobody holds any longer; the values are wiped by that. `dropped` are the texts of slots that were
    /// let go; one that was asked for again since stays.
    pub(super) fn sweep(&mut self, dropped: &[Arc<Template>], now: Instant) {
        let mut left = HashSet::new();
        for template in dropped {
            let Some(held) = self.slots.get_mut(template) else { continue };
            held.retain(|shown| shown.slot.strong_count() > 0);
            if held.is_empty() {
                self.slots.remove(template);
            }
            for reference in template.references() {
                let Some(cell) = self.cells.get_mut(reference) else { continue };
                cell.slots.retain(|slot| slot.strong_count() > 0);
                if cell.slots.is_empty()
                    && let Some(cell) = self.cells.remove(reference)
                {
                    left.extend(cell.asked.map(|asked| asked.group));
                    self.unkeep(&cell, now);
                }
            }
        }
        for id in left {
            self.leave(id, None, now);
        }
    }

    /// The groups that are no more, each once.
    pub(super) fn take_gone(&mut self) -> Vec<GroupId> {
        std::mem::take(&mut self.gone)
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

    /// When the group is due, after a success or a change of policies: as soon as its shortest ttl says.
    fn plan(&mut self, id: GroupId, now: Instant) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if group.is_in_flight() || group.failures > 0 || !group.is_tried() {
            return;
        }
        let luck = fastrand::f64();
        let cells = group.members.iter().filter_map(|reference| self.cells.get(reference));
        group.due = cells.filter_map(|cell| cell.due(now, luck)).min();
    }

    /// Takes away values whose time is over.
    fn expire(&mut self, id: GroupId, now: Instant) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let mut slots = Vec::new();
        for reference in &group.members {
            let Some(cell) = self.cells.get_mut(reference) else { continue };
            if cell.expiry().is_some_and(|end| end <= now) {
                tracing::warn!(%reference, "not usable any longer: it could not be read in time");
                cell.value = None;
                slots.extend(cell.living_slots());
            }
        }
        group.expiry = expiry_of(group, &self.cells);
        self.fill_all(slots, now);
    }

    /// Fills each slot once. All values are there before: what belongs together changes together.
    fn fill_all(&mut self, mut slots: Vec<Arc<Slot>>, now: Instant) {
        slots.sort_by_key(Arc::as_ptr);
        slots.dedup_by(|a, b| Arc::ptr_eq(a, b));
        slots.iter().for_each(|slot| self.fill(slot, now));
    }

    /// Puts the values into a slot, or takes its value away where one is missing.
    fn fill(&mut self, slot: &Arc<Slot>, now: Instant) {
        let value = |part: &Part| match part {
            Part::Literal(text) => Some(Secret::from(text.as_str())),
            Part::Reference(reference) => self.cells.get(reference)?.value.clone(),
        };
        let parts: Option<Vec<Secret>> = slot.template().parts().iter().map(value).collect();
        let outcome = match parts.as_deref() {
            None => Ok(slot.clear()),
            Some([only]) => slot.set(only),
            Some(parts) => slot.set(&Secret::joined(parts)),
        };
        let Some(held) = self.slots.get_mut(slot.template()) else { return };
        let is_it = |shown: &&mut Shown| std::ptr::eq(shown.slot.as_ptr(), Arc::as_ptr(slot));
        let Some(shown) = held.iter_mut().find(is_it) else { return };
        shown.invalid = outcome.err().map(|invalid| {
            tracing::warn!(%invalid, template = slot.template().starred(), "the old value serves on");
            LastError { message: invalid.to_string(), hint: None, at: now }
        });
    }

    /// Puts a group's next look into the index.
    fn schedule(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let wake = group.look();
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
}

/// When the first value of a group may not be used any longer.
fn expiry_of(group: &Group, cells: &HashMap<Arc<Reference>, Cell>) -> Option<Instant> {
    group.members.iter().filter_map(|member| cells.get(member)?.expiry()).min()
}
