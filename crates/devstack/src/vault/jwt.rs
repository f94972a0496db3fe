//! The JWT auth method: configuration, roles, logins.
//!
//! Owns what one mount knows: where the keys come from, the keys it has, and the roles. `jwt/config.rs` and
//! `jwt/role.rs` have those handlers, `jwt/login.rs` the login; `jwt/keys.rs` fetches and applies keys, and
//! `jwt/claims.rs` judges what a verified token says.

mod claims;
mod config;
mod keys;
mod login;
mod role;

use super::call::Operation::{Delete, List, Read, Update};
use super::router::Guard::{Open, Policy};
use super::router::{
    Handler::{Later, Now},
    Route,
};
use config::Config;
use keys::KeySet;
use role::Role;
use std::collections::BTreeMap;

pub(super) const ROUTES: &[Route] = &[
    Route {
        pattern: "config",
        operations: &[(Read, Now(config::read)), (Update, Later(config::write))],
        guard: Policy,
        exists: None,
        help: "Where the keys come from: one of jwks_url, oidc_discovery_url, jwt_validation_pubkeys; with \
               bound_issuer, default_role, jwt_supported_algs, jwks_ca_pem, oidc_discovery_ca_pem.",
    },
    Route {
        pattern: "role",
        operations: &[(List, Now(role::list))],
        guard: Policy,
        exists: None,
        help: "List the roles.",
    },
    Route {
        pattern: "role/{name}",
        operations: &[(Read, Now(role::read)), (Update, Now(role::write)), (Delete, Now(role::delete))],
        guard: Policy,
        exists: Some(role::exists),
        help: "Who may log in, and what the token will be: role_type=jwt, user_claim, bound_audiences, \
               bound_subject, bound_claims, bound_claims_type, claim_mappings, leeways, token_*.",
    },
    Route {
        pattern: "login",
        operations: &[(Update, Later(login::login))],
        guard: Open,
        exists: None,
        help: "Log in with a role and a jwt.",
    },
];

/// What a mount knows.
#[derive(Debug, Default)]
pub(super) struct Jwt {
    config: Option<Config>,
    keys: KeySet,
    roles: BTreeMap<String, Role>,
}
