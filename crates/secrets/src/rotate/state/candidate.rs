//! A generation beside the one in effect: it starts from what is known there, and changes nothing there. Owns: what of it
//! means the same in both, so that nothing is read twice. Must not know: how it takes effect ([`super::commit`]).

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cell::{Asked, Cell};
use super::group::Group;
use super::keep::Keeping;
use super::{GroupId, Job, State};
use crate::reference::Reference;
use crate::resolve::{Fetched, ResolveError, Resolver};
use crate::slot::Slot;
use crate::template::Template;

impl State {
    /// A generation beside this one.
    pub(in crate::rotate) fn candidate(&self, resolver: Arc<Resolver>) -> Self {
        let mut candidate = Self::new(resolver);
        candidate.keeping = self.keeping.as_ref().map(Keeping::copy);
        candidate.compare(self);
        candidate
    }

    /// Another generation is in effect.
    pub(in crate::rotate) fn compare(&mut self, in_effect: &Self) {
        self.is_comparable = self.is_comparable_with(in_effect);
    }

    pub(super) fn is_comparable_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.resolver, &other.resolver) || self.resolver.has_surroundings_of(&other.resolver)
    }

    /// The slot of a text in a candidate: that of the generation in effect, if the text means the same in both.
    pub(in crate::rotate) fn candidate_slot(
        &mut self,
        in_effect: &Self,
        template: &Template,
        now: Instant,
        dropped: impl Fn(&Arc<Template>) + Send + Sync + 'static,
    ) -> Arc<Slot> {
        if let Some(slot) = self.living_slot(template) {
            return slot;
        }
        let theirs = in_effect.living_slot(template);
        let means_the_same = || {
            template.references().all(|reference| {
                let asked = in_effect.cells.get(reference).and_then(|cell| cell.asked);
                asked.is_some() && self.asked_as_in(in_effect, reference) == asked
            })
        };
        match theirs.filter(|_| means_the_same()) {
            Some(slot) => slot,
            None => self.new_slot(template, Some(in_effect), now, dropped),
        }
    }

    /// What a reference asks for here, if it is in a group of the generation in effect.
    fn asked_as_in(&self, in_effect: &Self, reference: &Reference) -> Option<Asked> {
        let target = self.resolver.target(reference).ok().filter(|_| self.is_comparable)?;
        let group = *in_effect.ids.get(&target.group)?;
        Some(Asked { group, policy: target.policy, base64: target.base64, keep_as: target.keep_as })
    }

    /// Makes the cell of a reference, from what is known of it in the generation in effect: where it asks the same
    /// there, that counts here; where it asks otherwise, the value serves until the new one is there.
    pub(super) fn begin_as(&mut self, in_effect: &Self, reference: &Arc<Reference>, now: Instant) {
        let known = in_effect.cells.get(reference);
        let cell = known.map_or_else(Cell::default, |known| Cell {
            asked: known.asked,
            value: known.value.clone(),
            since: known.since,
            tried: known.tried,
            error: known.error.clone(),
            ..Cell::default()
        });
        let before = cell.asked;
        self.cells.insert(Arc::clone(reference), cell);
        self.ask(reference, Some(in_effect), now);
        let Some(cell) = self.cells.get_mut(reference) else { return };
        let Some(after) = cell.asked else { return };
        cell.inherited = before == Some(after);
        let reads_the_same = before.is_some_and(|b| b.group == after.group && b.base64 == after.base64);
        if !reads_the_same {
            (cell.tried, cell.error) = (false, None);
        }
        let inherited = cell.inherited;
        if let Some(group) = self.groups.get_mut(&after.group) {
            if before.is_some_and(|before| before.group == after.group) {
                // It counts as a member already, but is one of the other generation's.
                group.members.push(Arc::clone(reference));
            }
            if !inherited {
                group.wean();
            }
        }
        self.plan(after.group, now);
        self.expire(after.group, now);
        self.schedule(after.group);
    }

    /// The generation in effect has fetched something: where the same is asked for here, it counts here too.
    pub(in crate::rotate) fn feed(
        &mut self,
        job: &Job,
        started: Instant,
        now: Instant,
        outcome: &Result<Fetched, ResolveError>,
    ) {
        let Some(group) = self.groups.get_mut(&job.group) else { return };
        group.feed(now, now.saturating_duration_since(started));
        self.take_outcome(job.group, now, outcome);
    }

    /// The generation in effect does not read these any longer: what is wanted of them is read here.
    pub(in crate::rotate) fn read_by_itself(&mut self, ids: &[GroupId], now: Instant) {
        for id in ids {
            let Some(group) = self.groups.get_mut(id) else { continue };
            group.wean();
            let mut cells = group.members.iter().filter_map(|member| self.cells.get(member));
            // What was to come from there has to come from here.
            let is_lost = !group.is_in_flight() && group.next().is_none() && group.failures > 0;
            if is_lost || cells.any(|cell| !cell.tried || !cell.is_current()) {
                group.hurry(now);
            }
            self.plan(*id, now);
            self.schedule(*id);
        }
    }

    /// Whether a fetch of this group may still be of use.
    pub(in crate::rotate) fn has_group(&self, id: GroupId) -> bool {
        self.groups.contains_key(&id)
    }

    /// Told when what is asked for otherwise than in the generation in effect, and was never tried, has been.
    pub(in crate::rotate) fn wait_for_new(&mut self) -> Vec<oneshot::Receiver<()>> {
        let awaited = self.cells.values().filter(|cell| !cell.tried && !cell.inherited);
        let ids: HashSet<GroupId> = awaited.filter_map(|cell| Some(cell.asked?.group)).collect();
        ids.into_iter().filter_map(|id| self.groups.get_mut(&id).map(Group::wait_for_any)).collect()
    }

    /// The groups that there are.
    pub(in crate::rotate) fn group_ids(&self) -> Vec<GroupId> {
        self.groups.keys().copied().collect()
    }
}
