//! What a JWT claims, for people who compare it with a role. Owns: the few claims worth showing. Must not know: keys;
//! nothing is verified here, and nothing is decided by what is read here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use postern_secret::Secret;

/// The claims that roles are bound to. Others may be private.
const SHOWN: [&str; 4] = ["iss", "sub", "aud", "exp"];
const MAX_CHARS: usize = 300;

/// `iss=..., sub=..., aud=..., exp=...`, as far as they are there.
pub(super) fn shown(jwt: &Secret) -> Option<String> {
    let payload = jwt.expose().split('.').nth(1)?;
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let claims: Value = serde_json::from_slice(&json).ok()?;
    let pairs = SHOWN.iter().filter_map(|name| {
        // JSON escapes only some of the control characters.
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        let value: String = claims.get(name)?.to_string().chars().map(shown).take(MAX_CHARS).collect();
        Some(format!("{name}={value}"))
    });
    let pairs: Vec<_> = pairs.collect();
    (!pairs.is_empty()).then(|| pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_roles_are_bound_to_and_nothing_else() {
        let jwt = |json: &str| Secret::from(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(json)));
        assert_eq!(
            shown(&jwt(r#"{"sub":"id@clients","aud":["a"],"email":"x@y","exp":5}"#)).unwrap(),
            r#"sub="id@clients", aud=["a"], exp=5"#
        );
        assert_eq!(shown(&jwt(r#"{"email":"x@y"}"#)), None);
        assert_eq!(shown(&jwt("{\"sub\":\"a\u{9b}31m\u{7f}\"}")).unwrap(), "sub=\"a 31m \"");
        assert_eq!(shown(&Secret::from("opaque")), None);
        assert_eq!(shown(&Secret::from("a.!.c")), None);
    }
}
