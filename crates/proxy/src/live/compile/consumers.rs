//! Consumers and credentials → the directory that plugins ask.
//!
//! Owns: that it comes from the one before where that will do, and that a consumer of whom not all is known takes no part.
//! Must not know: how consumers are found.

use std::collections::HashSet;
use std::sync::Arc;

use postern_model::Snapshot;
use postern_model::entity::Foreign;
use postern_plugins::directory::{Directory, PasswordForm, Source};
use uuid::Uuid;

use super::closed::{self, Consumers};
use super::work::Work;
use crate::live::known::Before;

impl Work<'_> {
    /// The directory, and what the next one may come from.
    pub(super) fn consumers(&mut self, snapshot: &Snapshot) -> (Arc<Directory>, Option<Before>) {
        let mut closed = closed::consumers(snapshot);
        // With references the same entity may be another one now.
        let is_fixed = closed == Consumers::These(HashSet::new()) && Before::is_fixed(snapshot);
        let known = self.before.filter(|_| is_fixed);
        let loaded_at = self.maker.clock.now();
        let directory = known.and_then(|kept| kept.known.directory(snapshot, loaded_at));
        let directory = directory.unwrap_or_else(|| Arc::new(self.directory(snapshot, &mut closed)));
        let before = is_fixed.then(|| Before::of(Arc::clone(&directory), snapshot));
        (directory, before)
    }

    fn directory(&mut self, snapshot: &Snapshot, closed: &mut Consumers) -> Directory {
        macro_rules! present {
            ($list:expr) => {
                $list.iter().filter_map(|entry| Some((entry.id, self.now(entry)?))).collect()
            };
        }
        let mut consumers: Vec<(Uuid, _)> = present!(snapshot.consumers);
        // A group without a value may be what keeps a consumer out, as a broken one may.
        let mut acls = Vec::with_capacity(snapshot.acls.len());
        for entry in &snapshot.acls {
            match self.now(entry) {
                Some(acl) => acls.push((entry.id, acl)),
                None => entry
                    .record
                    .get("consumer")
                    .and_then(Foreign::of)
                    .into_iter()
                    .for_each(|id| closed.add(id)),
            }
        }
        let mut consumer_groups = Vec::with_capacity(snapshot.consumer_groups.len());
        for entry in &snapshot.consumer_groups {
            match self.now(entry) {
                Some(group) => consumer_groups.push((entry.id, group)),
                None => snapshot
                    .group_members
                    .iter()
                    .filter(|(_, group)| *group == entry.id)
                    .for_each(|(consumer, _)| closed.add(*consumer)),
            }
        }
        // Its credentials find nobody then.
        consumers.retain(|(id, _)| !closed.contains(*id));
        Directory::new(Source {
            consumers,
            consumer_groups,
            group_members: snapshot.group_members.clone(),
            keyauth_credentials: present!(snapshot.keyauth_credentials),
            basicauth_credentials: present!(snapshot.basicauth_credentials),
            hmacauth_credentials: present!(snapshot.hmacauth_credentials),
            jwt_secrets: present!(snapshot.jwt_secrets),
            acls,
            loaded_at: self.maker.clock.now(),
            passwords: PasswordForm::Plain,
        })
    }
}
