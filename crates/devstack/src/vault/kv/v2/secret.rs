//! One secret with its versions. Must not know paths, mounts or requests.

use crate::clock::{go_duration, rfc3339};
use crate::vault::field::Fields;
use crate::vault::reply::Refusal;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many versions are kept when nobody says.
const DEFAULT_MAX_VERSIONS: u64 = 10;

/// What a mount and a secret can both say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    pub(super) max_versions: u64,
    pub(super) cas_required: bool,
    pub(super) metadata_cas_required: bool,
    pub(super) delete_version_after: Duration,
}

impl Settings {
    /// Takes what the body has, and leaves the rest.
    pub(super) fn take(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        if let Some(number) = fields.number("max_versions")? {
            self.max_versions = u64::try_from(number).unwrap_or_default();
        }
        self.cas_required = fields.flag("cas_required")?.unwrap_or(self.cas_required);
        self.metadata_cas_required =
            fields.flag("metadata_cas_required")?.unwrap_or(self.metadata_cas_required);
        self.delete_version_after =
            fields.duration("delete_version_after")?.unwrap_or(self.delete_version_after);
        Ok(())
    }

    pub(super) fn describe(&self) -> Value {
        json!({
            "cas_required": self.cas_required,
            "delete_version_after": go_duration(self.delete_version_after),
            "max_versions": self.max_versions,
            "metadata_cas_required": self.metadata_cas_required,
        })
    }
}

/// One version.
pub(super) struct Version {
    /// `None` was written as `null`, or is destroyed.
    pub(super) data: Option<Map<String, Value>>,
    created: Duration,
    /// From this wall time on it is deleted.
    deletion: Option<Duration>,
    destroyed: bool,
}

impl Version {
    pub(super) fn new(data: Option<Map<String, Value>>, now: Duration) -> Self {
        Self { data, created: now, deletion: None, destroyed: false }
    }

    pub(super) fn is_gone(&self, now: Duration) -> bool {
        self.destroyed || self.deletion.is_some_and(|time| time <= now)
    }

    /// A deleted one keeps the time of its first deletion.
    pub(super) fn delete(&mut self, now: Duration) {
        if !self.is_gone(now) {
            self.deletion = Some(now);
        }
    }

    pub(super) fn undelete(&mut self) {
        if !self.destroyed {
            self.deletion = None;
        }
    }

    pub(super) fn destroy(&mut self) {
        self.destroyed = true;
        self.data = None;
    }

    fn describe(&self) -> Value {
        json!({
            "created_time": rfc3339(self.created),
            "deletion_time": self.deletion.map(rfc3339).unwrap_or_default(),
            "destroyed": self.destroyed,
        })
    }
}

/// All versions of a secret, and what is known about it.
pub(super) struct Secret {
    /// The latest version; 0: none yet.
    pub(super) current: u64,
    pub(super) versions: BTreeMap<u64, Version>,
    pub(super) settings: Settings,
    pub(super) custom: Option<BTreeMap<String, String>>,
    created: Duration,
    updated: Duration,
    /// How many times the metadata was written.
    revision: u64,
    /// The oldest version, once old ones are dropped.
    oldest: u64,
}

impl Secret {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            current: 0,
            versions: BTreeMap::new(),
            settings: Settings::default(),
            custom: None,
            created: now,
            updated: now,
            revision: 0,
            oldest: 0,
        }
    }

    /// Adds the next version, and drops the oldest ones beyond the limit.
    pub(super) fn add(&mut self, mut version: Version, mount: &Settings) {
        let own = self.settings.delete_version_after;
        let life = if own.is_zero() { mount.delete_version_after } else { own };
        version.deletion = (!life.is_zero()).then(|| version.created + life);
        self.updated = version.created;
        self.current += 1;
        self.versions.insert(self.current, version);
        let limits = [self.settings.max_versions, mount.max_versions, DEFAULT_MAX_VERSIONS];
        let limit = limits.into_iter().find(|limit| *limit > 0).unwrap_or(DEFAULT_MAX_VERSIONS);
        while self.versions.len() as u64 > limit {
            self.versions.pop_first();
            self.oldest = self.versions.keys().next().copied().unwrap_or_default();
        }
    }

    pub(super) fn change(&mut self, numbers: &[u64], change: impl Fn(&mut Version)) {
        numbers.iter().for_each(|number| {
            if let Some(version) = self.versions.get_mut(number) {
                change(version);
            }
        });
    }

    pub(super) fn note_metadata_write(&mut self, now: Duration) {
        self.updated = now;
        self.revision += 1;
    }

    /// What is told of a version beside its data.
    pub(super) fn describe(&self, number: u64, version: &Version) -> Value {
        let mut described = version.describe();
        described["custom_metadata"] = json!(self.custom);
        described["version"] = json!(number);
        described
    }

    /// The metadata of all versions.
    pub(super) fn metadata(&self) -> Value {
        let versions = self.versions.iter().map(|(number, version)| (number.to_string(), version.describe()));
        let mut described = self.settings.describe();
        described["created_time"] = json!(rfc3339(self.created));
        described["current_metadata_version"] = json!(self.revision);
        described["current_version"] = json!(self.current);
        described["custom_metadata"] = json!(self.custom);
        described["oldest_version"] = json!(self.oldest);
        described["updated_time"] = json!(rfc3339(self.updated));
        described["versions"] = versions.collect::<Map<_, _>>().into();
        described
    }
}
