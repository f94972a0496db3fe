//! The words of decK: `sync`, `diff`, `apply`, `dump`, `reset`, `ping`, `validate`, also behind `gateway`, as decK has them.
//! Must not know: what any of them does.
//!
//! What is not given here may be in the environment as `DECK_<FLAG>`; `cmd::sync` looks there.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do with a gateway by its Admin API.
#[derive(Debug, Subcommand)]
pub(crate) enum Deck {
    /// Make a gateway what files say, over its Admin API: create, update, and delete what is not in them
    #[command(after_help = "Examples:\n  \
        postern sync kong.yaml\n  \
        postern sync --kong-addr https://admin:8444 --kong-admin-token \"$TOKEN\" --select-tag team-a conf/\n  \
        cat kong.yaml | postern sync -\n\n\
        Exit code: 0 done, 1 failed")]
    Sync(Change),
    /// The same without deleting; what is in the gateway may be referred to
    #[command(after_help = "Example:\n  postern apply one-service.yaml")]
    Apply(Change),
    /// Show what `sync` would do
    #[command(after_help = "Examples:\n  \
        postern diff kong.yaml\n  \
        postern diff --non-zero-exit-code kong.yaml\n\n\
        Exit code: 0 fine, 1 failed, 2 there are differences (with --non-zero-exit-code)")]
    Diff(Diff),
    /// Write what a gateway has as a file; credentials are in clear in it
    #[command(
        after_help = "Examples:\n  postern dump -o kong.yaml\n  postern dump --select-tag team-a --skip-defaults"
    )]
    Dump(Dump),
    /// Delete everything that a gateway has
    #[command(after_help = "Example:\n  postern reset --force")]
    Reset(Reset),
    /// Whether a gateway answers, and its version
    Ping(Admin),
    /// Have a gateway check files without changing anything (offline: `config check`)
    #[command(after_help = "Example:\n  postern validate kong.yaml")]
    Validate(Validate),
}

/// Options of `sync` and `apply`.
#[derive(Args, Debug)]
pub(crate) struct Change {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) scope: Scope,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Seconds to wait after each kind of entity, for databases that take their time
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) db_update_propagation_delay: u64,
    /// Ask nothing (nothing is asked)
    #[arg(long, hide = true)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

/// Options of `diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) scope: Scope,
    #[command(flatten)]
    pub(crate) output: Output,
    /// End with 2 if there are differences
    #[arg(long)]
    pub(crate) non_zero_exit_code: bool,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

/// Options of `dump`.
#[derive(Args, Debug)]
pub(crate) struct Dump {
    /// Where to write it; `-` is standard output
    #[arg(short, long = "output-file", alias = "output", value_name = "FILE", default_value = "-")]
    pub(crate) output_file: PathBuf,
    /// Its form
    #[arg(long, value_enum, default_value_t = Format::Yaml)]
    pub(crate) format: Format,
    /// With the identifiers of all entities
    #[arg(long)]
    pub(crate) with_id: bool,
    /// Without what the gateway fills in by itself
    #[arg(long)]
    pub(crate) skip_defaults: bool,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) scope: Scope,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

/// Options of `reset`.
#[derive(Args, Debug)]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(short, long, alias = "yes")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) scope: Scope,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

/// Options of `validate`.
#[derive(Args, Debug)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) parallelism: usize,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

/// The form of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Yaml,
    Json,
}

/// Which files.
#[derive(Args, Debug)]
pub(crate) struct Files {
    /// Files, directories of files, or `-` for standard input (default); several are taken together
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The same
    #[arg(short, long, value_name = "FILE")]
    pub(crate) state: Vec<PathBuf>,
}

/// What of a gateway.
#[derive(Args, Debug)]
pub(crate) struct Scope {
    /// Only what has this tag; several: all of them
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub(crate) select_tag: Vec<String>,
    /// Leave consumers, their groups and credentials alone
    #[arg(long)]
    pub(crate) skip_consumers: bool,
    /// Leave CA certificates alone
    #[arg(long)]
    pub(crate) skip_ca_certificates: bool,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) parallelism: usize,
}

/// What is said.
#[derive(Args, Debug)]
pub(crate) struct Output {
    /// Print one JSON object
    #[arg(long, alias = "json")]
    pub(crate) json_output: bool,
    /// Do not print a line for each entity
    #[arg(long)]
    pub(crate) silence_events: bool,
    /// Show values that come from DECK_ variables. Credentials are never shown
    #[arg(long)]
    pub(crate) no_mask_deck_env_vars_value: bool,
}

/// Where the Admin API is. Each of these may be in the environment: DECK_KONG_ADDR, DECK_TLS_SKIP_VERIFY, ...
#[derive(Args, Debug)]
#[command(next_help_heading = "Admin API (each also as DECK_<OPTION> in the environment)")]
pub(crate) struct Admin {
    /// Its address (default: http://localhost:8001; also POSTERN_KONG_ADDR)
    #[arg(long, alias = "postern-addr", value_name = "URL")]
    pub(crate) kong_addr: Option<String>,
    /// The workspace
    #[arg(short, long, value_name = "NAME")]
    pub(crate) workspace: Option<String>,
    /// A header for each request, as `name:value`; several times for several
    #[arg(long, value_name = "NAME:VALUE")]
    pub(crate) headers: Vec<String>,
    /// The token for `Kong-Admin-Token`; better in DECK_KONG_ADMIN_TOKEN, where other users do not see it
    #[arg(long, value_name = "TOKEN")]
    pub(crate) kong_admin_token: Option<String>,
    /// Seconds for a request and its answer (default: 10)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Do not check the certificate of the other side
    #[arg(long)]
    pub(crate) tls_skip_verify: bool,
    /// The name that its certificate must bear
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Certificates to trust in place of the system's, as PEM
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_cert: Option<String>,
    /// The same in a file
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert_file: Option<String>,
    /// The certificate of this side, as PEM
    #[arg(long, value_name = "PEM")]
    pub(crate) tls_client_cert: Option<String>,
    /// The same in a file
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_cert_file: Option<String>,
    /// Its key, as PEM
    #[arg(long, value_name = "PEM")]
    pub(crate) tls_client_key: Option<String>,
    /// The same in a file
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_key_file: Option<String>,
    /// No colours
    #[arg(long)]
    pub(crate) no_color: bool,
    /// decK's; there is nothing that it could turn off
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) analytics: Option<bool>,
}
