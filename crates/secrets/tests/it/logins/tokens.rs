//! What becomes of client tokens: renewed in time, replaced when they end, and never asked for in a storm.
//!
//! Lives are short here, because no real server's clock can be paused.

use std::sync::Arc;
use std::time::Duration;

use postern_client::Trust;
use postern_secrets::Template;
use postern_secrets::rotate::{Engine, Nudge};
use postern_secrets::slot::Slot;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::approle::Role;
use super::{REFERENCE, Server, assert_told, assert_value, eventually, get, plain, resolve, resolver};

/// An engine that logs in as a role with these settings; `own` are more fields of the vault.
async fn engine(server: &Server, role: Value, own: Value) -> Engine {
    Engine::start(resolver(&Trust::none(), &role_config(server, role, own).await))
}

async fn role_config(server: &Server, role: Value, mut own: Value) -> Value {
    let role = Role::new(server, "approle", role).await;
    own["approle_secret_id"] = role.secret_id(json!({})).await.into();
    role.config(own)
}

async fn slots(engine: &Engine, references: &[String]) -> Vec<Arc<Slot>> {
    let slots: Vec<_> =
        references.iter().map(|text| engine.slot(&Template::parse(text).expect("a reference"))).collect();
    engine.settled(&slots).await;
    slots
}

fn value(slot: &Slot) -> Option<String> {
    slot.with(|value| value.map(str::to_owned))
}

/// For so long, readers see a value all the time.
async fn served(slots: &[Arc<Slot>], time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        for slot in slots {
            assert!(value(slot).is_some(), "nothing in {} after {:?}", slot.template(), started.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewable_token_is_renewed_at_two_thirds_of_its_life() {
    let server = Server::openbao().await;
    let started = Instant::now();
    let engine = engine(&server, json!({"token_ttl": "12s"}), json!({"ttl": 1})).await;
    let slots = slots(&engine, &[REFERENCE.to_owned()]).await;
    served(&slots, Duration::from_secs(18)).await;
    let renewals = server.audit().count("auth/token/renew-self");
    let seconds = started.elapsed().as_secs();
    // After 8 and 16 seconds.
    assert!((2..=seconds / 8).contains(&(renewals as u64)), "{renewals} renewals in {seconds} s");
    assert_eq!(server.logins(), 1);
    assert!(engine.status().vaults.iter().all(|vault| vault.session.logged_in));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_token_is_replaced_before_it_ends() {
    let server = Server::openbao().await;
    let role = json!({"token_type": "batch", "token_ttl": "4s"});
    let engine = engine(&server, role, json!({"ttl": 1})).await;
    let slots = slots(&engine, &[REFERENCE.to_owned()]).await;
    served(&slots, Duration::from_secs(10)).await;
    let logins = server.logins();
    assert!((2..=4).contains(&logins), "{logins} logins in 10 s, with tokens of which 3 s are used");
    assert_eq!(server.audit().count("auth/token/renew-self"), 0);
    assert!(engine.status().references.iter().all(|reference| reference.last_error.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_may_not_be_renewed_any_longer_is_replaced() {
    let server = Server::openbao().await;
    let role = json!({"token_ttl": "4s", "token_max_ttl": "6s"});
    let engine = engine(&server, role, json!({"ttl": 1})).await;
    let slots = slots(&engine, &[REFERENCE.to_owned()]).await;
    served(&slots, Duration::from_secs(11)).await;
    let (logins, renewals) = (server.logins(), server.audit().count("auth/token/renew-self"));
    assert!((2..=4).contains(&logins) && (1..=6).contains(&renewals), "{logins} logins, {renewals} renewals");
    assert!(engine.status().references.iter().all(|reference| reference.last_error.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_costs_one_login_and_no_read() {
    let server = Server::openbao().await;
    let references: Vec<_> = (0..20).map(|index| format!("{{vault://hcv/many/{index}/pass}}")).collect();
    for index in 0..20 {
        server.ok("POST", &format!("secret/data/many/{index}"), json!({"data": {"pass": "one"}})).await;
    }
    let engine = engine(&server, json!({}), json!({})).await;
    let slots = slots(&engine, &references).await;
    assert_eq!(server.logins(), 1);
    for round in 2..=4 {
        server.ok("POST", "secret/data/many/7", json!({"data": {"pass": format!("round {round}")}})).await;
        server.revoke_logins("approle").await;
        engine.refresh(&Nudge::All).await;
        assert_eq!(value(&slots[7]), Some(format!("round {round}")));
        assert_eq!(server.logins(), round, "one for each revocation, at once");
        let status = engine.status();
        assert!(status.references.iter().all(|reference| reference.last_error.is_none()), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_are_counted_so_that_no_read_fails() {
    for server in Server::both().await {
        for (uses, mount, logins) in [(1, "once", 6), (3, "thrice", 2)] {
            let role = Role::new(&server, mount, json!({"token_num_uses": uses})).await;
            let resolver = plain(&role.config(json!({"approle_secret_id": role.secret_id(json!({})).await})));
            let before = server.logins();
            for _ in 0..6 {
                assert_value(get(&resolver).await);
            }
            assert_eq!(server.logins() - before, logins, "{}, {uses} uses", server.name());
        }
    }
    let server = Server::openbao().await;
    for index in 0..20 {
        server.ok("POST", &format!("secret/data/many/{index}"), json!({"data": {"pass": "one"}})).await;
    }
    let engine = engine(&server, json!({"token_num_uses": 1}), json!({})).await;
    let references: Vec<_> = (0..20).map(|index| format!("{{vault://hcv/many/{index}/pass}}")).collect();
    let slots = slots(&engine, &references).await;
    assert!(slots.iter().all(|slot| value(slot).as_deref() == Some("one")));
    assert_eq!(server.logins(), 20, "each read needs a token of its own, and no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_denies_makes_no_storm() {
    let server = Server::openbao().await;
    let references: Vec<_> = (0..50).map(|index| format!("{{vault://hcv/many/{index}/pass}}")).collect();
    for index in 0..50 {
        server.ok("POST", &format!("secret/data/many/{index}"), json!({"data": {"pass": "one"}})).await;
    }
    let engine = engine(&server, json!({}), json!({})).await;
    let slots = slots(&engine, &references).await;
    let reads = || server.audit().count("secret/data/many/");
    let before = (server.logins(), reads());

    let nothing = "path \"secret/none\" { capabilities = [\"read\"] }";
    server.ok("PUT", "sys/policies/acl/reader", json!({"policy": nothing})).await;
    engine.nudge(&Nudge::All);
    served(&slots, Duration::from_secs(5)).await;
    let after = (server.logins() - before.0, reads() - before.1);
    assert!((1..=3).contains(&after.0), "{} logins in 5 s", after.0);
    assert!(after.1 <= 50 * 5, "{} reads in 5 s", after.1);
    assert!(slots.iter().all(|slot| value(slot).as_deref() == Some("one")), "the old values serve");

    let all = "path \"secret/*\" { capabilities = [\"read\"] }";
    server.ok("PUT", "sys/policies/acl/reader", json!({"policy": all})).await;
    server.ok("POST", "secret/data/many/49", json!({"data": {"pass": "two"}})).await;
    engine.nudge(&Nudge::All);
    let healed = async || value(&slots[49]).as_deref() == Some("two");
    assert!(eventually("the policy is back", healed).await < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_for_one_secret_disturbs_no_other() {
    let server = Server::openbao().await;
    let policy = "path \"secret/data/password\" { capabilities = [\"read\"] }";
    server.ok("PUT", "sys/policies/acl/reader", json!({"policy": policy})).await;
    let resolver = plain(&role_config(&server, json!({}), json!({})).await);
    let started = Instant::now();
    for _ in 0..30 {
        assert_value(get(&resolver).await);
        let denied = resolve(&resolver, "{vault://hcv/denied/pass}").await;
        assert_told(denied.map_err(|error| error.to_string()), &["403", "permission denied"]);
    }
    let (logins, seconds) = (server.logins(), started.elapsed().as_secs() as usize);
    // The first, one because of the refusal, and after that pauses that grow.
    assert!(
        logins <= 2 + seconds,
        "{logins} logins in {seconds} s: a success of one is no reason to try for the other"
    );

    // And the long pause of the one is not the other's.
    for round in 1..=3 {
        server.revoke_logins("approle").await;
        assert_value(get(&resolver).await);
        assert_eq!(server.logins(), logins + round);
    }
}
