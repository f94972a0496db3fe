//! The kinds of vault: what Kong calls a vault entity's `name`. Owns: their names, and which ones this build has.
//! Must not know: how any of them works.

use thiserror::Error;

use crate::field::{Field, env, fs, hcv};

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
