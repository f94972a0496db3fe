//! Settings → documents → vaults: builds what a command needs, in the order of the functions below.
//!
//! Owns: that order. Must not know: what is done with the result. A failure here is one of configuration, and nothing
//! has been sent to anybody yet.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use postern_client::Trust;
use postern_config::apply::NO_CONFIGURATION;
pub(crate) use postern_config::source::Loaded;
use postern_config::source::store::put;
use postern_config::store::postgres::PostgresOptions;
use postern_config::store::{Select, Store, sqlite};
use postern_model::check::{Rows, check_and};
use postern_model::document::refuse_size;
use postern_model::entity::vault;
use postern_model::{Broken, Snapshot, VaultEntity, Violation};
use postern_plugins::registry::Registry;
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::trail::Trail;
use postern_secrets::{FieldError, Kind, Secret, Template, UnknownKind, io_reason};
use tokio::runtime::Handle;

use crate::admin;
use crate::cli::Options;
use crate::database;
use crate::report::{Failure, Refused};
use crate::serve;
use crate::settings::Settings;
use crate::settings::node::{Database, Node, Texts, node};
use crate::status;

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

/// The vaults that a node knows: those of the settings, and a configuration's own.
pub(crate) fn vaults(
    settings: &Settings,
    trust: Trust,
    name: &str,
    vaults: &[VaultEntity],
) -> Result<Resolver> {
    let resolver = default_vaults(settings, trust)?;
    Ok(vaults.iter().fold(resolver, |resolver, vault| with_vault(resolver, name, vault)))
}

/// The same of what is kept in a store: a vault that is broken is known by its prefix, and whoever needs it is told why it
/// cannot be used.
pub(crate) fn vaults_of(
    settings: &Settings,
    trust: Trust,
    name: &str,
    snapshot: &Snapshot,
) -> Result<Resolver> {
    let resolver = vaults(settings, trust, name, &snapshot.vaults)?;
    Ok(snapshot.broken.iter().fold(resolver, |resolver, broken| with_broken(resolver, name, broken)))
}

fn with_broken(resolver: Resolver, name: &str, broken: &Broken) -> Resolver {
    let Some(prefix) = broken.remains.name.known().filter(|_| broken.kind == vault::COLLECTION) else {
        return resolver;
    };
    let errors = broken.reasons.iter().map(|reason| {
        let field = reason.path.strip_prefix(&broken.path).unwrap_or(&reason.path).trim_start_matches('.');
        let field = field.strip_prefix("config.").unwrap_or(field).to_owned();
        FieldError { field, message: reason.message.clone(), hint: reason.hint.clone() }
    });
    let origin = Origin { place: name.to_owned(), fields: BTreeMap::new() };
    resolver.with_vault(prefix, Err(errors.collect()), origin)
}

fn with_vault(resolver: Resolver, name: &str, vault: &VaultEntity) -> Resolver {
    let place = |position| format!("{name}:{position}");
    let fields = vault.field_positions.iter().map(|(field, position)| (field.clone(), place(*position)));
    let origin = Origin { place: place(vault.position), fields: fields.collect() };
    resolver.with_vault(&vault.prefix, Ok(vault.settings.clone()), origin)
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

/// The vaults that exist without an entity: one for each kind that the setting `vaults` loads.
fn default_vaults(settings: &Settings, trust: Trust) -> Result<Resolver> {
    let env = Env::new(settings.environment().iter().cloned());
    let mut resolver = Resolver::new(env, trust);
    for kind in loaded_kinds(settings)? {
        let configured = settings.default_vault(kind);
        let origin = Origin { place: "the defaults".to_owned(), fields: settings.default_vault_places(kind) };
        resolver = resolver.with_vault(kind.name(), configured, origin);
    }
    Ok(resolver)
}

/// The setting `vaults`: a list of kinds, `bundled` for all of them, or `off`.
fn loaded_kinds(settings: &Settings) -> Result<Vec<Kind>> {
    let names = settings.text("vaults").map_or("bundled", Secret::expose);
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.first() == Some(&"off") {
        return Ok(Vec::new());
    }
    let mut kinds = Vec::new();
    for name in names {
        match Kind::parse(name) {
            Ok(kind) => kinds.push(kind),
            Err(_) if name == "bundled" => kinds.extend(Kind::ALL),
            Err(_) if name == "off" => {}
            Err(UnknownKind { known_elsewhere: true, .. }) => {
                tracing::warn!(kind = name, "this kind of vault is not in this build");
            }
            Err(_) => {
                return Err(Failure::new(
                    format!(
                        "error loading vault schemas: on vault '{name}': {name} vault is enabled but not installed;"
                    ),
                    format!("the setting vaults may name: bundled, {}", Kind::ALL.map(Kind::name).join(", ")),
                )
                .into());
            }
        }
    }
    Ok(kinds)
}

/// The setting `lua_ssl_trusted_certificate`; the system's certificates without it.
pub(crate) async fn trust(settings: &Settings, local: &Resolver) -> Result<Trust> {
    const KEY: &str = "lua_ssl_trusted_certificate";
    const FORMS: &str =
        "a comma-separated list of: system, the path of a PEM file, PEM text, base64 of PEM text";
    let list = settings.text(KEY).map_or("system", Secret::expose);
    let mut items = Vec::new();
    for (index, item) in list.split(',').map(str::trim).enumerate() {
        let option = format!("{KEY}[{}]", index + 1);
        let value = dereferenced(item, &option, local).await?;
        // What came out of a vault may be anything but a path, so an error must not quote it as one.
        if Template::has_reference(item) && Trust::from_items([value.expose()]).is_err() {
            let message = format!("{option}: there is no certificate behind {item}");
            return Err(Failure::new(message, FORMS).into());
        }
        items.push(value);
    }
    Trust::from_items(items.iter().map(Secret::expose))
        .map_err(|error| Failure::new(format!("{KEY}: {error}"), FORMS).into())
}

/// The same, by what needs no network.
pub(crate) async fn trust_here(settings: &Settings) -> Result<Trust> {
    trust(settings, &default_vaults(settings, Trust::none())?).await
}

/// The declarative configuration alone: `file`, or what the settings name.
pub(crate) async fn load(settings: &Settings, file: Option<&Path>) -> Result<Option<Loaded>> {
    document(settings, &default_vaults(settings, Trust::none())?, file).await
}

async fn document(settings: &Settings, local: &Resolver, file: Option<&Path>) -> Result<Option<Loaded>> {
    // Whom to trust says the machine that will serve; here, what cannot be had is as good as nobody.
    let trust = trust(settings, local).await.unwrap_or_else(|_| Trust::none());
    let more: More<'_> =
        &|snapshot: &Snapshot| serve::problems(settings, &trust, snapshot).unwrap_or_default();
    if let Some(file) = file {
        return load_file(settings, file, more).map(Some);
    }
    if let Some(text) = settings.text("declarative_config_string") {
        let text = dereferenced(text.expose(), "declarative_config_string", local).await?;
        let name = "declarative_config_string".to_owned();
        return Ok(Some(check(settings, name, text.expose().as_bytes(), more)?));
    }
    let Some(path) = settings.text("declarative_config") else { return Ok(None) };
    let path = path.expose();
    let file = dereferenced(path, "declarative_config", local).await?;
    // What came out of a vault may be anything but a path: errors name it as it was written.
    load_as(settings, path.to_owned(), Path::new(file.expose()), more).map(Some)
}

/// Reads and checks one file; `-` is standard input.
fn load_file(settings: &Settings, file: &Path, more: More<'_>) -> Result<Loaded> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        let limit = postern_model::document::MAX_BYTES + 1;
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("cannot read standard input")?;
        return check(settings, "standard input".to_owned(), &bytes, more);
    }
    load_as(settings, file.display().to_string(), file, more)
}

/// The same of a file, which is called `name` for people.
fn load_as(settings: &Settings, name: String, file: &Path, more: More<'_>) -> Result<Loaded> {
    let bytes = read(&name, file)?;
    check(settings, name, &bytes, more)
}

/// The bytes of a file, or why there are none.
pub(crate) fn read(name: &str, file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let failure = |error: std::io::Error| {
        Failure::new(
            format!("cannot read {name}: {}", io_reason(&error)),
            "it is the kong.yaml to use; is the path right?",
        )
    };
    let opened = open(file).map_err(failure)?;
    let metadata = opened.metadata().map_err(failure)?;
    if let Some(what) = not_a_file(file, metadata.file_type()) {
        return Err(Failure::new(
            format!("cannot read {name}: it is {what}, not a file"),
            "it is the kong.yaml to use; only /dev/stdin and /dev/fd/... may be pipes",
        )
        .into());
    }
    let size = metadata.len();
    if let Some(violation) = refuse_size(size) {
        return Err(Refused { file: name.to_owned(), violations: vec![violation] }.into());
    }
    if size == 0 {
        // None whose size is known: a pipe, a device. In one piece, where growing would take twice as much and more.
        let _ = bytes.try_reserve_exact(postern_model::document::MAX_BYTES as usize + 1);
    }
    // The file may grow while it is read.
    opened.take(postern_model::document::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failure)?;
    Ok(bytes)
}

/// Opens a file. What was put in its place must not have us wait for somebody who writes into it.
fn open(file: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    if !may_be_pipe(file) {
        #[expect(clippy::cast_possible_wrap, reason = "flags are what they are, whatever the sign")]
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    options.open(file)
}

/// Whether a person has named a stream: standard input, or what a shell makes of `<(...)`.
fn may_be_pipe(file: &Path) -> bool {
    file == Path::new("/dev/stdin") || file.starts_with("/dev/fd") || file.starts_with("/proc/self/fd")
}

/// What it is, where it is nothing that a configuration can be read from.
fn not_a_file(file: &Path, kind: std::fs::FileType) -> Option<&'static str> {
    if may_be_pipe(file) {
        None
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("a device")
    } else {
        None
    }
}

/// What making the entities of a document says of them, for one that is refused already: all of it is told at once.
pub(crate) type More<'a> = &'a (dyn Fn(&Snapshot) -> Vec<Violation> + Sync);

/// Checks a document that was read.
pub(crate) fn check(settings: &Settings, name: String, bytes: &[u8], more: More<'_>) -> Result<Loaded> {
    let variables: BTreeMap<&str, &str> =
        settings.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let env = |variable: &str| variables.get(variable).map(ToString::to_string);
    let checked =
        postern_model::read(bytes, &env).and_then(|document| check_and(document, &Registry::bundled(), more));
    match checked {
        Ok(checked) => {
            Ok(Loaded { name, checked, hash: postern_config::apply::hash(bytes), text: bytes.into() })
        }
        Err(violations) => Err(Refused { file: name, violations }.into()),
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

/// A setting's text with its references resolved; no entity is known yet.
async fn dereferenced(text: &str, option: &str, local: &Resolver) -> Result<Secret> {
    if !Template::has_reference(text) {
        return Ok(Secret::from(text));
    }
    let failed = |error: &dyn std::fmt::Display| {
        format!("failed to dereference '{text}': {error} for config option '{option}'")
    };
    let template = Template::parse(text).map_err(|error| Failure::new(failed(&error), error.hint()))?;
    local
        .fill(&template, &Trail::off())
        .await
        .map_err(|error| Failure { message: failed(&error), hint: error.hint() }.into())
}

#[cfg(test)]
mod tests;
