//! Roles: who may log in, and what token they get.

use super::{Jwt, claims};
use crate::vault::call::Call;
use crate::vault::core::Core;
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::vault::token::{Params, not_enforced};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A role.
#[derive(Clone, Debug, Default)]
pub(super) struct Role {
    pub(super) user_claim: String,
    pub(super) bound_audiences: Vec<String>,
    pub(super) bound_subject: String,
    pub(super) bound_claims: Map<String, Value>,
    /// `bound_claims_type` is `glob`, not `string`.
    pub(super) bound_claims_glob: bool,
    pub(super) claim_mappings: BTreeMap<String, String>,
    pub(super) expiration_leeway: i64,
    pub(super) not_before_leeway: i64,
    pub(super) clock_skew_leeway: i64,
    pub(super) token: Params,
}

impl Role {
    /// Takes what the body has, and leaves the rest.
    fn take(&mut self, call: &Call) -> Result<(), Refusal> {
        let fields = call.fields();
        for (name, target) in
            [("user_claim", &mut self.user_claim), ("bound_subject", &mut self.bound_subject)]
        {
            if let Some(text) = fields.text(name)? {
                *target = text;
            }
        }
        if let Some(list) = fields.texts("bound_audiences")? {
            self.bound_audiences = list;
        }
        if let Some(members) = fields.object("bound_claims")? {
            self.bound_claims = members.clone();
        }
        if let Some(members) = fields.object("claim_mappings")? {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.claim_mappings = members.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        }
        for (name, target) in [
            ("expiration_leeway", &mut self.expiration_leeway),
            ("not_before_leeway", &mut self.not_before_leeway),
            ("clock_skew_leeway", &mut self.clock_skew_leeway),
        ] {
            if let Some(seconds) = fields.seconds(name)? {
                *target = seconds;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Refusal> {
        self.token.check()?;
        if self.claim_mappings.values().any(|key| key == "role") {
            return Err(Refusal::bad(
                "metadata key \"role\" is reserved and may not be a mapping destination",
            ));
        }
        let mut bound = self.bound_claims.values().flat_map(claims::as_list);
        if let Some(other) = bound.find(|value| self.bound_claims_glob && !value.is_string()) {
            return Err(Refusal::bad(format!("claim is not a string: {other}")));
        }
        if self.user_claim.is_empty() {
            return Err(Refusal::bad("a user claim must be defined on the role"));
        }
        if self.bound_audiences.is_empty() && self.bound_subject.is_empty() && self.bound_claims.is_empty() {
            return Err(Refusal::bad(
                "must have at least one bound constraint when creating/updating a role",
            ));
        }
        Ok(())
    }

    fn describe(&self) -> Value {
        let mappings = (!self.claim_mappings.is_empty()).then_some(&self.claim_mappings);
        let bound_claims = (!self.bound_claims.is_empty()).then_some(&self.bound_claims);
        let audiences = (!self.bound_audiences.is_empty()).then_some(&self.bound_audiences);
        let mut data = json!({
            "allowed_redirect_uris": null, "bound_audiences": audiences, "bound_claims": bound_claims,
            "bound_claims_type": if self.bound_claims_glob { "glob" } else { "string" },
            "bound_subject": self.bound_subject, "callback_mode": "client", "claim_mappings": mappings,
            "clock_skew_leeway": self.clock_skew_leeway, "expiration_leeway": self.expiration_leeway,
            "groups_claim": "", "max_age": 0, "not_before_leeway": self.not_before_leeway, "oauth2_metadata": null,
            "oidc_disable_confirmation": false, "oidc_scopes": null, "role_type": "jwt",
            "token_policies_template_claims": false, "user_claim": self.user_claim, "user_claim_json_pointer": false,
            "verbose_oidc_logging": false,
        });
        if let Some(members) = data.as_object_mut() {
            members.extend(self.token.describe());
        }
        data
    }
}

/// Settings that would narrow a role, or that belong to browser logins, and are not enforced here.
const NOT_ENFORCED: [&str; 3] = ["groups_claim", "max_age", "token_policies_template_claims"];

fn jwt<'a>(core: &'a mut Core, call: &Call) -> Result<&'a mut Jwt, Refusal> {
    core.mounts.jwt(&call.mount).ok_or_else(Refusal::unsupported_path)
}

pub(super) fn exists(core: &Core, call: &Call) -> bool {
    let name = call.captured("name").to_lowercase();
    core.mounts.jwt_ref(&call.mount).is_some_and(|jwt| jwt.roles.contains_key(&name))
}

pub(super) fn list(core: &mut Core, call: &Call) -> Outcome {
    Reply::keys(jwt(core, call)?.roles.keys().cloned().collect())
}

pub(super) fn read(core: &mut Core, call: &Call) -> Outcome {
    let role = jwt(core, call)?.roles.get(&call.captured("name").to_lowercase());
    role.map(|role| Reply::data(role.describe())).ok_or_else(Refusal::not_found)
}

pub(super) fn write(core: &mut Core, call: &Call) -> Outcome {
    let name = call.captured("name").to_lowercase();
    let roles = &mut jwt(core, call)?.roles;
    let known = roles.get(&name).cloned();
    match call.fields().text("role_type")?.as_deref() {
        Some("jwt") => {}
        None | Some("" | "oidc") => {
            return Err(Refusal::bad(
                "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.",
            ));
        }
        Some(other) => return Err(Refusal::bad(format!("invalid 'role_type': {other}"))),
    }
    if let Some(name) = NOT_ENFORCED.iter().find(|name| call.fields().get(name).is_some()) {
        return Err(not_enforced(name));
    }
    let mut role = known.unwrap_or_default();
    role.token.take(call)?;
    role.bound_claims_glob = match call.fields().text("bound_claims_type")?.as_deref() {
        None => role.bound_claims_glob,
        Some("string") => false,
        Some("glob") => true,
        Some(other) => return Err(Refusal::bad(format!("invalid 'bound_claims_type': {other}"))),
    };
    role.take(call)?;
    role.check()?;
    roles.insert(name, role);
    Ok(Reply::Nothing)
}

pub(super) fn delete(core: &mut Core, call: &Call) -> Outcome {
    jwt(core, call)?.roles.remove(&call.captured("name").to_lowercase());
    Ok(Reply::Nothing)
}
