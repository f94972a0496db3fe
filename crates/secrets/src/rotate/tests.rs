//! The reconciler over files, on a paused clock. (Vaults that fail are tested against servers.)

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::*;
use crate::backend::env::Env;
use crate::kind::Kind;
use crate::resolve::Origin;
use crate::settings::Settings;
use postern_client::Trust;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An engine over one directory, as the vault `files`.
fn engine(directory: &Path, config: serde_json::Value) -> Engine {
    // Without watching: these are about time, which is paused.
    let options = EngineOptions { watch_files: false, ..EngineOptions::default() };
    Engine::start_with(resolver(directory, config), options)
}

fn resolver(directory: &Path, mut config: serde_json::Value) -> Resolver {
    config["prefix"] = directory.to_str().unwrap().into();
    let settings = Settings::from_entity(Kind::Fs, config.as_object().unwrap());
    let env = Env::new([("HERE".to_owned(), "yes".to_owned())]);
    Resolver::new(env, Trust::none())
        .with_vault("env", Ok(Settings::empty(Kind::Env)), Origin::new("test"))
        .with_vault("files", settings, Origin::new("test"))
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "db", r#"{"user":"u1","pass":"p1"}"#);
    write(&directory, "plain", "v1");
    directory
}

/// Whole or not at all, as whoever rotates secrets in files should do it.
fn write(directory: &TempDir, name: &str, text: &str) {
    let new = directory.path().join(".new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, directory.path().join(name)).unwrap();
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn value(slot: &Slot) -> Option<String> {
    slot.with(|value| value.map(str::to_owned))
}

async fn slot(engine: &Engine, text: &str) -> Arc<Slot> {
    let slot = engine.slot(&template(text));
    engine.settled(&[Arc::clone(&slot)]).await;
    slot
}

fn state(engine: &Engine, reference: &str) -> ReferenceState {
    let status = engine.status();
    status.references.iter().find(|status| status.reference == reference).expect(reference).state
}

#[tokio::test(start_paused = true)]
async fn values_and_texts_around_them_are_filled_in() {
    let directory = directory();
    let engine = engine(directory.path(), json!({}));
    assert_eq!(value(&*slot(&engine, "{vault://files/plain}").await), Some("v1".into()));
    assert_eq!(
        value(&*slot(&engine, "Basic {vault://files/db/user}:{vault://files/db/pass}").await),
        Some("Basic u1:p1".into())
    );
    assert_eq!(value(&*slot(&engine, "no reference").await), Some("no reference".into()));
    assert_eq!(value(&*slot(&engine, "{vault://env/here}").await), Some("yes".into()));
}

#[tokio::test(start_paused = true)]
async fn without_a_ttl_it_is_read_once() {
    let directory = directory();
    let engine = engine(directory.path(), json!({}));
    let slot = slot(&engine, "{vault://files/plain}").await;
    write(&directory, "plain", "v2");
    sleep(s(1_000_000)).await;
    assert_eq!(value(&slot), Some("v1".into()));
}

#[tokio::test(start_paused = true)]
async fn with_a_ttl_it_is_read_again_in_time() {
    let directory = directory();
    let engine = engine(directory.path(), json!({"ttl": 100}));
    let (whole, short) =
        (slot(&engine, "{vault://files/plain}").await, slot(&engine, "{vault://files/db/pass?ttl=10}").await);
    write(&directory, "plain", "v2");
    write(&directory, "db", r#"{"user":"u2","pass":"p2"}"#);
    sleep(s(9)).await;
    assert_eq!((value(&whole), value(&short)), (Some("v1".into()), Some("p1".into())));
    sleep(s(3)).await;
    assert_eq!((value(&whole), value(&short)), (Some("v1".into()), Some("p2".into())));
    sleep(s(95)).await;
    assert_eq!(value(&whole), Some("v2".into()));
}

#[tokio::test(start_paused = true)]
async fn while_it_cannot_be_read_the_old_value_serves_for_the_documented_time() {
    let directory = directory();
    let engine = engine(directory.path(), json!({"ttl": 60, "resurrect_ttl": 300}));
    let slot = slot(&engine, "{vault://files/plain}").await;
    std::fs::remove_file(directory.path().join("plain")).unwrap();
    sleep(s(70)).await;
    assert_eq!(
        (value(&slot), state(&engine, "{vault://files/plain}")),
        (Some("v1".into()), ReferenceState::Stale)
    );
    sleep(s(285)).await;
    assert_eq!(value(&slot), Some("v1".into()), "355 s after the read");
    sleep(s(10)).await;
    assert_eq!((value(&slot), state(&engine, "{vault://files/plain}")), (None, ReferenceState::Unresolved));
    write(&directory, "plain", "v2");
    sleep(s(61)).await;
    assert_eq!(
        (value(&slot), state(&engine, "{vault://files/plain}")),
        (Some("v2".into()), ReferenceState::Fresh)
    );
}

#[tokio::test(start_paused = true)]
async fn resurrect_ttl_zero_ends_with_the_ttl() {
    let directory = directory();
    let engine = engine(directory.path(), json!({"ttl": 60, "resurrect_ttl": 0}));
    let slot = slot(&engine, "{vault://files/plain}").await;
    std::fs::remove_file(directory.path().join("plain")).unwrap();
    sleep(s(64)).await;
    assert_eq!(value(&slot), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_absent_at_first_is_found_within_neg_ttl() {
    let directory = directory();
    let engine = engine(directory.path(), json!({"neg_ttl": 5}));
    let slot = slot(&engine, "{vault://files/late}").await;
    assert_eq!(value(&slot), None);
    sleep(s(600)).await;
    write(&directory, "late", "here");
    sleep(s(6)).await;
    assert_eq!(value(&slot), Some("here".into()));
}

#[tokio::test(start_paused = true)]
async fn a_nudge_takes_effect_at_once() {
    let directory = directory();
    let engine = engine(directory.path(), json!({}));
    let (plain, pass) =
        (slot(&engine, "{vault://files/plain}").await, slot(&engine, "{vault://files/db/pass}").await);
    write(&directory, "plain", "v2");
    write(&directory, "db", r#"{"pass":"p2"}"#);
    // The clock stands still while a file is read, so no machine is too slow for this.
    let began = Instant::now();
    let refresh =
        async |nudge| timeout(s(60), engine.refresh(&nudge)).await.expect("a nudge that does something");
    refresh(Nudge::Reference(Reference::parse("{vault://files/plain}").unwrap())).await;
    assert_eq!((value(&plain), value(&pass)), (Some("v2".into()), Some("p1".into())));
    refresh(Nudge::Vault("env".into())).await;
    assert_eq!(value(&pass), Some("p1".into()));
    refresh(Nudge::Vault("files".into())).await;
    assert_eq!(value(&pass), Some("p2".into()));
    write(&directory, "plain", "v3");
    engine.nudge(&Nudge::All);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(value(&plain), Some("v3".into()), "also where nobody waits for it");
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_user_cannot_use_is_a_fault_of_its_own() {
    let directory = directory();
    write(&directory, "port", "8000");
    let engine = engine(directory.path(), json!({"ttl": 10}));
    let slot = slot(&engine, "{vault://files/port}").await;
    let port =
        slot.derive("a port", |v| v.expose().parse::<u16>().map_err(|_| "not a number".to_owned())).unwrap();
    write(&directory, "port", "hunter2");
    sleep(s(11)).await;
    assert_eq!((*port.load().unwrap(), value(&slot)), (8000, Some("8000".into())), "the old value serves on");
    let status = engine.status();
    let [reference] = status.references.as_slice() else { panic!("{status:?}") };
    assert_eq!(reference.state, ReferenceState::Invalid);
    let message = &reference.last_error.as_ref().unwrap().message;
    assert_eq!(message, "the value cannot be used as a port: not a number");
    write(&directory, "port", "9000");
    sleep(s(11)).await;
    assert_eq!(
        (*port.load().unwrap(), state(&engine, "{vault://files/port}")),
        (9000, ReferenceState::Fresh)
    );
}

#[tokio::test(start_paused = true)]
async fn another_configuration_never_blanks_a_value() {
    let (old, new) = (directory(), tempfile::tempdir().unwrap());
    let engine = engine(old.path(), json!({}));
    let slot = slot(&engine, "{vault://files/plain}").await;
    engine.prepare(resolver(new.path(), json!({}))).commit();
    sleep(s(2)).await;
    assert_eq!(value(&slot), Some("v1".into()), "there is no such file yet");
    write(&new, "plain", "from the new place");
    engine.refresh(&Nudge::All).await;
    assert_eq!(value(&slot), Some("from the new place".into()));
    let gone = Resolver::new(Env::default(), Trust::none());
    engine.prepare(gone).commit();
    assert_eq!(value(&slot), None, "a vault that is gone gives nothing");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_holds_is_forgotten() {
    let directory = directory();
    let engine = engine(directory.path(), json!({"ttl": 10}));
    let first = slot(&engine, "{vault://files/plain}").await;
    let second = engine.slot(&template("{vault://files/plain}"));
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(engine.status().references[0].users, 2);
    drop((first, second));
    sleep(s(1)).await;
    assert!(engine.status().references.is_empty());
    assert_eq!(value(&*slot(&engine, "{vault://files/plain}").await), Some("v1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_fetched_once_for_all_that_ask() {
    let directory = directory();
    let engine = engine(directory.path(), json!({}));
    let slot = slot(&engine, "{vault://files/plain}").await;
    sleep(s(5)).await;
    write(&directory, "plain", "v2");
    let log_in = |slot: Arc<Slot>| async move {
        match value(&slot).as_deref() {
            Some("v2") => Attempt::Done(()),
            other => Attempt::Refused(format!("{other:?}")),
        }
    };
    let slots = [Arc::clone(&slot)];
    let attempts = (0..20).map(|_| engine.retry_on_auth_failure(&slots, || log_in(Arc::clone(&slot))));
    for outcome in futures_util::future::join_all(attempts).await {
        assert_eq!(outcome, Ok(()));
    }
    assert_eq!(slot.generation(), 2);
    // A peer that refuses what the vault says is told so, and causes nothing more.
    let never = engine.retry_on_auth_failure(&slots, || async { Attempt::<(), _>::Refused("no") }).await;
    assert_eq!(never, Err(AuthFailure("no")));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_vault_is_unresolved_and_named() {
    let directory = directory();
    let engine = engine(directory.path(), json!({}));
    let slot = slot(&engine, "{vault://nowhere/a}").await;
    assert_eq!(value(&slot), None);
    let status = engine.status();
    assert_eq!(status.references[0].last_error.as_ref().unwrap().message, "could not find vault (nowhere)");
}

/// A pair that must match, as a certificate and its key: it is never seen half changed, and a pair that does not match
/// changes nothing.
#[tokio::test(start_paused = true)]
async fn a_bundle_changes_as_one() {
    let directory = directory();
    let engine = engine(directory.path(), json!({"ttl": 10}));
    let texts = [template("{vault://files/db/user}"), template("-{vault://files/db/pass}")];
    let bundle = engine.bundle(&texts);
    let pair = bundle.derive("a pair", |texts| {
        let [user, pass] = texts else { return Err("not two".to_owned()) };
        let (user, pass) = (user.expose(), pass.expose());
        if user.strip_prefix('u') != pass.strip_prefix("-p") {
            return Err("they do not match".to_owned());
        }
        Ok(format!("{user}{pass}"))
    });
    assert!(pair.load().is_none());
    engine.settled(&[Arc::clone(bundle.slot())]).await;
    assert_eq!(*pair.load().unwrap(), "u1-p1");
    for (user, pass, expected) in [("u2", "p2", "u2-p2"), ("u3", "p4", "u2-p2"), ("u5", "p5", "u5-p5")] {
        write(&directory, "db", &json!({"user": user, "pass": pass}).to_string());
        sleep(s(11)).await;
        assert_eq!(*pair.load().unwrap(), expected);
    }
    let picky = bundle.derive("nothing", |_| Err::<(), _>("never good".to_owned()));
    assert!(picky.load().is_none());
    assert_eq!(*picky.problem().unwrap(), "never good");
}
