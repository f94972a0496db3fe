//! The shape of a case file. `cases/README.md` shows it by example; the two must agree.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One run of the program.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique among all files: a sentence, "a deleted version says so".
    pub name: String,
    /// What the run finds.
    #[serde(default)]
    pub given: Given,
    /// Arguments after `postern`; placeholders are filled in.
    pub run: Vec<String>,
    /// What must come out.
    pub expect: Expect,
}

/// Servers, files and environment of a run. Placeholders are filled in everywhere but in `server` and `idp`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// Environment variables; nothing else is set but `PATH` and `HOME`.
    pub env: BTreeMap<String, String>,
    /// Files in the working directory, by name.
    pub files: BTreeMap<String, String>,
    /// The vault to start.
    pub server: ServerKind,
    /// The identity provider to start; the dev stack brings its own.
    pub idp: Idp,
    /// `bao` command lines that prepare the vault, as root. Each must succeed.
    pub setup: Vec<Vec<String>>,
    /// Whether to seal the vault after the setup.
    pub sealed: bool,
}

/// The vault of a case.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ServerKind {
    /// No vault.
    #[default]
    None,
    /// OpenBao in dev mode.
    OpenbaoDev,
    /// OpenBao with a certificate for `localhost` and `127.0.0.1` from a CA in the file `${CA_FILE}`.
    OpenbaoTls,
    /// The product's own dev stack, vault and identity provider.
    Devstack,
}

/// The identity provider of a case whose vault brings none.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Idp {
    /// None, or the dev stack's own.
    #[default]
    None,
    /// npm's `oidc-provider`.
    OidcProvider,
    /// The dev stack's, beside another vault.
    Devstack,
}

/// What must come out. Placeholders are filled in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The exit code.
    pub code: i32,
    /// The whole of standard output, newline and all.
    pub stdout: Option<String>,
    /// Texts in standard output.
    #[serde(default)]
    pub stdout_contains: Vec<String>,
    /// Texts that standard output must not have.
    #[serde(default)]
    pub stdout_absent: Vec<String>,
    /// The whole of standard error.
    pub stderr: Option<String>,
    /// Texts in standard error.
    #[serde(default)]
    pub stderr_contains: Vec<String>,
    /// Texts that standard error must not have.
    #[serde(default)]
    pub stderr_absent: Vec<String>,
}

/// A case that may fail for now.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// [`Case::name`]
    pub name: String,
    /// Why, for a reader who could fix it.
    pub reason: String,
}
