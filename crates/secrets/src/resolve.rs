//! From a reference to its value: name → vault → settings → fetch → key → base64.
//!
//! Owns: which vaults there are, whose settings hold references of their own, and that readers of one secret share
//! one fetch. Must not know: how any vault works, or for how long a value may be used.

mod error;
mod flight;
mod sessions;
mod target;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use error::ResolveError;

use crate::backend::env::Env;
use crate::backend::fs::Fs;
use crate::backend::hcv::Hcv;
use crate::field::Field;
use crate::guard::{Guard, VaultStatus};
use crate::kind::Kind;
use crate::nearest::nearest;
use crate::reference::{Reference, Version};
use crate::settings::{FieldError, Settings};
use crate::subkey::{self, Members, SubkeyError};
use crate::template::{Part, Template};
use crate::trail::Trail;
use crate::vault::{Read, Reading, Vault, VaultError};
use flight::Flights;
use postern_client::Trust;
use postern_secret::Secret;
use sessions::{Session, SessionKey, Sessions};

use target::Effective;
pub(crate) use target::{Files, GroupKey};

/// One fetch: settings, resource, version.
type FetchKey = ([u8; 32], String, Option<Version>);

/// What one read gave.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    text: Secret,
    /// Whether the key is still to be picked from it.
    key_counts: bool,
    /// For how long it may be used, where the vault has only lent it.
    lent_for: Option<Duration>,
}

/// Picks from what one read gave. Its JSON is taken apart once, however many references share the read.
pub(crate) struct Picker<'a> {
    fetched: &'a Fetched,
    members: OnceCell<Result<Members<'a>, SubkeyError>>,
}

/// Everything that is needed to turn references into values.
#[derive(Debug)]
pub struct Resolver {
    vaults: BTreeMap<String, Configured>,
    env: Arc<Env>,
    trust: Trust,
    sessions: Sessions,
    flights: Flights<FetchKey, Result<Reading, VaultError>>,
}

/// A vault by the name that references use.
#[derive(Clone, Debug)]
struct Configured {
    settings: Result<Arc<Effective>, Vec<FieldError>>,
    origin: Origin,
}

/// Where a vault's configuration is, for people.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The vault as a whole: `kong.yaml:12`.
    pub place: String,
    /// Its fields, by the names under which they were written.
    pub fields: BTreeMap<String, String>,
}

/// What is known of a vault, for people.
#[derive(Debug)]
pub struct VaultInfo<'a> {
    /// The name in references.
    pub name: &'a str,
    /// Where its configuration is.
    pub origin: &'a Origin,
    /// Its configuration, or what is wrong with it.
    pub settings: Result<&'a Settings, &'a [FieldError]>,
}

impl Origin {
    /// A vault whose fields have no places of their own.
    pub fn new(place: impl Into<String>) -> Self {
        Self { place: place.into(), fields: BTreeMap::new() }
    }

    /// Where a field's value was given.
    fn of(&self, field: &Field) -> &str {
        field.spellings().find_map(|spelling| self.fields.get(spelling)).unwrap_or(&self.place)
    }
}

impl Resolver {
    /// A resolver without vaults. `env` is the snapshot that vaults of kind `env` read.
    pub fn new(env: Env, trust: Trust) -> Self {
        Self {
            vaults: BTreeMap::new(),
            env: Arc::new(env),
            trust,
            sessions: Sessions::default(),
            flights: Flights::default(),
        }
    }

    /// The same with one more vault, known by `name` (a kind for a default vault, else an entity's prefix). Settings
    /// that are wrong are an error only for those who use them. `origin` says where they are, for people.
    #[must_use]
    pub fn with_vault(
        mut self,
        name: impl Into<String>,
        settings: Result<Settings, Vec<FieldError>>,
        origin: Origin,
    ) -> Self {
        let settings = settings.map(|settings| Arc::new(Effective::of(settings)));
        self.vaults.insert(name.into(), Configured { settings, origin });
        self
    }

    /// The vaults, by name.
    pub fn vaults(&self) -> impl Iterator<Item = VaultInfo<'_>> {
        self.vaults.iter().map(|(name, configured)| VaultInfo {
            name,
            origin: &configured.origin,
            settings: configured.settings.as_ref().map(|known| &known.settings).map_err(Vec::as_slice),
        })
    }

    /// The value of a reference, fetched now.
    pub async fn resolve(&self, reference: &Reference, trail: &Trail) -> Result<Secret, ResolveError> {
        self.resolve_within(reference, trail, &mut Vec::new()).await
    }

    /// A text with the values of all its references in their places.
    pub async fn fill(&self, template: &Template, trail: &Trail) -> Result<Secret, ResolveError> {
        self.fill_within(template, trail, &mut Vec::new()).await
    }

    async fn resolve_within(
        &self,
        reference: &Reference,
        trail: &Trail,
        names: &mut Vec<String>,
    ) -> Result<Secret, ResolveError> {
        let fetched = self.fetch_within(reference, trail, names).await?;
        let base64 = self.target(reference)?.base64;
        fetched.picker().pick(reference, base64, trail)
    }

    /// What stands where a reference points, whole. All references of one [`GroupKey`] pick their values from it.
    pub(crate) async fn fetch(&self, reference: &Reference, trail: &Trail) -> Result<Fetched, ResolveError> {
        self.fetch_within(reference, trail, &mut Vec::new()).await
    }

    async fn fetch_within(
        &self,
        reference: &Reference,
        trail: &Trail,
        names: &mut Vec<String>,
    ) -> Result<Fetched, ResolveError> {
        let (vault, effective) = self.vault_for(reference, trail, names).await?;
        let read = |resource: String| self.read(&vault, &effective, resource, reference.version(), trail);
        let absent = match read(reference.resource().to_owned()).await {
            Ok(reading) => return Ok(Fetched::of(reading, true)),
            Err(absent @ VaultError::Absent { .. }) => absent,
            Err(error) => return Err(ResolveError::Vault(error)),
        };
        let Some(key) = reference.key() else { return Err(ResolveError::Vault(absent)) };
        let Some(other) = vault.alternative(reference.resource(), key) else {
            return Err(ResolveError::absent(absent, reference, key));
        };
        match read(other).await {
            Ok(reading) => Ok(Fetched::of(reading, false)),
            // The first absence is the one that was asked for; other trouble says more than it.
            Err(VaultError::Absent { .. }) => Err(ResolveError::absent(absent, reference, key)),
            Err(error) => Err(ResolveError::Vault(error)),
        }
    }

    /// Finds the vault of a reference and its effective settings, with nothing left to fill in.
    async fn vault_for(
        &self,
        reference: &Reference,
        trail: &Trail,
        names: &mut Vec<String>,
    ) -> Result<(Arc<dyn Vault>, Arc<Effective>), ResolveError> {
        let mut step = trail.step("find the vault");
        let name = reference.name();
        step.fact("name", name);
        let found = self.overlaid(reference);
        if let Ok((configured, effective)) = &found
            && step.is_recorded()
        {
            step.fact("kind", effective.settings.kind().name());
            step.fact("configured in", &configured.origin.place);
            for (field, value) in effective.settings.shown() {
                let is_option =
                    reference.options().iter().any(|(name, _)| field.spellings().any(|s| s == name));
                let origin = if is_option { "the reference" } else { configured.origin.of(field) };
                step.fact(field.name, format_args!("{value} ({origin})"));
            }
        }
        let (_, written) = step.done(found)?;

        if names.iter().any(|known| known == name) {
            names.push(name.to_owned());
            return Err(ResolveError::Cycle { names: names.clone() });
        }
        names.push(name.to_owned());
        let mut filled = None;
        for (field, template) in written.settings.pending() {
            let in_field = |error: ResolveError| ResolveError::Field {
                vault: name.to_owned(),
                field: field.name,
                source: Box::new(error),
            };
            if let Some(wrong) = template.references().find(|inner| !self.may_fill_settings(inner)) {
                return Err(in_field(ResolveError::NotLocal { reference: wrong.to_string() }));
            }
            let text = Box::pin(self.fill_within(template, trail, names)).await.map_err(in_field)?;
            let settings = filled.unwrap_or_else(|| written.settings.clone()).filled(field, &text);
            filled = Some(settings.map_err(|error| ResolveError::settings(name, vec![error]))?);
        }
        names.pop();
        let effective =
            filled.map_or_else(|| Arc::clone(&written), |settings| Arc::new(Effective::of(settings)));
        let vault = self.session(written.session, &effective);
        Ok((vault.map_err(|error| ResolveError::settings(name, vec![error]))?, effective))
    }

    /// A vault's settings with a reference's options over them.
    fn overlaid(&self, reference: &Reference) -> Result<(&Configured, Arc<Effective>), ResolveError> {
        let name = reference.name();
        let configured = self.vaults.get(name).ok_or_else(|| self.unknown(name))?;
        let base =
            configured.settings.as_ref().map_err(|errors| ResolveError::settings(name, errors.clone()))?;
        if reference.options().is_empty() {
            return Ok((configured, Arc::clone(base)));
        }
        let overlaid = base
            .settings
            .overlaid(reference)
            .map_err(|error| ResolveError::Option { reference: reference.to_string(), error })?;
        for dropped in &overlaid.dropped {
            tracing::warn!(%reference, option = dropped.field, problem = dropped.message, "query option ignored");
        }
        Ok((configured, Arc::new(Effective::of(overlaid.settings))))
    }

    /// Vault fields may only refer to what needs no login of its own. (What is unknown or wrong is told by itself.)
    fn may_fill_settings(&self, reference: &Reference) -> bool {
        let configured = self.vaults.get(reference.name()).map(|configured| &configured.settings);
        !matches!(configured, Some(Ok(known)) if !known.settings.kind().may_fill_settings())
    }

    fn unknown(&self, name: &str) -> ResolveError {
        let known: Vec<String> = self.vaults.keys().cloned().collect();
        let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        ResolveError::UnknownVault { name: name.to_owned(), nearest: near, known }
    }

    async fn fill_within(
        &self,
        template: &Template,
        trail: &Trail,
        names: &mut Vec<String>,
    ) -> Result<Secret, ResolveError> {
        if let Some(reference) = template.as_reference() {
            return Box::pin(self.resolve_within(reference, trail, names)).await;
        }
        let mut values = Vec::with_capacity(template.parts().len());
        for part in template.parts() {
            values.push(match part {
                Part::Literal(text) => Secret::from(text.as_str()),
                Part::Reference(reference) => Box::pin(self.resolve_within(reference, trail, names)).await?,
            });
        }
        Ok(Secret::joined(&values))
    }

    /// The session that these settings need, shared with all that need the same.
    fn session(&self, written: [u8; 32], effective: &Effective) -> Result<Arc<dyn Vault>, FieldError> {
        let settings = &effective.settings;
        self.sessions.of(written, effective.session, |at_once| match settings.kind() {
            Kind::Env => Ok(Session::Local(Arc::clone(&self.env) as _)),
            Kind::Fs => {
                let prefix = settings.text("prefix");
                let prefix = prefix.ok_or_else(|| FieldError::new("prefix", "required field missing"))?;
                Ok(Session::Local(Arc::new(Fs::new(prefix.expose()))))
            }
            Kind::Hcv => {
                let vault = Arc::new(Hcv::new(settings, &self.trust)?);
                Ok(Session::Guarded(Arc::new(Guard::new(vault, at_once))))
            }
        })
    }

    /// The same, where a vault's requests go to `vault`.
    #[cfg(test)]
    pub(crate) fn with_session(self, name: &str, vault: Arc<dyn Vault>) -> Self {
        if let Some(Ok(effective)) = self.vaults.get(name).map(|configured| &configured.settings) {
            let guarded = |at_once| Ok(Session::Guarded(Arc::new(Guard::new(vault, at_once))));
            let _ = self.sessions.of(effective.session, effective.session, guarded);
        }
        self
    }

    /// How many requests to one vault may be under way; for vaults that were not asked yet.
    pub(crate) fn set_at_once(&mut self, at_once: usize) {
        self.sessions.at_once = at_once.max(1);
    }

    /// Goes on with the sessions of an older configuration, where they are the same: no new login for an old vault.
    pub(crate) fn take_sessions_from(&mut self, older: &Self) {
        if self.trust == older.trust {
            self.sessions.take_from(&older.sessions, &self.wanted_sessions());
        }
    }

    /// Goes on with the sessions that the older configuration has opened since this one was made, too.
    pub(crate) fn keep_sessions_of(&self, older: &Self) {
        // What a session trusts is not among its settings; the environment is another snapshot.
        if self.trust == older.trust {
            self.sessions.keep(&older.sessions, &self.wanted_sessions());
        }
    }

    fn wanted_sessions(&self) -> HashSet<SessionKey> {
        let known = self.vaults.values().filter_map(|configured| configured.settings.as_ref().ok());
        known.map(|known| known.session).collect()
    }

    /// Whether equal settings mean the same here and there.
    pub(crate) fn has_surroundings_of(&self, other: &Self) -> bool {
        self.trust == other.trust && self.env == other.env
    }

    /// Every session that goes over a network.
    pub(crate) fn sessions_status(&self) -> Vec<VaultStatus> {
        self.sessions.guards().iter().map(|guard| guard.vault_status()).collect()
    }

    /// When the first session wants its token renewed.
    pub(crate) fn maintenance_due(&self) -> Option<Instant> {
        self.sessions.guards().iter().filter_map(|guard| guard.maintenance_due()).min()
    }

    /// Renews what is due. One vault that hangs does not keep the others waiting.
    pub(crate) async fn maintain(&self) {
        let now = Instant::now();
        let mut guards = self.sessions.guards();
        guards.retain(|guard| guard.maintenance_due().is_some_and(|due| due <= now));
        futures_util::future::join_all(guards.iter().map(|guard| guard.maintain())).await;
    }

    /// One fetch, shared by all who want the same at the same time.
    async fn read(
        &self,
        vault: &Arc<dyn Vault>,
        effective: &Arc<Effective>,
        resource: String,
        version: Option<Version>,
        trail: &Trail,
    ) -> Result<Reading, VaultError> {
        let key = (effective.request, resource.clone(), version);
        let (vault, effective, trail) = (Arc::clone(vault), Arc::clone(effective), trail.clone());
        let fetch = async move {
            let settings = &effective.settings;
            vault.read(&Read { settings, resource: &resource, version, trail: &trail }).await
        };
        self.flights.join(key, fetch).await
    }
}

impl Fetched {
    pub(crate) fn of(Reading { text, lease }: Reading, key_counts: bool) -> Self {
        Self { text, key_counts, lent_for: lease.map(|lease| lease.duration) }
    }

    /// For how long it may be used, where the vault has only lent it.
    pub(crate) fn lent_for(&self) -> Option<Duration> {
        self.lent_for
    }

    /// What picks from it, for one reference or many.
    pub(crate) fn picker(&self) -> Picker<'_> {
        Picker { fetched: self, members: OnceCell::new() }
    }
}

impl Picker<'_> {
    /// Picks a reference's key out of what was read, and decodes base64 where the vault says so.
    pub(crate) fn pick(
        &self,
        reference: &Reference,
        base64: bool,
        trail: &Trail,
    ) -> Result<Secret, ResolveError> {
        let mut value = self.fetched.text.clone();
        if let Some(key) = reference.key().filter(|_| self.fetched.key_counts) {
            let mut step = trail.step("pick the key");
            step.fact("key", key);
            let members = self.members.get_or_init(|| Members::of(&self.fetched.text));
            let picked = members.as_ref().map_err(Clone::clone).and_then(|members| members.pick(key));
            let subkey_error = |error| ResolveError::Subkey { reference: Box::new(reference.clone()), error };
            value = step.done(picked.map_err(subkey_error))?;
        }
        if base64 {
            let step = trail.step("decode base64");
            value = step.done(subkey::decode_base64(&value).ok_or(ResolveError::NotBase64))?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
