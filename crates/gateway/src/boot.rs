//! What a command needs: documents, vaults, and what a node works with.
//!
//! Owns: the order in which a command without a node gets there: settings → documents → vaults. `node` does the same for a node
//! that is to run, `vaults` has the vaults of settings and configurations and whom to trust, `document` reads and checks a
//! kong.yaml. Must not know: what is done with the result. A failure here is one of configuration, and nothing has been sent to
//! anybody yet.

mod document;
mod node;
mod vaults;

pub(crate) use self::document::{More, check, load, read};
pub(crate) use self::node::{Kept, Running, Told, node_without_references, run, told};
pub(crate) use self::vaults::{trust_here, vaults, vaults_of};
pub(crate) use postern_config::source::Loaded;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use postern_client::Trust;
use postern_config::source::store::put;
use postern_config::store::{Select, sqlite};
use postern_model::check::Rows;
use postern_model::entity::vault;
use postern_model::{Snapshot, Violation};
use postern_plugins::registry::Registry;
use postern_secrets::resolve::Resolver;
use postern_secrets::{FieldError, Secret};

use self::document::document;
use self::vaults::{default_vaults, dereferenced, loaded_kinds, trust, with_broken, with_vault};
use crate::admin;
use crate::cli::Options;
use crate::database;
use crate::report::Failure;
use crate::settings::Settings;
use crate::settings::node::{Database, Texts, node};

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Booted {
    /// Every vault that is known. See [`Booted::resolver_with`].
    pub(crate) resolver: Resolver,
    /// The declarative configuration, if there is one.
    pub(crate) document: Option<Loaded>,
    /// The vaults that the database knows, where the configuration is kept in one.
    pub(crate) kept: Snapshot,
    /// Why they are not known, if they are not. Most references need none of them, so this stops nobody yet.
    unread: Option<anyhow::Error>,
}

impl Booted {
    /// What the configuration says of a vault to people.
    pub(crate) fn description(&self, prefix: &str) -> Option<&str> {
        let in_file = self.document.iter().flat_map(|document| document.checked.vaults());
        in_file.chain(&self.kept.vaults).find(|vault| vault.prefix == prefix)?.description.as_deref()
    }

    /// The resolver, for whoever needs the vault of this name; for all of them without one.
    ///
    /// # Errors
    /// It may be in the database, which could not be read.
    pub(crate) fn resolver_with(&mut self, name: Option<&str>) -> Result<&Resolver> {
        let is_known = name.is_some_and(|name| self.resolver.vaults().any(|vault| vault.name == name));
        match self.unread.take() {
            Some(error) if !is_known => Err(error),
            _ => Ok(&self.resolver),
        }
    }
}

/// All of it. `file` replaces the setting `declarative_config`, and the database.
pub(crate) async fn boot(options: &Options, file: Option<&Path>) -> Result<Booted> {
    let settings = Settings::load(options)?;
    for notice in settings.notices() {
        tracing::info!("{notice}");
    }
    let local = default_vaults(&settings, Trust::none())?;
    let trust = trust(&settings, &local).await?;
    let mut resolver = default_vaults(&settings, trust.clone())?;
    let is_kept = file.is_none() && is_kept(&settings);
    let document = if is_kept { None } else { document(&settings, &local, file).await? };
    if let Some(Loaded { name, checked, .. }) = &document {
        for warning in &checked.warnings {
            tracing::warn!("{}", warning.in_file(name));
        }
        for vault in checked.vaults() {
            resolver = with_vault(resolver, name, vault);
        }
    }
    let (mut kept, mut unread) = (Snapshot::default(), None);
    if is_kept {
        match kept_vaults(&settings, &trust).await {
            Ok(vaults) => kept = vaults,
            Err(error) => {
                tracing::warn!("the vaults in the database are not known: {error}");
                unread = Some(error);
            }
        }
        for vault in &kept.vaults {
            resolver = with_vault(resolver, "the database", vault);
        }
        for broken in kept.broken.iter() {
            resolver = with_broken(resolver, "the database", broken);
        }
    }
    Ok(Booted { resolver, document, kept, unread })
}

/// Whether the configuration is in a database.
fn is_kept(settings: &Settings) -> bool {
    let is_set = |key| settings.text(key).is_some_and(|text| !text.expose().is_empty());
    match settings.text("database").map(Secret::expose) {
        None | Some("") => !is_set("declarative_config") && !is_set("declarative_config_string"),
        Some(database) => database != "off",
    }
}

/// The vaults in the database, if there is one; it is not made, and nothing in it is changed.
async fn kept_vaults(settings: &Settings, trust: &Trust) -> Result<Snapshot> {
    let prefix = settings.prefix_that_is_there();
    let resolver = Arc::new(default_vaults(settings, trust.clone())?);
    let mut texts = Texts::new();
    // Of a node's settings, these alone: the others may refer to what only the node can read.
    for (key, text) in settings.of_node().filter(|(key, _)| *key == "database" || key.starts_with("pg_")) {
        // Read where the connection is made.
        if !matches!(key, "pg_user" | "pg_password") {
            texts.insert(key.to_owned(), dereferenced(text.expose(), key, &resolver).await?);
        }
    }
    let node = node(&texts)?;
    let mut rows = Rows::default();
    if matches!(node.database, Database::Sqlite) && !prefix.join(sqlite::FILE).exists() {
        return Ok(rows.snapshot().0);
    }
    let Some(store) = database::open(&node.database, &prefix, settings, resolver, trust).await? else {
        return Ok(rows.snapshot().0);
    };
    let mut after = None;
    loop {
        let kind = vault::COLLECTION.to_owned();
        let page = store.page(&Select { kind, after, size: 1000, filter: None, tags: None }).await?;
        after = page.rows.last().map(|kept| kept.row.id);
        page.rows.into_iter().for_each(|kept| put(&mut rows, kept.into(), &Registry::bundled()));
        if !page.more {
            return Ok(rows.snapshot().0);
        }
    }
}

/// What is wrong with the default vaults, the trusted certificates and the Admin API's listeners, as violations of the settings.
pub(crate) async fn settings_violations(settings: &Settings) -> Result<Vec<Violation>> {
    let mut violations: Vec<_> =
        settings.notices().into_iter().map(|notice| Violation::warning("", None, notice)).collect();
    for kind in loaded_kinds(settings)? {
        let errors = settings.default_vault(kind).err().unwrap_or_default();
        violations.extend(errors.into_iter().map(|FieldError { field, message, hint }| {
            Violation::error(field, None, message).with_hint_if(hint)
        }));
    }
    if violations.iter().all(|violation| violation.severity != postern_model::Severity::Error) {
        trust_here(settings).await?;
        let node = node_without_references(settings)?;
        if let Err(Failure { message, hint }) = admin::check(settings, &node.admin) {
            violations.push(Violation::error("", None, message).with_hint_if(hint));
        }
    }
    Ok(violations)
}

#[cfg(test)]
mod tests;
