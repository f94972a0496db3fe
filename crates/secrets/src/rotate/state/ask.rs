//! What a reference asks for, as things are configured now. Owns: which group a reference is in, and that another
//! configuration, even a mistaken one, takes no value away. Must not know: when groups are fetched, or what comes of it.

use std::sync::Arc;

use tokio::time::Instant;

use super::cell::{Asked, Cell};
use super::group::Group;
use super::{GroupId, State, expiry_of};
use crate::reference::Reference;
use crate::resolve::ResolveError;

impl State {
    /// Finds or makes the group of a reference, and puts its cell there.
    /// A candidate shares the names of groups with the generation in effect.
    pub(super) fn ask(&mut self, reference: &Arc<Reference>, in_effect: Option<&Self>, now: Instant) {
        let target = match self.resolver.target(reference) {
            Ok(target) => target,
            Err(error) => return self.cannot_ask(reference, &error, now),
        };
        let key = Arc::new(target.group);
        let in_effect = in_effect.filter(|_| self.is_comparable);
        let known = self.ids.get(&key).or_else(|| in_effect?.ids.get(&key)).copied();
        let id = known.unwrap_or_else(|| fastrand::u64(..));
        self.ids.insert(Arc::clone(&key), id);
        let asked =
            Asked { group: id, policy: target.policy, base64: target.base64, keep_as: target.keep_as };
        let theirs = in_effect.and_then(|in_effect| in_effect.groups.get(&id));
        self.groups.entry(id).or_insert_with(|| theirs.map_or(Group::new(Some(key)), Group::of_candidate));
        self.put(reference, asked, theirs.is_some_and(Group::is_in_flight), now);
    }

    /// There is no vault of that name, or it is misconfigured.
    fn cannot_ask(&mut self, reference: &Arc<Reference>, error: &ResolveError, now: Instant) {
        let Some(cell) = self.cells.get_mut(reference) else { return };
        let (value, asked) = (cell.value.is_some(), cell.asked);
        match asked {
            // A mistake in a configuration stops nothing that is served: what it gave before lives out its time, in a
            // group of its own, whose fetches tell of the mistake.
            Some(asked) if value && !matches!(error, ResolveError::UnknownVault { .. }) => {
                let id = fastrand::u64(..);
                self.groups.insert(id, Group::new(None));
                self.put(reference, Asked { group: id, keep_as: None, ..asked }, false, now);
            }
            // Nobody vouches for the values of a vault that is gone.
            _ => {
                *cell = Cell { slots: std::mem::take(&mut cell.slots), ..Cell::default() };
                cell.failed(reference, error, now);
                if let Some(keeping) = &mut self.keeping
                    && let Some(digest) = asked.and_then(|asked| asked.keep_as)
                {
                    keeping.forget(&digest, now);
                    keeping.mark(true, now);
                }
            }
        }
    }

    /// Puts a cell into a group, whose outcome may be `under_way` in the generation in effect.
    fn put(&mut self, reference: &Arc<Reference>, asked: Asked, under_way: bool, now: Instant) {
        let Some(cell) = self.cells.get_mut(reference) else { return };
        let before = cell.asked.replace(asked);
        if let Some(before) = before.filter(|before| before.keep_as != asked.keep_as) {
            // What was kept belongs to the configuration under which it was read.
            if let Some(since) = &mut cell.since {
                since.current = false;
            }
            if let (Some(keeping), Some(digest)) = (&mut self.keeping, before.keep_as) {
                keeping.forget(&digest, now);
                keeping.mark(true, now);
            }
        }
        let is_new = before.is_none_or(|before| before.group != asked.group);
        let is_decoded_anew = before.is_some_and(|before| before.base64 != asked.base64);
        let Some(group) = self.groups.get_mut(&asked.group) else { return };
        if is_new {
            group.members.push(Arc::clone(reference));
        }
        // Others may have read it, but it is not kept whole; what is under way will be picked from for all.
        if (is_new && !group.is_in_flight() && !under_way) || is_decoded_anew {
            group.hurry(now);
        }
        self.schedule(asked.group);
    }

    /// Lets a group go on without the members that have left it, or end. Whoever waited for one that ends waits for its
    /// heir.
    pub(super) fn leave(&mut self, id: GroupId, heir: Option<GroupId>, now: Instant) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let cells = &self.cells;
        let is_member = |member: &Arc<Reference>| cells.get(member)?.asked.map(|asked| asked.group == id);
        group.members.retain(|member| is_member(member).unwrap_or(false));
        if !group.members.is_empty() {
            group.expiry = expiry_of(group, cells);
            return self.schedule(id);
        }
        let Some(mut group) = self.groups.remove(&id) else { return };
        if let Some(wake) = group.wake {
            self.wakes.remove(&(wake, id));
        }
        if let Some(key) = group.key.as_ref().filter(|key| self.ids.get(*key) == Some(&id)) {
            self.ids.remove(key);
        }
        if let Some(heir) = heir
            && let Some(group_of_heir) = self.groups.get_mut(&heir)
        {
            group_of_heir.take_waiters_of(&mut group, now);
            self.schedule(heir);
        }
        self.gone.push(id);
    }
}
