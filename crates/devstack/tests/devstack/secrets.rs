//! KV versions 1 and 2, policies on the way to them, and the seal.

use super::Tutorial;
use super::client::Client;
use serde_json::json;

#[tokio::test]
async fn version_2_keeps_versions() {
    let Tutorial { root, .. } = &Tutorial::start().await;
    root.ok("POST", "secret/data/password", json!({"data": {"pass": "two"}, "options": {"cas": 1}})).await;
    let pass = async |path: &str| {
        let (status, reply) = root.get(path).await;
        (status, reply["data"]["data"]["pass"].as_str().map(str::to_owned))
    };
    assert_eq!(pass("secret/data/password").await, (200, Some("two".to_owned())));
    assert_eq!(pass("secret/data/password?version=1").await, (200, Some("mypassword".to_owned())));
    assert_eq!(pass("secret/data/password?version=0").await, (200, Some("two".to_owned())));
    assert_eq!(root.get("secret/data/password?version=3").await, (404, json!({"errors": []})));
    let stale = json!({"data": {}, "options": {"cas": 1}});
    let (status, error) = root.refused("POST", "secret/data/password", stale).await;
    assert_eq!((status, error.as_str()), (400, "check-and-set parameter did not match the current version"));

    root.ok("DELETE", "secret/data/password", json!(null)).await;
    let (status, reply) = root.get("secret/data/password").await;
    assert_eq!((status, &reply["data"]["data"]), (404, &json!(null)));
    assert_eq!(reply["data"]["metadata"]["version"], 2);
    assert_ne!(reply["data"]["metadata"]["deletion_time"], "");
    root.ok("POST", "secret/undelete/password", json!({"versions": [2]})).await;
    assert_eq!(pass("secret/data/password").await.0, 200);
    root.ok("PUT", "secret/destroy/password", json!({"versions": [2]})).await;
    root.ok("POST", "secret/undelete/password", json!({"versions": [2]})).await;
    assert_eq!(pass("secret/data/password").await, (404, None), "destroyed is for good");
}

#[tokio::test]
async fn version_1_keeps_one_value_and_knows_no_versions() {
    let Tutorial { root, .. } = &Tutorial::start().await;
    root.ok("POST", "sys/mounts/kong", json!({"type": "kv", "options": {"version": "1"}})).await;
    root.ok("PUT", "kong/headers/request", json!({"header": "x-kong:test"})).await;
    let (status, reply) = root.get("kong/headers/request?version=7").await;
    assert_eq!((status, &reply["data"]), (200, &json!({"header": "x-kong:test"})));
    root.ok("PUT", "kong/headers/request", json!({"other": "x"})).await;
    assert_eq!(root.get("kong/headers/request").await.1["data"], json!({"other": "x"}));
    assert_eq!(root.get("kong/headers").await, (404, json!({"errors": []})));
}

#[tokio::test]
async fn a_policy_decides_what_a_login_may_do() {
    let tutorial = Tutorial::start().await;
    let reader = tutorial.log_in("demo").await;
    let (status, reply) = reader.get("secret/data/password").await;
    assert_eq!((status, &reply["data"]["data"]), (200, &json!({"pass": "mypassword"})));
    let denied = (403, "1 error occurred:\n\t* permission denied".to_owned());
    assert_eq!(reader.refused("POST", "secret/data/password", json!({"data": {}})).await, denied);
    assert_eq!(reader.refused("GET", "sys/mounts", json!(null)).await, denied);
    // At once, also for tokens that are out already.
    let policy = "path \"secret/*\" { capabilities = [\"deny\"] }";
    tutorial.root.ok("PUT", "sys/policies/acl/reader", json!({"policy": policy})).await;
    assert_eq!(reader.refused("GET", "secret/data/password", json!(null)).await, denied);
    // No token, or one that nobody made: other words.
    let nobody = Client::new(&tutorial.stack.vault);
    let plain = (403, "permission denied".to_owned());
    assert_eq!(nobody.refused("GET", "secret/data/password", json!(null)).await, plain);
    assert_eq!(nobody.with_token("s.no").refused("GET", "secret/data/password", json!(null)).await, plain);
}

#[tokio::test]
async fn a_sealed_vault_says_so_and_opens_with_its_key_only() {
    let tutorial = Tutorial::start().await;
    let reader = tutorial.log_in("demo").await;
    tutorial.root.ok("PUT", "sys/seal", json!(null)).await;
    let sealed = (503, "Vault is sealed".to_owned());
    assert_eq!(reader.refused("GET", "secret/data/password", json!(null)).await, sealed);
    assert_eq!(reader.refused("POST", "auth/jwt/login", json!({})).await, sealed);
    assert_eq!(reader.get("sys/health").await.0, 503);
    let wrong = json!({"key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="});
    assert_eq!(reader.call("PUT", "sys/unseal", wrong).await.0, 400);
    assert_eq!(reader.get("sys/seal-status").await.1["sealed"], true);
    let right = json!({"key": tutorial.stack.vault.unseal_key()});
    assert_eq!(reader.ok("PUT", "sys/unseal", right).await["sealed"], false);
    assert_eq!(reader.get("secret/data/password").await.0, 200, "nothing was lost");
    // The switches do the same.
    tutorial.stack.vault.seal();
    assert_eq!(reader.refused("GET", "secret/data/password", json!(null)).await, sealed);
    tutorial.stack.vault.unseal();
    assert_eq!(reader.get("secret/data/password").await.0, 200);
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let Tutorial { root, .. } = &Tutorial::start().await;
    let large = json!({"data": {"a": "x".repeat(2 * 1024 * 1024)}});
    assert_eq!(root.call("POST", "secret/data/large", large).await.0, 413);
    assert_eq!(root.get("secret/data/large").await.0, 404);
}
