//! Roles: who may log in, and what token they get.

use super::secret_id::SecretIds;
use super::{mount, name, required};
use crate::random;
use crate::vault::call::Call;
use crate::vault::core::Core;
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::vault::token::{Params, not_enforced};
use serde_json::{Value, json};
use std::time::Duration;

/// Settings that would narrow a role, and are not enforced here.
const NOT_ENFORCED: [&str; 3] = ["secret_id_bound_cidrs", "bound_cidr_list", "local_secret_ids"];

/// A role.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) role_id: String,
    /// For its secret ids; 0: no limit.
    pub(super) secret_id_num_uses: i64,
    /// For its secret ids; zero: no end.
    pub(super) secret_id_ttl: Duration,
    pub(super) token: Params,
    pub(super) secret_ids: SecretIds,
}

impl Role {
    fn describe(&self) -> Value {
        let mut data = self.token.describe();
        for (name, value) in [
            ("bind_secret_id", json!(true)),
            ("local_secret_ids", json!(false)),
            ("secret_id_bound_cidrs", Value::Null),
            ("secret_id_num_uses", json!(self.secret_id_num_uses)),
            ("secret_id_ttl", json!(self.secret_id_ttl.as_secs())),
        ] {
            data.insert(name.to_owned(), value);
        }
        data.into()
    }
}

pub(super) fn exists(core: &Core, call: &Call) -> bool {
    core.mounts.approle_ref(&call.mount).is_some_and(|mount| mount.roles.contains_key(&name(call)))
}

pub(super) fn list(core: &mut Core, call: &Call) -> Outcome {
    Reply::keys(mount(core, call)?.roles.keys().cloned().collect())
}

pub(super) fn read(core: &mut Core, call: &Call) -> Outcome {
    let role = mount(core, call)?.roles.get(&name(call));
    role.map(|role| Reply::data(role.describe())).ok_or_else(Refusal::not_found)
}

pub(super) fn write(core: &mut Core, call: &Call) -> Outcome {
    let fields = call.fields();
    if let Some(name) = NOT_ENFORCED.iter().find(|name| fields.get(name).is_some()) {
        return Err(not_enforced(name));
    }
    let roles = &mut mount(core, call)?.roles;
    let known = roles.get(&name(call));
    let mut token = known.map(|role| role.token.clone()).unwrap_or_default();
    token.take(call)?;
    // Without a secret id another constraint would be needed, and there is none here.
    if fields.flag("bind_secret_id")? == Some(false) {
        return Err(Refusal::listed(500, "at least one constraint should be enabled on the role"));
    }
    let role_id = fields.text("role_id")?.filter(|role_id| !role_id.is_empty());
    let taken =
        |role_id: &String| roles.iter().any(|(other, role)| *other != name(call) && role.role_id == *role_id);
    if role_id.as_ref().is_some_and(taken) {
        return Err(Refusal::listed(500, "role_id already in use"));
    }
    let num_uses = fields.number("secret_id_num_uses")?;
    if num_uses.is_some_and(|number| number < 0) {
        return Err(Refusal::bad("secret_id_num_uses cannot be negative"));
    }
    let ttl = fields.duration("secret_id_ttl")?;
    token.check()?;
    let role = roles.entry(name(call)).or_insert_with(|| Role {
        role_id: random::uuid(),
        secret_id_num_uses: 0,
        secret_id_ttl: Duration::ZERO,
        token: Params::default(),
        secret_ids: SecretIds::default(),
    });
    role.token = token;
    role.role_id = role_id.unwrap_or_else(|| role.role_id.clone());
    role.secret_id_num_uses = num_uses.unwrap_or(role.secret_id_num_uses);
    role.secret_id_ttl = ttl.unwrap_or(role.secret_id_ttl);
    Ok(Reply::Nothing)
}

/// Its secret ids go with it.
pub(super) fn delete(core: &mut Core, call: &Call) -> Outcome {
    mount(core, call)?.roles.remove(&name(call));
    Ok(Reply::Nothing)
}

pub(super) fn read_id(core: &mut Core, call: &Call) -> Outcome {
    let role = mount(core, call)?.roles.get(&name(call)).ok_or_else(Refusal::not_found)?;
    Ok(Reply::data(json!({"role_id": role.role_id})))
}

pub(super) fn write_id(core: &mut Core, call: &Call) -> Outcome {
    let roles = &mut mount(core, call)?.roles;
    if !roles.contains_key(&name(call)) {
        return Err(Refusal::unsupported_path());
    }
    let role_id = required(call, "role_id")?;
    if roles.iter().any(|(other, role)| *other != name(call) && role.role_id == role_id) {
        return Err(Refusal::listed(500, "role_id already in use"));
    }
    if let Some(role) = roles.get_mut(&name(call)) {
        role.role_id = role_id;
    }
    Ok(Reply::Nothing)
}
