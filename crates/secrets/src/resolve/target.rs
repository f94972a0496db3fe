//! What a reference asks for, without asking: which references share a read, what a value is kept under, which files are
//! meant. Must not know: how anything is read.

use std::path::PathBuf;

use super::{ResolveError, Resolver};
use crate::cache::Policy;
use crate::field::Exposure;
use crate::hashed::Hashed;
use crate::reference::{Reference, Version};
use crate::settings::Settings;
use crate::trail::Trail;

/// How far vaults that refer to vaults are looked at.
const MAX_DEPTH: usize = 8;

/// What references share whose values come from one read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    /// The vault's settings, as written: everything that changes a request.
    settings: [u8; 32],
    /// Of the vaults that these settings refer to: equal words mean something else when such a vault is another one.
    filled_from: Option<[u8; 32]>,
    resource: String,
    version: Option<Version>,
    key: Option<String>,
}

/// What a reference asks for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) group: GroupKey,
    pub(crate) policy: Policy,
    pub(crate) base64: bool,
    /// What the value is kept under for when its vault cannot be reached; `None` where that cannot happen.
    pub(crate) keep_as: Option<[u8; 32]>,
}

/// Where on this machine a reference may point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) prefix: PathBuf,
    /// Relative to the prefix.
    pub(crate) names: Vec<String>,
}

/// Settings, and what follows from them: most references have no options, so this is worked out once a vault.
#[derive(Debug)]
pub(super) struct Effective {
    pub(super) settings: Settings,
    /// A digest of everything that changes a request.
    pub(super) request: [u8; 32],
    /// A digest of everything that a session depends on.
    pub(super) session: [u8; 32],
    pub(super) policy: Policy,
    pub(super) base64: bool,
}

impl Effective {
    pub(super) fn of(settings: Settings) -> Self {
        Self {
            request: settings.fingerprint_of(|field| !field.is_policy()),
            session: settings.fingerprint_of(|field| field.exposure != Exposure::Open),
            policy: Policy::of(&settings),
            base64: settings.flag("base64_decode"),
            settings,
        }
    }
}

impl Resolver {
    /// What a reference asks for, as things are configured now. No IO.
    pub(crate) fn target(&self, reference: &Reference) -> Result<Target, ResolveError> {
        let (_, effective) = self.overlaid(reference)?;
        let Effective { ref settings, request, policy, base64, .. } = *effective;
        let by_key = settings.kind().properties().key_names_resource;
        let group = GroupKey {
            settings: request,
            filled_from: self.filled_from(settings, MAX_DEPTH),
            resource: reference.resource().to_owned(),
            version: reference.version(),
            key: reference.key().filter(|_| by_key).map(str::to_owned),
        };
        let keep_as = settings.kind().is_kept().then(|| group.keep_as(reference, base64));
        Ok(Target { group, policy, base64, keep_as })
    }

    /// A digest of the settings of all vaults that these settings refer to; `None` where there are none.
    fn filled_from(&self, settings: &Settings, depth: usize) -> Option<[u8; 32]> {
        let mut hash = None;
        // Circles are an error of the read.
        if depth == 0 {
            return None;
        }
        for reference in settings.pending().flat_map(|(_, template)| template.references()) {
            let so_far = hash.unwrap_or_else(|| Hashed::of("postern: vaults that vaults refer to"));
            hash = Some(match self.overlaid(reference) {
                Ok((_, of)) => {
                    let further = self.filled_from(&of.settings, depth - 1).unwrap_or_default();
                    so_far.fixed([1]).fixed(of.request).fixed(further)
                }
                Err(_) => so_far.fixed([0]),
            });
        }
        hash.map(Hashed::end)
    }

    /// Where on this machine a reference may point; `None` where it points elsewhere.
    pub(crate) async fn files(&self, reference: &Reference) -> Option<Files> {
        let (_, effective) = self.overlaid(reference).ok()?;
        if !effective.settings.kind().properties().has_files {
            return None;
        }
        let (vault, effective) = self.vault_for(reference, &Trail::off(), &mut Vec::new()).await.ok()?;
        let resource = reference.resource();
        let other = reference.key().and_then(|key| vault.alternative(resource, key));
        let names = [Some(resource.to_owned()), other].into_iter().flatten().collect();
        Some(Files { prefix: effective.settings.text("prefix")?.expose().into(), names })
    }
}

impl GroupKey {
    /// The digest under which a value is kept: of everything that it depends on, so that another configuration does
    /// not find it.
    fn keep_as(&self, reference: &Reference, base64: bool) -> [u8; 32] {
        let version = self.version.map(|version| version.to_string()).unwrap_or_default();
        let texts = [
            reference.to_string(),
            self.resource.clone(),
            version,
            // Absent and empty differ.
            reference.key().map(|key| format!("/{key}")).unwrap_or_default(),
        ];
        let hash =
            Hashed::of("postern: a value is kept under").fixed(self.settings).fixed([u8::from(base64)]);
        texts.iter().fold(hash, Hashed::field).end()
    }
}
