#![expect(clippy::print_stdout, reason = "an example for the terminal")]
//! Runs the dev stack until Ctrl-C: `cargo run -p postern-devstack --example devstack [vault port] [root token]`.
//! `postern dev` does the same for users.

use postern_devstack::{Stack, StackOptions, WARNING};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let vault_port = arguments.next().map(|port| port.parse()).transpose()?;
    let options = StackOptions { vault_port, root_token: arguments.next(), ..StackOptions::default() };
    let stack = Stack::start(options).await?;
    println!("{WARNING}\n");
    println!("export VAULT_ADDR={}  BAO_ADDR={0}", stack.vault.url());
    println!("export VAULT_TOKEN={}  BAO_TOKEN={0}", stack.vault.root_token());
    println!("unseal key: {}", stack.vault.unseal_key());
    println!("token endpoint: {}  JWKS: {}", stack.idp.token_endpoint(), stack.idp.jwks_url());
    println!("client id: {}  client secret: {}", stack.idp.client_id(), stack.idp.client_secret());
    std::future::pending().await
}
