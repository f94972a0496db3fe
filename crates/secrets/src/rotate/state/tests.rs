//! What single events change, without tasks and networks: times and outcomes go in.

use serde_json::json;

use super::*;
use crate::backend::env::Env;
use crate::kind::Kind;
use crate::resolve::{Fetched, Origin, ResolveError};
use crate::rotate::status::{ReferenceState, ReferenceStatus};
use crate::settings::Settings;
use crate::vault::VaultError;
use postern_client::Trust;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn resolver_with(env: &str, config: serde_json::Value) -> Resolver {
    let mut config = config;
    config["token"] = "t".into();
    let settings = Settings::from_entity(Kind::Hcv, config.as_object().unwrap());
    let env = Env::new([("HERE".to_owned(), env.to_owned())]);
    Resolver::new(env, Trust::none()).with_vault("v", settings, Origin::default()).with_vault(
        "env",
        Ok(Settings::empty(Kind::Env)),
        Origin::default(),
    )
}

fn state(config: serde_json::Value) -> (State, Instant) {
    (State::new(Arc::new(resolver_with("1", config))), Instant::now())
}

/// Another configuration takes effect that nobody has prepared anything for.
fn reconfigure(state: &mut State, mut resolver: Resolver, now: Instant) {
    resolver.take_sessions_from(&state.resolver);
    let candidate = state.candidate(Arc::new(resolver));
    state.commit(candidate, now);
}

fn hold(state: &mut State, text: &str, now: Instant) -> Arc<Slot> {
    state.slot(&Template::parse(text).unwrap(), now, |_| {})
}

fn one(mut jobs: Vec<Job>) -> Job {
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

fn secret(k: &str) -> Result<Fetched, ResolveError> {
    let text = json!({"k": k, "other": format!("other {k}")}).to_string();
    Ok(Fetched::of(Secret::from(text).into(), true))
}

fn broken() -> Result<Fetched, ResolveError> {
    Err(ResolveError::Vault(VaultError::Garbled { message: "broken".to_owned(), hint: None }))
}

fn value(slot: &Slot) -> Option<String> {
    slot.with(|value| value.map(str::to_owned))
}

fn status(state: &State, text: &str, now: Instant) -> ReferenceStatus {
    state.references(now).0.into_iter().find(|status| status.reference == text).unwrap()
}

#[test]
fn a_user_that_refuses_is_not_forgotten_because_another_agrees() {
    let (mut state, now) = state(json!({"ttl": 10}));
    let (whole, around) =
        (hold(&mut state, "{vault://v/a/k}", now), hold(&mut state, "x{vault://v/a/k}", now));
    let number =
        whole.derive("a number", |v| v.expose().parse::<u32>().map_err(|_| "not one".to_owned())).unwrap();
    let job = one(state.due(now));
    state.apply(&job, now, now, &secret("1"));
    let now = now + s(11);
    let job = one(state.due(now));
    state.apply(&job, now, now, &secret("hunter2"));
    assert_eq!((value(&whole), value(&around)), (Some("1".into()), Some("xhunter2".into())));
    assert_eq!(status(&state, "{vault://v/a/k}", now).state, ReferenceState::Invalid);
    // Another slot with the same reference is filled: the fault stays.
    let _third = hold(&mut state, "y{vault://v/a/k}", now);
    assert_eq!(status(&state, "{vault://v/a/k}", now).state, ReferenceState::Invalid);
    drop((whole, number));
    assert_eq!(
        status(&state, "{vault://v/a/k}", now).state,
        ReferenceState::Fresh,
        "nobody refuses any longer"
    );
}

#[test]
fn whoever_joins_a_read_that_is_under_way_needs_no_other() {
    let (mut state, now) = state(json!({}));
    let first = hold(&mut state, "{vault://v/a/k}", now);
    let job = one(state.due(now));
    let second = hold(&mut state, "{vault://v/a/other}", now);
    assert!(state.due(now).is_empty());
    state.apply(&job, now, now, &secret("1"));
    assert_eq!((value(&first), value(&second)), (Some("1".into()), Some("other 1".into())));
    assert!(state.due(now + s(1_000_000)).is_empty(), "without a ttl it is read once");
}

#[test]
fn who_comes_late_waits_for_a_read_of_its_own() {
    let (mut state, now) = state(json!({}));
    let first = hold(&mut state, "{vault://v/a/k}", now);
    let job = one(state.due(now));
    state.apply(&job, now, now, &secret("1"));
    assert!(state.wait_for_first(&[first]).is_empty());
    let late = hold(&mut state, "{vault://v/a/other}", now);
    let mut waits = state.wait_for_first(std::slice::from_ref(&late));
    assert_eq!((waits.len(), value(&late)), (1, None), "its group was tried, it was not");
    let job = one(state.due(now));
    state.apply(&job, now, now, &secret("1"));
    assert_eq!((waits[0].try_recv(), value(&late)), (Ok(()), Some("other 1".into())));
    assert!(state.wait_for_first(&[late]).is_empty());
}

#[test]
fn who_asks_during_a_read_waits_for_the_next_one_and_not_for_ever() {
    let (mut state, now) = state(json!({}));
    let _slot = hold(&mut state, "{vault://v/a/k}", now);
    let all = Nudge::All;
    let job = one(state.due(now));
    state.nudge(&all, now);
    let mut early = state.wait_for_next(&all);
    assert!(state.due(now).is_empty(), "one at a time");
    state.apply(&job, now, now, &secret("1"));
    assert!(early[0].try_recv().is_err(), "that read began before the nudge");
    let job = one(state.due(now));
    // More nudges do not put the first one off.
    state.nudge(&all, now);
    let mut late = state.wait_for_next(&all);
    state.apply(&job, now, now, &broken());
    assert_eq!(early[0].try_recv(), Ok(()));
    assert!(late[0].try_recv().is_err());
    let job = one(state.due(now));
    state.apply(&job, now, now, &broken());
    assert_eq!(late[0].try_recv(), Ok(()));
}

#[test]
fn an_outcome_that_nobody_waits_for_any_longer_changes_nothing() {
    let (mut state, now) = state(json!({}));
    let slot = hold(&mut state, "{vault://v/a/k}", now);
    let old = one(state.due(now));
    // The vault is another one; the read of the old one is still under way.
    reconfigure(&mut state, resolver_with("1", json!({"namespace": "new"})), now);
    let new = one(state.due(now));
    state.apply(&new, now, now, &secret("new"));
    state.apply(&old, now, now, &secret("old"));
    assert_eq!(value(&slot).as_deref(), Some("new"));
    state.apply(&old, now, now, &broken());
    assert_eq!(status(&state, "{vault://v/a/k}", now).state, ReferenceState::Fresh);
    // The same end twice counts once.
    state.apply(&new, now, now, &secret("again"));
    assert_eq!(value(&slot).as_deref(), Some("new"));
}

#[test]
fn who_waits_for_a_reference_that_moves_waits_for_it_in_its_new_place() {
    let (mut state, now) = state(json!({}));
    let _slot = hold(&mut state, "{vault://v/a/k}", now);
    let old = one(state.due(now));
    let mut waits = state.wait_for_next(&Nudge::All);
    reconfigure(&mut state, resolver_with("1", json!({"namespace": "new"})), now);
    let new = one(state.due(now));
    state.apply(&old, now, now, &secret("old"));
    assert_eq!(waits[0].try_recv(), Err(oneshot::error::TryRecvError::Empty), "that was the old place");
    state.apply(&new, now, now, &secret("new"));
    assert_eq!(waits[0].try_recv(), Ok(()));
}

#[test]
fn another_environment_means_another_value_for_the_same_settings() {
    let (mut state, now) = state(json!({}));
    let slots = (hold(&mut state, "{vault://v/a/k}", now), hold(&mut state, "{vault://env/here}", now));
    for job in state.due(now) {
        state.apply(&job, now, now, &secret("1"));
    }
    reconfigure(&mut state, resolver_with("1", json!({})), now);
    assert!(state.due(now).is_empty(), "nothing has changed");
    reconfigure(&mut state, resolver_with("2", json!({})), now);
    assert_eq!(state.due(now).len(), 2);
    drop(slots);
}

#[test]
fn a_new_configuration_does_not_put_off_what_is_due() {
    let (mut state, now) = state(json!({"neg_ttl": 60}));
    let slot = hold(&mut state, "{vault://v/a/nokey}", now);
    let job = one(state.due(now));
    state.apply(&job, now, now, &secret("1"));
    // More often than it is looked for.
    let mut later = now;
    for _ in 0..3 {
        later += s(25);
        reconfigure(&mut state, resolver_with("1", json!({"neg_ttl": 60})), later);
    }
    assert_eq!(state.due(later).len(), 1);
    drop(slot);
}

#[test]
fn a_reference_written_twice_is_one_user() {
    let (mut state, now) = state(json!({}));
    let slot = hold(&mut state, "{vault://v/a/k}{vault://v/a/k}", now);
    let job = one(state.due(now));
    state.apply(&job, now, now, &secret("1"));
    assert_eq!((value(&slot).as_deref(), slot.generation()), (Some("11"), 1));
    assert_eq!(status(&state, "{vault://v/a/k}", now).users, 1);
}

#[test]
fn a_peer_that_refuses_while_the_vault_denies_makes_no_storm() {
    let (mut state, mut now) = state(json!({}));
    let reference = Reference::parse("{vault://v/a/k}").unwrap();
    let _slot = hold(&mut state, "{vault://v/a/k}", now);
    let mut reads = 0;
    for _ in 0..1000 {
        let wait = state.refresh_older_than(&reference, s(1), now);
        for job in state.due(now) {
            reads += 1;
            state.apply(&job, now, now, &Err(ResolveError::Vault(VaultError::unusable("no", ""))));
        }
        if let Some(mut wait) = wait {
            assert_eq!(wait.try_recv(), Ok(()));
        }
        now += Duration::from_millis(10);
    }
    assert!((1..=11).contains(&reads), "{reads} reads in 10 s");
}

#[test]
fn a_vault_that_is_misconfigured_takes_no_value_away_and_one_that_is_gone_does() {
    let (mut state, now) = state(json!({"ttl": 60, "resurrect_ttl": 60}));
    let slot = hold(&mut state, "{vault://v/a/k}", now);
    let job = one(state.due(now));
    state.apply(&job, now, now, &secret("1"));
    let wrong = || {
        let errors = vec![crate::settings::FieldError::new("host", "is wrong")];
        Resolver::new(Env::default(), Trust::none()).with_vault("v", Err(errors), Origin::default())
    };
    reconfigure(&mut state, wrong(), now);
    let job = one(state.due(now));
    state.apply(&job, now, now, &Err(state.resolver().target(&job.reference).unwrap_err()));
    let stale = status(&state, "{vault://v/a/k}", now);
    assert_eq!((value(&slot).as_deref(), stale.state), (Some("1"), ReferenceState::Stale));
    assert!(stale.last_error.unwrap().message.contains("misconfigured"));
    reconfigure(&mut state, wrong(), now + s(1));
    state.due(now + s(119));
    assert!(value(&slot).is_some());
    state.due(now + s(120));
    assert_eq!(value(&slot), None, "its time is over all the same");
    reconfigure(&mut state, resolver_with("1", json!({})), now + s(121));
    let job = one(state.due(now + s(121)));
    state.apply(&job, now, now + s(121), &secret("2"));
    assert_eq!(value(&slot).as_deref(), Some("2"));
    reconfigure(&mut state, Resolver::new(Env::default(), Trust::none()), now + s(122));
    assert_eq!(value(&slot), None);
}

/// Not a measurement: with work that grows with the square of the number, this would take minutes.
#[test]
fn ten_thousand_references_are_no_trouble() {
    let (mut state, now) = state(json!({"ttl": 60}));
    let mut slots = Vec::new();
    for index in 0..10_000 {
        // A thousand secrets of five keys, and one of five thousand.
        let text = if index % 2 == 0 {
            format!("{{vault://v/s{}/k{}}}", index / 2 % 1000, index / 2 / 1000)
        } else {
            format!("{{vault://v/large/k{index}}}")
        };
        slots.push(hold(&mut state, &text, now));
    }
    let mut later = now;
    for _ in 0..3 {
        let jobs = state.due(later);
        assert_eq!(jobs.len(), 1001);
        for job in jobs {
            state.apply(&job, later, later, &broken());
            state.sweep(&[], later);
            state.next_wake();
        }
        later += s(100);
    }
    reconfigure(&mut state, resolver_with("1", json!({"ttl": 30})), later);
    let templates: Vec<_> = state.slots.keys().cloned().collect();
    drop(slots);
    state.sweep(&templates, later);
    assert!(
        state.cells.is_empty() && state.groups.is_empty() && state.wakes.is_empty() && state.ids.is_empty()
    );
}
