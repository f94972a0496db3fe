//! The top-level names that a document may have.
//!
//! Owns: the lists, and which of the two forms a name belongs to. Must not know: what stands below a name.

/// The lists of entities that one of the two forms knows, in the order in which they may refer to each other. Most
/// of them are read, checked to be lists of mappings, and kept for the day when they are used.
#[rustfmt::skip]
pub const COLLECTIONS: &[&str] = &[
    "vaults", "partials", "certificates", "snis", "ca_certificates", "key_sets", "keys", "licenses",
    "services", "routes", "upstreams", "targets", "consumers", "consumer_groups",
    "consumer_group_consumers", "plugins", "consumer_group_plugins", "plugins_partials", "filter_chains",
    "keyauth_credentials", "keyauth_enc_credentials", "basicauth_credentials", "hmacauth_credentials",
    "jwt_secrets", "oauth2_credentials", "oauth2_authorization_codes", "oauth2_tokens", "acls",
    "mtls_auth_credentials", "header_cert_auth_credentials", "vault_auth_vaults", "jwt_signer_jwks",
    "oic_issuers", "oic_jwks", "sessions", "acme_storage", "degraphql_routes",
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

/// Names that only the DB-less form has at the top: decK nests these entities in others.
#[rustfmt::skip]
pub(super) const ONLY_DB_LESS: &[&str] = &[
    "_comment", "_ignore", "targets", "snis", "acls", "keyauth_credentials", "basicauth_credentials",
    "hmacauth_credentials", "jwt_secrets", "oauth2_credentials", "mtls_auth_credentials",
    "consumer_group_consumers", "consumer_group_plugins", "plugins_partials",
];
