//! The commands, one file each. Owns: which argument leads to which of them.

mod config;
mod database;
#[cfg(feature = "dev")]
mod demo;
#[cfg(feature = "dev")]
mod dev;
mod explain;
mod migrations;
mod node;
mod plugins;
#[cfg(feature = "dev")]
mod sample;
mod secrets;
mod start;
mod sync;
mod vault;

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::cli::{self, Cli, Command, Config, Migrations, Secrets, Vault};

/// Does what was asked.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode> {
    let options = cli.options;
    match cli.command {
        Command::Start { with_parent, take_over } => start::start(&options, with_parent, take_over).await,
        Command::Check { conf } => node::check(&options, conf).await,
        Command::Reload => node::reload(&options).await,
        Command::Quit { timeout } => node::quit(&options, timeout).await,
        Command::Health => node::health(&options).await,
        Command::Version { all } => node::version(all),
        Command::Vault(Vault::Get { reference, document }) => {
            vault::get(&options, reference, &document).await
        }
        Command::Vault(Vault::Explain { reference, json, document }) => {
            explain::explain(&options, &reference, json, &document).await
        }
        Command::Vault(Vault::List { json, document }) => vault::list(&options, json, &document).await,
        Command::Config(Config::Check { file, json }) => config::check(&options, file, json).await,
        Command::Config(Config::Schema) => config::schema(),
        Command::Config(Config::Settings) => config::settings(),
        Command::Config(Config::Export { output }) => database::export(&options, &output).await,
        Command::Config(Config::Import { file }) => database::import(&options, file).await,
        Command::Plugins { json, markdown } => plugins::plugins(json, markdown),
        Command::Secrets(Secrets::Status(query)) => secrets::status(query).await,
        Command::Secrets(Secrets::Refresh(query)) => secrets::refresh(query).await,
        Command::Migrations(Migrations::Up) => migrations::up(&options).await,
        Command::Migrations(Migrations::List) => migrations::list(&options).await,
        Command::Deck(deck) | Command::Gateway(deck) => sync::run(deck).await,
        #[cfg(feature = "dev")]
        Command::Dev(dev) => dev::dev(dev).await,
        #[cfg(feature = "dev")]
        Command::Demo(demo) => demo::demo(demo.once).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), cli::program(), &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}
