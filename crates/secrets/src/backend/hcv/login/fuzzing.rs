//! What a login makes of an answer, for the crate `fuzz`. Owns: nothing. Must not know: what must hold.

use super::Login;
use super::approle::unwrap;
use crate::backend::hcv::token::{self, Token};
use crate::kept::Fresh;
use crate::trail::Trail;
use crate::vault::VaultError;
use postern_client::Reply;
use postern_secret::Secret;

/// The answer to a login with this credential.
pub(in crate::backend::hcv) fn answered(
    login: &Login,
    reply: &Reply,
    credential: &Secret,
    trail: &Trail,
) -> Result<Fresh<Token>, VaultError> {
    let mut step = trail.step("log in to the vault");
    let outcome = match login {
        Login::AppRole(login) => {
            login.method.answered(reply, &mut step, |_, body| login.hint(body, credential))
        }
        Login::Kubernetes(login) => {
            login.method.answered(reply, &mut step, |status, body| login.hint(status, body, credential))
        }
        Login::Jwt(login) => {
            login.method.answered(reply, &mut step, |status, body| login.hint(status, body, credential))
        }
        Login::Token(_) | Login::Cert(_) => Ok(token::fresh(credential.clone(), 0, false, 0)),
    };
    step.done(outcome)
}

/// The answer to an unwrapping.
pub(in crate::backend::hcv) fn unwrapped(reply: &Reply) -> Result<Secret, VaultError> {
    unwrap::unwrapped(reply, "approle")
}
