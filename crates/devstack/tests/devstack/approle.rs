//! AppRole and response wrapping on a clock that can be moved.

use super::{Client, pass};
use postern_devstack::{DevVault, PathClass, PortChoice, VaultOptions};
use serde_json::{Value, json};
use std::time::Duration;

/// A vault with the role `app`, known as `app-id`.
async fn with_role(own: Value) -> (DevVault, Client) {
    let options = VaultOptions { port: PortChoice::Free, ..VaultOptions::default() };
    let vault = DevVault::start(options).await.expect("a free port");
    let root = Client::new(&vault).with_token(vault.root_token());
    root.ok("POST", "sys/auth/approle", json!({"type": "approle"})).await;
    root.ok("POST", "auth/approle/role/app", own).await;
    root.ok("POST", "auth/approle/role/app/role-id", json!({"role_id": "app-id"})).await;
    (vault, root)
}

async fn secret_id(root: &Client, own: Value) -> String {
    let reply = root.ok("POST", "auth/approle/role/app/secret-id", own).await;
    reply["data"]["secret_id"].as_str().expect("a secret id").to_owned()
}

async fn logs_in(root: &Client, secret_id: &str) -> bool {
    let login = json!({"role_id": "app-id", "secret_id": secret_id});
    match root.call("POST", "auth/approle/login", login).await {
        (200, _) => true,
        (400, reply) => {
            assert_eq!(reply, json!({"errors": ["invalid role or secret ID"]}));
            false
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_secret_id_ends_by_time_by_use_and_by_hand() {
    let (vault, root) = with_role(json!({"secret_id_ttl": "10m"})).await;
    let (by_time, by_use) =
        (secret_id(&root, json!({})).await, secret_id(&root, json!({"num_uses": 2})).await);
    let by_hand = secret_id(&root, json!({})).await;
    assert!(logs_in(&root, &by_use).await && logs_in(&root, &by_use).await && !logs_in(&root, &by_use).await);
    assert!(logs_in(&root, &by_hand).await);
    root.ok("POST", "auth/approle/role/app/secret-id/destroy", json!({"secret_id": by_hand})).await;
    assert!(!logs_in(&root, &by_hand).await);
    pass(Duration::from_secs(590)).await;
    assert!(logs_in(&root, &by_time).await);
    pass(Duration::from_secs(20)).await;
    assert!(!logs_in(&root, &by_time).await);
    assert_eq!(vault.logins(), 7);
}

#[tokio::test]
async fn what_is_wrapped_comes_out_once_and_in_time() {
    let (vault, root) = with_role(json!({})).await;
    for (seconds, granted) in [(0, true), (50, true), (70, false)] {
        let token = root.wrapped("auth/approle/role/app/secret-id", "60").await;
        pass(Duration::from_secs(seconds)).await;
        let holder = Client::new(&vault).with_token(&token);
        let (lookup, _) = holder.call("POST", "sys/wrapping/lookup", json!({})).await;
        let (first, reply) = holder.call("POST", "sys/wrapping/unwrap", json!({})).await;
        let (second, _) = holder.call("POST", "sys/wrapping/unwrap", json!({})).await;
        let expected = if granted { (200, 200, 400) } else { (400, 400, 400) };
        assert_eq!((lookup, first, second), expected, "after {seconds} s");
        if granted {
            assert!(logs_in(&root, reply["data"]["secret_id"].as_str().expect("a secret id")).await);
        }
    }
    assert_eq!(vault.count("POST", PathClass::Wrapping), 9);
}

#[tokio::test]
async fn a_wrapping_token_is_good_for_nothing_else() {
    let (vault, root) = with_role(json!({})).await;
    let token = root.wrapped("auth/approle/role/app/secret-id", "60").await;
    let holder = Client::new(&vault).with_token(&token);
    assert_eq!(holder.get("auth/token/lookup-self").await.0, 403);
    assert_eq!(holder.call("POST", "sys/wrapping/unwrap", json!({})).await.0, 400, "that was its one use");
}
