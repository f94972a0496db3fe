//! How tokens die.

use super::{Tutorial, pass};
use serde_json::json;
use std::time::Duration;

async fn lives(client: &super::Client) -> bool {
    match client.get("auth/token/lookup-self").await {
        (200, _) => true,
        (403, reply) => {
            assert_eq!(reply, json!({"errors": ["permission denied"]}));
            false
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_life_ends() {
    let tutorial = Tutorial::start().await;
    for kind in ["batch", "service"] {
        tutorial.role("short", json!({"token_type": kind, "token_ttl": "10m"})).await;
        let client = tutorial.log_in("short").await;
        pass(Duration::from_secs(590)).await;
        assert!(lives(&client).await, "{kind}");
        pass(Duration::from_secs(20)).await;
        assert!(!lives(&client).await, "{kind}");
    }
}

#[tokio::test]
async fn a_renewal_prolongs_a_service_token_within_its_limits() {
    let tutorial = Tutorial::start().await;
    tutorial.role("short", json!({"token_ttl": "10m", "token_explicit_max_ttl": "20m"})).await;
    let client = tutorial.log_in("short").await;
    pass(Duration::from_secs(590)).await;
    let renewed = client.ok("POST", "auth/token/renew-self", json!({})).await;
    assert_eq!(renewed["auth"]["lease_duration"], 600);
    pass(Duration::from_secs(590)).await;
    let renewed = client.ok("POST", "auth/token/renew-self", json!({"increment": "1h"})).await;
    assert!(renewed["auth"]["lease_duration"].as_u64() <= Some(20), "{renewed}");
    pass(Duration::from_secs(30)).await;
    assert!(!lives(&client).await);
}

#[tokio::test]
async fn batch_tokens_are_neither_renewed_nor_revoked() {
    let tutorial = Tutorial::start().await;
    let client = tutorial.log_in("demo").await;
    assert!(client.token().starts_with("b."));
    let (status, error) = client.refused("POST", "auth/token/renew-self", json!({})).await;
    assert_eq!((status, error.as_str()), (400, "batch tokens cannot be renewed"));
    let (status, error) = client.refused("POST", "auth/token/revoke-self", json!({})).await;
    assert_eq!((status, error.as_str()), (400, "batch tokens cannot be revoked"));
    assert!(lives(&client).await);
    tutorial.stack.vault.expire_tokens();
    assert!(!lives(&client).await, "the switch ends them too");
    assert!(lives(&tutorial.root).await, "but not the root token");
}

#[tokio::test]
async fn uses_run_out_also_by_refused_requests() {
    let tutorial = Tutorial::start().await;
    tutorial.role("thrice", json!({"token_num_uses": 3})).await;
    let client = tutorial.log_in("thrice").await;
    assert_eq!(client.get("secret/data/password").await.0, 200);
    assert_eq!(client.get("sys/mounts").await.0, 403);
    assert_eq!(client.get("secret/data/password").await.0, 200, "the last use is good");
    assert!(!lives(&client).await);
}

#[tokio::test]
async fn revoking_a_token_ends_what_it_made() {
    let tutorial = Tutorial::start().await;
    let policy = "path \"auth/token/create\" { capabilities = [\"update\"] }";
    tutorial.root.ok("PUT", "sys/policies/acl/maker", json!({"policy": policy})).await;
    tutorial.role("maker", json!({"token_policies": "maker"})).await;
    let parent = tutorial.log_in("maker").await;
    let made = parent.ok("POST", "auth/token/create", json!({"ttl": "1h"})).await;
    let child = made["auth"]["client_token"].as_str().expect("a token");
    let child = super::Client::new(&tutorial.stack.vault).with_token(child);
    assert!(lives(&child).await);
    tutorial.root.ok("POST", "auth/token/revoke", json!({"token": parent.token()})).await;
    assert!(!lives(&parent).await && !lives(&child).await);
}
