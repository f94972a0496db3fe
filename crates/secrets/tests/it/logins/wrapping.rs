//! AppRole with a wrapped secret id: what happens to a token that can be used once.

use std::time::Duration;

use serde_json::json;

use super::approle::Role;
use super::lossy::{Loss, Lossy};
use super::{Server, assert_told, assert_value, eventually, get, plain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_unwrapped_once_for_all_callers_and_all_logins() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({})).await;
        let token = server.wrapped(&role.secret_id_path(), json!({}), "60").await;
        let wrapped = role.config(json!({"approle_secret_id": token, "approle_response_wrapping": true}));
        let resolver = plain(&wrapped);
        let readers = (0..20).map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { get(&resolver).await })
        });
        for reader in readers.collect::<Vec<_>>() {
            assert_value(reader.await.expect("a reader"));
        }
        for _ in 0..3 {
            server.revoke_logins("approle").await;
            assert_value(get(&resolver).await);
        }
        assert_eq!((server.wrappings(), server.logins()), (1, 4), "{}", server.name());

        // Another process with the same token comes too late, is told so, and does not insist.
        let late = plain(&wrapped);
        let texts = [
            "invalid response code 400 received when unwrapping the secret id: ",
            "wrapping token is not valid or does not exist",
            "the wrapping token was used already, or has expired",
            "vault write -wrap-ttl=5m -force auth/approle/role/ROLE/secret-id",
        ];
        for _ in 0..3 {
            let error = get(&late).await;
            assert!(!format!("{error:?}").contains(&token), "{error:?}");
            assert_told(error, &texts);
        }
        assert_eq!((server.wrappings(), server.logins()), (2, 4), "{}", server.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_may_go_once_it_was_unwrapped_and_may_bring_another() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({})).await;
        let file = tempfile::NamedTempFile::new().expect("a file");
        let token = server.wrapped(&role.secret_id_path(), json!({}), "60").await;
        std::fs::write(file.path(), format!("{token}\n")).expect("a written file");
        let own = json!({"approle_secret_id_file": file.path(), "approle_response_wrapping": true});
        let resolver = plain(&role.config(own));
        assert_value(get(&resolver).await);

        std::fs::remove_file(file.path()).expect("a removed file");
        server.revoke_logins("approle").await;
        assert_value(get(&resolver).await);
        assert_eq!(server.wrappings(), 1, "{}", server.name());

        // Neither is a bad token in its place worse than none.
        std::fs::write(file.path(), "s.AAAAAAAAAAAAAAAAAAAAAAAA").expect("a written file");
        server.revoke_logins("approle").await;
        assert_value(get(&resolver).await);
        server.revoke_logins("approle").await;
        assert_value(get(&resolver).await);
        assert_eq!(server.wrappings(), 2, "{}", server.name());

        let token = server.wrapped(&role.secret_id_path(), json!({}), "60").await;
        std::fs::write(file.path(), token).expect("a written file");
        server.revoke_logins("approle").await;
        assert_value(get(&resolver).await);
        server.revoke_logins("approle").await;
        assert_value(get(&resolver).await);
        assert_eq!((server.wrappings(), server.logins()), (3, 6), "{}", server.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_unwrapped_is_told_plainly() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({})).await;
        let with = |token: String| {
            plain(&role.config(json!({"approle_secret_id": token, "approle_response_wrapping": true})))
        };
        let short = server.wrapped(&role.secret_id_path(), json!({}), "1s").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_told(get(&with(short)).await, &["was used already, or has expired"]);

        let other = server.wrapped("sys/wrapping/wrap", json!({"pass": "x"}), "60").await;
        let before = server.wrappings();
        let resolver = with(other);
        for _ in 0..2 {
            assert_told(get(&resolver).await, &["what the wrapping token wrapped is no secret id"]);
        }
        assert_eq!(server.wrappings(), before + 1, "{}", server.name());

        // A secret id that is not wrapped at all.
        let plain_id = with(role.secret_id(json!({})).await);
        assert_told(get(&plain_id).await, &["wrapping token is not valid or does not exist"]);
        assert_eq!(server.logins(), 0, "{}", server.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lost_answer_the_vault_is_asked_before_it_is_tried_again() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({})).await;
        for loss in [Loss::Request, Loss::Answer] {
            let lossy = Lossy::to(server.port()).await;
            let token = server.wrapped(&role.secret_id_path(), json!({}), "60").await;
            let own = json!({
                "port": lossy.port(), "approle_secret_id": token, "approle_response_wrapping": true,
            });
            let resolver = plain(&role.config(own));
            let before = (server.wrappings(), server.logins());
            lossy.lose(loss, "sys/wrapping/unwrap");
            assert_told(get(&resolver).await, &["the connection to 127.0.0.1:"]);
            lossy.lose_nothing();
            let again = get(&resolver).await;
            let asked = (server.wrappings() - before.0, server.logins() - before.1);
            match loss {
                // A lookup, and then the unwrapping.
                Loss::Request => {
                    assert_value(again);
                    assert_eq!(asked, (2, 1), "{}", server.name());
                }
                // The unwrapping whose answer was lost, and a lookup.
                Loss::Answer => {
                    let texts = [
                        "wrapping token is not valid",
                        "ended without a clear answer",
                        "A new wrapping token:",
                    ];
                    assert_told(again, &texts);
                    assert_told(get(&resolver).await, &texts);
                    assert_eq!(asked, (2, 0), "{}", server.name());
                    assert_eq!(server.wrappings() - before.0, 2, "{}: it is known now", server.name());
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_does_not_lose_the_secret_id() {
    for server in Server::both().await {
        let role = Role::new(&server, "approle", json!({})).await;
        let lossy = Lossy::to(server.port()).await;
        let token = server.wrapped(&role.secret_id_path(), json!({}), "60").await;
        let own =
            json!({"port": lossy.port(), "approle_secret_id": token, "approle_response_wrapping": true});
        let resolver = plain(&role.config(own));
        lossy.delay(Duration::from_millis(300));
        let left = tokio::time::timeout(Duration::from_millis(150), get(&resolver)).await;
        assert!(left.is_err(), "the caller was to leave in the middle: {left:?}");
        assert_value(get(&resolver).await);
        assert_eq!((server.wrappings(), server.logins()), (1, 1), "{}", server.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_is_not_there_yet_costs_no_token() {
    let server = Server::openbao().await;
    let role = Role::new(&server, "approle", json!({})).await;
    let token = server.wrapped(&role.secret_id_path(), json!({}), "60").await;
    // Nobody listens there for now.
    let port = Lossy::to(server.port()).await.port();
    let own = json!({"port": port, "approle_secret_id": token, "approle_response_wrapping": true});
    let resolver = plain(&role.config(own));
    eventually("the port is free", async || {
        get(&resolver).await.is_err_and(|error| error.contains("refused"))
    })
    .await;
    let _lossy = Lossy::at(port, server.port()).await;
    eventually("the vault is reached", async || get(&resolver).await.is_ok()).await;
    assert_eq!(server.wrappings(), 1, "what was never sent is not in doubt");
}
