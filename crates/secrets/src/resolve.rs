//! From a reference to its value: name → vault → settings → fetch → key → base64.
//!
//! Owns: which vaults there are, whose settings hold references of their own, and that readers of one secret share
//! one fetch. Must not know: how any vault works, or for how long a value may be used.

mod error;
mod flight;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

pub use error::ResolveError;

use crate::backend::env::Env;
use crate::backend::fs::Fs;
use crate::backend::hcv::Hcv;
use crate::client::Trust;
use crate::field::{Exposure, Field};
use crate::kind::Kind;
use crate::reference::{Reference, Version};
use crate::secret::Secret;
use crate::settings::{FieldError, Settings, nearest};
use crate::subkey;
use crate::template::{Part, Template};
use crate::trail::Trail;
use crate::vault::{Read, Vault, VaultError};
use flight::Flights;

/// Settings that cannot be overridden by a reference, as a digest: what a session with a vault depends on.
type SessionKey = [u8; 32];
/// One fetch: settings, resource, version.
type FetchKey = ([u8; 32], String, Option<Version>);

/// Everything that is needed to turn references into values.
#[derive(Debug)]
pub struct Resolver {
    vaults: BTreeMap<String, Configured>,
    env: Arc<Env>,
    trust: Trust,
    sessions: Mutex<HashMap<SessionKey, Arc<dyn Vault>>>,
    flights: Flights<FetchKey, Result<Secret, VaultError>>,
}

/// A vault by the name that references use.
#[derive(Clone, Debug)]
struct Configured {
    settings: Result<Settings, Vec<FieldError>>,
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
            sessions: Mutex::default(),
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
        self.vaults.insert(name.into(), Configured { settings, origin });
        self
    }

    /// The vaults, by name.
    pub fn vaults(&self) -> impl Iterator<Item = VaultInfo<'_>> {
        self.vaults.iter().map(|(name, configured)| VaultInfo {
            name,
            origin: &configured.origin,
            settings: configured.settings.as_ref().map_err(Vec::as_slice),
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
        let (vault, settings) = self.vault_for(reference, trail, names).await?;
        let read = |resource: String, version| self.read(&vault, &settings, resource, version, trail);
        let outcome = read(reference.resource().to_owned(), reference.version()).await;
        let (text, key) = match (outcome, reference.key()) {
            (Ok(text), key) => (text, key),
            (Err(absent @ VaultError::Absent { .. }), Some(key)) => {
                let Some(other) = vault.alternative(reference.resource(), key) else {
                    return Err(ResolveError::absent(absent, reference, key));
                };
                match read(other, reference.version()).await {
                    Ok(text) => (text, None),
                    // The first absence is the one that was asked for; other trouble says more than it.
                    Err(VaultError::Absent { .. }) => {
                        return Err(ResolveError::absent(absent, reference, key));
                    }
                    Err(error) => return Err(ResolveError::Vault(error)),
                }
            }
            (Err(error), _) => return Err(ResolveError::Vault(error)),
        };
        pick(text, key, &settings, reference, trail)
    }

    /// Finds the vault of a reference and its effective settings, with nothing left to fill in.
    async fn vault_for(
        &self,
        reference: &Reference,
        trail: &Trail,
        names: &mut Vec<String>,
    ) -> Result<(Arc<dyn Vault>, Settings), ResolveError> {
        let mut step = trail.step("find the vault");
        let name = reference.name();
        step.fact("name", name);
        let found = self.overlaid(reference);
        if let Ok((configured, settings)) = &found {
            step.fact("kind", settings.kind().name());
            step.fact("configured in", &configured.origin.place);
            for (field, value) in settings.shown() {
                let is_option =
                    reference.options().iter().any(|(name, _)| field.spellings().any(|s| s == name));
                let origin = if is_option { "the reference" } else { configured.origin.of(field) };
                step.fact(field.name, format_args!("{value} ({origin})"));
            }
        }
        let (_, mut settings) = step.done(found)?;

        if names.iter().any(|known| known == name) {
            names.push(name.to_owned());
            return Err(ResolveError::Cycle { names: names.clone() });
        }
        names.push(name.to_owned());
        let pending: Vec<_> = settings.pending().map(|(field, template)| (field, template.clone())).collect();
        for (field, template) in pending {
            let in_field = |error: ResolveError| ResolveError::Field {
                vault: name.to_owned(),
                field: field.name,
                source: Box::new(error),
            };
            if let Some(remote) = template.references().find(|inner| self.is_remote(inner)) {
                return Err(in_field(ResolveError::NotLocal { reference: remote.to_string() }));
            }
            let text = Box::pin(self.fill_within(&template, trail, names)).await.map_err(in_field)?;
            settings =
                settings.filled(field, &text).map_err(|error| ResolveError::settings(name, vec![error]))?;
        }
        names.pop();
        let vault = self.session(&settings).map_err(|error| ResolveError::settings(name, vec![error]))?;
        Ok((vault, settings))
    }

    /// A vault's settings with a reference's options over them.
    fn overlaid(&self, reference: &Reference) -> Result<(&Configured, Settings), ResolveError> {
        let name = reference.name();
        let configured = self.vaults.get(name).ok_or_else(|| self.unknown(name))?;
        let base =
            configured.settings.as_ref().map_err(|errors| ResolveError::settings(name, errors.clone()))?;
        let overlaid = base
            .overlaid(reference)
            .map_err(|error| ResolveError::Option { reference: reference.to_string(), error })?;
        for dropped in &overlaid.dropped {
            tracing::warn!(%reference, option = dropped.field, problem = dropped.message, "query option ignored");
        }
        Ok((configured, overlaid.settings))
    }

    /// Vault fields may only refer to what needs no login of its own.
    fn is_remote(&self, reference: &Reference) -> bool {
        let configured = self.vaults.get(reference.name());
        configured.is_some_and(|configured| configured.settings.as_ref().is_ok_and(|s| s.kind() == Kind::Hcv))
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
        // One allocation of the right size: a growing text would leave pieces of itself behind.
        let mut text = Zeroizing::new(String::with_capacity(values.iter().map(|v| v.expose().len()).sum()));
        values.iter().for_each(|value| text.push_str(value.expose()));
        Ok(Secret::from(text))
    }

    /// The session that these settings need, shared with all that need the same.
    fn session(&self, settings: &Settings) -> Result<Arc<dyn Vault>, FieldError> {
        let key = settings.fingerprint_of(|field| field.exposure != Exposure::Open);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vault) = sessions.get(&key) {
            return Ok(Arc::clone(vault));
        }
        let vault: Arc<dyn Vault> = match settings.kind() {
            Kind::Env => Arc::clone(&self.env) as _,
            Kind::Fs => {
                let prefix = settings.text("prefix");
                let prefix = prefix.ok_or_else(|| FieldError::new("prefix", "required field missing"))?;
                Arc::new(Fs::new(prefix.expose()))
            }
            Kind::Hcv => Arc::new(Hcv::new(settings, &self.trust)?),
        };
        sessions.insert(key, Arc::clone(&vault));
        Ok(vault)
    }

    /// One fetch, shared by all who want the same at the same time.
    async fn read(
        &self,
        vault: &Arc<dyn Vault>,
        settings: &Settings,
        resource: String,
        version: Option<Version>,
        trail: &Trail,
    ) -> Result<Secret, VaultError> {
        let key = (settings.fingerprint_of(|field| !field.is_policy()), resource.clone(), version);
        let (vault, settings, trail) = (Arc::clone(vault), settings.clone(), trail.clone());
        let fetch = async move {
            vault.read(&Read { settings: &settings, resource: &resource, version, trail: &trail }).await
        };
        self.flights.join(key, fetch).await
    }
}

/// Picks the key out of what was read, and decodes base64 where the vault says so.
fn pick(
    text: Secret,
    key: Option<&str>,
    settings: &Settings,
    reference: &Reference,
    trail: &Trail,
) -> Result<Secret, ResolveError> {
    let mut value = text;
    if let Some(key) = key {
        let mut step = trail.step("pick the key");
        step.fact("key", key);
        let picked = subkey::pick(&value, key);
        value = step.done(
            picked.map_err(|error| ResolveError::Subkey { reference: Box::new(reference.clone()), error }),
        )?;
    }
    if settings.flag("base64_decode") {
        let step = trail.step("decode base64");
        value = step.done(subkey::decode_base64(&value).ok_or(ResolveError::NotBase64))?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
