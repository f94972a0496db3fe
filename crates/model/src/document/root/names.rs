//! The top-level names that a document may have.
//!
//! Owns: the names that are no kinds of ours, and which of the two forms a name belongs to. Must not know: what stands
//! below a name. Kinds come from their table.

use crate::entity::TABLE;

/// The lists of entities that one of the two forms knows: the kinds in their order, and those of which no more is known
/// than the name; the latter are checked to be lists of mappings.
pub(crate) fn collections() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|definition| definition.collection).chain(BY_NAME.iter().copied())
}

/// Names that only the DB-less form has at the top: decK nests these entities in others.
pub(super) fn only_db_less() -> impl Iterator<Item = &'static str> {
    let inside = TABLE.iter().filter(|definition| definition.inside_only);
    ONLY_DB_LESS.iter().copied().chain(inside.map(|definition| definition.collection))
}

/// Lists of Kong's of which no more is known than the name.
#[rustfmt::skip]
const BY_NAME: &[&str] = &[
    "licenses", "consumer_group_plugins", "plugins_partials", "keyauth_enc_credentials",
    "oauth2_authorization_codes", "oauth2_tokens", "header_cert_auth_credentials", "vault_auth_vaults",
    "jwt_signer_jwks", "oic_issuers", "oic_jwks", "sessions", "acme_storage", "degraphql_routes",
    "graphql_ratelimiting_advanced_cost_decoration", "graphql_ratelimiting_cost_decorations", "rbac_users",
    "rbac_roles", "rbac_user_roles", "rbac_role_endpoints", "rbac_role_entities", "rbac_user_groups",
    "group_rbac_roles", "groups", "admins", "developers", "files", "document_objects", "applications",
    "application_instances", "workspaces", "workspace_entity_counters", "event_hooks",
    "consumer_reset_secrets", "credentials", "keyring_keys", "keyring_meta", "login_attempts",
    "custom_entities", "custom_plugins", "cloned_plugins", "service_packages", "tags", "parameters",
    "clustering_data_planes", "clustering_rpc_requests", "clustering_sync_version", "clustering_sync_delta",
];

/// Names that are no lists of entities.
#[rustfmt::skip]
pub(super) const META: &[&str] = &[
    "_format_version", "_transform", "_comment", "_ignore", "_info", "_workspace", "_konnect",
    "_plugin_configs",
];

/// Names that only decK's form has.
#[rustfmt::skip]
pub(super) const ONLY_DECK: &[&str] = &[
    "_info", "_workspace", "_konnect", "_plugin_configs", "custom_plugins", "cloned_plugins",
    "service_packages",
];

/// Names that only the DB-less form has, besides kinds.
const ONLY_DB_LESS: &[&str] = &["_comment", "_ignore", "consumer_group_plugins", "plugins_partials"];
