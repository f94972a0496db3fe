//! All entities of a configuration, checked and typed: what takes effect.
//!
//! Owns: the entry that every entity shares, the lists (`snapshot/list.rs`), the list of lists, and what is known of rows
//! that cannot take effect (`snapshot/broken.rs`). Must not know: how they were checked, what is made of them. An entity with references is typed once these are resolved, by [`Entry::fill`], which checks the field
//! rules again on what came out of the vault.

mod broken;
mod list;

use std::sync::Arc;

use postern_secrets::{Secret, Template};
use uuid::Uuid;

pub use broken::{Broken, Part, Remains};
pub use list::{Changed, List};

use crate::entity::VaultEntity;
use crate::value::Record;
use crate::violation::Position;

/// One entity.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// As written, or the one that always follows from what tells it from others.
    pub id: Uuid,
    /// Its path and place in the file, for people: `services[0]`, 12:5.
    pub path: String,
    /// Where it begins.
    pub position: Position,
    /// Every field with its default; references are still text.
    pub record: Record,
    /// The typed entity, where no field holds a reference.
    pub value: Option<T>,
    /// How a record without references is checked and typed.
    pub read: fn(&Record) -> Result<T, String>,
}

impl<T: Clone> Entry<T> {
    /// The texts with references, in the order in which [`Entry::fill`] takes their values.
    pub fn templates(&self) -> Vec<&Template> {
        self.record.templates()
    }

    /// The entity with its references resolved.
    ///
    /// # Errors
    /// What is wrong with a resolved value, by the field's own rules; it names the field, never the value.
    pub fn fill(&self, texts: &[Secret]) -> Result<T, String> {
        match &self.value {
            Some(value) => Ok(value.clone()),
            None => (self.read)(&self.record.filled(texts)),
        }
    }
}

/// Hands every list of a [`Snapshot`] to a macro: `each_list!(sum)` is `sum! { services: Service; consumers: Consumer, lean;
/// ... }`. The name of a list is that of the kind. Of those that are `lean` there may be millions, and nobody reads the record
/// of one once it is typed.
#[macro_export]
macro_rules! each_list {
    ($do:ident) => {
        $do! {
            certificates: $crate::entity::Certificate;
            ca_certificates: $crate::entity::CaCertificate;
            consumers: $crate::entity::Consumer, lean;
            key_sets: $crate::entity::KeySet;
            consumer_groups: $crate::entity::ConsumerGroup;
            snis: $crate::entity::Sni;
            services: $crate::entity::Service;
            upstreams: $crate::entity::Upstream;
            keys: $crate::entity::Key;
            keyauth_credentials: $crate::entity::KeyauthCredential, lean;
            hmacauth_credentials: $crate::entity::HmacauthCredential, lean;
            jwt_secrets: $crate::entity::JwtSecret, lean;
            basicauth_credentials: $crate::entity::BasicauthCredential, lean;
            acls: $crate::entity::AclGroup, lean;
            routes: $crate::entity::Route;
            targets: $crate::entity::Target;
            plugins: $crate::entity::Plugin;
        }
    };
}

macro_rules! snapshot {
    ($($name:ident: $entity:ty $(, $lean:ident)?;)*) => {
        /// All entities, each list in the order of the file, or of identifiers where they are kept in a store. A clone
        /// shares its lists with the original.
        #[derive(Clone, Debug, Default)]
        #[expect(missing_docs, reason = "the names of the lists are the names of the entities")]
        pub struct Snapshot {
            pub vaults: Vec<VaultEntity>,
            /// Who belongs to which group: consumer, group.
            pub group_members: Vec<(Uuid, Uuid)>,
            /// Rows of a store that are in none of the lists, because something is wrong with them, in the order of kinds
            /// and identifiers. A document has none: it takes effect whole.
            pub broken: Arc<[Arc<Broken>]>,
            $(pub $name: List<$entity>,)*
        }
    };
}

each_list!(snapshot);

#[cfg(test)]
mod tests {
    use crate::Kind;

    #[test]
    fn every_kind_but_vaults_and_memberships_has_a_list() {
        macro_rules! names {
            ($($name:ident: $entity:ty $(, $lean:ident)?;)*) => { [$(stringify!($name)),*] };
        }
        let typed = Kind::all().into_iter().filter(|kind| !kind.is_vault() && !kind.is_membership());
        let typed: Vec<_> = typed.map(Kind::collection).collect();
        assert_eq!(each_list!(names).as_slice(), typed);
    }
}
