//! A candidate takes effect. Owns: what of it, and what of the generation before, makes up the new one; that no value is
//! taken away by it, nothing is read again that was read, and nobody waits for what does not come. It cannot fail.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::cell::{Cell, Since};
use super::group::Group;
use super::keep::Keeping;
use super::{GroupId, State};
use crate::reference::Reference;
use crate::slot::Slot;

/// What a commit has changed.
#[derive(Default)]
struct Changes {
    /// Groups that references have left, and where to.
    left: HashMap<GroupId, Option<GroupId>>,
    /// Slots that show something else now.
    slots: Vec<Arc<Slot>>,
}

impl State {
    /// The candidate takes effect. References that it does not know are asked for anew, as it says.
    pub(in crate::rotate) fn commit(&mut self, candidate: Self, now: Instant) {
        let is_same = Arc::ptr_eq(&self.resolver, &candidate.resolver);
        let is_comparable = candidate.is_comparable_with(self);
        if !is_same {
            candidate.resolver.keep_sessions_of(&self.resolver);
        }
        let older: HashSet<GroupId> = self.groups.keys().copied().collect();
        let brought = candidate.group_ids();
        if !is_comparable {
            // Equal settings mean something else now: every reference moves to a group of its own time.
            self.ids.clear();
        }
        self.resolver = candidate.resolver;
        self.gone.extend(candidate.gone);
        self.more_may_be_asked(now);
        let displaced = self.take_groups(candidate.groups);
        let mut changes = Changes::default();
        let others: Vec<Arc<Reference>> = match is_same {
            true => displaced
                .iter()
                .filter_map(|id| self.groups.get(id))
                .flat_map(|g| g.members.clone())
                .collect(),
            false => self.cells.keys().cloned().collect(),
        };
        let others: Vec<_> =
            others.into_iter().filter(|other| !candidate.cells.contains_key(other)).collect();
        self.take_cells(candidate.cells, candidate.keeping, &mut changes, now);
        for (template, theirs) in candidate.slots {
            let held = self.slots.entry(template).or_default();
            held.retain(|shown| shown.slot.strong_count() > 0);
            held.extend(theirs);
        }
        self.ask_anew(&others, &mut changes, now);
        for (id, heir) in changes.left {
            self.leave(id, heir, now);
        }
        for id in if is_same { brought } else { self.group_ids() } {
            if let Some(group) = self.groups.get_mut(&id)
                && !is_same
                && group.failures > 0
                && older.contains(&id)
            {
                // What stood in the way may be gone.
                group.hurry(now);
            }
            // A new ttl counts from the last read.
            self.plan(id, now);
            self.expire(id, now);
            self.schedule(id);
        }
        self.fill_all(changes.slots, now);
    }

    /// Takes over groups with their ids. Gives those of ours that are found no longer by what they ask for.
    fn take_groups(&mut self, groups: HashMap<GroupId, Group>) -> Vec<GroupId> {
        let mut displaced = Vec::new();
        for (id, mut theirs) in groups {
            theirs.wean();
            // It stands in the index of the candidate.
            theirs.wake = None;
            if let Some(key) = &theirs.key {
                let before = self.ids.insert(Arc::clone(key), id);
                displaced.extend(before.filter(|before| *before != id));
            }
            match self.groups.get_mut(&id) {
                Some(ours) => ours.take(theirs),
                None => drop(self.groups.insert(id, theirs)),
            }
        }
        displaced
    }

    fn take_cells(
        &mut self,
        cells: HashMap<Arc<Reference>, Cell>,
        mut kept: Option<Keeping>,
        changes: &mut Changes,
        now: Instant,
    ) {
        for (reference, mut theirs) in cells {
            theirs.inherited = false;
            let ours = self.cells.remove(&reference);
            let mut is_news = ours.is_none();
            if let Some(ours) = ours {
                is_news = theirs.succeed(&ours);
                let before = ours.asked.map(|asked| asked.group);
                let after = theirs.asked.map(|asked| asked.group);
                if let Some(before) = before.filter(|_| before != after) {
                    changes.left.insert(before, after);
                }
                theirs.slots.extend(ours.slots);
                theirs.slots.retain(|slot| slot.strong_count() > 0);
                if is_news {
                    changes.slots.extend(theirs.living_slots());
                }
                let (before, after) =
                    (ours.asked.and_then(|a| a.keep_as), theirs.asked.and_then(|a| a.keep_as));
                if let (Some(keeping), Some(digest)) = (&mut self.keeping, before.filter(|_| before != after))
                {
                    keeping.forget(&digest, now);
                    keeping.mark(true, now);
                }
            }
            if let (Some(keeping), Some(kept)) = (&mut self.keeping, &mut kept)
                && let Some(digest) = theirs.asked.and_then(|asked| asked.keep_as)
            {
                keeping.take_over(&digest, kept);
                if is_news {
                    keeping.mark(true, now);
                }
            }
            self.cells.insert(reference, theirs);
        }
    }

    /// Asks for references anew: what they mean now may be another group.
    fn ask_anew(&mut self, references: &[Arc<Reference>], changes: &mut Changes, now: Instant) {
        for reference in references {
            let before = self.group_of(reference);
            self.ask(reference, None, now);
            let after = self.group_of(reference);
            if let Some(before) = before.filter(|_| before != after) {
                changes.left.insert(before, after);
            }
            // Nobody vouches for it any longer.
            let unasked = self.cells.get(reference).filter(|cell| cell.asked.is_none());
            changes.slots.extend(unasked.into_iter().flat_map(Cell::living_slots));
        }
    }
}

impl Cell {
    /// Takes from the cell of the generation before what it has not itself. Tells whether the value is now another than
    /// there, or here before.
    fn succeed(&mut self, before: &Self) -> bool {
        let had = self.value.clone();
        let group = |cell: &Self| cell.asked.map(|asked| (asked.group, asked.base64));
        // Of what was kept, the vault has said since that it is not so.
        let is_denied = self.value.is_none() && self.tried && before.is_kept();
        let is_older = !self.is_current() && !is_denied;
        if group(self) != group(before) && self.asked.is_some() && is_older && before.value.is_some() {
            // A changed configuration blanks nothing: this one serves until the new one is there.
            let keep_as = |cell: &Self| cell.asked.and_then(|asked| asked.keep_as);
            let is_kept_so = keep_as(self) == keep_as(before);
            self.value.clone_from(&before.value);
            self.since = before.since.map(|since| Since { current: since.current && is_kept_so, ..since });
        }
        self.value != had || self.value != before.value
    }
}
