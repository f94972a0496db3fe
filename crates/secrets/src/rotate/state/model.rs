//! Whatever happens in whatever order, some things hold. Owns: random histories, and what must be true after each step.
//! (What each single outcome changes is in [`super::tests`].)

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::backend::env::Env;
use crate::client::Trust;
use crate::kind::Kind;
use crate::resolve::{Fetched, Origin, ResolveError};
use crate::settings::{FieldError, Settings};
use crate::vault::VaultError;

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
    Reconfigure(usize),
    RefusedByPeer(usize),
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
        2 => (0..CONFIGS.len()).prop_map(Op::Reconfigure),
        1 => text.prop_map(Op::RefusedByPeer),
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
    state: State,
    now: Instant,
    config: usize,
    held: BTreeMap<usize, Arc<Slot>>,
    dropped: Arc<Mutex<Vec<Arc<Template>>>>,
    /// What is under way, with the token of its configuration.
    jobs: Vec<(Job, String, Instant)>,
    waits: Vec<oneshot::Receiver<()>>,
    reads: u64,
}

impl World {
    fn new() -> Self {
        fastrand::seed(7);
        Self {
            state: State::new(Arc::new(resolver(0))),
            now: Instant::now(),
            config: 0,
            held: BTreeMap::new(),
            dropped: Arc::default(),
            jobs: Vec::new(),
            waits: Vec::new(),
            reads: 0,
        }
    }

    /// What the task does each time around.
    fn turn(&mut self) {
        let dropped = std::mem::take(&mut *self.dropped.lock().unwrap());
        self.state.sweep(&dropped, self.now);
        for job in self.state.due(self.now) {
            let token = token_of(self.config, job.reference.name()).unwrap_or_default();
            self.jobs.push((job, token.to_owned(), self.now));
        }
        for gone in self.state.take_gone() {
            assert!(!self.state.groups.contains_key(&gone));
        }
    }

    fn end(&mut self, which: usize, outcome: impl FnOnce(&str, u64) -> Result<Fetched, ResolveError>) {
        if self.jobs.is_empty() {
            return;
        }
        let (job, token, started) = self.jobs.remove(which % self.jobs.len());
        self.reads += 1;
        let outcome = if token.is_empty() { Err(denied()) } else { outcome(&token, self.reads) };
        self.state.apply(&job, started, self.now, outcome);
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
                let dropped = Arc::clone(&self.dropped);
                let note = move |template: &Arc<Template>| dropped.lock().unwrap().push(Arc::clone(template));
                self.held.insert(text, self.state.slot(&template, self.now, note));
            }
            Op::Drop(text) => drop(self.held.remove(&text)),
            Op::Advance(seconds) => self.now += Duration::from_secs(seconds),
            Op::Succeed(which) => self.end(which, |token, read| Ok(found(token, read))),
            Op::Fail(which) => self.end(which, |_, _| Err(failed())),
            Op::Deny(which) => self.end(which, |_, _| Err(denied())),
            Op::Nudge(which) => self.state.nudge(&Self::nudged(which), self.now),
            Op::Refresh(which) => {
                let what = Self::nudged(which);
                self.state.nudge(&what, self.now);
                self.waits.extend(self.state.wait_for_next(&what));
            }
            Op::Settled => {
                let slots: Vec<_> = self.held.values().cloned().collect();
                self.waits.extend(self.state.wait_for_first(&slots));
            }
            Op::Reconfigure(config) => {
                self.config = config;
                self.state.reconfigure(resolver(config), self.now);
            }
            Op::RefusedByPeer(text) => {
                for reference in Template::parse(TEXTS[text]).unwrap().references() {
                    let wait = self.state.refresh_older_than(reference, Duration::from_secs(1), self.now);
                    self.waits.extend(wait);
                }
            }
        }
    }

    fn check(&self) {
        let State { slots, cells, groups, ids, wakes, .. } = &self.state;
        // Every slot shows what its references have, or nothing.
        for slot in self.held.values() {
            let value = |part: &Part| match part {
                Part::Literal(text) => Some(text.clone()),
                Part::Reference(reference) => Some(cells[reference].value.as_ref()?.expose().to_owned()),
            };
            let expected: Option<String> = slot.template().parts().iter().map(value).collect();
            assert_eq!(slot.load().map(|value| value.expose().to_owned()), expected, "{slot:?}");
        }
        // Only what is held is kept.
        assert_eq!(slots.len(), self.held.len());
        let held: HashSet<&Reference> =
            self.held.values().flat_map(|slot| slot.template().references()).collect();
        assert_eq!(cells.keys().map(|cell| &**cell).collect::<HashSet<_>>(), held);
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
            let group = &groups[&asked.group];
            let is_well = cell.value.is_some() && cell.error.is_none() && cell.since.unwrap().current;
            assert!(is_well || group.is_in_flight() || group.next().is_some(), "{reference} is forgotten");
        }
        // One fetch at a time, and each is under way.
        for (id, group) in groups {
            let under_way = self.jobs.iter().filter(|(job, ..)| job.group == *id).count();
            assert_eq!(under_way, usize::from(group.is_in_flight()));
        }
    }

    /// What has a value now, and until when it may be used.
    fn values(&self) -> Vec<(Arc<Reference>, Option<Instant>)> {
        let values = self.state.cells.iter().filter(|(_, cell)| cell.value.is_some());
        values.map(|(reference, cell)| (Arc::clone(reference), cell.expiry())).collect()
    }
}

fn found(token: &str, read: u64) -> Fetched {
    Fetched::of(&json!({"k1": format!("{token} k1 {read}"), "k2": format!("{token} k2 {read}")}).to_string())
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
            let before = world.values();
            world.act(op);
            world.turn();
            world.check();
            // Never blank while it may be used: only time, its last holder, or the end of its vault takes a value.
            for (reference, end) in before {
                let Some(cell) = world.state.cells.get(&reference) else { continue };
                let is_vouched_for = token_of(world.config, reference.name()).is_some();
                let reconfigured = matches!(op, Op::Reconfigure(_));
                let in_time = end.is_none_or(|end| end > world.now) && !reconfigured;
                if is_vouched_for && in_time {
                    prop_assert!(cell.value.is_some(), "{} went blank by {:?}", reference, op);
                }
                // Another configuration takes away nothing but what its own policy does.
                let policy = cell.asked.map(|asked| asked.policy);
                let usable = policy.zip(cell.since).is_some_and(|(policy, since)| {
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
        for (reference, cell) in &world.state.cells {
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
