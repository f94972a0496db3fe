//! The kinds of vault: what Kong calls a vault entity's `name`. Owns: their names, and which ones this build has.
//! Must not know: how any of them works.

use thiserror::Error;

use crate::field::{Field, env, fs, hcv};
use crate::settings::{FieldError, Settings};

/// A kind of vault that this build can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Environment variables of the process.
    Env,
    /// Files below a directory.
    Fs,
    /// HashiCorp Vault and OpenBao.
    Hcv,
}

/// A name that is no kind of vault in this build.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("vault '{name}' is not installed")]
pub struct UnknownKind {
    /// The name as written.
    pub name: String,
    /// Whether Kong has a kind of this name.
    pub known_elsewhere: bool,
}

/// What is true of every vault of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// It is reached over a network and needs a login. Such a vault may be away, so its values are written to the file
    /// of last known good values; and it is not asked for the settings of other vaults, which are read before any login.
    pub is_remote: bool,
    /// Its values are in files, which are watched.
    pub has_files: bool,
    /// A resource with a key may also mean another resource, so that what one read gives is not for all keys.
    pub key_names_resource: bool,
}

/// Names of kinds that Kong has and this build has not.
const ELSEWHERE: [&str; 6] = ["aws", "azure", "azure-certs", "conjur", "gcp", "konnect"];

/// Names that a vault's prefix must not have: every kind that is known, here or elsewhere, so that a file keeps
/// working when a kind arrives. Sorted.
pub fn reserved_prefixes() -> &'static [&'static str] {
    &["aws", "azure", "azure-certs", "conjur", "env", "fs", "gcp", "hcv", "konnect"]
}

impl Kind {
    /// All kinds of this build.
    pub const ALL: [Self; 3] = [Self::Env, Self::Fs, Self::Hcv];

    /// The kind of a name.
    pub fn parse(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownKind { name: name.to_owned(), known_elsewhere: ELSEWHERE.contains(&name) })
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Fs => "fs",
            Self::Hcv => "hcv",
        }
    }

    /// What is true of every vault of this kind.
    pub const fn properties(self) -> Properties {
        let local = Properties { is_remote: false, has_files: false, key_names_resource: false };
        match self {
            Self::Env => local,
            Self::Fs => Properties { has_files: true, key_names_resource: true, ..local },
            Self::Hcv => Properties { is_remote: true, ..local },
        }
    }

    /// Whether references in the settings of other vaults may point to it.
    pub const fn may_fill_settings(self) -> bool {
        !self.properties().is_remote
    }

    /// Whether its values are kept for when it cannot be reached.
    pub const fn is_kept(self) -> bool {
        self.properties().is_remote
    }

    /// The names of the kinds of which something is true, for people: `env or fs`.
    pub fn names_of(is_so: impl Fn(Self) -> bool) -> String {
        let names: Vec<_> = Self::ALL.into_iter().filter(|kind| is_so(*kind)).map(Self::name).collect();
        match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "none".to_owned(),
        }
    }

    /// What is wrong with settings of this kind as a whole, where each by itself is right.
    pub(crate) fn conflicts(self, settings: &Settings) -> Vec<FieldError> {
        match self {
            Self::Env | Self::Fs => Vec::new(),
            Self::Hcv => hcv::conflicts(settings),
        }
    }

    /// What a vault of this kind can be configured with.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::Env => env::FIELDS,
            Self::Fs => fs::FIELDS,
            Self::Hcv => hcv::FIELDS,
        }
    }

    /// The field of a name, in any of its spellings.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.spellings().any(|spelling| spelling == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_reserved_and_parses() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Ok(kind));
            assert!(reserved_prefixes().contains(&kind.name()));
        }
        for name in ELSEWHERE {
            assert!(reserved_prefixes().contains(&name));
            assert!(Kind::parse(name).unwrap_err().known_elsewhere);
        }
        assert!(reserved_prefixes().is_sorted());
        assert!(!Kind::parse("hvc").unwrap_err().known_elsewhere);
    }

    #[test]
    fn what_needs_no_login_may_fill_the_settings_of_what_does() {
        assert_eq!(Kind::names_of(Kind::may_fill_settings), "env or fs");
        assert_eq!(Kind::names_of(Kind::is_kept), "hcv");
        assert_eq!(Kind::names_of(|kind| kind.properties().has_files), "fs");
        assert_eq!(Kind::names_of(|_| true), "env, fs or hcv");
        assert_eq!(Kind::names_of(|_| false), "none");
    }

    #[test]
    fn no_two_fields_share_a_spelling() {
        for kind in Kind::ALL {
            let mut seen = std::collections::BTreeSet::new();
            for spelling in kind.fields().iter().flat_map(Field::spellings) {
                assert!(seen.insert(spelling), "{spelling} twice in {}", kind.name());
            }
        }
    }

    #[test]
    fn defaults_obey_their_own_rules() {
        for field in Kind::ALL.into_iter().flat_map(Kind::fields) {
            if let Some(default) = field.default_setting() {
                assert!(field.obeys(default).is_ok(), "{}", field.name);
            }
        }
    }
}
