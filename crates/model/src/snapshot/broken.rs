//! An entity of a store that cannot take effect, and what can still be read of it.
//!
//! Owns: what the data plane needs to close what depends on the entity, and nothing else. Must not know: why it is broken
//! (`check/rows` does). It holds no values of the body besides names and identifiers: they may be credentials.

use std::fmt::{self, Display, Formatter};

use uuid::Uuid;

use crate::violation::Violation;

/// A row that cannot take effect. All others do without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its kind: `services`. Another version may know kinds that this one does not.
    pub kind: String,
    /// Its identifier.
    pub id: Uuid,
    /// What people call it: `services[my-service]`.
    pub path: String,
    /// What is wrong with it; at least one. Paths begin with [`Broken::path`].
    pub reasons: Vec<Violation>,
    /// What can still be read of it.
    pub remains: Remains,
}

/// What can still be read of a broken entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// By which others find it: the prefix of a vault, the username of a consumer; of a plugin, which one it is.
    pub name: Part<String>,
    /// False only where it says so itself: such a plugin would do nothing.
    pub enabled: bool,
    /// To which others it refers, by the name of the field. A field that is not given is not in it; a list has several.
    pub refers: Vec<(&'static str, Part<Uuid>)>,
}

/// A part of a broken entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part<T> {
    /// It is not given.
    Absent,
    /// It says this.
    Known(T),
    /// Something is or must be there, but nobody can tell what: it may be anything.
    #[default]
    Unreadable,
}

impl Remains {
    /// To whom a field refers; of a list, the first.
    pub fn reference(&self, field: &str) -> Part<Uuid> {
        let found = self.refers.iter().find(|(known, _)| *known == field);
        found.map_or(Part::Absent, |(_, part)| part.clone())
    }
}

impl<T> Part<T> {
    /// What it says, where that can be read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable => None,
        }
    }

    /// Whether it may be this one: it is, or nobody can tell.
    pub fn may_be(&self, value: &T) -> bool
    where
        T: PartialEq,
    {
        match self {
            Self::Absent => false,
            Self::Known(known) => known == value,
            Self::Unreadable => true,
        }
    }
}

/// `services[my-service]: host: required field missing`, with every reason.
impl Display for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
