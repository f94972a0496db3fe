//! The vaults that settings and configurations name, and whom servers are checked against.
//!
//! Owns: which vaults there are without an entity, and that a broken one is known by its prefix. Must not know: documents,
//! nodes.

use std::collections::BTreeMap;

use anyhow::Result;
use postern_client::Trust;
use postern_model::entity::vault;
use postern_model::{Broken, Snapshot, VaultEntity};
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::trail::Trail;
use postern_secrets::{FieldError, Kind, Secret, Template, UnknownKind};

use crate::report::Failure;
use crate::settings::Settings;

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

pub(super) fn with_broken(resolver: Resolver, name: &str, broken: &Broken) -> Resolver {
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

pub(super) fn with_vault(resolver: Resolver, name: &str, vault: &VaultEntity) -> Resolver {
    let place = |position| format!("{name}:{position}");
    let fields = vault.field_positions.iter().map(|(field, position)| (field.clone(), place(*position)));
    let origin = Origin { place: place(vault.position), fields: fields.collect() };
    resolver.with_vault(&vault.prefix, Ok(vault.settings.clone()), origin)
}

/// The vaults that exist without an entity: one for each kind that the setting `vaults` loads.
pub(super) fn default_vaults(settings: &Settings, trust: Trust) -> Result<Resolver> {
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
pub(super) fn loaded_kinds(settings: &Settings) -> Result<Vec<Kind>> {
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
pub(super) async fn trust(settings: &Settings, local: &Resolver) -> Result<Trust> {
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

/// A setting's text with its references resolved; no entity is known yet.
pub(super) async fn dereferenced(text: &str, option: &str, local: &Resolver) -> Result<Secret> {
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
