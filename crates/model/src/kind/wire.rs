//! How a kind appears in the Admin API and in files, and what clients must know of it.
//!
//! Owns: paths, decK's words and habits, which fields are credentials, generated or kept as something else. Must not know:
//! requests; all of it comes from the table.

use super::{Kind, Refers};
use crate::entity;
use crate::field::{Field, Type};

impl Kind {
    /// The kind with lists of this name, whether this gateway has it or only others.
    pub fn known_as(collection: &str) -> Option<Self> {
        Self::known().find(|kind| kind.collection() == collection)
    }

    /// Its place in the order of writes.
    pub fn rank(self) -> usize {
        entity::TABLE.iter().position(|other| std::ptr::eq(*other, self.0)).unwrap_or(usize::MAX)
    }

    /// The path of all of them in the Admin API: `jwts`; none where there is no such list.
    pub fn path(self) -> Option<&'static str> {
        self.0.path
    }

    /// Its name in paths below an entity that it refers to: `jwt`.
    pub fn nested(self) -> &'static str {
        self.0.nested
    }

    /// The field whose value may stand in a path instead of the identifier.
    pub fn path_key(self) -> Option<&'static str> {
        self.0.path_key
    }

    /// The entity below which clients write it, where they do.
    pub fn owner(self) -> Option<Refers> {
        self.reference(self.0.owner?)
    }

    /// The other entity that a field names: on the wire `{"id": ...}`.
    pub fn reference(self, field: &str) -> Option<Refers> {
        self.refers_by(self.field(field)?).filter(|refers| !refers.many)
    }

    /// Whether one has this field, those apart that gateways fill in: identifiers, times, what follows from others.
    pub fn may_set(self, field: &str) -> bool {
        let is_own = |found: &Field| !found.auto && !matches!(found.ty, Type::Foreign(_));
        !self.is_membership() && !self.0.derived.contains(&field) && self.field(field).is_some_and(is_own)
    }

    /// The fields that the gateway generates where the client gives none.
    pub fn generated(self) -> &'static [&'static str] {
        self.0.generated
    }

    /// The fields that are kept as hashes: what is read is not what was written.
    pub fn hashed(self) -> &'static [&'static str] {
        self.0.hashed
    }

    /// The fields that may hold credentials, with dots on the way to those inside.
    pub fn secrets(self) -> Vec<&'static str> {
        let secret = self.0.schema.fields.iter().filter(|field| field.secret).map(|field| field.name);
        secret.chain(self.0.masked.iter().copied()).collect()
    }

    /// Whether a field of its own is a credential.
    pub fn is_secret(self, field: &str) -> bool {
        self.field(field).is_some_and(|field| field.secret)
    }

    /// Whether no two entities may have the same value of a field.
    pub fn is_unique(self, field: &str) -> bool {
        self.field(field).is_some_and(|field| field.unique)
    }

    /// What decK calls one of them: `jwt-auth`.
    pub fn deck_name(self) -> &'static str {
        self.0.deck_name
    }

    /// The sets of fields by which decK knows one again, the first first.
    pub fn known_by(self) -> Vec<&'static [&'static str]> {
        match self.0.known_by {
            [] if self.0.cache_key.len() > 1 => vec![self.0.cache_key],
            [] => self.unique().collect(),
            given => given.to_vec(),
        }
    }

    /// Whether decK takes its defaults from the gateway's schema.
    pub fn has_defaults(self) -> bool {
        self.0.defaults.is_some()
    }

    /// Its key in `_info.defaults`, where it has one.
    pub fn defaults_key(self) -> Option<&'static str> {
        self.0.defaults
    }

    /// Whether gateways check one by `/schemas/.../validate`.
    pub fn is_validated(self) -> bool {
        self.0.is_validated
    }

    /// The statuses of its list by which a gateway says that it knows no such kind.
    pub fn absent(self) -> &'static [u16] {
        self.0.absent
    }
}
