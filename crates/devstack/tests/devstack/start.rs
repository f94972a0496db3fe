//! Ports, addresses, and what stops when.

use super::client::{Client, send};
use postern_devstack::{
    DevVault, Idp, IdpOptions, PortChoice, Stack, StackOptions, StartError, VaultOptions,
};
use std::net::{IpAddr, Ipv4Addr, TcpListener};

fn vault(port: PortChoice) -> VaultOptions {
    VaultOptions { port, ..VaultOptions::default() }
}

fn on_free_ports() -> StackOptions {
    StackOptions { vault_port: Some(0), idp_port: Some(0), upstream_port: Some(0), ..StackOptions::default() }
}

#[tokio::test]
async fn listens_on_loopback_only() {
    for bind in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))] {
        let refused = DevVault::start(VaultOptions { bind, ..vault(PortChoice::Free) }).await;
        assert!(matches!(refused, Err(StartError::NotLoopback(ip)) if ip == bind), "{refused:?}");
        let refused = Idp::start(IdpOptions { bind, port: PortChoice::Free, ..IdpOptions::default() }).await;
        assert!(matches!(refused, Err(StartError::NotLoopback(ip)) if ip == bind), "{refused:?}");
    }
}

#[tokio::test]
async fn a_taken_port_is_replaced_when_it_was_only_preferred() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let vault_on_another = DevVault::start(vault(PortChoice::Preferred(port))).await.expect("another port");
    assert!(vault_on_another.port_was_taken() && vault_on_another.addr().port() != port);
    assert_eq!(Client::new(&vault_on_another).get("sys/health").await.0, 200);
    let refused = DevVault::start(vault(PortChoice::Exact(port))).await;
    assert!(matches!(refused, Err(StartError::Bind { .. })), "{refused:?}");
}

#[tokio::test]
async fn gives_its_port_back() {
    let stack = Stack::start(on_free_ports()).await.expect("free ports");
    let (vault, idp, upstream) = (stack.vault.addr(), stack.idp.addr(), stack.upstream.addr());
    assert!(!stack.vault.port_was_taken() && !stack.idp.port_was_taken());
    assert!(!stack.upstream.port_was_taken());
    stack.shutdown().await;
    TcpListener::bind(vault).expect("the vault's port is free again");
    TcpListener::bind(idp).expect("the identity provider's port is free again");
    TcpListener::bind(upstream).expect("the upstream's port is free again");
}

#[tokio::test]
async fn open_connections_end_with_the_server() {
    let vault = DevVault::start(vault(PortChoice::Free)).await.expect("a free port");
    vault.answer_nothing(true);
    let url = format!("{}/v1/sys/health", vault.url());
    let waiting = tokio::spawn(async move { send("GET", &url, &[], String::new()).await });
    while vault.count("GET", postern_devstack::PathClass::Health) == 0 {
        tokio::task::yield_now().await;
    }
    drop(vault);
    assert!(waiting.await.expect("no panic").is_err(), "the connection broke off");
}

#[tokio::test]
async fn names_and_secrets_are_as_asked_or_random_and_never_printed() {
    let asked = StackOptions {
        root_token: Some("root-canary".to_owned()),
        client_id: Some("me".to_owned()),
        client_secret: Some("secret-canary".to_owned()),
        ..on_free_ports()
    };
    assert!(!format!("{asked:?}").contains("canary"));
    let stack = Stack::start(asked).await.expect("free ports");
    assert_eq!(stack.vault.root_token(), "root-canary");
    assert_eq!((stack.idp.client_id(), stack.idp.client_secret()), ("me", "secret-canary"));
    let printed = format!("{stack:?}");
    assert!(!printed.contains("canary") && !printed.contains(stack.vault.unseal_key()), "{printed}");

    let one = Stack::start(on_free_ports()).await.expect("ports");
    let two = Stack::start(on_free_ports()).await.expect("ports");
    assert_ne!(one.vault.root_token(), two.vault.root_token());
    assert_ne!(one.vault.unseal_key(), two.vault.unseal_key());
    assert_ne!(one.idp.client_id(), two.idp.client_id());
    assert_ne!(one.idp.client_secret(), two.idp.client_secret());
    assert_eq!(one.idp.url(), format!("http://{}/", one.idp.addr()));
    assert_eq!(one.idp.audience(), format!("{}api/v2/", one.idp.url()));
}
