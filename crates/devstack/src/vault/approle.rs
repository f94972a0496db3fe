//! The AppRole auth method: roles, secret ids, logins.
//!
//! Owns what one mount knows: the roles, each with its secret ids. `approle/role.rs` and `approle/secret_id.rs` have those
//! handlers; the login is here.

mod role;
mod secret_id;

use super::call::Call;
use super::call::Operation::{Delete, List, Read, Update};
use super::core::Core;
use super::reply::{Outcome, Refusal};
use super::router::Guard::{Open, Policy};
use super::router::{Handler::Now, Route};
use super::token::Person;
use role::Role;
use std::collections::BTreeMap;

pub(super) const ROUTES: &[Route] = &[
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
        help: "A role: role_id, secret_id_num_uses, secret_id_ttl, token_*.",
    },
    Route {
        pattern: "role/{name}/role-id",
        operations: &[(Read, Now(role::read_id)), (Update, Now(role::write_id))],
        guard: Policy,
        exists: None,
        help: "The role's id, by which it logs in.",
    },
    Route {
        pattern: "role/{name}/secret-id",
        operations: &[(List, Now(secret_id::list)), (Update, Now(secret_id::make))],
        guard: Policy,
        exists: None,
        help: "Make a secret id: num_uses, ttl, metadata. Or list the accessors of those there are.",
    },
    Route {
        pattern: "role/{name}/custom-secret-id",
        operations: &[(Update, Now(secret_id::take))],
        guard: Policy,
        exists: None,
        help: "Take a secret id of one's own choice.",
    },
    Route {
        pattern: "role/{name}/secret-id/lookup",
        operations: &[(Update, Now(secret_id::lookup))],
        guard: Policy,
        exists: None,
        help: "Look at a secret id.",
    },
    Route {
        pattern: "role/{name}/secret-id/destroy",
        operations: &[(Update, Now(secret_id::destroy)), (Delete, Now(secret_id::destroy))],
        guard: Policy,
        exists: None,
        help: "End a secret id.",
    },
    Route {
        pattern: "role/{name}/secret-id-accessor/lookup",
        operations: &[(Update, Now(secret_id::lookup_accessor))],
        guard: Policy,
        exists: None,
        help: "Look at the secret id with this accessor.",
    },
    Route {
        pattern: "role/{name}/secret-id-accessor/destroy",
        operations: &[(Update, Now(secret_id::destroy_accessor)), (Delete, Now(secret_id::destroy_accessor))],
        guard: Policy,
        exists: None,
        help: "End the secret id with this accessor.",
    },
    Route {
        pattern: "login",
        operations: &[(Update, Now(login))],
        guard: Open,
        exists: None,
        help: "Log in with a role_id and a secret_id.",
    },
];

/// What a mount knows: the roles, by name.
#[derive(Debug, Default)]
pub(super) struct AppRole {
    roles: BTreeMap<String, Role>,
}

/// The mount of a call. `None`: it was disabled meanwhile.
fn mount<'a>(core: &'a mut Core, call: &Call) -> Result<&'a mut AppRole, Refusal> {
    core.mounts.approle(&call.mount).ok_or_else(Refusal::unsupported_path)
}

/// The name of the role in the path.
fn name(call: &Call) -> String {
    call.captured("name").to_lowercase()
}

/// A text in the body that must be there.
fn required(call: &Call, field: &str) -> Result<String, Refusal> {
    let text = call.fields().text(field)?.filter(|text| !text.is_empty());
    text.ok_or_else(|| Refusal::bad(format!("missing {field}")))
}

/// Which of the two is wrong is not told.
fn login(core: &mut Core, call: &Call) -> Outcome {
    let wrong = || Refusal::bad("invalid role or secret ID");
    let role_id = required(call, "role_id").map_err(|refusal| Refusal { status: 500, ..refusal })?;
    let roles = &mut mount(core, call)?.roles;
    let (name, role) = roles.iter_mut().find(|(_, role)| role.role_id == role_id).ok_or_else(wrong)?;
    let secret_id = required(call, "secret_id")?;
    let mut meta = role.secret_ids.take_use(&secret_id).ok_or_else(wrong)?;
    meta.insert("role_name".to_owned(), name.clone());
    let token = role.token.clone();
    let display_name = call.mount.trim_start_matches("auth/").trim_end_matches('/').replace('/', "-");
    token.log_in(core, call, Person { alias: role_id, display_name, meta })
}
