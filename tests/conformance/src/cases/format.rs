//! The shape of a case file. `cases/README.md` shows it by example; the two must agree.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One run of the program, or several that share their servers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique among all files: a sentence, "a deleted version says so".
    pub name: String,
    /// What every run finds.
    #[serde(default)]
    pub given: Given,
    /// Arguments after `postern` of the one run; placeholders are filled in.
    #[serde(default)]
    pub run: Vec<String>,
    /// What must come out of the one run.
    #[serde(default)]
    pub expect: Expect,
    /// In place of `run` and `expect`: several runs, one after the other, on the same servers.
    #[serde(default)]
    pub runs: Vec<Run>,
}

/// One of several runs on the same servers. Its files and variables come on top of the case's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Unique within the case; the run is known as "case: run".
    #[serde(default)]
    pub name: String,
    /// Environment variables; an empty one takes the case's away.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files in the working directory, which is new for each run.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// `bao` command lines before this run.
    #[serde(default)]
    pub setup: Vec<Vec<String>>,
    /// Arguments after `postern`.
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
    /// Files in the working directory, by name; `setup` finds them there too.
    pub files: BTreeMap<String, String>,
    /// The vault to start; with several, everything is done once with each.
    pub server: Servers,
    /// The identity provider to start; the dev stack brings its own.
    pub idp: Idp,
    /// `bao` command lines that prepare the vault, as root. Each must succeed.
    pub setup: Vec<Vec<String>>,
    /// Whether to seal the vault after the setup.
    pub sealed: bool,
}

/// One vault or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Servers {
    /// `server: openbao-dev`
    One(ServerKind),
    /// `server: [openbao-dev, devstack]`
    Several(Vec<ServerKind>),
}

impl Default for Servers {
    fn default() -> Self {
        Self::One(ServerKind::None)
    }
}

impl Servers {
    /// All of them.
    pub fn all(&self) -> &[ServerKind] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
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

impl ServerKind {
    /// As in a case file.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::OpenbaoDev => "openbao-dev",
            Self::OpenbaoTls => "openbao-tls",
            Self::Devstack => "devstack",
        }
    }
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
