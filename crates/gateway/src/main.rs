//! `postern`: the program. It reads arguments, environment and kong.conf, and nothing else here does.
//!
//! The way of a command: [`cli`] says what there is → [`settings`] reads where things are configured → [`boot`] builds
//! from that what the command needs (documents, vaults) → one file in [`cmd`] does the work → [`report`] says what
//! went wrong, if something did.

mod admin;
mod boot;
mod broken;
mod cli;
mod cmd;
mod database;
mod node_files;
mod own_log;
mod own_tls;
mod report;
mod serve;
mod settings;
mod source;
mod status;
mod threads;

use std::process::ExitCode;

use clap::Parser as _;

/// Many small buffers come and go with each request, which is what it is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse_from(cli::arguments());
    match &cli.command {
        cli::Command::Start { .. } => report::start_node_logging(cli.verbosity(), settings::log_level()),
        _ => report::start_logging(cli.verbosity()),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(cmd::run(cli)),
        Err(error) => Err(error.into()),
    };
    outcome.unwrap_or_else(|error| {
        report::failure(&error);
        ExitCode::FAILURE
    })
}
