//! Generations over vaults of the test's own, on a paused clock: what a candidate leaves alone, and what its commit does.

use std::collections::BTreeMap;
use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::*;
use crate::backend::env::Env;
use crate::kind::Kind;
use crate::resolve::Origin;
use crate::rotate::{EngineOptions, Nudge, ReferenceState, Status};
use crate::settings::Settings;
use crate::slot::{Derived, Made};
use crate::snapshot::{KeySource, LastKnownGood, LkgOptions};
use crate::vault::{Lease, Read, Reading, Vault, VaultError};
use postern_client::Trust;
use postern_secret::Secret;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A vault: what it holds, how often it was read, and whether it answers.
#[derive(Debug, Default)]
struct Book {
    secrets: Mutex<BTreeMap<String, String>>,
    reads: AtomicUsize,
    hangs: AtomicBool,
    answers: Notify,
    is_away: AtomicBool,
    lends_for: Mutex<Option<Duration>>,
}

impl Book {
    fn of(secrets: &[(&str, &str)]) -> Arc<Self> {
        let book = Arc::new(Self::default());
        secrets.iter().for_each(|(name, value)| book.write(name, value));
        book
    }

    fn write(&self, name: &str, value: &str) {
        self.secrets.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// Answers whoever waits.
    fn answer(&self) {
        self.hangs.store(false, Ordering::SeqCst);
        self.answers.notify_waiters();
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Vault for Book {
    async fn read(&self, request: &Read<'_>) -> Result<Reading, VaultError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        while self.hangs.load(Ordering::SeqCst) {
            self.answers.notified().await;
        }
        if self.is_away.load(Ordering::SeqCst) {
            return Err(VaultError::Garbled { message: "it is away".to_owned(), hint: None });
        }
        let found =
            self.secrets.lock().unwrap().get(request.resource).map(|value| Secret::from(value.as_str()));
        let text = found.ok_or(VaultError::Absent { message: None, hint: None })?;
        let lease = *self.lends_for.lock().unwrap();
        let lease =
            lease.map(|duration| Lease { id: Secret::from("lease/1"), duration, is_renewable: false });
        Ok(Reading { text, lease })
    }
}

/// Vaults by name; the token says which book is meant.
fn vaults(books: &[(&str, &str, &Arc<Book>)], ttl: u64) -> Resolver {
    let resolver = Resolver::new(Env::default(), Trust::none());
    books.iter().fold(resolver, |resolver, (name, token, book)| {
        let config = json!({"token": token, "ttl": ttl});
        let settings = Settings::from_entity(Kind::Hcv, config.as_object().unwrap());
        let resolver = resolver.with_vault(*name, settings, Origin::default());
        resolver.with_session(name, Arc::clone(book) as _)
    })
}

fn nothing() -> Resolver {
    Resolver::new(Env::default(), Trust::none())
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn value(slot: &Slot) -> Option<String> {
    slot.with(|value| value.map(str::to_owned))
}

/// In a minute, which nobody waits for: the clock is paused.
fn soon() -> Instant {
    Instant::now() + s(60)
}

/// An engine in effect that holds one text.
async fn in_effect(resolver: Resolver, text: &str) -> (Engine, Arc<Slot>) {
    let engine = Engine::start(nothing());
    let candidate = engine.prepare(resolver);
    let slot = candidate.slot(&template(text));
    candidate.settled(soon()).await;
    candidate.commit();
    (engine, slot)
}

/// Refuses what does not begin with this letter.
fn begins_with(letter: char) -> impl Fn(&[Secret]) -> Result<Made<String>, String> + Send + Sync {
    move |texts| {
        let text = texts[0].expose();
        if text.starts_with(letter) {
            Ok(Made::Ready(text.to_owned()))
        } else {
            Err("another letter".to_owned())
        }
    }
}

fn is_now(derived: &Derived<String>) -> Option<String> {
    derived.load().map(|value| value.as_str().to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_first_configuration_is_a_candidate_as_well() {
    let book = Book::of(&[("a", "1")]);
    let engine = Engine::start(nothing());
    let candidate = engine.prepare(vaults(&[("v", "one", &book)], 60));
    let slot = candidate.slot(&template("{vault://v/a}"));
    candidate.settled(soon()).await;
    assert_eq!((value(&slot).as_deref(), book.reads()), (Some("1"), 1));
    assert!(engine.status().references.is_empty() && engine.status().vaults.is_empty());
    candidate.commit();
    assert_eq!((engine.status().references.len(), engine.status().vaults.len()), (1, 1));
    book.write("a", "2");
    sleep(s(65)).await;
    assert_eq!((value(&slot).as_deref(), book.reads()), (Some("2"), 2), "it is kept fresh from now on");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_is_dropped_leaves_no_trace() {
    let directories = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = directories.0.path().join("values");
    let last_known_good = Some(kept_in(directories.0.path(), directories.1.path()));
    let (book, other) = (Book::of(&[("a", "a1"), ("b", "b1")]), Book::of(&[("a", "other"), ("c", "c")]));
    let resolver = vaults(&[("v", "one", &book)], 600);
    let engine = Engine::start_with(resolver, EngineOptions { last_known_good, ..EngineOptions::default() });
    let texts = [template("{vault://v/a}"), template("x{vault://v/b}")];
    let slots = engine.slots(&texts);
    engine.settled(&slots).await;
    engine.flush().await;
    let trace = || {
        let Status { references, vaults, last_known_good } = engine.status();
        let of = references.iter().map(|of| (&of.reference, of.state, of.age, of.next_refresh));
        let shown = slots.iter().map(|slot| (slot.generation(), value(slot)));
        let shown: Vec<_> = shown.collect();
        let written = last_known_good.map(|file| file.written);
        // (What a candidate asks over a session that is there is counted there.)
        format!("{:?} {} {shown:?} {written:?}", of.collect::<Vec<_>>(), vaults.len())
    };
    let (before, bytes, reads) = (trace(), fs::read(&file).unwrap(), book.reads());

    // Another place for the vault, one that is new, one whose name is gone, and a policy that ends values at once.
    let candidates = [
        engine.prepare(vaults(&[("v", "two", &other), ("w", "three", &other)], 60)),
        engine.prepare(vaults(&[("renamed", "one", &book)], 60)),
        engine.prepare(nothing()),
        engine.prepare_again(),
    ];
    let mut users = Vec::new();
    for candidate in candidates {
        let mut held = candidate.slots(&texts);
        held.extend(candidate.slots(&[template("{vault://w/c}"), template("{vault://v/c}{vault://v/a}")]));
        let bundles = candidate.bundles([[&texts[0]], [&texts[1]]]);
        let picky = candidate.derive(&bundles[0], "a z", begins_with('z'));
        candidate.settled(Instant::now() + s(1)).await;
        assert!(picky.load().is_none());
        engine.flush().await;
        drop((candidate, held, bundles));
        users.push(picky);
        engine.flush().await;
        assert_eq!(trace(), before, "nothing is changed");
        assert_eq!(fs::read(&file).unwrap(), bytes, "nothing is written");
    }
    assert_eq!(book.reads() - reads, 1, "only {{vault://v/c}} was asked for, which is new");
    // Users of theirs that are still there have no say.
    book.write("a", "a2");
    engine.refresh(&Nudge::All).await;
    assert_eq!((value(&slots[0]).as_deref(), slots[0].generation()), (Some("a2"), 2));
    drop(users);
    assert!(engine.status().references.iter().all(|of| of.users == 1));
}

#[tokio::test(start_paused = true)]
async fn a_prefix_that_is_renamed_blanks_nothing_before_the_commit() {
    let book = Book::of(&[("a", "1")]);
    let (engine, old) = in_effect(vaults(&[("v", "one", &book)], 60), "{vault://v/a}").await;
    for commits in [false, true] {
        let candidate = engine.prepare(vaults(&[("w", "one", &book)], 60));
        let new = candidate.slot(&template("{vault://w/a}"));
        assert_eq!(value(&candidate.slot(&template("{vault://v/a}"))), None, "there is no such vault in it");
        candidate.settled(soon()).await;
        assert_eq!((value(&old).as_deref(), value(&new).as_deref()), (Some("1"), Some("1")));
        if commits {
            candidate.commit();
            assert_eq!((value(&old).as_deref(), value(&new).as_deref()), (None, Some("1")));
        } else {
            drop(candidate);
            sleep(s(1)).await;
            assert_eq!((value(&old).as_deref(), old.generation()), (Some("1"), 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_moves_is_read_at_its_new_place_and_its_old_values_serve_till_then() {
    let (old, new) = (Book::of(&[("a", "old")]), Book::of(&[("a", "new")]));
    let (engine, slot) = in_effect(vaults(&[("v", "one", &old)], 60), "{vault://v/a}").await;
    new.hangs.store(true, Ordering::SeqCst);
    let candidate = engine.prepare(vaults(&[("v", "two", &new)], 60));
    let own = candidate.slot(&template("{vault://v/a}"));
    assert!(!Arc::ptr_eq(&own, &slot));
    candidate.settled(Instant::now() + s(5)).await;
    assert_eq!(value(&own).as_deref(), Some("old"), "what is there serves until the new place answers");
    drop((candidate, own));

    new.hangs.store(false, Ordering::SeqCst);
    let candidate = engine.prepare(vaults(&[("v", "two", &new)], 60));
    let own = candidate.slot(&template("{vault://v/a}"));
    candidate.settled(soon()).await;
    assert_eq!((value(&own).as_deref(), value(&slot).as_deref()), (Some("new"), Some("old")));
    // What is in effect goes on meanwhile.
    old.write("a", "old 2");
    engine.refresh(&Nudge::All).await;
    assert_eq!((value(&own).as_deref(), value(&slot).as_deref()), (Some("new"), Some("old 2")));
    let reads = new.reads();
    candidate.commit();
    assert_eq!(
        (value(&own).as_deref(), value(&slot).as_deref()),
        (Some("new"), Some("new")),
        "both are filled"
    );
    assert_eq!(engine.status().references[0].users, 2);
    new.write("a", "newer");
    sleep(s(64)).await;
    assert_eq!((value(&own).as_deref(), value(&slot).as_deref()), (Some("newer"), Some("newer")));
    assert_eq!(new.reads() - reads, 1, "one read for both");
    drop(slot);
    sleep(s(64)).await;
    assert_eq!((engine.status().references[0].users, old.reads()), (1, 2));
    assert!(Arc::ptr_eq(&own, &engine.slot(&template("{vault://v/a}"))));
}

#[tokio::test(start_paused = true)]
async fn what_means_the_same_is_shared_and_not_read_again() {
    let book = Book::of(&[("a", "1"), ("b", "2")]);
    let (engine, slot) = in_effect(vaults(&[("v", "one", &book)], 60), "{vault://v/a}").await;
    sleep(s(30)).await;
    for commits in [false, true, true] {
        let candidate = engine.prepare(vaults(&[("v", "one", &book), ("w", "new", &book)], 60));
        assert!(Arc::ptr_eq(&slot, &candidate.slot(&template("{vault://v/a}"))));
        // A text of its own with a reference that is known.
        let own = candidate.slot(&template("Bearer {vault://v/a}"));
        assert_eq!(value(&own).as_deref(), Some("Bearer 1"));
        candidate.settled(soon()).await;
        if commits {
            candidate.commit();
        }
    }
    assert_eq!(book.reads(), 1);
    assert_eq!(engine.status().references[0].age, Some(s(30)), "its age is what it was");
    // Another text while the candidate waits is given what is read for the old one, in time.
    let candidate = engine.prepare(vaults(&[("v", "one", &book)], 60));
    let own = candidate.slot(&template("Bearer {vault://v/a}"));
    book.write("a", "3");
    sleep(s(34)).await;
    assert_eq!((value(&own).as_deref(), value(&slot).as_deref()), (Some("Bearer 3"), Some("3")));
    candidate.commit();
    sleep(s(30)).await;
    assert_eq!(book.reads(), 2, "one read per secret and interval");
    // Another policy is another meaning: a slot of its own, from the value that is known.
    let candidate = engine.prepare(vaults(&[("v", "one", &book)], 600));
    let own = candidate.slot(&template("{vault://v/a}"));
    assert!(!Arc::ptr_eq(&slot, &own) && value(&own).as_deref() == Some("3"));
    candidate.settled(soon()).await;
    candidate.commit();
    sleep(s(500)).await;
    assert_eq!(book.reads(), 2, "the new ttl counts from the last read");
}

#[tokio::test(start_paused = true)]
async fn it_has_a_veto_from_the_commit_on() {
    let book = Book::of(&[("a", "a1")]);
    let (engine, slot) = in_effect(vaults(&[("v", "one", &book)], 60), "{vault://v/a}").await;
    let text = template("{vault://v/a}");
    let candidate = engine.prepare_again();
    let bundle = candidate.bundles([[&text]]).remove(0);
    let derived = candidate.derive(&bundle, "an a", begins_with('a'));
    let never = candidate.derive(&bundle, "a z", begins_with('z'));
    assert_eq!((is_now(&derived), never.problem().unwrap().as_str()), (Some("a1".into()), "another letter"));
    let change = async |to: &str| {
        book.write("a", to);
        engine.refresh(&Nudge::All).await;
        (value(bundle.slot()), is_now(&derived), engine.status().references[0].state)
    };
    let (some, fresh) = (|text: &str| Some(text.to_owned()), ReferenceState::Fresh);
    assert_eq!(change("b").await, (some("b"), some("a1"), fresh), "before, it has no say");
    assert_eq!(change("a2").await, (some("a2"), some("a2"), fresh), "and follows what it can use");
    drop(never);
    candidate.commit();
    assert_eq!(change("c").await, (some("a2"), some("a2"), ReferenceState::Invalid));
    assert_eq!(change("a3").await, (some("a3"), some("a3"), fresh));
    drop(slot);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_done_at_the_commit_is_done_then_and_once() {
    let book = Book::of(&[("a", "1")]);
    let (engine, _slot) = in_effect(vaults(&[("v", "one", &book)], 60), "{vault://v/a}").await;
    let (text, done) = (template("{vault://v/a}"), Arc::new(Mutex::new(Vec::new())));
    let derive = |candidate: &Candidate| {
        let bundle = candidate.bundles([[&text]]).remove(0);
        let done = Arc::clone(&done);
        candidate.derive(&bundle, "a queue", move |texts| {
            let (text, done) = (texts[0].expose().to_owned(), Arc::clone(&done));
            if text == "bad" {
                return Err("bad".to_owned());
            }
            Ok(Made::AtCommit(Box::new(move || {
                assert!(text != "panics", "not shown");
                done.lock().unwrap().push(text.clone());
                text
            })))
        })
    };
    let change = async |to: &str| {
        book.write("a", to);
        engine.refresh(&Nudge::All).await;
    };
    let given_up = engine.prepare_again();
    let never = derive(&given_up);
    change("2").await;
    drop(given_up);
    change("3").await;
    assert!(done.lock().unwrap().is_empty() && never.load().is_none());

    let candidate = engine.prepare_again();
    let (derived, also) = (derive(&candidate), derive(&candidate));
    drop(also);
    change("4").await;
    change("bad").await;
    assert!(done.lock().unwrap().is_empty() && derived.load().is_none() && derived.problem().is_none());
    candidate.commit();
    assert_eq!(
        (done.lock().unwrap().as_slice(), is_now(&derived)),
        (&["4".to_owned()][..], Some("4".into()))
    );
    change("5").await;
    assert_eq!((done.lock().unwrap().join(" "), is_now(&derived)), ("4 5".to_owned(), Some("5".into())));
    change("panics").await;
    assert_eq!(is_now(&derived).as_deref(), Some("5"));
    change("6").await;
    assert_eq!((done.lock().unwrap().join(" "), is_now(&derived)), ("4 5 6".to_owned(), Some("6".into())));
    assert!(never.load().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_hangs_delays_only_who_waits_for_it() {
    let (book, hanging) = (Book::of(&[("a", "1")]), Book::of(&[("h", "late")]));
    hanging.hangs.store(true, Ordering::SeqCst);
    let (engine, slot) = in_effect(vaults(&[("v", "one", &book)], 60), "{vault://v/a}").await;
    let both = || vaults(&[("v", "one", &book), ("h", "two", &hanging)], 60);
    let candidate = engine.prepare(both());
    let (late, fine) =
        (candidate.slot(&template("{vault://h/h}")), candidate.slot(&template("x{vault://v/a}")));
    let began = Instant::now();
    candidate.settled(began + s(5)).await;
    assert_eq!((began.elapsed(), value(&fine).as_deref()), (s(5), Some("x1")));
    // What is in effect goes on, and another candidate is not held up.
    book.write("a", "2");
    let quick = async {
        engine.refresh(&Nudge::All).await;
        let other = engine.prepare(vaults(&[("v", "three", &book)], 60));
        let own = other.slot(&template("{vault://v/a}"));
        other.settled(soon()).await;
        value(&own)
    };
    assert_eq!(timeout(s(1), quick).await.unwrap().as_deref(), Some("2"));
    assert_eq!(value(&slot).as_deref(), Some("2"));
    candidate.commit();
    // What hangs now hangs for what is in effect: whoever asks the same next does not wait for it.
    let (next, began) = (engine.prepare(both()), Instant::now());
    let (shared, own) = (next.slot(&template("{vault://h/h}")), next.slot(&template("x{vault://h/h}")));
    let new = next.slot(&template("{vault://v/b}"));
    book.write("b", "b");
    next.settled(soon()).await;
    assert_eq!((began.elapsed(), value(&new).as_deref()), (Duration::ZERO, Some("b")));
    assert!(Arc::ptr_eq(&shared, &late) && value(&own).is_none());
    next.commit();
    assert_eq!(hanging.reads(), 1, "one read is enough");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_the_commit_is_not_asked_twice() {
    let book = Book::of(&[("a", r#"{"one":"1","two":"2"}"#), ("b", "b")]);
    let (engine, slot) = in_effect(vaults(&[("v", "one", &book)], 600), "{vault://v/a/one}").await;
    book.hangs.store(true, Ordering::SeqCst);
    // A reference of its own in a secret that is known, and a secret of its own.
    let candidate = engine.prepare(vaults(&[("v", "one", &book)], 600));
    let slots = candidate.slots(&[template("{vault://v/a/two}"), template("{vault://v/b}")]);
    candidate.settled(Instant::now() + s(1)).await;
    assert_eq!(book.reads(), 3);
    candidate.commit();
    // Whoever waits for it now is told at its end.
    let settled = async {
        engine.settled(&slots).await;
        (value(&slots[0]), value(&slots[1]))
    };
    let answer = async {
        sleep(s(1)).await;
        book.answer();
    };
    let (shown, ()) = timeout(s(2), futures_util::future::join(settled, answer)).await.unwrap();
    assert_eq!(shown, (Some("2".into()), Some("b".into())));
    sleep(s(500)).await;
    assert_eq!((book.reads(), value(&slot).as_deref()), (3, Some("1")));
}

#[tokio::test(start_paused = true)]
async fn a_commit_blanks_nothing_that_came_while_the_candidate_waited() {
    let (old, new) = (Book::of(&[("a", "old")]), Book::of(&[]));
    old.hangs.store(true, Ordering::SeqCst);
    let engine = Engine::start(vaults(&[("v", "one", &old)], 60));
    let slot = engine.slot(&template("{vault://v/a}"));
    for hangs in [false, true] {
        // The place where it moves to has nothing yet, or does not answer.
        new.hangs.store(hangs, Ordering::SeqCst);
        let candidate = engine.prepare(vaults(&[("v", if hangs { "two" } else { "three" }, &new)], 60));
        let own = candidate.slot(&template("{vault://v/a}"));
        candidate.settled(Instant::now() + s(1)).await;
        assert_eq!(value(&own).is_some(), hangs, "there was nothing to go on with when it began");
        if !hangs {
            old.answer();
            engine.settled(std::slice::from_ref(&slot)).await;
        }
        candidate.commit();
        assert_eq!((value(&own).as_deref(), value(&slot).as_deref()), (Some("old"), Some("old")));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_for_a_candidate_that_is_dropped_end() {
    let hanging = Book::of(&[]);
    hanging.hangs.store(true, Ordering::SeqCst);
    let engine = Engine::start(nothing());
    let candidate = engine.prepare(vaults(&[("h", "two", &hanging)], 60));
    let slot = candidate.slot(&template("{vault://h/h}"));
    candidate.settled(Instant::now() + s(1)).await;
    assert_eq!(hanging.reads(), 1);
    let held = Arc::strong_count(&hanging);
    drop(candidate);
    sleep(s(1)).await;
    assert!(Arc::strong_count(&hanging) < held, "nothing holds its session");
    assert_eq!(Arc::strong_count(&hanging), 1);
    drop(slot);
}

/// The file of last known good values in one directory, with its key in another.
fn kept_in(directory: &Path, keys: &Path) -> LastKnownGood {
    let key = keys.join("key");
    if !key.exists() {
        fs::write(&key, "6".repeat(64)).unwrap();
        set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
    }
    LastKnownGood::open(&LkgOptions { file: directory.join("values"), key: KeySource::File(key) }).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_candidate_reads_what_was_kept_and_its_commit_does_the_rest() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = directory.path().join("values");
    let book = Book::of(&[("a", "1"), ("b", "2")]);
    let start = || {
        let last_known_good = Some(kept_in(directory.path(), keys.path()));
        Engine::start_with(nothing(), EngineOptions { last_known_good, ..EngineOptions::default() })
    };
    let hold = async |engine: &Engine| {
        let candidate = engine.prepare(vaults(&[("v", "one", &book)], 60));
        let slots = candidate.slots(&[template("{vault://v/a}"), template("{vault://v/b}")]);
        candidate.settled(soon()).await;
        (candidate, slots)
    };
    let engine = start();
    let (candidate, slots) = hold(&engine).await;
    engine.flush().await;
    assert!(!file.exists(), "nothing is written before the commit");
    candidate.commit();
    engine.flush().await;
    let bytes = fs::read(&file).unwrap();
    drop((engine, slots));

    // The vault is away: a candidate serves what was kept, and leaves the file alone.
    book.is_away.store(true, Ordering::SeqCst);
    let engine = start();
    for _ in 0..2 {
        let (candidate, slots) = hold(&engine).await;
        assert_eq!(slots.iter().map(|slot| value(slot).unwrap()).collect::<String>(), "12");
        drop(candidate);
        engine.flush().await;
    }
    // One that is told that there is none forgets it for itself.
    book.is_away.store(false, Ordering::SeqCst);
    book.secrets.lock().unwrap().remove("a");
    let (candidate, slots) = hold(&engine).await;
    assert_eq!(value(&slots[0]), None);
    drop((candidate, slots));
    engine.flush().await;
    book.is_away.store(true, Ordering::SeqCst);
    let (candidate, slots) = hold(&engine).await;
    assert_eq!(value(&slots[0]).as_deref(), Some("1"));
    assert_eq!(fs::read(&file).unwrap(), bytes);
    candidate.commit();
    assert_eq!(value(&slots[0]).as_deref(), Some("1"));
    assert_eq!(engine.status().last_known_good.unwrap().serving, 2);
    engine.flush().await;
    assert_ne!(fs::read(&file).unwrap(), bytes, "from now on it is written");
    drop((engine, slots));

    // What the vault has denied a candidate that has taken effect is forgotten.
    book.is_away.store(false, Ordering::SeqCst);
    let engine = start();
    let (candidate, slots) = hold(&engine).await;
    candidate.commit();
    engine.flush().await;
    drop((engine, slots));
    book.is_away.store(true, Ordering::SeqCst);
    let (_candidate, slots) = hold(&start()).await;
    assert_eq!((value(&slots[0]), value(&slots[1]).as_deref()), (None, Some("2")));
}

/// A first configuration that takes long, or is refused: what was kept for it waits for the next.
#[tokio::test(start_paused = true)]
async fn what_was_kept_is_not_thrown_away_while_a_configuration_is_prepared() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (book, other) = (Book::of(&[("a", "1")]), Book::of(&[("c", "c")]));
    let start = |resolver| {
        let last_known_good = Some(kept_in(directory.path(), keys.path()));
        Engine::start_with(resolver, EngineOptions { last_known_good, ..EngineOptions::default() })
    };
    let prepare = async |engine: &Engine| {
        let candidate = engine.prepare(vaults(&[("v", "one", &book), ("w", "two", &other)], 60));
        let slot = candidate.slot(&template("{vault://v/a}"));
        candidate.settled(Instant::now() + s(5)).await;
        (candidate, slot)
    };
    let engine = start(nothing());
    let (candidate, slot) = prepare(&engine).await;
    candidate.commit();
    engine.flush().await;
    drop((engine, slot));

    let engine = start(vaults(&[("w", "two", &other)], 60));
    sleep(s(100)).await;
    book.hangs.store(true, Ordering::SeqCst);
    let (candidate, slot) = prepare(&engine).await;
    let _standing = engine.slot(&template("{vault://w/c}"));
    engine.refresh(&Nudge::All).await;
    let before = fs::read(directory.path().join("values")).unwrap();
    engine.flush().await;
    assert_ne!(fs::read(directory.path().join("values")).unwrap(), before);
    drop((candidate, slot, engine));
    book.answer();
    book.is_away.store(true, Ordering::SeqCst);
    let engine = start(nothing());
    let (candidate, slot) = prepare(&engine).await;
    assert_eq!(value(&slot).as_deref(), Some("1"));
    candidate.commit();
    // The place where it moves to says that there is none: what was kept does not come back by the commit.
    let moved = engine.prepare(vaults(&[("v", "three", &Book::of(&[]))], 60));
    let own = moved.slot(&template("{vault://v/a}"));
    moved.settled(soon()).await;
    assert_eq!((value(&own), value(&slot).as_deref()), (None, Some("1")));
    moved.commit();
    assert_eq!((value(&own), value(&slot)), (None, None));
}

#[tokio::test(start_paused = true)]
async fn sessions_of_both_go_on() {
    let (book, other) = (Book::of(&[("a", "1")]), Book::of(&[("a", "2")]));
    let (engine, _slot) = in_effect(vaults(&[("v", "one", &book)], 60), "{vault://v/a}").await;
    let requests = || {
        let status = engine.status();
        let mut counts: Vec<_> = status.vaults.iter().map(|vault| vault.requests.succeeded).collect();
        counts.sort_unstable();
        counts
    };
    assert_eq!(requests(), [1]);
    let candidate = engine.prepare(vaults(&[("v", "one", &book), ("w", "two", &other)], 60));
    let _new = candidate.slot(&template("{vault://w/a}"));
    candidate.settled(soon()).await;
    assert_eq!(requests(), [1], "a vault that it alone knows is not seen");
    engine.refresh(&Nudge::All).await;
    candidate.commit();
    assert_eq!(requests(), [1, 2], "that of the candidate, and that which was there");

    // One that was opened for what is in effect while a candidate waited. Nothing listens there.
    let unreachable = |token: &str| {
        let config = json!({"token": token, "host": "127.0.0.1", "port": 1, "protocol": "http"});
        let settings = Settings::from_entity(Kind::Hcv, config.as_object().unwrap());
        nothing().with_vault("x", settings, Origin::default())
    };
    let failed = || {
        let vaults = engine.status().vaults;
        vaults.iter().map(|vault| vault.requests.failed).collect::<Vec<_>>()
    };
    engine.prepare(unreachable("t")).commit();
    assert!(failed().is_empty());
    let candidate = engine.prepare(unreachable("t"));
    let slot = engine.slot(&template("{vault://x/a}"));
    engine.settled(&[slot]).await;
    candidate.commit();
    assert_eq!(failed(), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_lent_is_read_again_before_its_end_and_of_no_use_after_it() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let last_known_good = Some(kept_in(directory.path(), keys.path()));
    let book = Book::of(&[("a", "1")]);
    *book.lends_for.lock().unwrap() = Some(s(100));
    // By its configuration it would be read once, and used for ever.
    let engine = Engine::start_with(
        vaults(&[("v", "one", &book)], 0),
        EngineOptions { last_known_good, ..EngineOptions::default() },
    );
    let slot = engine.slot(&template("{vault://v/a}"));
    engine.settled(&[Arc::clone(&slot)]).await;
    book.write("a", "2");
    sleep(s(99)).await;
    assert_eq!((value(&slot).as_deref(), book.reads()), (Some("2"), 2));
    engine.flush().await;
    book.is_away.store(true, Ordering::SeqCst);
    // It was read at the latest 10 s before the end of the first.
    sleep(s(89)).await;
    assert_eq!(value(&slot).as_deref(), Some("2"));
    sleep(s(12)).await;
    assert_eq!(value(&slot), None);
    drop((engine, slot));
    let (engine, again) = (
        Engine::start_with(
            vaults(&[("v", "one", &book)], 0),
            EngineOptions {
                last_known_good: Some(kept_in(directory.path(), keys.path())),
                ..EngineOptions::default()
            },
        ),
        template("{vault://v/a}"),
    );
    let slot = engine.slot(&again);
    engine.settled(&[Arc::clone(&slot)]).await;
    assert_eq!(value(&slot), None, "it is not kept for another run");
}

/// Of two candidates the one that is committed last is in effect, whatever was between.
#[tokio::test(start_paused = true)]
async fn two_candidates_at_a_time_are_no_trouble() {
    let (one, two) = (Book::of(&[("a", "1")]), Book::of(&[("a", "2")]));
    let (engine, slot) = in_effect(vaults(&[("v", "one", &one)], 60), "{vault://v/a}").await;
    let first = engine.prepare(vaults(&[("v", "one", &one)], 60));
    let second = engine.prepare(vaults(&[("v", "two", &two)], 60));
    let text = template("x{vault://v/a}");
    let (of_first, of_second) = (first.slot(&text), second.slot(&text));
    second.settled(soon()).await;
    second.commit();
    let shown = || [&slot, &of_first, &of_second].map(|slot| value(slot).unwrap()).join(" ");
    assert_eq!(shown(), "2 x1 x2");
    sleep(s(65)).await;
    assert_eq!(
        (shown().as_str(), one.reads()),
        ("2 x1 x2", 2),
        "it reads by itself what nobody else does any longer"
    );
    one.write("a", "3");
    first.settled(soon()).await;
    first.commit();
    engine.refresh(&Nudge::All).await;
    assert_eq!(shown(), "3 x3 x3");
}

/// In real time, with the files of a real directory.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_watched_after_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a");
    fs::write(&file, "1").unwrap();
    let config = json!({"prefix": directory.path().to_str().unwrap()});
    let resolver = || {
        let settings = Settings::from_entity(Kind::Fs, config.as_object().unwrap());
        nothing().with_vault("files", settings, Origin::default())
    };
    let (engine, slot) = in_effect(resolver(), "{vault://files/a}").await;
    let change = async |slot: &Slot, to: &str| {
        let new = directory.path().join(".new");
        fs::write(&new, to).unwrap();
        fs::rename(new, &file).unwrap();
        let seen = async {
            while value(slot).as_deref() != Some(to) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(s(20), seen).await.expect(to);
    };
    change(&slot, "2").await;
    // A candidate that comes and goes takes no watch with it; one that stays takes it over.
    for (to, commits) in [("3", false), ("4", true), ("5", true)] {
        let candidate = engine.prepare(resolver());
        let own = candidate.slot(&template(&format!("{to}{{vault://files/a}}")));
        candidate.settled(soon()).await;
        if commits {
            candidate.commit();
        }
        drop(own);
        change(&slot, to).await;
    }
}
