//! A client of the Admin API: what `postern sync` and its like are made of. It does decK's work on any gateway that speaks
//! this API, ours or Kong's.
//!
//! Owns: the order of the steps below. Must not know: the command line, the process environment, and any plugin: what the
//! gateway runs, it describes at `/schemas`.
//!
//! ```text
//!  files ─ wanted ──────────┐
//!                           ├─ plan ─ carry_out ─ report
//!  gateway ─ present ───────┤
//!          ─ schemas ───────┘
//! ```
//!
//! 1. [`wanted`] reads files: `postern_model` makes trees of them, this makes a flat list of entities (`kinds`).
//! 2. [`gateway`] asks: base address, workspace, tokens, limits, pages. [`present`] reads the lists of what is there.
//! 3. [`schemas`] has the gateway's own description of entities and plugins; `schema` fills in defaults by it.
//! 4. [`mod@plan`] finds out which wanted entity is which present one (by id, or by what tells it from others), brings both into
//!    one form (`compare`), and says what is to be done, in stages.
//! 5. [`carry_out`] does it: several at a time, and nothing new after a failure.
//! 6. [`report`] has decK's lines and decK's JSON. `mask` decided before what of an entity may be shown.
//!
//! [`mod@dump`] goes the other way, and `yaml` writes it.
//!
//! Everything is known before the first write: a plan is whole, or there is none.

pub mod carry_out;
pub mod compare;
pub mod dump;
pub mod gateway;
pub mod kinds;
pub mod mask;
pub mod plan;
pub mod present;
pub mod report;
mod schema;
pub mod schemas;
mod target;
pub mod validate;
pub mod wanted;
mod yaml;

use std::collections::BTreeSet;

use postern_model::Kind;
use serde_json::Value as Json;
use thiserror::Error;

use dump::Style;
use gateway::{Gateway, GatewayError};
use kinds::Body;
use plan::{Action, Goal, Plan};
use present::{Existing, Present, Scope};
use schemas::{Needed, Schemas};
use wanted::{Target, Wanted};

/// Everything that is wrong, a line each.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{} occurred:\n\t* {}", counted(.0.len()), .0.join("\n\t* "))]
pub struct Problems(pub Vec<String>);

impl Problems {
    /// One.
    pub fn one(problem: impl Into<String>) -> Self {
        Self(vec![problem.into()])
    }

    /// One of a gateway, with what to do about it where that is known.
    fn of(doing: &str, error: &GatewayError) -> Self {
        let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        Self::one(format!("{doing}: {error}{hint}"))
    }
}

fn counted(problems: usize) -> String {
    if problems == 1 { "1 error".to_owned() } else { format!("{problems} errors") }
}

/// What the gateway says that it is: `3.9.0`.
///
/// # Errors
/// No answer, or none of a gateway.
pub async fn version(gateway: &Gateway) -> Result<String, Problems> {
    let root = gateway.root().await.map_err(|error| Problems::of("asking the gateway", &error))?;
    let version = root.get("version").and_then(Json::as_str).unwrap_or_default();
    let mut numbers = version.split('.');
    let major: Option<u32> = numbers.next().and_then(|number| number.parse().ok());
    match (major, numbers.next().is_some_and(|minor| minor.starts_with(|c: char| c.is_ascii_digit()))) {
        (Some(3..), true) => Ok(version.to_owned()),
        (Some(_), true) => Err(Problems::one(format!("Kong {version} is too old: 3.0 or later is needed"))),
        _ => Err(Problems::one("the gateway says no version that is known: is this an Admin API?")),
    }
}

/// Whether the workspace that was named is there.
///
/// # Errors
/// No answer, or a refusal.
pub async fn has_workspace(gateway: &Gateway) -> Result<bool, Problems> {
    gateway.has_workspace().await.map_err(|error| Problems::of("looking for the workspace", &error))
}

/// Makes it.
///
/// # Errors
/// No answer, or a refusal.
pub async fn create_workspace(gateway: &Gateway) -> Result<(), Problems> {
    gateway.create_workspace().await.map_err(|error| Problems::of("creating the workspace", &error))
}

/// What is to be done for the gateway to be as wanted. With `is_new`, its workspace is still to be made, and empty.
///
/// # Errors
/// Whatever cannot be read, and everything for which there is no plan.
pub async fn plan(
    gateway: &Gateway,
    wanted: Wanted,
    scope: &Scope,
    goal: Goal,
    is_new: bool,
) -> Result<Plan, Problems> {
    let wanted = within(wanted, scope);
    let present = if is_new { Present::default() } else { present::read(gateway, scope).await? };
    let mut needed = Needed::default();
    for entity in &wanted.entities {
        needed.plugins.extend(config_of(entity.kind, &entity.body, Kind::is_plugin));
        if !present.entities.is_empty() {
            needed.vaults.extend(config_of(entity.kind, &entity.body, Kind::is_vault));
        }
    }
    for existing in &present.entities {
        needed.other_plugins.extend(config_of(existing.kind, &existing.body, Kind::is_plugin));
    }
    let schemas = Schemas::fetch(gateway, &needed, scope.parallelism).await?;
    plan::plan(&wanted, &present, &schemas, goal)
}

/// What the gateway has, as a file.
///
/// # Errors
/// Whatever cannot be read.
pub async fn dump(gateway: &Gateway, scope: &Scope, style: &Style) -> Result<Json, Problems> {
    let present = present::read(gateway, scope).await?;
    let mut needed = Needed::default();
    if style.skip_defaults {
        for existing in &present.entities {
            needed.other_plugins.extend(config_of(existing.kind, &existing.body, Kind::is_plugin));
            needed.vaults.extend(config_of(existing.kind, &existing.body, Kind::is_vault));
            needed.entities.insert(existing.kind.collection());
        }
    }
    let schemas = Schemas::fetch(gateway, &needed, scope.parallelism).await?;
    Ok(dump::document(&present, &schemas, style))
}

/// Entities that are at hand, by collection and with all of their fields, as a file.
pub fn export(entities: Vec<(String, Body)>) -> Json {
    let mut present = Present::default();
    for (collection, body) in entities {
        let id = body.get("id").and_then(Json::as_str).unwrap_or_default().to_owned();
        present.entities.extend(Kind::known_as(&collection).map(|kind| Existing { kind, id, body }));
    }
    present.entities.sort_by_key(|existing| existing.kind.rank());
    dump::document(&present, &Schemas::of_model(), &Style::default())
}

/// A document as people write it.
pub fn to_yaml(document: &Json) -> String {
    yaml::to_yaml(document)
}

/// The tags to go by: those of the command line or those of the files; both are the same, or one of them is missing.
///
/// # Errors
/// They differ.
pub fn select_tags(flags: &[String], files: &[String]) -> Result<Vec<String>, Problems> {
    let flags: BTreeSet<&String> = flags.iter().collect();
    let files: BTreeSet<&String> = files.iter().collect();
    if !flags.is_empty() && !files.is_empty() && flags != files {
        return Err(Problems::one("the tags of --select-tag differ from those of _info.select_tags"));
    }
    Ok(if flags.is_empty() { files } else { flags }.into_iter().cloned().collect())
}

/// Whose schema is asked for by name.
fn config_of(kind: Kind, body: &Body, is_it: fn(Kind) -> bool) -> Option<String> {
    let name = body.get("name").and_then(Json::as_str)?;
    // It gets into a path; whatever else is in it, the gateway knows no such plugin.
    (is_it(kind) && !name.is_empty()).then(|| name.to_owned())
}

/// What is wanted of what is looked after.
fn within(wanted: Wanted, scope: &Scope) -> Wanted {
    let Wanted { entities, header } = wanted;
    let mut moved: Vec<Option<usize>> = Vec::with_capacity(entities.len());
    let mut kept: Vec<wanted::Entity> = Vec::with_capacity(entities.len());
    for mut entity in entities {
        let is_of_consumer = |to: &str| scope.skip_consumers && matches!(to, "consumers" | "consumer_groups");
        let mut is_held = scope.holds(entity.kind)
            && !entity.references.iter().any(|(reference, _)| is_of_consumer(reference.to));
        for (_, target) in &mut entity.references {
            if let Target::Around(index) = target {
                match moved.get(*index).copied().flatten() {
                    Some(to) => *index = to,
                    None => is_held = false,
                }
            }
        }
        moved.push(is_held.then_some(kept.len()));
        if is_held {
            kept.push(entity);
        }
    }
    Wanted { entities: kept, header }
}

/// Whether a run writes passwords that cannot be compared.
pub fn has_passwords(plan: &Plan) -> bool {
    plan.steps().any(|step| step.action != Action::Delete && !step.kind.hashed().is_empty())
}
