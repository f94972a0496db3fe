//! The plugins, a file or folder each: field list, code and tests together.
//!
//! Owns: which there are; [`crate::registry`] lists them. `rules` and `redis` have what their field lists share,
//! `counting` what those share that count. Must not know: each other.

pub(crate) mod acl;
pub(crate) mod basic_auth;
pub(crate) mod bot_detection;
pub(crate) mod correlation_id;
pub(crate) mod cors;
mod counting;
pub(crate) mod file_log;
pub(crate) mod hmac_auth;
pub(crate) mod http_log;
pub(crate) mod ip_restriction;
pub(crate) mod jwt;
pub(crate) mod key_auth;
pub(crate) mod oauth2_introspection;
pub(crate) mod opentelemetry;
pub(crate) mod prometheus;
pub(crate) mod proxy_cache;
pub(crate) mod rate_limiting;
pub(crate) mod redirect;
mod redis;
pub(crate) mod request_size_limiting;
pub(crate) mod request_termination;
pub(crate) mod request_transformer;
pub(crate) mod response_ratelimiting;
pub(crate) mod response_transformer;
mod rules;
pub(crate) mod session;
pub(crate) mod statsd;
pub(crate) mod syslog;
pub(crate) mod tcp_log;
pub(crate) mod udp_log;
pub(crate) mod upstream_oauth;
