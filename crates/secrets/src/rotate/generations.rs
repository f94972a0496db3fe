//! The generation in effect, and those that may come: each is the whole state of one configuration. Owns: whose outcome is
//! whose, and what is of use to nobody any longer. Must not know: what a generation does with an outcome.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::state::{GroupId, Job, State};
use crate::resolve::{Fetched, ResolveError, Resolver};
use crate::template::Template;

/// Names a generation; that in effect at the start is 0.
pub(super) type Generation = u64;

/// All generations.
#[derive(Debug)]
pub(super) struct Generations {
    pub(super) in_effect: State,
    /// As many as somebody holds.
    candidates: BTreeMap<Generation, State>,
    begun: Generation,
    /// Candidates that were dropped, until somebody asks for them.
    given_up: Vec<Generation>,
    /// Groups of theirs.
    gone: Vec<GroupId>,
}

/// What is to be done now.
pub(super) struct Turn {
    pub(super) jobs: Vec<(Generation, Job)>,
    /// Groups that are no more.
    pub(super) gone: Vec<GroupId>,
    /// Candidates for which nothing is to be fetched any longer.
    pub(super) given_up: Vec<Generation>,
    /// When to look again, if nothing else happens.
    pub(super) wake: Option<Instant>,
}

impl Generations {
    pub(super) fn new(in_effect: State) -> Self {
        Self { in_effect, candidates: BTreeMap::new(), begun: 0, given_up: Vec::new(), gone: Vec::new() }
    }

    /// Begins a candidate: with other vaults, or with those in effect.
    pub(super) fn begin(&mut self, resolver: Option<Resolver>, now: Instant) -> Generation {
        // Meanwhile nothing that was kept is thrown away because nobody has asked for it.
        self.in_effect.more_may_be_asked(now);
        let in_effect = self.in_effect.resolver();
        let resolver = match resolver {
            Some(mut resolver) => {
                resolver.take_sessions_from(&in_effect);
                Arc::new(resolver)
            }
            None => in_effect,
        };
        self.begun += 1;
        self.candidates.insert(self.begun, self.in_effect.candidate(resolver));
        self.begun
    }

    /// A candidate, and the generation in effect beside it.
    pub(super) fn candidate(&mut self, generation: Generation) -> Option<(&mut State, &State)> {
        Some((self.candidates.get_mut(&generation)?, &self.in_effect))
    }

    /// A candidate takes effect.
    pub(super) fn commit(&mut self, generation: Generation, now: Instant) {
        self.part(now);
        let Some(candidate) = self.candidates.remove(&generation) else { return };
        self.in_effect.commit(candidate, now);
        for other in self.candidates.values_mut() {
            other.compare(&self.in_effect);
        }
    }

    /// A candidate does not take effect.
    pub(super) fn give_up(&mut self, generation: Generation) -> Option<State> {
        let candidate = self.candidates.remove(&generation)?;
        self.given_up.push(generation);
        self.gone.extend(candidate.group_ids());
        Some(candidate)
    }

    pub(super) fn turn(&mut self, dropped: &[Arc<Template>], now: Instant) -> Turn {
        self.in_effect.sweep(dropped, now);
        self.candidates.values_mut().for_each(|candidate| candidate.sweep(dropped, now));
        self.part(now);
        let mut jobs: Vec<_> = self.in_effect.due(now).into_iter().map(|job| (0, job)).collect();
        for (generation, candidate) in &mut self.candidates {
            jobs.extend(candidate.due(now).into_iter().map(|job| (*generation, job)));
        }
        let mut gone: HashSet<GroupId> = std::mem::take(&mut self.gone).into_iter().collect();
        gone.retain(|id| !self.states().any(|state| state.has_group(*id)));
        Turn {
            jobs,
            gone: gone.into_iter().collect(),
            given_up: std::mem::take(&mut self.given_up),
            wake: self.states().filter_map(State::next_wake).min(),
        }
    }

    /// Takes over the outcome of a fetch. That of one who has taken effect since, or was dropped, is told by its number.
    pub(super) fn apply(
        &mut self,
        generation: Generation,
        job: &Job,
        started: Instant,
        now: Instant,
        outcome: &Result<Fetched, ResolveError>,
    ) {
        if let Some(candidate) = self.candidates.get_mut(&generation) {
            candidate.apply(job, started, now, outcome);
        } else if self.in_effect.apply(job, started, now, outcome) {
            self.candidates.values_mut().for_each(|candidate| candidate.feed(job, started, now, outcome));
        }
        self.ended(job);
    }

    /// A fetch has ended, well or not: if its group was given up meanwhile, its files may have been watched after that.
    pub(super) fn ended(&mut self, job: &Job) {
        if !self.states().any(|state| state.has_group(job.group)) {
            self.gone.push(job.group);
        }
    }

    /// Makes these groups due now, in whatever generation reads them.
    pub(super) fn nudge_groups(&mut self, ids: &[GroupId], now: Instant) {
        self.in_effect.nudge_groups(ids, now);
        let own: Vec<_> = ids.iter().copied().filter(|id| !self.in_effect.has_group(*id)).collect();
        self.candidates.values_mut().for_each(|candidate| candidate.nudge_groups(&own, now));
    }

    /// What the generation in effect does not read any longer is read by those who want it.
    fn part(&mut self, now: Instant) {
        let gone = self.in_effect.take_gone();
        for candidate in self.candidates.values_mut() {
            candidate.read_by_itself(&gone, now);
            self.gone.extend(candidate.take_gone());
        }
        self.gone.extend(gone);
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &State> {
        std::iter::once(&self.in_effect).chain(self.candidates.values())
    }
}
