//! Whatever happens in whatever order, some things hold. Owns: random histories, and what must be true after each step.
//! (What each single outcome changes is in [`super::tests`].)

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use serde_json::json;

use super::cell::Since;
use super::*;
use crate::backend::env::Env;
use crate::kind::Kind;
use crate::resolve::{Fetched, Origin, ResolveError};
use crate::rotate::generations::{Generation, Generations};
use crate::settings::{FieldError, Settings};
use crate::vault::VaultError;
use postern_client::Trust;

/// Texts that share secrets in all ways: the same key, another key, a whole, two vaults, one reference twice.
const TEXTS: [&str; 7] = [
    "{vault://v/a/k1}",
    "{vault://v/a/k2?ttl=5}",
    "{vault://w/a/k1} and {vault://v/a/k1}",
    "{vault://w/b}",
    "{vault://v/a/k1}{vault://v/a/k1}",
    "{vault://v/a/nokey}",
    "no reference",
];

/// Token, ttl, resurrect_ttl; no token: misconfigured.
type Config = (&'static str, u64, Option<u64>);

/// What may be configured for the vaults `v` and `w`: the token says which configuration a value is from. `None`: there is no such vault.
const CONFIGS: [[Option<Config>; 2]; 6] = [
    [Some(("one", 60, Some(100))), Some(("two", 0, None))],
    [Some(("one", 7, Some(0))), Some(("two", 20, Some(20)))],
    [Some(("three", 60, Some(100))), Some(("two", 0, None))],
    // The two share.
    [Some(("one", 0, None)), Some(("one", 60, Some(100)))],
    [Some(("", 0, None)), Some(("two", 0, None))],
    [Some(("one", 60, Some(100))), None],
];

#[derive(Clone, Debug)]
enum Op {
    Hold(usize),
    Drop(usize),
    Advance(u64),
    /// One of the fetches under way ends: well, or for the time being not, or for good not.
    Succeed(usize),
    Fail(usize),
    Deny(usize),
    Nudge(usize),
    Refresh(usize),
    Settled,
    /// A candidate begins, with other vaults or the same; the one before is dropped.
    Prepare(Option<usize>),
    HoldInCandidate(usize),
    DropInCandidate(usize),
    SettledInCandidate,
    Commit,
    GiveUp,
    /// A configuration that nobody has prepared anything for.
    Reconfigure(usize),
    RefusedByPeer(usize),
    FileChanged,
}

fn op() -> impl Strategy<Value = Op> {
    let text = 0..TEXTS.len();
    prop_oneof![
        6 => text.clone().prop_map(Op::Hold),
        2 => text.clone().prop_map(Op::Drop),
        4 => (0_u64..90).prop_map(Op::Advance),
        1 => (0_u64..100_000).prop_map(Op::Advance),
        6 => (0_usize..8).prop_map(Op::Succeed),
        2 => (0_usize..8).prop_map(Op::Fail),
        2 => (0_usize..8).prop_map(Op::Deny),
        1 => (0_usize..4).prop_map(Op::Nudge),
        1 => (0_usize..4).prop_map(Op::Refresh),
        1 => Just(Op::Settled),
        3 => proptest::option::weighted(0.8, 0..CONFIGS.len()).prop_map(Op::Prepare),
        6 => text.clone().prop_map(Op::HoldInCandidate),
        1 => text.clone().prop_map(Op::DropInCandidate),
        1 => Just(Op::SettledInCandidate),
        2 => Just(Op::Commit),
        1 => Just(Op::GiveUp),
        1 => (0..CONFIGS.len()).prop_map(Op::Reconfigure),
        1 => text.prop_map(Op::RefusedByPeer),
        1 => Just(Op::FileChanged),
    ]
}

fn resolver(config: usize) -> Resolver {
    let vaults = ["v", "w"].into_iter().zip(CONFIGS[config]);
    vaults.fold(Resolver::new(Env::default(), Trust::none()), |resolver, (name, config)| {
        let Some((token, ttl, resurrect)) = config else { return resolver };
        let settings = if token.is_empty() {
            Err(vec![FieldError::new("token", "is wrong")])
        } else {
            let mut config = json!({"token": token, "ttl": ttl, "neg_ttl": 10});
            if let Some(resurrect) = resurrect {
                config["resurrect_ttl"] = resurrect.into();
            }
            Settings::from_entity(Kind::Hcv, config.as_object().unwrap())
        };
        resolver.with_vault(name, settings, Origin::default())
    })
}

fn token_of(config: usize, name: &str) -> Option<&'static str> {
    let [v, w] = CONFIGS[config];
    (if name == "v" { v } else { w }).map(|(token, ..)| token)
}

struct World {
    generations: Generations,
    now: Instant,
    config: usize,
    /// By text; old ones may outlive the configuration that they came with.
    held: BTreeMap<usize, Vec<Arc<Slot>>>,
    candidate: Option<OfCandidate>,
    dropped: Arc<Mutex<Vec<Arc<Template>>>>,
    /// What is under way, with the token of its configuration.
    jobs: Vec<(Generation, Job, String, Instant)>,
    waits: Vec<oneshot::Receiver<()>>,
    reads: u64,
}

struct OfCandidate {
    generation: Generation,
    config: usize,
    held: BTreeMap<usize, Arc<Slot>>,
}

impl World {
    fn new() -> Self {
        fastrand::seed(7);
        Self {
            generations: Generations::new(State::new(Arc::new(resolver(0)))),
            now: Instant::now(),
            config: 0,
            held: BTreeMap::new(),
            candidate: None,
            dropped: Arc::default(),
            jobs: Vec::new(),
            waits: Vec::new(),
            reads: 0,
        }
    }

    /// What the task does each time around.
    fn turn(&mut self) {
        let dropped = std::mem::take(&mut *self.dropped.lock().unwrap());
        let turn = self.generations.turn(&dropped, self.now);
        self.jobs.retain(|(generation, ..)| !turn.given_up.contains(generation));
        for (generation, job) in turn.jobs {
            let of_candidate = self.candidate.as_ref().filter(|of| of.generation == generation);
            let config = of_candidate.map_or(self.config, |of| of.config);
            let token = token_of(config, job.reference.name()).unwrap_or_default();
            self.jobs.push((generation, job, token.to_owned(), self.now));
        }
        for gone in turn.gone {
            assert!(!self.generations.in_effect.groups.contains_key(&gone));
        }
    }

    fn end(&mut self, which: usize, outcome: impl FnOnce(&str, u64) -> Result<Fetched, ResolveError>) {
        if self.jobs.is_empty() {
            return;
        }
        let (generation, job, token, started) = self.jobs.remove(which % self.jobs.len());
        self.reads += 1;
        let outcome = if token.is_empty() { Err(denied()) } else { outcome(&token, self.reads) };
        self.generations.apply(generation, &job, started, self.now, &outcome);
    }

    /// Whether what is done concerns a candidate only.
    fn is_about_candidate(&self, op: &Op) -> bool {
        // What it shares, and others have let go, ends with it.
        let is_left = |slot: &Arc<Slot>| !self.held.values().flatten().any(|held| Arc::ptr_eq(held, slot));
        let mut shared = self.candidate.iter().flat_map(|of| of.held.values());
        if shared.any(|slot| is_left(slot) && is_in(&self.generations.in_effect.slots, slot)) {
            return false;
        }
        match *op {
            Op::Prepare(_) | Op::HoldInCandidate(_) | Op::DropInCandidate(_) | Op::SettledInCandidate => true,
            Op::GiveUp => true,
            Op::Succeed(which) | Op::Fail(which) | Op::Deny(which) => {
                let job = (!self.jobs.is_empty()).then(|| &self.jobs[which % self.jobs.len()]);
                job.is_some_and(|job| self.candidate.as_ref().is_some_and(|of| of.generation == job.0))
            }
            _ => false,
        }
    }

    /// Everything about the generation in effect.
    fn in_effect(&self) -> String {
        let shown = self.held.values().flatten().map(|slot| (slot.generation(), value(slot)));
        format!("{:?} {:?}", self.generations.in_effect, shown.collect::<Vec<_>>())
    }

    fn note(&self) -> impl Fn(&Arc<Template>) + Send + Sync + use<> {
        let dropped = Arc::clone(&self.dropped);
        move |template| dropped.lock().unwrap().push(Arc::clone(template))
    }

    fn give_up(&mut self) {
        if let Some(of) = self.candidate.take() {
            self.generations.give_up(of.generation);
        }
    }

    fn nudged(which: usize) -> Nudge {
        match which {
            0 => Nudge::All,
            1 => Nudge::Vault("v".to_owned()),
            2 => Nudge::Vault("w".to_owned()),
            _ => Nudge::Reference(Reference::parse("{vault://v/a/k1}").unwrap()),
        }
    }

    fn act(&mut self, op: &Op) {
        match *op {
            Op::Hold(text) => {
                let template = Template::parse(TEXTS[text]).unwrap();
                let slot = self.generations.in_effect.slot(&template, self.now, self.note());
                let held = self.held.entry(text).or_default();
                if !held.iter().any(|known| Arc::ptr_eq(known, &slot)) {
                    held.push(slot);
                }
            }
            Op::Drop(text) => {
                let held = self.held.entry(text).or_default();
                if !held.is_empty() {
                    held.remove(0);
                }
            }
            Op::Advance(seconds) => self.now += Duration::from_secs(seconds),
            Op::Succeed(which) => self.end(which, |token, read| Ok(found(token, read))),
            Op::Fail(which) => self.end(which, |_, _| Err(failed())),
            Op::Deny(which) => self.end(which, |_, _| Err(denied())),
            Op::Nudge(which) => self.generations.in_effect.nudge(&Self::nudged(which), self.now),
            Op::Refresh(which) => {
                let what = Self::nudged(which);
                self.generations.in_effect.nudge(&what, self.now);
                self.waits.extend(self.generations.in_effect.wait_for_next(&what));
            }
            Op::Settled => {
                let slots: Vec<_> = self.held.values().flatten().cloned().collect();
                self.waits.extend(self.generations.in_effect.wait_for_first(&slots));
            }
            Op::Prepare(config) => {
                self.give_up();
                let generation = self.generations.begin(config.map(resolver), self.now);
                let config = config.unwrap_or(self.config);
                self.candidate = Some(OfCandidate { generation, config, held: BTreeMap::new() });
            }
            Op::HoldInCandidate(text) => {
                let (template, note) = (Template::parse(TEXTS[text]).unwrap(), self.note());
                let Some(of) = &mut self.candidate else { return };
                let (candidate, in_effect) = self.generations.candidate(of.generation).unwrap();
                of.held.insert(text, candidate.candidate_slot(in_effect, &template, self.now, note));
            }
            Op::DropInCandidate(text) => {
                let Some(of) = &mut self.candidate else { return };
                drop(of.held.remove(&text));
            }
            Op::SettledInCandidate => {
                let Some(of) = &mut self.candidate else { return };
                let (candidate, _) = self.generations.candidate(of.generation).unwrap();
                self.waits.extend(candidate.wait_for_new());
            }
            Op::Commit => {
                let Some(of) = self.candidate.take() else { return };
                self.generations.commit(of.generation, self.now);
                self.config = of.config;
                for (text, slot) in of.held {
                    let held = self.held.entry(text).or_default();
                    if !held.iter().any(|known| Arc::ptr_eq(known, &slot)) {
                        held.push(slot);
                    }
                }
            }
            Op::GiveUp => self.give_up(),
            Op::Reconfigure(config) => {
                // The candidate that is there stays.
                let generation = self.generations.begin(Some(resolver(config)), self.now);
                self.generations.commit(generation, self.now);
                self.config = config;
            }
            Op::RefusedByPeer(text) => {
                for reference in Template::parse(TEXTS[text]).unwrap().references() {
                    let age = Duration::from_secs(1);
                    let wait = self.generations.in_effect.refresh_older_than(reference, age, self.now);
                    self.waits.extend(wait);
                }
            }
            Op::FileChanged => {
                let ids: Vec<_> = self.generations.states().flat_map(State::group_ids).collect();
                self.generations.nudge_groups(&ids, self.now);
            }
        }
    }

    fn check(&self) {
        let in_effect = &self.generations.in_effect;
        let held: Vec<_> = self.held.values().flatten().cloned().collect();
        self.check_state(in_effect, &held, None);
        let states: Vec<_> = self.generations.states().collect();
        assert_eq!(states.len(), 1 + usize::from(self.candidate.is_some()));
        if let (Some(of), [_, candidate]) = (&self.candidate, states.as_slice()) {
            // What means the same is shared, and nothing else.
            let is_own = |slot: &&Arc<Slot>| candidate.living_slot(slot.template()).is_some();
            let own: Vec<_> = of.held.values().filter(is_own).cloned().collect();
            self.check_state(candidate, &own, Some(in_effect));
        }
    }

    fn check_state(&self, state: &State, held: &[Arc<Slot>], in_effect: Option<&State>) {
        let State { slots, cells, groups, ids, wakes, .. } = state;
        // Every slot shows what its references have, or nothing.
        for slot in held {
            let shown = |part: &Part| match part {
                Part::Literal(text) => Some(text.clone()),
                Part::Reference(reference) => Some(cells[reference].value.as_ref()?.expose().to_owned()),
            };
            let expected: Option<String> = slot.template().parts().iter().map(shown).collect();
            assert_eq!(value(slot), expected, "{slot:?}");
        }
        // Only what is held is kept.
        let shown: usize = slots.values().map(Vec::len).sum();
        let shared = self.candidate.iter().flat_map(|of| of.held.values());
        let shared = shared.filter(|slot| !held.iter().any(|known| Arc::ptr_eq(known, slot)));
        let shared: Vec<_> = shared.filter(|slot| slots.contains_key(slot.template())).collect();
        let shared_here: Vec<_> = match in_effect {
            Some(_) => Vec::new(),
            None => shared.into_iter().filter(|slot| is_in(slots, slot)).collect(),
        };
        assert_eq!(shown, held.len() + shared_here.len());
        let all = held.iter().chain(shared_here);
        let wanted: HashSet<Reference> = all.flat_map(|slot| slot.template().references().cloned()).collect();
        assert_eq!(cells.keys().map(|cell| (**cell).clone()).collect::<HashSet<_>>(), wanted);
        // Cells and groups agree.
        let members: Vec<_> = groups
            .iter()
            .flat_map(|(id, group)| group.members.iter().map(|member| (&**member, *id)))
            .collect();
        let asked: HashMap<_, _> =
            cells.iter().filter_map(|(reference, cell)| Some((&**reference, cell.asked?.group))).collect();
        assert_eq!(members.len(), asked.len(), "no member twice");
        assert!(members.iter().all(|(member, id)| asked.get(member) == Some(id)));
        assert!(groups.values().all(|group| !group.members.is_empty()), "no group without members");
        let by_key: HashMap<_, _> =
            groups.iter().filter_map(|(id, group)| Some((group.key.clone()?, *id))).collect();
        assert_eq!(*ids, by_key);
        // The index is what the groups say, and nothing that is due is left lying.
        let looks: BTreeSet<_> = groups.iter().filter_map(|(id, group)| Some((group.look()?, *id))).collect();
        assert_eq!(*wakes, looks);
        assert!(wakes.first().is_none_or(|(at, _)| *at > self.now));
        // Nothing is used beyond its time, and whatever has no value, or a doubtful one, will be tried again.
        for (reference, cell) in cells {
            assert!(cell.expiry().is_none_or(|end| end > self.now), "{reference} is over");
            let Some(asked) = cell.asked else { continue };
            let will_be_read = |state: &State| {
                state
                    .groups
                    .get(&asked.group)
                    .is_some_and(|group| group.is_in_flight() || group.next().is_some())
            };
            let is_well = cell.value.is_some() && cell.error.is_none() && cell.since.unwrap().current;
            let is_read = will_be_read(state) || in_effect.is_some_and(will_be_read);
            assert!(is_well || is_read, "{reference} is forgotten: {cell:?} {:?}", groups[&asked.group]);
        }
        // One fetch at a time in each generation, and each is under way.
        for (id, group) in groups {
            let fetch = self.jobs.iter().filter(|(_, job, ..)| group.is_fetched_by(job.fetch));
            assert_eq!(fetch.count(), usize::from(group.is_in_flight()), "{id}");
        }
    }

    /// What a candidate shows, in slots of its own, that was read as it says.
    fn prepared(&self) -> Vec<(Arc<Slot>, Option<String>)> {
        let states: Vec<_> = self.generations.states().collect();
        let (Some(of), [_, candidate]) = (&self.candidate, states.as_slice()) else { return Vec::new() };
        let is_current = |reference| candidate.cells.get(reference).is_none_or(Cell::is_current);
        let own = of.held.values().filter(|slot| is_in(&candidate.slots, slot));
        let held = own.filter(|slot| slot.template().references().all(is_current));
        held.filter(|slot| value(slot).is_some()).map(|slot| (Arc::clone(slot), value(slot))).collect()
    }

    /// What has a value now, and until when it may be used.
    fn values(&self) -> Vec<(Arc<Reference>, Option<Instant>, Since)> {
        let values = self.generations.in_effect.cells.iter().filter(|(_, cell)| cell.value.is_some());
        values.map(|(reference, cell)| (Arc::clone(reference), cell.expiry(), cell.since.unwrap())).collect()
    }
}

fn value(slot: &Arc<Slot>) -> Option<String> {
    slot.load().map(|value| value.expose().to_owned())
}

fn is_in(slots: &HashMap<Arc<Template>, Held>, slot: &Arc<Slot>) -> bool {
    let held = slots.get(slot.template());
    held.is_some_and(|held| held.iter().any(|shown| shown.slot.ptr_eq(&Arc::downgrade(slot))))
}

fn found(token: &str, read: u64) -> Fetched {
    let text = json!({"k1": format!("{token} k1 {read}"), "k2": format!("{token} k2 {read}")}).to_string();
    Fetched::of(Secret::from(text).into(), true)
}

fn failed() -> ResolveError {
    ResolveError::Vault(VaultError::Garbled { message: "it fails".to_owned(), hint: None })
}

fn denied() -> ResolveError {
    ResolveError::Vault(VaultError::unusable("it denies", ""))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in &ops {
            let (before, in_effect) = (world.values(), world.in_effect());
            let prepared = if matches!(op, Op::Commit) { world.prepared() } else { Vec::new() };
            let is_about_candidate = world.is_about_candidate(op);
            world.act(op);
            for (slot, value) in prepared {
                prop_assert_eq!(self::value(&slot), value, "{:?} changed by its commit", slot);
            }
            world.turn();
            world.check();
            if is_about_candidate {
                prop_assert!(in_effect == world.in_effect(), "{:?} left a trace", op);
            }
            // Never blank while it may be used: only time, its last holder, or the end of its vault takes a value.
            for (reference, end, since) in before {
                let Some(cell) = world.generations.in_effect.cells.get(&reference) else { continue };
                let is_vouched_for = token_of(world.config, reference.name()).is_some();
                let reconfigured = matches!(op, Op::Reconfigure(_) | Op::Commit);
                let in_time = end.is_none_or(|end| end > world.now) && !reconfigured;
                if is_vouched_for && in_time {
                    prop_assert!(cell.value.is_some(), "{} went blank by {:?}", reference, op);
                }
                // Another configuration takes away nothing but what its own policy does.
                let policy = cell.asked.map(|asked| asked.policy);
                let usable = policy.is_some_and(|policy| {
                    policy.usable_until(since.at).is_none_or(|end| end > world.now)
                });
                if is_vouched_for && reconfigured && usable {
                    prop_assert!(cell.value.is_some(), "{} went blank by a new configuration", reference);
                }
            }
        }
        // In the end, when all fetches succeed, everything is of the newest configuration, without being asked for.
        for _ in 0..20 {
            while !world.jobs.is_empty() {
                world.act(&Op::Succeed(0));
                world.turn();
                world.check();
            }
            world.act(&Op::Advance(61));
            world.turn();
        }
        while !world.jobs.is_empty() {
            world.act(&Op::Succeed(0));
            world.turn();
        }
        for (reference, cell) in &world.generations.in_effect.cells {
            let token = token_of(world.config, reference.name());
            let value = cell.value.as_ref().map(|value| value.expose().to_owned());
            match token {
                None => prop_assert_eq!(value, None),
                Some("") => {}
                Some(_) if reference.key() == Some("nokey") => prop_assert!(cell.error.is_some()),
                Some(token) => prop_assert!(value.is_some_and(|value| value.contains(token)), "{}", reference),
            }
        }
        // Nobody waits for ever.
        for mut wait in world.waits {
            prop_assert!(wait.try_recv() != Err(oneshot::error::TryRecvError::Empty), "a waiter was lost");
        }
    }
}
