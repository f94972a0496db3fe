//! Settings of Kong's that this program knows and that have no effect in it.
//!
//! Owns: what a person should do about each. Must not know: which were given.

/// By the setting's name, or by how it begins where that ends in `*`; the first that fits counts.
const ADVICE: &[(&str, &str)] = &[
    (
        "plugins",
        "every bundled plugin can be used (postern plugins lists them); custom plugins cannot be loaded",
    ),
    ("pluginserver_*", "external plugins cannot be loaded; remove it"),
    ("lua_ssl_verify_depth", "chains are verified whatever their length; remove it"),
    ("lua_*", "there is no Lua virtual machine; remove it"),
    ("untrusted_lua*", "there is no Lua virtual machine; remove it"),
    ("stream_listen", "TCP and UDP are not proxied; routes with these protocols get no traffic"),
    ("proxy_stream_*", "TCP and UDP are not proxied; remove it"),
    (
        "role",
        "a node is a control plane and a data plane in one; several nodes share a database (database = postgres)",
    ),
    (
        "cluster_*",
        "a node is a control plane and a data plane in one; several nodes share a database (database = postgres)",
    ),
    ("konnect_mode", "nodes are not managed from elsewhere; remove it"),
    ("admin_gui_*", "there is no Kong Manager; the Admin API takes pages of other origins by admin_origins"),
    ("admin_access_log", "admin_audit_log says where requests to the Admin API are logged"),
    ("audit_log*", "admin_audit_log says where requests to the Admin API are logged"),
    ("rbac*", "admin_token says who may use the Admin API"),
    ("enforce_rbac", "admin_token says who may use the Admin API"),
    ("keyring_*", "secrets are kept in vaults, by reference; remove it"),
    ("smtp_*", "no mail is sent; remove it"),
    ("anonymous_reports", "nothing is reported to anybody; remove it"),
    ("db_*", "a node holds its whole configuration in memory and follows the database; remove it"),
    ("*_mem_cache_size", "a node holds its whole configuration in memory; remove it"),
    ("mem_cache_size", "a node holds its whole configuration in memory; remove it"),
    ("lru_cache_size", "a node holds its whole configuration in memory; remove it"),
    ("lmdb_*", "a node holds its whole configuration in memory; remove it"),
    ("worker_consistency", "all workers change to a new configuration at once; remove it"),
    ("worker_state_update_frequency", "all workers change to a new configuration at once; remove it"),
    (
        "proxy_error_log",
        "the node logs to standard error; the service manager or the container says where that goes",
    ),
    (
        "*_error_log",
        "the node logs to standard error; the service manager or the container says where that goes",
    ),
    ("status_access_log", "requests to the status listener are not logged; remove it"),
    ("ssl_cipher_suite", "TLS 1.2 and 1.3 are spoken with modern ciphers only, which cannot be changed"),
    ("ssl_*", "TLS 1.2 and 1.3 are spoken with modern ciphers only, which cannot be changed"),
    ("client_ssl*", "a service's client_certificate says what upstreams are shown"),
    ("upstream_keepalive_max_requests", "connections to upstreams serve any number of requests; remove it"),
    ("dns_*", "only dns_resolver and dns_valid_ttl have an effect; remove it"),
    ("resolver_*", "only resolver_address has an effect; remove it"),
    ("new_dns_client", "there is one DNS client; remove it"),
    ("pg_ro_*", "all reads go to the one server that pg_host names; remove it"),
    (
        "pg_*",
        "not one of the settings of PostgreSQL that have an effect (postern config settings lists these)",
    ),
    ("nginx_main_daemon", "the node runs in the foreground; a service manager or a container runs it"),
    ("nginx_*", "there is no nginx here; postern config settings lists the directives that have an effect"),
    ("vault_*", "this field of a vault is not known here; postern config settings lists those that are"),
    ("port_maps", "X-Forwarded-Port tells the listener's own port; remove it"),
    ("error_template_*", "error pages cannot be changed; error_default_type says their type"),
];

/// What to do about a setting that has no effect.
pub(super) fn advice(key: &str) -> &'static str {
    let fits = |pattern: &str| match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(start), _) => key.starts_with(start),
        (_, Some(end)) => key.ends_with(end),
        _ => key == pattern,
    };
    ADVICE.iter().find(|(pattern, _)| fits(pattern)).map_or("remove it", |(_, advice)| advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{is_used, known};

    #[test]
    fn every_line_is_of_a_setting_that_is_known_and_without_effect() {
        let is_of_one = |(pattern, advice): &&(&str, &str)| {
            known().any(|key| !is_used(key) && super::advice(key) == *advice)
                || ["pluginserver_*", "nginx_*", "nginx_main_daemon"].contains(pattern)
        };
        let of_none: Vec<_> = ADVICE.iter().filter(|line| !is_of_one(line)).collect();
        assert!(of_none.is_empty(), "{of_none:?}");
    }
}
