#![allow(missing_docs, clippy::print_stdout)]
use postern_devstack::{Stack, StackOptions};
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = StackOptions { vault_port: Some(0), idp_port: Some(0), ..StackOptions::default() };
    let s = Stack::start(options).await?;
    println!(
        "{}",
        serde_json::json!({"vault_addr": s.vault.url(), "root_token": s.vault.root_token(), "unseal_key": s.vault.unseal_key(),
      "issuer": s.idp.url(), "token_endpoint": s.idp.token_endpoint(), "jwks_url": s.idp.jwks_url(), "audience": s.idp.audience(), "client_id": s.idp.client_id(), "client_secret": s.idp.client_secret()})
    );
    std::future::pending().await
}
