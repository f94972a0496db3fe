//! The dev vault against a real OpenBao: the same requests, the same replies.
//!
//! `devstack_vs_openbao/requests.txt` is the list, with every difference on purpose beside its request. A reply must
//! agree in status, keys, types and values, but for what is random or a time (`compare.rs`). A difference that is
//! listed and no longer there fails too, so that the list only shrinks. A second test runs the commands of the
//! tutorial with the real `bao` command line against the dev vault.

mod client;
mod compare;
mod script;

use client::Target;
use postern_conformance::{DevStack, OpenBao};
use script::{Kind, Step};
use serde_json::json;

const REQUESTS: &str = include_str!("devstack_vs_openbao/requests.txt");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_as_openbao_does() {
    let stack = DevStack::start().await;
    let openbao = OpenBao::dev().await;
    let info = &stack.info;
    let mut dev = Target::new(&info.vault_addr, &info.root_token);
    let mut real = Target::new(&openbao.addr(), openbao.root_token());
    dev.keep("UNSEAL", &info.unseal_key);
    real.keep("UNSEAL", openbao.unseal_key());
    let minter = client::Minter::new();
    for target in [&mut dev, &mut real] {
        target.keep("JWKS", &info.jwks_url);
        target.keep("ISSUER", &info.issuer);
        target.keep("CLIENT", &info.client_id);
        target.keep("PUBKEY", &minter.public_pem());
    }
    let steps = script::parse(REQUESTS);
    let mut faults = Vec::new();
    let mut compared = 0;
    // Where the steps began that depend on time, how many faults there were, and how often they were tried.
    let (mut next, mut timed) = (0, (0, 0, 0));
    while let Some(step) = steps.get(next) {
        next += 1;
        match &step.kind {
            Kind::Wait(time) => tokio::time::sleep(*time).await,
            Kind::Timed => timed = (next, faults.len(), 1),
            Kind::TimedEnd => {
                let (start, before, tried) = timed;
                if faults.len() > before && tried < 10 {
                    faults.truncate(before);
                    (next, timed) = (start, (start, before, tried + 1));
                }
            }
            Kind::Rotate => client::rotate_keys(&info.issuer).await,
            Kind::Request(request) => {
                if request.body.contains("{IDP_JWT}") {
                    let token = client::idp_token(info, "aud1").await;
                    dev.keep("IDP_JWT", &token);
                    real.keep("IDP_JWT", &token);
                }
                let (ours, theirs) = tokio::join!(dev.send(request, &minter), real.send(request, &minter));
                compared += 1;
                faults.extend(compare::judge(step, &ours, &theirs));
                for (name, pointer) in &request.keep {
                    dev.keep_from(name, pointer, &ours);
                    real.keep_from(name, pointer, &theirs);
                }
            }
        }
    }
    assert!(compared > 300, "only {compared} requests were compared: is requests.txt whole?");
    assert!(faults.is_empty(), "{} faults in {compared} requests:\n\n{}", faults.len(), faults.join("\n\n"));
}

/// The commands of the tutorial as a person types them, with the addresses of the dev stack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tutorials_commands_work_with_the_real_command_line() {
    let stack = DevStack::start().await;
    let info = &stack.info;
    let status = stack.cli(&["status"]).await.ok();
    assert!(status.stdout.contains("Sealed          false"), "{}", status.stdout);
    let enabled = stack.cli(&["auth", "enable", "jwt"]).await.ok();
    assert!(enabled.stdout.contains("Enabled jwt auth method at: jwt/"), "{}", enabled.stdout);
    let jwks = format!("jwks_url={}", info.jwks_url);
    stack.cli(&["write", "auth/jwt/config", &jwks]).await.ok();
    let subject = format!("bound_subject={}@clients", info.client_id);
    let audience = format!("bound_audiences={}", info.audience);
    let role = [
        "role_type=jwt",
        "user_claim=sub",
        "token_type=batch",
        "token_policies=default",
        &subject,
        &audience,
    ];
    stack.cli(&[&["write", "auth/jwt/role/demo"], &role[..]].concat()).await.ok();
    let put = stack.cli(&["kv", "put", "-mount=secret", "password", "pass=mypassword"]).await.ok();
    assert!(put.stdout.contains("secret/data/password"), "{}", put.stdout);

    // In the tutorial this happens in the browser: the default policy gets one more rule.
    let before = stack.cli(&["policy", "read", "default"]).await.ok().stdout;
    let after = format!("{before}\npath \"secret/*\" {{\n capabilities = [\"read\"]\n}}\n");
    let target = Target::new(&info.vault_addr, &info.root_token);
    let written = target.call("PUT", "sys/policies/acl/default", &json!({"policy": after})).await;
    assert_eq!(written.0, 204, "{}", written.1);

    // What the gateway then does.
    let jwt = format!("jwt={}", client::idp_token(info, &info.audience).await);
    let login = ["write", "-field=token", "auth/jwt/login", "role=demo", &jwt];
    let token = stack.cli(&login).await.ok().stdout.trim().to_owned();
    assert!(token.starts_with("b."), "a batch token");
    let (status, reply) =
        Target::new(&info.vault_addr, &token).call("GET", "secret/data/password", &json!(null)).await;
    assert_eq!((status, &reply["data"]["data"]), (200, &json!({"pass": "mypassword"})));

    // And what a person does afterwards.
    let field = ["kv", "get", "-mount=secret", "-field=pass", "password"];
    assert_eq!(stack.cli(&field).await.ok().stdout, "mypassword");
    assert!(stack.cli(&["auth", "list"]).await.ok().stdout.contains("jwt/"));
    assert!(stack.cli(&["secrets", "list"]).await.ok().stdout.contains("secret/"));
    assert!(stack.cli(&["token", "lookup", &token]).await.ok().stdout.contains("batch"));
    assert!(stack.cli(&["policy", "list"]).await.ok().stdout.contains("default"));
    stack.cli(&["operator", "seal"]).await.ok();
    stack.cli(&field).await.fails_with(2).stderr_has(&["Vault is sealed"]);
    stack.cli(&["operator", "unseal", &info.unseal_key]).await.ok();
    assert_eq!(stack.cli(&field).await.ok().stdout, "mypassword");
}

/// The wanted form of a complaint: which request, and what to look at.
fn place(step: &Step) -> String {
    format!("requests.txt:{}: {}", step.line, step.text)
}
