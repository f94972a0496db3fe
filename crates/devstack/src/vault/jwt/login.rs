//! The login: a role and a JWT in, a token out.
//!
//! Owns the order of the checks, which decides which error a client sees. The JWT is never logged.

use super::claims;
use super::config::Config;
use super::keys::{self, KeySet, Unverified};
use super::role::Role;
use crate::vault::call::Call;
use crate::vault::core::{Core, Shared};
use crate::vault::reply::{Outcome, Refusal};
use crate::vault::router::Later;
use crate::vault::token::Person;
use std::sync::Arc;

pub(super) fn login(shared: Arc<Shared>, call: Call) -> Later {
    Box::pin(async move {
        let asked = Asked::read(&shared.lock(), &call)?;
        let token = asked.verify(&shared, &call).await.map_err(|error| {
            Refusal::bad(format!("error validating token: error verifying token signature: {error}"))
        })?;
        grant(&mut shared.lock(), &call, &asked, &token)
    })
}

/// What a login asks for, and what the mount knows about it.
struct Asked {
    jwt: String,
    role_name: String,
    role: Role,
    config: Config,
    keys: KeySet,
}

impl Asked {
    fn read(core: &Core, call: &Call) -> Result<Self, Refusal> {
        let mount = core.mounts.jwt_ref(&call.mount).ok_or_else(Refusal::no_token)?;
        let config = mount.config.clone().ok_or_else(|| Refusal::bad("could not load configuration"))?;
        let asked = call.fields().text("role")?.filter(|name| !name.is_empty());
        let role_name = asked.unwrap_or_else(|| config.default_role.clone()).to_lowercase();
        if role_name.is_empty() {
            return Err(Refusal::bad("missing role"));
        }
        let unknown = || Refusal::bad(format!("role \"{role_name}\" could not be found"));
        let role = mount.roles.get(&role_name).cloned().ok_or_else(unknown)?;
        // White space within a token means nothing, as in Vault's parser.
        let strip = |jwt: String| jwt.split_whitespace().collect::<String>();
        let jwt = call.fields().text("jwt")?.map(strip).filter(|jwt| !jwt.is_empty());
        let jwt = jwt.ok_or_else(|| Refusal::bad("missing token"))?;
        Ok(Self { jwt, role_name, role, config, keys: mount.keys.clone() })
    }

    /// Takes the token apart and checks its signature, with fresh keys if it names an unknown one.
    async fn verify(&self, shared: &Shared, call: &Call) -> Result<Unverified<'_>, String> {
        let failed = || "failed to verify id token signature".to_owned();
        let token = Unverified::parse(&self.jwt)?;
        if self.keys.knows(token.key_id.as_deref()) {
            return self.keys.verify(&token).then_some(token).ok_or_else(failed);
        }
        let may = shared.lock().mounts.jwt(&call.mount).is_some_and(|mount| mount.keys.may_refetch());
        if !may {
            return Err(failed());
        }
        let fresh =
            keys::fetch(&self.config.source).await.map_err(|error| format!("fetching keys {error}"))?;
        let verified = KeySet::new(fresh.clone()).verify(&token);
        if let Some(mount) = shared.lock().mounts.jwt(&call.mount) {
            mount.keys.replace(fresh);
        }
        verified.then_some(token).ok_or_else(failed)
    }
}

/// Judges the claims and makes the token.
fn grant(core: &mut Core, call: &Call, asked: &Asked, token: &Unverified<'_>) -> Outcome {
    let Asked { role, role_name, config, .. } = asked;
    claims::validate(&token.claims, &token.algorithm_name, config, role, core.clock.unix())
        .map_err(|error| Refusal::bad(format!("error validating token: {error}")))?;
    if role.bound_audiences.is_empty() && !claims::audiences(&token.claims).is_empty() {
        return Err(Refusal::bad("audience claim found in JWT but no audiences bound to the role"));
    }
    claims::bound(&token.claims, role)
        .map_err(|error| Refusal::bad(format!("error validating claims: {error}")))?;
    let user = claims::user(&token.claims, role).map_err(Refusal::bad)?;
    if user.is_empty() {
        return Err(Refusal::new(500, "missing name in alias"));
    }
    let metadata = claims::metadata(&token.claims, role_name, role).map_err(Refusal::bad)?;
    let mount_name = call.mount.trim_start_matches("auth/").trim_end_matches('/');
    let display_name = format!("{}-{user}", mount_name.replace('/', "-"));
    let token = role.token.clone();
    token.log_in(core, call, Person { alias: user, display_name, meta: metadata })
}
