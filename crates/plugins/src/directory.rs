//! Consumers and their credentials, indexed.
//!
//! Owns: finding a consumer by what a request shows. Must not know: where in a request that stands.

use uuid::Uuid;

/// Somebody who sends requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The identifier.
    pub id: Uuid,
    /// The name.
    pub username: Option<String>,
    /// The name in somebody else's books.
    pub custom_id: Option<String>,
    /// The groups that it belongs to, with their names, sorted by name.
    pub groups: Vec<(Uuid, String)>,
}

/// All consumers and credentials of a configuration.
#[derive(Debug, Default)]
pub struct Directory {}
