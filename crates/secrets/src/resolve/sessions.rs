//! Sessions with vaults: one for all whose settings agree in what a reference cannot override.
//!
//! Owns: which sessions there are, and that each is given up when no configured vault needs it any longer: a token
//! whose vault is gone, or whose credentials were replaced, is not kept alive. Must not know: how settings are filled
//! in, or what is read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::guard::{AT_ONCE, Guard};
use crate::settings::FieldError;
use crate::vault::Vault;

/// Settings that cannot be overridden by a reference, as a digest.
pub(super) type SessionKey = [u8; 32];

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    /// How many requests each may have under way.
    pub(super) at_once: usize,
    known: Mutex<Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// By the settings with everything filled in, so that vaults share that are written differently.
    sessions: HashMap<SessionKey, Session>,
    /// From the settings as written to those filled in last: a vault needs one session at a time.
    uses: HashMap<SessionKey, SessionKey>,
    /// The uses that were taken from an older configuration.
    taken: HashMap<SessionKey, SessionKey>,
}

/// A session, and its guard where it goes over a network.
#[derive(Clone, Debug)]
pub(super) enum Session {
    Local(Arc<dyn Vault>),
    Guarded(Arc<Guard>),
}

impl Session {
    fn vault(&self) -> Arc<dyn Vault> {
        match self {
            Self::Local(vault) => Arc::clone(vault),
            Self::Guarded(guard) => Arc::clone(guard) as _,
        }
    }

    fn guard(&self) -> Option<&Arc<Guard>> {
        match self {
            Self::Local(_) => None,
            Self::Guarded(guard) => Some(guard),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { at_once: AT_ONCE, known: Mutex::default() }
    }
}

impl Sessions {
    /// The session for settings that are `written` so and filled in to `filled`.
    pub(super) fn of(
        &self,
        written: SessionKey,
        filled: SessionKey,
        make: impl FnOnce(usize) -> Result<Session, FieldError>,
    ) -> Result<Arc<dyn Vault>, FieldError> {
        let mut known = self.known();
        let vault = match known.sessions.get(&filled) {
            Some(session) => session.vault(),
            None => {
                let session = make(self.at_once)?;
                let vault = session.vault();
                known.sessions.insert(filled, session);
                vault
            }
        };
        if known.uses.insert(written, filled).is_some_and(|before| before != filled) {
            known.give_up_unused();
        }
        Ok(vault)
    }

    /// Goes on with the sessions over networks of an older configuration, for the settings that are still `wanted`:
    /// no new login for an old vault.
    pub(super) fn take_from(&mut self, older: &Self, wanted: &HashSet<SessionKey>) {
        let theirs = older.known().of_networks(wanted);
        let ours = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        ours.taken.clone_from(&theirs.uses);
        ours.uses.extend(theirs.uses);
        ours.sessions.extend(theirs.sessions);
        ours.give_up_unused();
    }

    /// Goes on, besides its own, with what the older configuration has opened since [`Sessions::take_from`].
    pub(super) fn keep(&self, older: &Self, wanted: &HashSet<SessionKey>) {
        let theirs = older.known().of_networks(wanted);
        let mut ours = self.known();
        for (written, filled) in theirs.uses {
            // Whoever was asked since knows better.
            let before = ours.taken.get(&written);
            if ours.uses.get(&written) == before && before != Some(&filled) {
                ours.uses.insert(written, filled);
            }
        }
        for (filled, session) in theirs.sessions {
            ours.sessions.entry(filled).or_insert(session);
        }
        ours.taken.clear();
        ours.give_up_unused();
    }

    /// The guards of those that go over a network.
    pub(super) fn guards(&self) -> Vec<Arc<Guard>> {
        self.known().sessions.values().filter_map(|session| session.guard().cloned()).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What goes over a network, for the settings that are wanted.
    fn of_networks(&self, wanted: &HashSet<SessionKey>) -> Self {
        let mut known = self.clone();
        known.sessions.retain(|_, session| session.guard().is_some());
        known.uses.retain(|written, filled| wanted.contains(written) && known.sessions.contains_key(filled));
        known.give_up_unused();
        known
    }

    fn give_up_unused(&mut self) {
        let used: HashSet<SessionKey> = self.uses.values().copied().collect();
        self.sessions.retain(|filled, _| used.contains(filled));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::env::Env;

    const fn key(byte: u8) -> SessionKey {
        [byte; 32]
    }

    fn guarded(at_once: usize) -> Result<Session, FieldError> {
        Ok(Session::Guarded(Arc::new(Guard::new(Arc::new(Env::default()), at_once))))
    }

    fn made_already(_: usize) -> Result<Session, FieldError> {
        panic!("there is one")
    }

    #[test]
    fn each_may_have_so_many_requests_under_way_as_was_said() {
        let sessions = Sessions { at_once: 3, ..Sessions::default() };
        let told = std::cell::Cell::new(0);
        let make = |at_once| {
            told.set(at_once);
            guarded(at_once)
        };
        sessions.of(key(1), key(9), make).unwrap();
        assert_eq!(told.get(), 3);
    }

    #[test]
    fn the_same_settings_share_however_they_are_written() {
        let sessions = Sessions::default();
        sessions.of(key(1), key(9), guarded).unwrap();
        sessions.of(key(2), key(9), made_already).unwrap();
        assert_eq!(sessions.guards().len(), 1);
    }

    #[test]
    fn a_vault_whose_credentials_were_replaced_gives_up_its_old_session() {
        let sessions = Sessions::default();
        for filled in 10..200 {
            sessions.of(key(1), key(filled), guarded).unwrap();
        }
        assert_eq!(sessions.guards().len(), 1);
        sessions.of(key(2), key(199), made_already).unwrap();
        sessions.of(key(1), key(10), guarded).unwrap();
        assert_eq!(sessions.guards().len(), 2, "the other vault still needs it");
    }

    #[test]
    fn another_configuration_goes_on_with_what_it_wants() {
        let older = Sessions::default();
        older.of(key(1), key(11), guarded).unwrap();
        older.of(key(2), key(12), guarded).unwrap();
        older.of(key(3), key(13), |_| Ok(Session::Local(Arc::new(Env::default())))).unwrap();
        let mut newer = Sessions::default();
        newer.take_from(&older, &[key(1), key(3)].into());
        assert_eq!(newer.guards().len(), 1);
        newer.of(key(1), key(11), made_already).unwrap();
    }

    /// (opened before, opened by the older meanwhile, by the newer meanwhile) → what the newer goes on with.
    #[test]
    fn what_both_have_opened_meanwhile_goes_on() {
        let open = |sessions: &Sessions, uses: &[(u8, u8)]| {
            for (written, filled) in uses {
                sessions.of(key(*written), key(*filled), guarded).unwrap();
            }
        };
        type Uses = &'static [(u8, u8)];
        let cases: [(Uses, Uses, Uses, Uses); 6] = [
            (&[(1, 11)], &[], &[], &[(1, 11)]),
            (&[(1, 11)], &[], &[(2, 12)], &[(1, 11), (2, 12)]),
            (&[], &[(1, 11)], &[(2, 12)], &[(1, 11), (2, 12)]),
            // Its credentials were replaced, and one of them has noticed; or both, at different times.
            (&[(1, 11)], &[(1, 12)], &[], &[(1, 12)]),
            (&[(1, 11)], &[], &[(1, 12)], &[(1, 12)]),
            (&[(1, 11)], &[(1, 12)], &[(1, 13)], &[(1, 13)]),
        ];
        for (before, by_older, by_newer, expected) in cases {
            let (older, mut newer) = (Sessions::default(), Sessions::default());
            let wanted = [key(1), key(2)].into();
            open(&older, before);
            newer.take_from(&older, &wanted);
            // One that is not wanted stays behind.
            open(&older, &[(3, 33)]);
            open(&older, by_older);
            open(&newer, by_newer);
            newer.keep(&older, &wanted);
            let known = newer.known();
            let expected: HashMap<_, _> =
                expected.iter().map(|(written, filled)| (key(*written), key(*filled))).collect();
            assert_eq!(known.uses, expected, "{before:?} {by_older:?} {by_newer:?}");
            let opened: HashSet<_> = known.sessions.keys().copied().collect();
            assert_eq!(opened, expected.values().copied().collect());
        }
    }
}
