//! What a node works with: its settings with their references filled in, and where its configuration is.
//!
//! Owns: that order, and that nothing listens before all of it is right. Must not know: how a configuration takes effect.

use std::sync::Arc;

use anyhow::Result;
use postern_client::Trust;
use postern_config::apply::NO_CONFIGURATION;
use postern_config::source::Loaded;
use postern_config::store::Store;
use postern_config::store::postgres::PostgresOptions;
use postern_secrets::resolve::Resolver;
use postern_secrets::{Secret, Template};
use tokio::runtime::Handle;

use super::document::{check, document};
use super::vaults::{default_vaults, dereferenced, trust};
use crate::admin;
use crate::cli::Options;
use crate::database;
use crate::report::Failure;
use crate::settings::Settings;
use crate::settings::node::{Database, Node, Texts, node};
use crate::status;

/// What the settings of a node come to, before it looks at its configuration.
pub(crate) struct Told {
    /// Everything that was set.
    pub(crate) settings: Settings,
    /// What they mean.
    pub(crate) node: Node,
    /// Whom vaults, databases and upstreams are checked against.
    pub(crate) trust: Trust,
    /// Resolves references of the settings by what needs no network.
    local: Resolver,
    /// Resolves them by every vault that the settings know.
    remote: Arc<Resolver>,
}

/// What a running node works with.
pub(crate) struct Running {
    /// Everything that was set.
    pub(crate) settings: Settings,
    /// What the data plane is told.
    pub(crate) node: Node,
    /// Whom vaults and upstreams are checked against.
    pub(crate) trust: Trust,
    /// Where the configuration is.
    pub(crate) kept: Kept,
}

/// Where the configuration of a node is.
pub(crate) enum Kept {
    /// In a file, which says this.
    Document(Box<Loaded>),
    /// In a database.
    Store(Arc<dyn Store>),
}

/// The settings of a node. A reference in one that does not resolve is an error.
pub(crate) async fn told(options: &Options) -> Result<Told> {
    let settings = Settings::load(options)?;
    for notice in settings.notices() {
        tracing::warn!("{notice}");
    }
    let local = default_vaults(&settings, Trust::none())?;
    let trust = trust(&settings, &local).await?;
    let remote = Arc::new(default_vaults(&settings, trust.clone())?);
    let mut texts = Texts::new();
    for (key, text) in node_texts(&settings) {
        texts.insert(key.to_owned(), dereferenced(text.expose(), key, &remote).await?);
    }
    let prefix = settings.prefix();
    texts.insert("prefix".to_owned(), Secret::from(prefix.to_string_lossy().as_ref()));
    if let Some(directory) = settings.credentials_directory() {
        texts.insert("credentials_directory".to_owned(), Secret::from(directory));
    }
    if settings.text("database").is_none() && settings.text("declarative_config_string").is_some() {
        texts.insert("database".to_owned(), Secret::from("off"));
    }
    let node = node(&texts)?;
    Ok(Told { settings, node, trust, local, remote })
}

/// What the settings of a node mean, but for those that hold a reference: these are as if they were not set. For commands that
/// must do without a vault.
pub(crate) fn node_without_references(settings: &Settings) -> Result<Node, Failure> {
    let texts = node_texts(settings).filter(|(_, text)| !Template::has_reference(text.expose()));
    node(&texts.map(|(key, text)| (key.to_owned(), text.clone())).collect())
}

/// The settings of a node, but for those that are read before it, each in its own way.
fn node_texts(settings: &Settings) -> impl Iterator<Item = (&str, &Secret)> {
    let is_read_before =
        |key: &str| matches!(key, "lua_ssl_trusted_certificate" | "declarative_config_string" | "vaults");
    settings.of_node().filter(move |(key, _)| !is_read_before(key))
}

/// The same with the configuration, for a node that is to run.
pub(crate) async fn run(options: &Options, io: &Handle) -> Result<Running> {
    // What is opened there is driven there.
    let options = options.clone();
    let opened = async move {
        let told = told(&options).await?;
        let store = told.store().await?;
        Ok::<_, anyhow::Error>((told, store))
    };
    let (told, store) = io.spawn(opened).await??;
    let kept = match store {
        Some(store) => {
            if told.settings.text("declarative_config").is_some() {
                tracing::warn!("declarative_config is not read: the configuration is in the database");
            }
            Kept::Store(store)
        }
        None => {
            let loaded = match document(&told.settings, &told.local, None).await? {
                Some(loaded) => loaded,
                None => empty(&told.settings)?,
            };
            Kept::Document(Box::new(loaded))
        }
    };
    // Before anything listens, and for `check` as for `start`.
    admin::check(&told.settings, &told.node.admin)?;
    status::tls(&told.node.status, told.node.status_certificate.as_ref())?;
    let Told { settings, node, trust, .. } = told;
    Ok(Running { settings, node, trust, kept })
}

/// What a node without a database begins with where no file is named: nothing, until POST /config brings a configuration.
fn empty(settings: &Settings) -> Result<Loaded> {
    let name = "no file (POST /config loads a configuration)".to_owned();
    let loaded = check(settings, name, b"_format_version: \"3.0\"\n", &|_| Vec::new())?;
    Ok(Loaded { hash: NO_CONFIGURATION.to_owned(), ..loaded })
}

impl Told {
    /// The store that they name; none where the configuration is a file.
    pub(crate) async fn store(&self) -> Result<Option<Arc<dyn Store>>> {
        let Self { settings, node, trust, remote, .. } = self;
        database::open(&node.database, &node.prefix, settings, Arc::clone(remote), trust).await
    }

    /// How their PostgreSQL server is reached, if it is one that they name.
    pub(crate) async fn postgres(&self) -> Result<Option<PostgresOptions>> {
        match &self.node.database {
            Database::Postgres(server) => {
                database::options(server, &self.settings, Arc::clone(&self.remote), &self.trust)
                    .await
                    .map(Some)
            }
            Database::Off | Database::Sqlite => Ok(None),
        }
    }
}
