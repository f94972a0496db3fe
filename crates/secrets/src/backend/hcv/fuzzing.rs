//! The parsers of a vault's answers, for the crate `fuzz`. Owns: the settings under which they run. Must not know: what
//! must hold.

use serde_json::json;

use super::claims;
use super::kv::Place;
use super::login::{Login, fuzzing};
use super::token::Tokens;
use crate::fuzzing::Answer;
use crate::kind::Kind;
use crate::reference::Reference;
use crate::settings::Settings;
use crate::trail::Trail;
use crate::vault::{Read, VaultError};
use postern_secret::Secret;

/// What a read with this client token makes of an answer.
///
/// # Errors
/// As any read.
pub fn kv(v2: bool, token: &Secret, answer: &Answer<'_>) -> Result<Secret, VaultError> {
    let settings = settings(json!({"token": "t", "mount": "secret", "kv": if v2 { "v2" } else { "v1" }}));
    let version = Reference::parse("{vault://hcv/app/key#3}").ok().and_then(|reference| reference.version());
    let request = Read { settings: &settings, resource: "app", version, trail: &Trail::off() };
    Place::new(&request)?.answered(&answer.reply(std::slice::from_ref(token)), Some("team"))
}

/// What a login by `approle`, `kubernetes` or `jwt` makes of an answer: the client token, after all times of its life
/// were worked out.
///
/// # Errors
/// As any login.
pub fn login(
    method: &str,
    credential: &Secret,
    answer: &Answer<'_>,
    trail: &Trail,
) -> Result<Secret, VaultError> {
    let settings = settings(match method {
        "approle" => {
            json!({"auth_method": "approle", "approle_role_id": "id", "approle_secret_id": "given"})
        }
        "kubernetes" => json!({"auth_method": "kubernetes", "kube_role": "app"}),
        _ => json!({"auth_method": "jwt", "jwt_role": "app", "jwt_file": "jwt"}),
    });
    let login = Login::new(&settings)
        .map_err(|error| VaultError::Unusable { message: error.message, hint: error.hint })?;
    let fresh =
        fuzzing::answered(&login, &answer.reply(std::slice::from_ref(credential)), credential, trail)?;
    let token = fresh.value.secret.clone();
    let tokens = Tokens::holding(fresh);
    let _ = (tokens.renewal_due(), tokens.held());
    Ok(token)
}

/// What an unwrapping makes of an answer.
///
/// # Errors
/// As any unwrapping.
pub fn unwrapping(wrapping: &Secret, answer: &Answer<'_>) -> Result<Secret, VaultError> {
    fuzzing::unwrapped(&answer.reply(std::slice::from_ref(wrapping)))
}

/// What is shown of a JWT.
pub fn claims(jwt: &Secret) -> Option<String> {
    claims::shown(jwt)
}

fn settings(config: serde_json::Value) -> Settings {
    let config = config.as_object().cloned().unwrap_or_default();
    Settings::from_entity(Kind::Hcv, &config).unwrap_or_else(|_| Settings::empty(Kind::Hcv))
}
