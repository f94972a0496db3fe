//! What can be typed: every command, argument and help text. Must not know: what any of them does.

pub(crate) mod deck;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Looks like Kong's `kong`, too: called by that name, through a link, it answers to it.
#[derive(Debug, Parser)]
#[command(
    name = "postern",
    version,
    about = "An API gateway with secrets management at its core",
    long_about = "An API gateway with secrets management at its core.\n\n\
        Configuration comes from kong.conf (-c), the environment (KONG_* and POSTERN_*, the latter wins) and\n\
        kong.yaml (declarative_config). Credentials in it may be references such as {vault://hashicorp-vault/db/pass}.",
    after_help = "Examples:\n  \
        postern dev                                     start a dev vault and an identity provider\n  \
        postern vault get {vault://env/home}            resolve a reference\n  \
        postern config check kong.yaml                  check a configuration",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) options: Options,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Configuration file (default: the first there is of /etc/postern/postern.conf, /etc/kong/kong.conf, /etc/kong.conf)
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) conf: Option<PathBuf>,

    /// Working directory; overrides the setting `prefix`
    #[arg(short, long, global = true, value_name = "DIR")]
    pub(crate) prefix: Option<PathBuf>,

    /// Say what is done
    #[arg(long, global = true, overrides_with_all = ["vv", "vvv"])]
    pub(crate) v: bool,

    /// Say it in detail
    #[arg(long, global = true, overrides_with = "vvv")]
    pub(crate) vv: bool,

    /// Say everything, the libraries' words included
    #[arg(long, global = true)]
    pub(crate) vvv: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the gateway, in the foreground
    #[command(after_help = "Examples:\n  \
        postern start -c kong.conf\n  \
        POSTERN_DECLARATIVE_CONFIG=kong.yaml postern start\n\n\
        SIGHUP reads the configuration again (it is also watched) and reopens log files; SIGUSR1 reopens log files;\n\
        SIGTERM, SIGINT and SIGQUIT end it when requests under way are done")]
    Start {
        /// End when the process that started this one is gone, even if that was killed
        #[arg(long, hide = true)]
        with_parent: bool,
        /// Start although a node runs with the same prefix: to replace it without a gap, end it (SIGQUIT) when this one serves
        #[arg(long)]
        take_over: bool,
    },
    /// Check everything that `start` would, and start nothing
    Check {
        /// kong.conf (default: as for -c)
        conf: Option<PathBuf>,
    },
    /// Have the running node read its configuration again; fails if it refuses it
    Reload,
    /// End the running node when its requests are done
    Quit {
        /// Seconds to wait for its end
        #[arg(short, long, default_value_t = 30)]
        timeout: u64,
    },
    /// Whether the node runs and serves its configuration
    Health,
    /// Print the version
    Version {
        /// With those of what it is built on
        #[arg(short, long)]
        all: bool,
    },
    /// Resolve references, and see why they do not resolve
    #[command(subcommand, arg_required_else_help = true)]
    Vault(Vault),
    /// Check configuration files
    #[command(subcommand, arg_required_else_help = true)]
    Config(Config),
    /// List the plugins, how many of their fields are supported, and the gaps with their reasons
    Plugins {
        /// As JSON, with every field
        #[arg(long)]
        json: bool,
        /// As docs/plugins.md
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// See how the references of a running node stand, and have them read again
    #[command(subcommand, arg_required_else_help = true)]
    Secrets(Secrets),
    /// Prepare the database
    #[command(subcommand, arg_required_else_help = true)]
    Migrations(Migrations),
    #[command(flatten)]
    Deck(deck::Deck),
    /// decK's name for the commands on an Admin API: `gateway sync` is `sync`
    #[command(subcommand, hide = true)]
    Gateway(deck::Deck),
    /// Start the dev stack: a Vault-compatible server, an identity provider and an echo service, in memory
    #[cfg(feature = "dev")]
    Dev(Dev),
    /// Walk through the tutorial: OAuth2 login, vault, policy, secret, reference, and a gateway that uses it
    #[cfg(feature = "dev")]
    Demo(Demo),
    /// Print the completion script of a shell
    #[command(after_help = "Example:\n  postern completions bash > /etc/bash_completion.d/postern")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Commands about vaults.
#[derive(Debug, Subcommand)]
pub(crate) enum Vault {
    /// Print the value of a reference, and nothing else
    #[command(after_help = "Examples:\n  \
        postern vault get {vault://env/home}\n  \
        postern vault get env/home                      the short form\n  \
        postern vault get hashicorp-vault/db/pass -f kong.yaml\n  \
        postern vault get '{vault://hcv/db/pass#2}'     quote ?, &, # and * for the shell")]
    Get {
        /// The reference, whole or without its first nine characters and the brace at its end
        #[arg(
            help = "{vault://NAME/RESOURCE[/KEY][?option=value][#version]}, or the same without {vault:// and }"
        )]
        reference: Option<String>,
        #[command(flatten)]
        document: Document,
    },
    /// Show each step of resolving a reference, its time and outcome, and what to do where it fails; no secrets
    #[command(after_help = "Example:\n  postern vault explain hashicorp-vault/db/pass -f kong.yaml")]
    Explain {
        /// As for `get`
        reference: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        document: Document,
    },
    /// List the vaults that the configuration knows
    #[command(after_help = "Example:\n  postern vault list -f kong.yaml")]
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        document: Document,
    },
}

/// Where the declarative configuration is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Document {
    /// kong.yaml to use instead of the setting `declarative_config`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Commands about configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Report everything that is wrong with kong.yaml and kong.conf, with path and line
    #[command(after_help = "Examples:\n  \
        postern config check kong.yaml\n  \
        cat kong.yaml | postern config check -\n  \
        postern config check -c kong.conf               the file that declarative_config names\n\n\
        Exit code: 0 valid (warnings included), 1 not valid")]
    Check {
        /// kong.yaml, or `-` for standard input (default: the setting `declarative_config`)
        file: Option<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of kong.yaml, for editors
    #[command(after_help = "Example:\n  \
        postern config schema > kong.schema.json\n\n\
        and as the first line of kong.yaml:\n  \
        # yaml-language-server: $schema=./kong.schema.json")]
    Schema,
    /// Write what the database holds as a kong.yaml; credentials are in clear in it
    #[command(after_help = "Example:\n  postern config export -o kong.yaml")]
    Export {
        /// The file, or `-` for standard output
        #[arg(short, long, value_name = "FILE", default_value = "-")]
        output: PathBuf,
    },
    /// Put what a kong.yaml says into the database: all of it or nothing; what else is there stays
    #[command(after_help = "Example:\n  postern config import kong.yaml")]
    Import {
        /// kong.yaml, or `-` for standard input
        file: PathBuf,
    },
    /// Print a postern.conf with every setting, its default and what it does
    #[command(after_help = "Example:\n  postern config settings > postern.conf")]
    Settings,
}

/// Commands about the references of a running node.
#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// A line for each reference: its state, its age, its last error; never a value
    #[command(after_help = "Examples:\n  \
        postern secrets status\n  \
        postern secrets status --state unresolved --json\n\n\
        Exit code: 0 all have a usable value, 1 one has none")]
    Status(SecretsQuery),
    /// Have the node read them again now, all or those of one vault
    #[command(after_help = "Example:\n  postern secrets refresh --vault hashicorp-vault")]
    Refresh(SecretsQuery),
}

/// Which references are wanted, and of which node.
#[derive(Args, Debug)]
pub(crate) struct SecretsQuery {
    /// Only those in this state: fresh, stale, unresolved or invalid
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// Only those of the vault with this prefix
    #[arg(long, value_name = "PREFIX")]
    pub(crate) vault: Option<String>,
    /// Print one JSON array
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) admin: deck::Admin,
}

/// Commands about the tables of the database.
#[derive(Debug, Subcommand)]
pub(crate) enum Migrations {
    /// Run what is lacking; nodes may be at work meanwhile (SQLite needs no such command)
    #[command(
        visible_alias = "bootstrap",
        alias = "finish",
        after_help = "Example:\n  \
        POSTERN_DATABASE=postgres POSTERN_PG_HOST=db.example postern migrations up"
    )]
    Up,
    /// Say which have run; exit code 3 while there is one to run
    List,
}

/// Options of `dev`.
#[cfg(feature = "dev")]
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    postern dev --gateway                           with a gateway in front, and a request to try\n  \
    postern dev --vault-port 8200 --idp-port 8300 --root-token root")]
pub(crate) struct Dev {
    /// The vault's port, 0 for any free one (default: 8200, or a free one if that is taken)
    #[arg(long, value_name = "PORT")]
    pub(crate) vault_port: Option<u16>,
    /// The identity provider's port, 0 for any free one (default: 8300, or a free one if that is taken)
    #[arg(long, value_name = "PORT")]
    pub(crate) idp_port: Option<u16>,
    /// The port of the echo service, 0 for any free one (default: 8400, or a free one if that is taken)
    #[arg(long, value_name = "PORT")]
    pub(crate) upstream_port: Option<u16>,
    /// Start a gateway in front of the echo service too, with a header that comes from the vault
    #[arg(long)]
    pub(crate) gateway: bool,
    /// The vault's root token (default: at random)
    #[arg(long, value_name = "TOKEN")]
    pub(crate) root_token: Option<String>,
    /// The client's id at the identity provider (default: at random)
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// The client's secret at the identity provider (default: at random)
    #[arg(long, value_name = "SECRET")]
    pub(crate) client_secret: Option<String>,
    /// Print one line of JSON when ready
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `demo`.
#[cfg(feature = "dev")]
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// End after the walk instead of staying up
    #[arg(long)]
    pub(crate) once: bool,
}

impl Cli {
    /// 0 to 3: errors only, what is done, in detail, everything.
    pub(crate) fn verbosity(&self) -> u8 {
        match self.options {
            Options { vvv: true, .. } => 3,
            Options { vv: true, .. } => 2,
            Options { v: true, .. } => 1,
            _ => 0,
        }
    }
}

/// The arguments of this process, under the one name that clap knows.
pub(crate) fn arguments() -> impl Iterator<Item = OsString> {
    std::iter::once(program().into()).chain(std::env::args_os().skip(1))
}

/// `kong` when called by that name, else `postern`.
pub(crate) fn program() -> &'static str {
    let called = std::env::args_os().next().unwrap_or_default();
    match std::path::Path::new(&called).file_stem() {
        Some(name) if name == "kong" => "kong",
        _ => "postern",
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn verbosity_is_the_highest_that_was_asked_for() {
        let verbosity = |flags: &[&str]| {
            let arguments = ["postern", "vault", "list"].iter().chain(flags);
            Cli::try_parse_from(arguments).unwrap().verbosity()
        };
        assert_eq!(verbosity(&[]), 0);
        assert_eq!(verbosity(&["--v"]), 1);
        assert_eq!(verbosity(&["--vv"]), 2);
        assert_eq!(verbosity(&["--vvv"]), 3);
    }
}
