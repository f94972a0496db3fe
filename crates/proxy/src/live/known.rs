//! The directory of the configuration before, and what it was made of.
//!
//! Owns: whether the next one comes from it by a few changes. Must not know: how consumers are found. What is the same in
//! both snapshots is the same allocation, so a change of one consumer costs a walk over addresses, not a million consumers.

use std::sync::Arc;

use postern_model::entity::{
    AclGroup, BasicauthCredential, Consumer, ConsumerGroup, HmacauthCredential, JwtSecret, KeyauthCredential,
};
use postern_model::{Entry, List, Snapshot};
use postern_plugins::directory::{Change, Directory};
use uuid::Uuid;

/// The directory of the configuration in effect.
#[derive(Default)]
pub(super) struct Known(Option<Before>);

/// A directory, and what it was made of.
pub(super) struct Before {
    directory: Arc<Directory>,
    consumers: List<Consumer>,
    keys: List<KeyauthCredential>,
    passwords: List<BasicauthCredential>,
    signers: List<HmacauthCredential>,
    issuers: List<JwtSecret>,
    acls: List<AclGroup>,
    groups: List<ConsumerGroup>,
    members: Vec<(Uuid, Uuid)>,
}

impl Known {
    /// The directory of a snapshot without references, by changes of the one in effect; `None` where it has to be made anew.
    pub(super) fn directory(&self, snapshot: &Snapshot, loaded_at: u64) -> Option<Arc<Directory>> {
        self.0.as_ref()?.changed(snapshot, loaded_at)
    }

    /// This one is in effect from now on.
    pub(super) fn set(&mut self, before: Option<Before>) {
        self.0 = before;
    }
}

impl Before {
    /// Whether the consumers of a snapshot are the same at all times: none of them, nor what they have, holds a reference.
    pub(super) fn is_fixed(snapshot: &Snapshot) -> bool {
        !snapshot.consumers.has_pending()
            && !snapshot.keyauth_credentials.has_pending()
            && !snapshot.basicauth_credentials.has_pending()
            && !snapshot.hmacauth_credentials.has_pending()
            && !snapshot.jwt_secrets.has_pending()
            && !snapshot.acls.has_pending()
            && !snapshot.consumer_groups.has_pending()
    }

    /// A directory that was made of a snapshot.
    pub(super) fn of(directory: Arc<Directory>, snapshot: &Snapshot) -> Self {
        Self {
            directory,
            consumers: snapshot.consumers.clone(),
            keys: snapshot.keyauth_credentials.clone(),
            passwords: snapshot.basicauth_credentials.clone(),
            signers: snapshot.hmacauth_credentials.clone(),
            issuers: snapshot.jwt_secrets.clone(),
            acls: snapshot.acls.clone(),
            groups: snapshot.consumer_groups.clone(),
            members: snapshot.group_members.clone(),
        }
    }

    fn changed(&self, snapshot: &Snapshot, loaded_at: u64) -> Option<Arc<Directory>> {
        let is_same = self.passwords.is(&snapshot.basicauth_credentials)
            && self.signers.is(&snapshot.hmacauth_credentials)
            && self.issuers.is(&snapshot.jwt_secrets)
            && self.acls.is(&snapshot.acls)
            && self.groups.is(&snapshot.consumer_groups)
            && self.members == snapshot.group_members;
        if !is_same {
            return None;
        }
        let consumers = snapshot.consumers.since(&self.consumers)?;
        let keys = snapshot.keyauth_credentials.since(&self.keys)?;
        if consumers.is_empty() && keys.is_empty() {
            return Some(Arc::clone(&self.directory));
        }
        // A consumer that is another one now is told so to all its credentials: anew.
        if consumers.iter().any(|(before, after)| before.is_some() && after.is_some()) {
            return None;
        }
        let value = |entry: &Arc<Entry<KeyauthCredential>>| Some((entry.id, entry.value.clone()?));
        let change = Change {
            consumers_gone: consumers.iter().filter_map(|(before, _)| Some(before.as_ref()?.id)).collect(),
            consumers: consumers
                .iter()
                .filter_map(|(_, after)| after.and_then(|entry| Some((entry.id, entry.value.clone()?))))
                .collect(),
            keys_gone: keys.iter().filter_map(|(before, _)| before.and_then(value)).collect(),
            keys: keys.iter().filter_map(|(_, after)| after.and_then(value)).collect(),
            loaded_at,
        };
        self.directory.with(change).map(Arc::new)
    }
}
